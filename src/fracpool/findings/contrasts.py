"""The comparisons that the answer rests on: pairs of variants, paired by seed.

A swap is a pair of variants of one experiment that differ by their pooling only, FMP against 2×2 max pooling. Another
study names its own pairs: the parts of its findings. Whether the first of a pair is ahead or behind is a two-sided
test, corrected (Holm) over the pairs of the experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from fracpool.findings import statistics
from fracpool.findings.rules.part import ALPHA
from fracpool.findings.scores import NotJudged, scores, select_one
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import text
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import TEST_PASSES, Variant, network_names, settings_key

MOST_PAIRS = 200  # of one relation in an experiment
AHEAD, BEHIND, EVEN = "ahead", "behind", "undecided"


@dataclass
class Contrast:
    """Variant a minus variant b, paired by seed, at the end of the budget and (of a swap) after the first epoch."""

    experiment: str
    network: str
    a: Variant
    b: Variant
    end: Estimate
    first: Estimate | None
    p: float
    outcome: str = EVEN


# ---- which variants are compared ----


@dataclass(frozen=True)
class Relation:
    """Pairs (a, b) of variants where `holds` is true, equal in all settings but those that start like `apart`.

    `metric` is taken of a; b is always tested in one pass.
    """

    apart: tuple[str, ...]
    holds: Callable[[Variant, Variant], bool]
    metric: str = "test_accuracy"


POOL, DEPTH = ("pool.", *TEST_PASSES), ("model.conv_layers", "model.pools")
SWAP = Relation(POOL, lambda a, b: a.is_fmp and b.is_max)
AVERAGED = Relation(POOL, lambda a, b: SWAP.holds(a, b) and _has_passes(a), metric="averaged_accuracy")
DEEPER = Relation((*POOL, *DEPTH), lambda a, b: a.is_fmp and b.is_max and a.depth > b.depth)
PSEUDO = Relation(
    ("pool.pseudo_random",),
    lambda a, b: a.is_fmp and bool(a.settings.get("pool.pseudo_random")) and not b.settings.get("pool.pseudo_random"),
)


def _has_passes(variant: Variant) -> bool:
    """Whether its test passes differ, so that there is something to average."""
    repeats = variant.settings.get("repeats")
    return isinstance(repeats, int) and repeats > 1 and variant.settings.get("pool.regions_per") != "run"


def contrasts_of(results: Results, relation: Relation) -> list[Contrast]:
    return [c for experiment in results.experiments for c in _family(results, experiment, relation)]


def _family(results: Results, experiment: Experiment, relation: Relation) -> list[Contrast]:
    """The related pairs of one experiment; they are read together, so their tests are corrected together."""
    if experiment.not_run:
        return []
    names = network_names(experiment.variants)
    alike: dict[str, list[Variant]] = {}
    for variant in (v for v in experiment.variants if results.records_of(experiment, v)):
        alike.setdefault(settings_key(variant.settings, without=relation.apart), []).append(variant)
    related = ((a, b) for group in alike.values() for a in group for b in group if relation.holds(a, b))
    pairs = list(islice(related, MOST_PAIRS + 1))
    if len(pairs) > MOST_PAIRS:
        results.tell_beyond(f"{experiment.name or 'single runs'}: pairs of networks beyond {MOST_PAIRS} are left out")
        del pairs[MOST_PAIRS:]
    metrics = relation.metric, "test_accuracy"
    return _told_apart(
        [c for a, b in pairs for c in _contrast(results, experiment, names[a.id], a, b, metrics, relation is SWAP)]
    )


def contrasts_of_parts(results: Results, experiment: Experiment, parts: Sequence[Mapping[str, Any]]) -> list[Contrast]:
    """The pairs that parts of findings compare at the end of the budget; each is called by the part's title."""
    found = []
    for part in parts:
        metric = str(part.get("metric", "test_accuracy"))
        try:
            a, b = select_one(experiment, part["a"]), select_one(experiment, part["b"])
        except (KeyError, NotJudged, TypeError):
            continue
        told_by_budget = metric == "test_accuracy"
        title = text(part.get("title") or f"{a.name} against {b.name}")
        found += _contrast(results, experiment, title, a, b, (metric, metric), told_by_budget)
    return _told_apart(found)


def _told_apart(found: list[Contrast]) -> list[Contrast]:
    """Their tests are corrected together, since they are read together."""
    for contrast, p in zip(found, statistics.holm([c.p for c in found]), strict=True):
        if p <= ALPHA:
            contrast.outcome = AHEAD if contrast.end.mean > 0 else BEHIND
    return found


def _contrast(
    results: Results,
    experiment: Experiment,
    network: str,
    a: Variant,
    b: Variant,
    metrics: tuple[str, str],
    told_by_budget: bool,
) -> list[Contrast]:
    at_end = _differences(results, experiment, a, b, "end", metrics)
    if not len(at_end):
        return []
    at_first = _differences(results, experiment, a, b, 1) if told_by_budget else np.array([])
    p = 1.0
    if len(at_end) >= statistics.MIN_SEEDS:
        p = min(1.0, 2 * min(statistics.p_above(at_end, 0), statistics.p_below(at_end, 0)))
    first = statistics.difference(at_first) if len(at_first) else None
    return [Contrast(experiment.name, network, a, b, statistics.difference(at_end), first, p)]


def _differences(
    results: Results,
    experiment: Experiment,
    a: Variant,
    b: Variant,
    at: int | str,
    metrics: tuple[str, str] = ("test_accuracy", "test_accuracy"),
) -> np.ndarray:
    scores_a, _ = scores(results, experiment, a, at, metrics[0])
    scores_b, _ = scores(results, experiment, b, at, metrics[1])
    return np.array([scores_a[seed] - scores_b[seed] for seed in sorted(set(scores_a) & set(scores_b))])
