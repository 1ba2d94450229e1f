"""A difference as it was seen: of which two networks, after how much training, and tested how.

Where FMP is compared with max pooling, it is FMP minus max pooling, whichever of both the finding names first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count, text
from fracpool.settings.findings_schema import ACCURACIES, METRICS
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, is_number

VIEWS = {"flip": "two views", "flip_shift": "six views"}
FEW_STEPS = 1000  # in which a budget of part of the images is told
AHEAD, BEHIND, LEVEL, OPEN = "ahead", "behind", "level", "undecided"


@dataclass(frozen=True)
class Sighting:
    """a minus b, paired by seed; `budget` and `form` say how long both were trained and how they were tested."""

    a: Variant
    b: Variant
    gap: Estimate
    base: float  # the mean accuracy of b
    level: bool  # whether a test of equivalence places the gap within the finding's margin
    budget: str
    form: str
    epochs: int
    images: int  # that each network was shown in training
    equal_effort: bool = True  # whether b was tested in the same form, over as many passes

    @property
    def is_swap(self) -> bool:
        return self.a.is_fmp and self.b.is_max

    @property
    def outcome(self) -> str:
        """Ahead or behind where the interval lies on one side of 0, level where that was tested, else undecided."""
        if self.gap.low is not None and self.gap.low > 0:
            return AHEAD
        if self.gap.high is not None and self.gap.high < 0:
            return BEHIND
        return LEVEL if self.level else OPEN

    @property
    def scope(self) -> str:
        return f"{self.budget}, {self.form}"

    @property
    def data(self) -> str:
        return str(self.a.settings.get("dataset.name"))


def sighted(
    a: Variant,
    b: Variant,
    gap: Estimate,
    means: tuple[float, float],
    level: bool,
    spec: Mapping[str, Any],
    train_examples: int,
) -> Sighting:
    """What a part saw; turned where it names max pooling first."""
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    metric_b = str(spec.get("metric_b", metric))
    forms = form(a, metric), form(b, metric_b)
    alike = metric == metric_b and _passes(a, metric) == _passes(b, metric)
    told = forms[0] if alike else f"{forms[0]} against {forms[1]}"
    epochs = epochs_of(a, at)
    seen = epochs * train_examples
    found = Sighting(a, b, gap, means[1], level, budget(a, at), told, epochs, seen, alike)
    if a.is_max and b.is_fmp:
        low, high = (None if end is None else -end for end in (gap.high, gap.low))
        told = forms[1] if alike else f"{forms[1]} against {forms[0]}"
        turned = Estimate(-gap.mean, low, high, gap.n)
        found = replace(found, a=b, b=a, gap=turned, base=means[0], form=told)
    return found


# ---- words ----


def budget(variant: Variant, at: int | str = "end") -> str:
    """How long it was trained: 10 epochs, 40 steps, 50 epochs of 500 images."""
    epochs = epochs_of(variant, at)
    given, batch = (variant.settings.get(f"budget.{name}") for name in ("train_examples", "batch_size"))
    if not epochs:
        return "an unknown budget"
    if epochs == 1 and isinstance(given, int) and isinstance(batch, int) and 0 < given < FEW_STEPS * batch:
        return count(-(-given // batch), "step")
    return count(epochs, "epoch") + (f" of {given:,} images" if isinstance(given, int) else "")


def epochs_of(variant: Variant, at: int | str) -> int:
    """Epochs of its training up to then; 0 where that is not known."""
    epochs = at if isinstance(at, int) else variant.settings.get("budget.epochs")
    return epochs if isinstance(epochs, int) else 0


def trained_on(results: Results, experiment: Experiment, variant: Variant) -> int:
    """How many images an epoch of its training has, as its records say; 0 where they do not."""
    about = (record.data.get("data") or {} for record in results.records_of(experiment, variant))
    found = [given["train_examples"] for given in about if is_number(given.get("train_examples"))]
    return int(found[0]) if found else 0


def form(variant: Variant, metric: str) -> str:
    """How it is tested: one drawn pass, one even pass, 8 averaged passes, six views."""
    passes = variant.settings.get("repeats")
    start, _, measure = metric.rpartition("_")
    if metric in METRICS and metric not in ACCURACIES:
        return f"{measure}, {form(variant, f'{start}_accuracy')}"
    views = VIEWS.get(str(variant.settings.get("views")), "averaged views")
    drawn = variant.is_fmp and variant.settings.get("pool.regions_per") != "run"
    if metric == "averaged_accuracy" and passes == 1:
        return "one pass"
    return {
        "test_accuracy": "one drawn pass" if drawn else "one pass",
        "averaged_accuracy": f"{passes} averaged passes" if isinstance(passes, int) else "averaged passes",
        "deterministic_accuracy": "one even pass",
        "views_accuracy": views,
        "even_views_accuracy": f"{views} over even regions",
    }.get(metric, text(metric, 40))


def _passes(variant: Variant, metric: str) -> Any:
    """Over how many passes its test is averaged, where it is: a network without chance may have but one."""
    return variant.settings.get("repeats") if metric.startswith("averaged_") else 1


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def in_words(number: int) -> str:
    return NUMBERS[number] if 0 <= number < len(NUMBERS) else str(number)


def networks(seen: Sighting, both: bool = False) -> str:
    """Which networks these are, by their convolutions: with two convolutions, with three convolutions against two."""
    a, b = seen.a.depth, seen.b.depth
    layers = f"with {in_words(a)} convolution{'' if a == 1 else 's'}"
    return f"{layers} against {in_words(b)}" if both or a != b else layers


def listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
