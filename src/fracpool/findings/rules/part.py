"""A part of a finding: what it is, its verdicts and tests, and what the rules of all kinds need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fracpool.findings import statistics
from fracpool.findings.scores import NotJudged, scores
from fracpool.findings.sighting import Sighting, budget, epochs_of, form
from fracpool.records.plain_text import count, text
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant

ALPHA = 0.05
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_RUN = "reproduced", "not reproduced", "inconclusive", "not run"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_RUN)


@dataclass
class Part:
    """One comparison of a finding and what came of it."""

    kind: str
    title: str
    counts: bool
    verdict: str = NOT_RUN
    reason: str = ""
    claimed: str = ""
    seen: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tests: Tests | None = None
    form: str = ""  # of the test, where a finding's `forms` added the part
    headline: bool = False  # whether the report's first screen is made from it
    answer: str = ""  # a claim of the answer in its own words, which this part is about
    claimed_epochs: int | None = None  # of training, that the claim was made for
    epochs: int | None = None  # of training, that it was judged after
    scope: str = ""  # the same in words, and how the networks were tested
    sightings: list[Sighting] = field(default_factory=list)  # of two networks, from the shortest training on


@dataclass(frozen=True)
class Tests:
    """p-values for and against the claim, and the number of seeds that would settle it."""

    p_for: float
    p_against: float
    needed: int | None


def attempt(part: Part, judging: Callable[[], None]) -> None:
    """Runs a kind's rule; what cannot be judged, or is described wrongly, says so in place of a verdict."""
    try:
        judging()
    except NotJudged as why:
        part.reason = str(why)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        part.tests = None
        part.verdict = INCONCLUSIVE
        part.reason = f"the finding is not described rightly ({type(error).__name__}: {text(error, 120)})"


def noted_scores(
    results: Results, experiment: Experiment, variant: Variant, spec: Mapping[str, Any], part: Part
) -> dict[int, float]:
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    found, notes = scores(results, experiment, variant, at, metric)
    part.notes += notes
    return found


def need_seeds(part: Part, found: int, what: str, of: str) -> None:
    """Ends the judging of a part with too few runs: inconclusive, or not run if there are none."""
    if found < statistics.MIN_SEEDS:
        part.verdict = INCONCLUSIVE if found else NOT_RUN
        raise NotJudged(f"{count(found, what)} {of}; at least {statistics.MIN_SEEDS} are needed")


def tested_after(part: Part, variant: Variant, spec: Mapping[str, Any]) -> None:
    """Tells a part about accuracies that no seeds pair when and how they were taken."""
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    part.epochs, part.scope = epochs_of(variant, at), f"{budget(variant, at)}, {form(variant, metric)}"


# ---- what a part is given, and its words ----


def need_runs(experiment: Experiment) -> None:
    if experiment.not_run:
        raise NotJudged(experiment.not_run)


def wide(margin: float) -> str:
    return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"


def short(fraction: float) -> str:
    """A bound in percentage points, without a needless decimal: −20."""
    return f"{100 * fraction:+g}".replace("-", "−") if fraction else "0"
