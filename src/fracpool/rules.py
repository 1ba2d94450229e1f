"""The rules by which a comparison of a finding is judged, by its kind (ALPHA = 5 %; a − b is paired by seed):

- `final_size` (variant, size): reproduced if the map before the dense layers is size × size, else not.
- `gap` (a, b, range, margin, at, metric): the claim is that a − b lies in `range`, widened by `margin` on both
  sides since claims come without an interval. Reproduced if two one-sided tests place the mean inside; not
  reproduced if a test places it outside.
- `comparable` (a, b, margin, at, metric): the same with the range −margin … margin.
- `better` (a, b, margin, at, metric): reproduced if a one-sided test finds a − b > 0; not reproduced if it
  finds a − b < margin, the smallest advantage worth the name.
  With `match: final_size` in place of fixed variants, every pair of variants with equal final size is compared,
  where `a` and `b` select sets, and a is the one with more convolutions.
- `reaches` (variant, level, margin, at, metric): the claim is that the accuracy is at least `level`, less `margin`,
  since claims come without an interval. Reproduced if a one-sided test finds the mean above that, not reproduced if it
  finds it below.
- `ranking` (variants, first, at, metric): the claim is that `first`, one of the set `variants`, has the highest mean.
  Reproduced if one-sided tests find it above each of the others (the largest p-value counts); not reproduced if
  they find another above it (the smallest, times the number of others). Beside it stand all of them in order, with
  intervals of mean and place, and the probability that `first` improves on each.
- `improvement` (a, b, tasks, at, metric): a and b select one variant for each value of the setting `tasks`. The claim
  is that a run of a more often than not scores above one of b, on average over the tasks: reproduced if a permutation
  test finds that probability of improvement (rliable) above ½; not reproduced if it finds it below.
- `check` (variant, metric, limit, above): every run's |metric| is at most `limit` (with above: more than it);
  limit is a number or the name of another metric of the record.

`at` is an epoch, `end` (default), or a list of these: a list makes one part of each. `metric` is test_accuracy (one
test pass, the default) or, at the end only, averaged_accuracy (repeated passes) or deterministic_accuracy (one pass
over even regions).

Otherwise, and with fewer than MIN_SEEDS common seeds, the part is inconclusive. The p-values that a rule gives are
corrected and turned into a verdict where the parts of a finding are read together (`fracpool.findings`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from fracpool import estimates
from fracpool.estimates import difference_text
from fracpool.plain_text import count, text
from fracpool.records import RecordError
from fracpool.scores import WORDS, NotJudged, predicted, scores, select, select_one
from fracpool.table import Experiment, Results, Variant, number, size_text

ALPHA = 0.05
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_RUN = "reproduced", "not reproduced", "inconclusive", "not run"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_RUN)
MOST_PAIRS = 200


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


@dataclass(frozen=True)
class Tests:
    """p-values for and against the claim, and the number of seeds that would settle it."""

    p_for: float
    p_against: float
    needed: int | None


def judge_part(results: Results, experiment: Experiment, spec: Mapping[str, Any]) -> list[Part]:
    """What is compared, held against its claim by the rule of its kind; several parts where the rule matches pairs.

    `tests` has the p-values of a rule that has any; they become a verdict in `fracpool.findings`.
    """
    kind = str(spec.get("kind"))
    part = Part(text(kind, 40), text(spec.get("title") or kind), bool(spec.get("counts", True)))
    if kind not in KINDS:
        part.verdict = INCONCLUSIVE
        part.reason = f"unknown kind {part.kind!r}; it is one of {', '.join(KINDS)}"
        return [part]
    if kind == "better" and spec.get("match") == "final_size":
        return _matched_parts(results, experiment, spec, part)
    _attempt(part, partial(KINDS[kind], results, experiment, spec, part))
    return [part]


def _attempt(part: Part, judging: Callable[[], None]) -> None:
    """Runs a kind's rule; what cannot be judged, or is described wrongly, says so in place of a verdict."""
    try:
        judging()
    except NotJudged as why:
        part.reason = str(why)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        part.tests = None
        part.verdict = INCONCLUSIVE
        part.reason = f"the finding is not described rightly ({type(error).__name__}: {text(error, 120)})"


