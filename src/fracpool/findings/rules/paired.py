"""Rules about two networks trained with the same seeds: their gap, whether they are comparable, which is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fracpool.findings import statistics
from fracpool.findings.rules.part import (
    ALPHA,
    INCONCLUSIVE,
    NOT_RUN,
    Part,
    Tests,
    attempt,
    need_runs,
    short,
    wide,
)
from fracpool.findings.scores import WORDS, NotJudged, predicted, scores, select, select_one
from fracpool.findings.sighting import sighted, trained_on
from fracpool.findings.statistics import difference_text
from fracpool.records.plain_text import count, text
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, size_text

MOST_PAIRS = 200


# ---- two variants, paired by seed ----


def gap(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    (low, high), margin = spec["range"], float(spec["margin"])
    part.claimed = f"{short(low)} to {short(high)} points, ±\u00a0{100 * margin:g}"
    _compare_inside(results, experiment, spec, part, low - margin, high + margin)


def comparable(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    margin = float(spec["margin"])
    part.claimed = f"within ±\u00a0{wide(margin)}"
    _compare_inside(results, experiment, spec, part, -margin, margin)


def _compare_inside(
    results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part, low: float, high: float
) -> None:
    a, b = select_one(experiment, spec["a"]), select_one(experiment, spec["b"])
    sample = _paired(results, experiment, a, b, spec, part)
    part.numbers |= {"judged_low": low, "judged_high": high}
    if sample is None:
        return
    mean = float(sample.mean())
    part.tests = Tests(
        statistics.p_inside(sample, low, high),
        statistics.p_outside(sample, low, high),
        statistics.seeds_needed(sample, min(abs(mean - low), abs(mean - high))),
    )


def better(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    a, b = select_one(experiment, spec["a"]), select_one(experiment, spec["b"])
    _compare_better(results, experiment, a, b, spec, part)


def _compare_better(
    results: Results, experiment: Experiment, a: Variant, b: Variant, spec: Mapping[str, Any], part: Part
) -> None:
    margin = float(spec["margin"])
    part.claimed = f"above 0; less than {wide(margin)} would refute it"
    sample = _paired(results, experiment, a, b, spec, part)
    part.numbers["margin"] = margin
    if sample is None:
        return
    mean = float(sample.mean())
    part.tests = Tests(
        statistics.p_above(sample, 0.0),
        statistics.p_below(sample, margin),
        statistics.seeds_needed(sample, max(abs(mean), abs(margin - mean))),
    )


def matched_parts(results: Results, experiment: Experiment, spec: Mapping[str, Any], whole: Part) -> list[Part]:
    """One part for each pair of variants of equal final size: the deeper against the shallower."""
    pairs: list[tuple[Variant, Variant]] = []
    attempt(whole, lambda: pairs.extend(_equal_final_size(experiment, spec)))
    if whole.reason:
        return [whole]
    if not 1 <= len(pairs) <= MOST_PAIRS:
        few = "no two of the variants end at the same size"
        many = f"{len(pairs)} pairs end at the same size, of {MOST_PAIRS} at most; let a and b select fewer"
        whole.reason = many if pairs else few
        whole.verdict = INCONCLUSIVE if pairs else NOT_RUN
        return [whole]
    parts = []
    for deep, shallow in pairs:
        tested = WORDS.get(text(spec.get("metric")), "")
        title = f"{deep.name} against {shallow.name}, both ending at {size_text(deep.sizes[-1])}{tested}"
        part = Part(whole.kind, title, whole.counts)
        attempt(part, partial(_compare_better, results, experiment, deep, shallow, spec, part))
        parts.append(part)
    return parts


def _equal_final_size(experiment: Experiment, spec: Mapping[str, Any]) -> list[tuple[Variant, Variant]]:
    depth = "model.conv_layers"
    deep = select(experiment, spec.get("a") or {})
    shallow = select(experiment, spec.get("b") or {})
    return [
        (a, b)
        for a in deep
        for b in shallow
        if a.sizes and b.sizes and a.sizes[-1] == b.sizes[-1] and a.settings[depth] > b.settings[depth]
    ]


def _paired(
    results: Results, experiment: Experiment, a: Variant, b: Variant, spec: Mapping[str, Any], part: Part
) -> np.ndarray | None:
    """Differences a − b of the seeds that both have; None (and the part says why) if they are too few."""
    if not spec.get("title"):
        part.title = f"{a.name} against {b.name}"
    need_runs(experiment)
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    metric_b = str(spec.get("metric_b", metric))
    if at != "end":
        part.title += f", after {text(at, 20)} epoch{'s' if at != 1 else ''}"
    for variant in (a, b):
        epochs = variant.settings.get("budget.epochs")
        if isinstance(at, int) and isinstance(epochs, int) and at > epochs:
            raise NotJudged(f"the budget of {variant.name} ends after epoch {epochs}")
    scores_a, notes_a = scores(results, experiment, a, at, metric)
    scores_b, notes_b = scores(results, experiment, b, at, metric_b)
    part.notes += [*notes_a, *notes_b]
    seeds = sorted(set(scores_a) & set(scores_b))
    sample = np.array([scores_a[seed] - scores_b[seed] for seed in seeds]).round(12)  # 0.9 − 0.8 is 0.1 then
    part.numbers = {"n": len(seeds), "seeds": seeds, "at": at, "metric": metric, "a": a.name, "b": b.name}
    part.numbers |= {"metric_b": metric_b} if metric_b != metric else {}
    if not seeds:
        raise NotJudged("; ".join(part.notes[:3]) or "no seed has a record for both")
    mean = statistics.difference(sample)
    part.numbers |= {
        "mean_a": float(np.mean([scores_a[s] for s in seeds])),
        "mean_b": float(np.mean([scores_b[s] for s in seeds])),
        "difference": mean.mean,
        "low": mean.low,
        "high": mean.high,
    }
    part.seen = difference_text(mean)
    margin = float(spec["margin"]) if part.kind != "gap" else 0.0
    level = len(seeds) >= statistics.MIN_SEEDS and margin > 0 and statistics.p_inside(sample, -margin, margin) <= ALPHA
    means = part.numbers["mean_a"], part.numbers["mean_b"]
    seen = sighted(a, b, mean, means, level, spec, trained_on(results, experiment, a))
    part.sightings, part.scope, part.epochs = [seen], seen.scope, seen.epochs
    if at == "end":
        part.numbers["mcnemar"] = _mcnemar(results, experiment, (a, metric), (b, metric_b), seeds)
    if len(seeds) < statistics.MIN_SEEDS:
        part.verdict = INCONCLUSIVE
        part.numbers["seeds_needed"] = statistics.MIN_SEEDS
        part.reason = f"{count(len(seeds), 'common seed')}; at least {statistics.MIN_SEEDS} are needed"
        return None
    return sample


def _mcnemar(
    results: Results, experiment: Experiment, a: tuple[Variant, str], b: tuple[Variant, str], seeds: Sequence[int]
) -> dict[str, Any] | None:
    """McNemar's test of two variants, each by a metric, on the same test images, once a seed (Holm over the seeds)."""
    right_a, right_b = (_right(results, experiment, *one) for one in (a, b))
    tested = []
    for seed in seeds:
        if seed in right_a and seed in right_b:
            (labels_a, ok_a), (labels_b, ok_b) = right_a[seed], right_b[seed]
            if np.array_equal(labels_a, labels_b):
                tested.append(statistics.mcnemar_test(ok_a, ok_b))
    if not tested:
        return None
    adjusted = statistics.holm([p for _, _, p in tested])
    return {
        "seeds": len(tested),
        "only_a_right": float(np.mean([t[0] for t in tested])),
        "only_b_right": float(np.mean([t[1] for t in tested])),
        "significant": sum(p <= ALPHA for p in adjusted),
        "smallest_p": min(adjusted),
    }


def _right(
    results: Results, experiment: Experiment, variant: Variant, metric: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By seed: the labels of the test images, and which of them the run classed rightly."""
    chosen = predicted(results, experiment, variant, metric)
    return {seed: (labels, classes == labels) for seed, (labels, classes) in chosen.items()}
