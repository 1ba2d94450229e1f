"""How much of a results folder is compared, drawn and judged: a stranger's may ask for any amount of it.

The table of runs holds every record. What goes beyond these bounds elsewhere is left out, and a line says so. No study
of ours is near them: results/reference has 19 experiments, 165 variants and 10 seeds at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fracpool.records.plain_text import text
from fracpool.records.record import Record
from fracpool.table.experiment import Experiment

MOST_EXPERIMENTS = 100
MOST_VARIANTS = 1000  # of all experiments together
MOST_SEEDS = 100  # of a variant
MOST_FINDINGS = 200  # of all experiments together


def within(experiments: Sequence[Experiment], problems: list[str]) -> list[Experiment]:
    """The experiments as far as they stay within the bounds; a line in `problems` for each that is left out or cut."""
    kept: list[Experiment] = []
    variants, findings = MOST_VARIANTS, MOST_FINDINGS
    for experiment in experiments[:MOST_EXPERIMENTS]:
        for what, left, of in (
            ("variants", variants, experiment.variants),
            ("findings", findings, experiment.findings),
        ):
            if len(of) > left:
                problems.append(
                    f"{experiment.name or 'single runs'}: {len(of) - left} of {len(of)} {what} are left out"
                )
        cut = replace(experiment, variants=experiment.variants[:variants], findings=experiment.findings[:findings])
        variants, findings = variants - len(cut.variants), findings - len(cut.findings)
        kept.append(cut)
    left_out = [experiment.name or "single runs" for experiment in experiments[MOST_EXPERIMENTS:]]
    if left_out:
        problems.append(f"left out, beyond {MOST_EXPERIMENTS} experiments: {', '.join(left_out[:20])}")
    return kept


def few_seeds(records: Iterable[Record], experiment: str, problems: list[str]) -> dict[str, list[Record]]:
    """The records by variant, of each as many as are compared."""
    index: dict[str, list[Record]] = {}
    for record in records:
        index.setdefault(text(record.data["variant_id"]), []).append(record)
    for variant, found in index.items():
        if len(found) > MOST_SEEDS:
            line = f"{experiment or 'single runs'}: of {variant} {MOST_SEEDS} of {len(found)} runs are compared"
            problems.append(line)
            del found[MOST_SEEDS:]
    return index