# ---- sizes, and numbers of each run ----


def _final_size(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    wanted = int(spec["size"])
    part.claimed = f"{wanted}×{wanted}"
    variant = select_one(experiment, spec["variant"])
    if not variant.sizes:
        raise NotJudged(f"{variant.name} has no map")
    final = variant.sizes[-1]
    part.seen = " → ".join(size_text(s) for s in variant.sizes)
    part.numbers = {"variant": variant.name, "final_height": final[0], "final_width": final[1], "claimed": wanted}
    part.verdict = REPRODUCED if final == (wanted, wanted) else NOT_REPRODUCED
    part.reason = f"{variant.name} ends at {size_text(final)}"


def _check(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    metric, limit, above = str(spec["metric"]), spec["limit"], bool(spec.get("above", False))
    variants = select(experiment, spec.get("variant") or {})
    _need_runs(experiment)
    values, limits, ended_badly = [], [], 0
    for record in chain.from_iterable(results.records_of(experiment, variant) for variant in variants):
        if record.status != "completed":
            ended_badly += 1
            continue
        try:
            metrics = record.data["metrics"]
            value = number(metrics.get(metric), metric)
            bound = number(metrics.get(limit) if isinstance(limit, str) else limit, "limit")
        except (RecordError, AttributeError) as error:
            part.notes.append(f"{record.run_id}: {error}")
            continue
        assert value is not None
        assert bound is not None
        values.append(abs(value))
        limits.append(bound)
    if ended_badly:
        part.notes.append(f"{ended_badly} runs failed or diverged and are left out")
    if not values:
        raise NotJudged("; ".join(part.notes[:2]) or "no run has a record yet")
    sign = ">" if above else "≤"
    part.claimed = f"{metric.replace('_', ' ')} {sign} {_limit_text(limits)}"
    held = [(v > b) if above else (v <= b) for v, b in zip(values, limits, strict=True)]
    worst = min(values) if above else max(values)
    part.numbers = {
        "n": len(values),
        "metric": metric,
        "worst": worst,
        "limit": limits[0] if len(set(limits)) == 1 else sorted(set(limits)),
        "held": sum(held),
    }
    part.seen = f"{'smallest' if above else 'largest'} {_level(worst)} over {len(values)} runs"
    part.verdict = REPRODUCED if all(held) else NOT_REPRODUCED
    part.reason = f"{sum(held)} of {len(values)} runs hold it"


def _limit_text(limits: Sequence[float]) -> str:
    low, high = min(limits), max(limits)
    return _level(low) if low == high else f"{_level(low)} to {_level(high)}"


def _level(value: float) -> str:
    """Two digits, or four where the difference to 1 counts: 1.8e-12, 0.9916."""
    return f"{value:.4g}" if 0.9 <= value < 1 else f"{value:.2g}"


# ---- two variants, paired by seed ----


def _gap(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    low, high = sorted(_fraction(bound, "range") for bound in spec["range"])
    margin = _fraction(spec["margin"], "margin")
    part.claimed = f"{_short(low)} to {_short(high)} points, ±\u00a0{100 * margin:g}"
    _compare_inside(results, experiment, spec, part, low - margin, high + margin)


def _comparable(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    margin = _fraction(spec["margin"], "margin")
    part.claimed = f"within ±\u00a0{_wide(margin)}"
    _compare_inside(results, experiment, spec, part, -margin, margin)


def _compare_inside(
    results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part, low: float, high: float
) -> None:
    if not low < high:
        raise ValueError("margin must be above 0")
    a, b = select_one(experiment, spec["a"]), select_one(experiment, spec["b"])
    sample = _paired(results, experiment, a, b, spec, part)
    part.numbers |= {"judged_low": low, "judged_high": high}
    if sample is None:
        return
    mean = float(sample.mean())
    part.tests = Tests(
        estimates.p_inside(sample, low, high),
        estimates.p_outside(sample, low, high),
        estimates.seeds_needed(sample, min(abs(mean - low), abs(mean - high))),
    )


def _better(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    a, b = select_one(experiment, spec["a"]), select_one(experiment, spec["b"])
    _compare_better(results, experiment, a, b, spec, part)


def _compare_better(
    results: Results, experiment: Experiment, a: Variant, b: Variant, spec: Mapping[str, Any], part: Part
) -> None:
    margin = _fraction(spec["margin"], "margin")
    if margin <= 0:
        raise ValueError("margin must be above 0")
    part.claimed = f"above 0; less than {_wide(margin)} would refute it"
    sample = _paired(results, experiment, a, b, spec, part)
    part.numbers["margin"] = margin
    if sample is None:
        return
    mean = float(sample.mean())
    part.tests = Tests(
        estimates.p_above(sample, 0.0),
        estimates.p_below(sample, margin),
        estimates.seeds_needed(sample, max(abs(mean), abs(margin - mean))),
    )


def _matched_parts(results: Results, experiment: Experiment, spec: Mapping[str, Any], whole: Part) -> list[Part]:
    """One part for each pair of variants of equal final size: the deeper against the shallower."""
    pairs: list[tuple[Variant, Variant]] = []
    _attempt(whole, lambda: pairs.extend(_equal_final_size(experiment, spec)))
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
        _attempt(part, partial(_compare_better, results, experiment, deep, shallow, spec, part))
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
    _need_runs(experiment)
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    if at != "end":
        part.title += f", after {text(at, 20)} epoch{'s' if at != 1 else ''}"
    for variant in (a, b):
        epochs = variant.settings.get("budget.epochs")
        if isinstance(at, int) and isinstance(epochs, int) and at > epochs:
            raise NotJudged(f"the budget of {variant.name} ends after epoch {epochs}")
    scores_a, notes_a = scores(results, experiment, a, at, metric)
    scores_b, notes_b = scores(results, experiment, b, at, metric)
    part.notes += [*notes_a, *notes_b]
    seeds = sorted(set(scores_a) & set(scores_b))
    sample = np.array([scores_a[seed] - scores_b[seed] for seed in seeds]).round(12)  # 0.9 − 0.8 is 0.1 then
    part.numbers = {"n": len(seeds), "seeds": seeds, "at": at, "metric": metric, "a": a.name, "b": b.name}
    if not seeds:
        raise NotJudged("; ".join(part.notes[:3]) or "no seed has a record for both")
    mean = estimates.estimate(sample)
    part.numbers |= {
        "mean_a": float(np.mean([scores_a[s] for s in seeds])),
        "mean_b": float(np.mean([scores_b[s] for s in seeds])),
        "difference": mean.mean,
        "low": mean.low,
        "high": mean.high,
    }
    part.seen = difference_text(mean)
    if at == "end":
        part.numbers["mcnemar"] = _mcnemar(results, experiment, a, b, seeds, metric)
    if len(seeds) < estimates.MIN_SEEDS:
        part.verdict = INCONCLUSIVE
        part.numbers["seeds_needed"] = estimates.MIN_SEEDS
        part.reason = f"{count(len(seeds), 'common seed')}; at least {estimates.MIN_SEEDS} are needed"
        return None
    return sample


def _mcnemar(
    results: Results, experiment: Experiment, a: Variant, b: Variant, seeds: Sequence[int], metric: str
) -> dict[str, Any] | None:
    """McNemar's test on the same test images, once for each seed (Holm over the seeds)."""
    right_a, right_b = (_right(results, experiment, v, metric) for v in (a, b))
    tested = []
    for seed in seeds:
        if seed in right_a and seed in right_b:
            (labels_a, ok_a), (labels_b, ok_b) = right_a[seed], right_b[seed]
            if np.array_equal(labels_a, labels_b):
                tested.append(estimates.mcnemar_test(ok_a, ok_b))
    if not tested:
        return None
    adjusted = estimates.holm([p for _, _, p in tested])
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


# ---- scores of runs that are not paired ----


def _reaches(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether a variant reaches an accuracy that was published for it."""
    _need_runs(experiment)
    level, margin = _fraction(spec["level"], "level"), _fraction(spec["margin"], "margin")
    variant = select_one(experiment, spec["variant"])
    part.claimed = f"error {100 * (1 - level):.2f} %, +\u00a0{100 * margin:g}"
    sample = np.array(list(_noted_scores(results, experiment, variant, spec, part).values()))
    if 0 < len(sample) < estimates.MIN_SEEDS:
        part.seen = f"error {100 * (1 - sample.mean()):.2f} %, n\u00a0=\u00a0{len(sample)}"
    _need_seeds(part, len(sample), "run", f"of {variant.name}")
    mean = estimates.estimate(sample)
    assert mean.low is not None
    assert mean.high is not None
    part.numbers = {"n": mean.n, "variant": variant.name, "mean": mean.mean, "low": mean.low, "high": mean.high}
    low, high = 100 * (1 - mean.high), 100 * (1 - mean.low)
    part.seen = f"error {100 * (1 - mean.mean):.2f} % [{low:.2f},\u00a0{high:.2f}], n\u00a0=\u00a0{mean.n}"
    least = level - margin
    part.tests = Tests(
        estimates.p_above(sample, least),
        estimates.p_below(sample, least),
        estimates.seeds_needed(sample, abs(mean.mean - least)),
    )


def _ranking(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether one of a set is the best of it, and the order of all."""
    _need_runs(experiment)
    chosen = spec.get("variants") or {}
    variants, first = select(experiment, chosen), select_one(experiment, {**chosen, **spec["first"]})
    part.claimed = f"place 1 of {len(variants)}"
    if len(variants) < 2:
        raise NotJudged("fewer than two variants to rank")
    found = {variant.id: _noted_scores(results, experiment, variant, spec, part) for variant in variants}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    part.numbers = {"n": len(seeds), "seeds": seeds, "first": first.name}
    _need_seeds(part, len(seeds), "seed", f"common to all {len(variants)}")
    table = np.array([[found[variant.id][seed] for seed in seeds] for variant in variants])
    own_row = variants.index(first)
    rows = _ranked(variants, table, own_row)
    part.numbers["ranking"] = rows
    own = next(place for place, row in enumerate(rows, start=1) if row["variant"] == first.name)
    leader, best = rows[0]["variant"], 100 * rows[0]["mean"]
    part.seen = f"place {own} of {len(rows)}; the highest mean is {best:.2f} % ({leader}), n\u00a0=\u00a0{len(seeds)}"
    ahead = [(table[own_row] - row).round(12) for other, row in enumerate(table) if other != own_row]
    nearest = min(ahead, key=lambda sample: abs(float(sample.mean())))
    part.tests = Tests(
        max(estimates.p_above(sample, 0.0) for sample in ahead),
        min(1.0, len(ahead) * min(estimates.p_below(sample, 0.0) for sample in ahead)),
        estimates.seeds_needed(nearest, abs(float(nearest.mean()))),
    )


def _ranked(variants: Sequence[Variant], table: np.ndarray, first: int) -> list[dict[str, Any]]:
    """The variants from the highest mean on, from their scores (variants, seeds) and the row of `first`."""
    rows = []
    for variant, own, (highest, lowest) in zip(variants, table, estimates.places(table), strict=True):
        mean, gain = estimates.estimate(own), estimates.probability_of_improvement([table[first]], [own])
        rows.append(
            {
                "variant": variant.name,
                "mean": mean.mean,
                "low": mean.low,
                "high": mean.high,
                "places": [int(highest), int(lowest)],
                "improvement": gain.mean,
                "improvement_low": gain.low,
                "improvement_high": gain.high,
            }
        )
    return sorted(rows, key=lambda row: -row["mean"])


def _improvement(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether runs of a score above runs of b more often than not, over several tasks."""
    _need_runs(experiment)
    part.claimed = "above 50 %"
    a, b = (_by_task(experiment, spec, side) for side in ("a", "b"))
    if not a or set(a) != set(b):
        raise NotJudged(f"a and b have no variants for the same values of {text(spec['tasks'], 60)}")
    runs_a, runs_b = (
        [np.array(list(_noted_scores(results, experiment, side[task], spec, part).values())) for task in sorted(a)]
        for side in (a, b)
    )
    fewest = min(map(len, [*runs_a, *runs_b]))
    part.numbers = {
        "n": fewest,
        "tasks": sorted(a),
        "a": [a[t].name for t in sorted(a)],
        "b": [b[t].name for t in sorted(a)],
    }
    _need_seeds(part, fewest, "run", "of one of them")
    chance = estimates.probability_of_improvement(runs_a, runs_b)
    part.numbers |= {"improvement": chance.mean, "low": chance.low, "high": chance.high}
    part.seen = f"{100 * chance.mean:.0f} % [{100 * (chance.low or 0):.0f}, {100 * (chance.high or 0):.0f}]"
    part.tests = Tests(estimates.p_improvement(runs_a, runs_b), estimates.p_improvement(runs_b, runs_a), None)


def _by_task(experiment: Experiment, spec: Mapping[str, Any], side: str) -> dict[str, Variant]:
    """The variants that a selector means, by the value of the setting that tells tasks apart."""
    setting = str(spec["tasks"])
    tasks = sorted({text(variant.settings[setting]) for variant in select(experiment, spec[side])})
    return {task: select_one(experiment, {**spec[side], setting: task}) for task in tasks}


def _noted_scores(
    results: Results, experiment: Experiment, variant: Variant, spec: Mapping[str, Any], part: Part
) -> dict[int, float]:
    at, metric = spec.get("at", "end"), str(spec.get("metric", "test_accuracy"))
    found, notes = scores(results, experiment, variant, at, metric)
    part.notes += notes
    return found


def _need_seeds(part: Part, found: int, what: str, of: str) -> None:
    """Ends the judging of a part with too few runs: inconclusive, or not run if there are none."""
    if found < estimates.MIN_SEEDS:
        part.verdict = INCONCLUSIVE if found else NOT_RUN
        raise NotJudged(f"{count(found, what)} {of}; at least {estimates.MIN_SEEDS} are needed")


KINDS: dict[str, Callable[[Results, Experiment, Mapping[str, Any], Part], None]] = {
    "final_size": _final_size,
    "gap": _gap,
    "comparable": _comparable,
    "better": _better,
    "reaches": _reaches,
    "ranking": _ranking,
    "improvement": _improvement,
    "check": _check,
}


# ---- what a part is given, and its words ----


def _need_runs(experiment: Experiment) -> None:
    if experiment.not_run:
        raise NotJudged(experiment.not_run)


def _fraction(value: Any, name: str) -> float:
    """A number of an experiment's file between −1 and 1: accuracies are fractions there."""
    found = number(value, name)
    if found is None or not -1 <= found <= 1:
        raise ValueError(f"{name} is a fraction such as 0.01, not {found}")
    return float(found)


def _wide(margin: float) -> str:
    return f"{100 * margin:g} point{'' if margin == 0.01 else 's'}"


def _short(fraction: float) -> str:
    """A bound in percentage points, without a needless decimal: −20."""
    return f"{100 * fraction:+g}".replace("-", "−") if fraction else "0"
