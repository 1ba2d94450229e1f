"""The chapters of a report: the experiments that name the same one, with their findings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fracpool.findings.verdicts import Finding
from fracpool.table.experiment import Experiment, natural

OTHERS = "More findings"  # the chapter of experiments that name none; the last one


@dataclass(frozen=True)
class Chapter:
    """Experiments that belong together, and their findings."""

    title: str
    experiments: tuple[Experiment, ...]
    findings: tuple[Finding, ...]


def chapters(experiments: Sequence[Experiment], findings: Sequence[Finding]) -> list[Chapter]:
    """In the order of the numbers before their names, which are for that alone; each in the order given."""
    named = sorted({experiment.chapter for experiment in experiments if experiment.chapter}, key=natural)
    found = []
    for name in [*named, ""]:
        own = {experiment.name: experiment for experiment in experiments if experiment.chapter == name}
        told = tuple(finding for finding in findings if finding.experiment in own)
        if own:
            found.append(Chapter(_shown(name), tuple(own.values()), told))
    return found


def _shown(name: str) -> str:
    return re.sub(r"^\d+\.? +", "", name) or OTHERS
