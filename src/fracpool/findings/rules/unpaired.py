"""Rules about accuracies that no seeds pair: a level reached, a ranking, a probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fracpool.findings import statistics
from fracpool.findings.rules.part import Part, Tests, need_runs, need_seeds, noted_scores, tested_after
from fracpool.findings.scores import NotJudged, select, select_one
from fracpool.records.plain_text import text
from fracpool.settings import selectors
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant

MOST_RANKED = 40  # variants
MOST_RUN_PAIRS = 5000  # of all tasks

# ---- scores of runs that are not paired ----


def reaches(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether a variant reaches an accuracy that was published for it."""
    need_runs(experiment)
    level, margin = float(spec["level"]), float(spec["margin"])
    variant = select_one(experiment, spec["variant"])
    part.claimed = f"error {100 * (1 - level):.2f} %, +\u00a0{100 * margin:g}"
    tested_after(part, variant, spec)
    sample = np.array(list(noted_scores(results, experiment, variant, spec, part).values()))
    if 0 < len(sample) < statistics.MIN_SEEDS:
        part.seen = f"error {100 * (1 - sample.mean()):.2f} %, n\u00a0=\u00a0{len(sample)}"
    need_seeds(part, len(sample), "run", f"of {variant.name}")
    mean = statistics.share(sample)
    assert mean.low is not None
    assert mean.high is not None
    part.numbers = {"n": mean.n, "variant": variant.name, "mean": mean.mean, "low": mean.low, "high": mean.high}
    low, high = 100 * (1 - mean.high), 100 * (1 - mean.low)
    part.seen = f"error {100 * (1 - mean.mean):.2f} % [{low:.2f},\u00a0{high:.2f}], n\u00a0=\u00a0{mean.n}"
    least = level - margin
    part.tests = Tests(
        statistics.p_above(sample, least),
        statistics.p_below(sample, least),
        statistics.seeds_needed(sample, abs(mean.mean - least)),
    )


def ranking(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether one of a set is the best of it, and the order of all."""
    need_runs(experiment)
    chosen = spec.get("variants") or {}
    variants, first = select(experiment, chosen), select_one(experiment, {**chosen, **spec["first"]})
    part.claimed = f"place 1 of {len(variants)}"
    tested_after(part, first, spec)
    if len(variants) < 2:
        raise NotJudged("fewer than two variants to rank")
    if len(variants) > MOST_RANKED:
        raise NotJudged(f"{len(variants)} variants to rank, of {MOST_RANKED} at most; let variants select fewer")
    found = {variant.id: noted_scores(results, experiment, variant, spec, part) for variant in variants}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    part.numbers = {"n": len(seeds), "seeds": seeds, "first": first.name}
    need_seeds(part, len(seeds), "seed", f"common to all {len(variants)}")
    table = np.array([[found[variant.id][seed] for seed in seeds] for variant in variants])
    own_row = variants.index(first)
    rows = _ranked(variants, table, own_row)
    part.numbers["ranking"] = rows
    own = next(place for place, row in enumerate(rows, start=1) if row["variant"] == first.name)
    leader, best = rows[0]["variant"], 100 * rows[0]["mean"]
    part.seen = f"place {own} of {len(rows)}; the highest mean is {best:.2f} % ({leader}), n\u00a0=\u00a0{len(seeds)}"
    ahead = [(table[own_row] - row).round(12) for other, row in enumerate(table) if other != own_row]
    rival = min(ahead, key=lambda sample: float(sample.mean()))  # the best of the others
    another = min(1.0, len(ahead) * min(statistics.p_below(sample, 0.0) for sample in ahead))
    over_all = statistics.p_below(np.mean(ahead, axis=0).round(12), 0.0)
    part.tests = Tests(
        max(statistics.p_above(sample, 0.0) for sample in ahead),
        min(1.0, 2 * min(another, over_all)),
        statistics.seeds_needed(rival, abs(float(rival.mean()))),
    )


def _ranked(variants: Sequence[Variant], table: np.ndarray, first: int) -> list[dict[str, Any]]:
    """The variants from the highest mean on, from their scores (variants, seeds) and the row of `first`."""
    rows = []
    for variant, own, (highest, lowest) in zip(variants, table, statistics.places(table), strict=True):
        mean, gain = statistics.share(own), statistics.probability_of_improvement([table[first]], [own])
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


def improvement(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """Whether runs of a score above runs of b more often than not, over several tasks."""
    need_runs(experiment)
    part.claimed = "above 50 %"
    a, b = (_by_task(experiment, spec, side) for side in ("a", "b"))
    if not a or set(a) != set(b):
        raise NotJudged(f"a and b have no variants for the same values of {text(spec['tasks'], 60)}")
    tested_after(part, a[sorted(a)[0]], spec)
    runs_a, runs_b = (
        [np.array(list(noted_scores(results, experiment, side[task], spec, part).values())) for task in sorted(a)]
        for side in (a, b)
    )
    fewest = min(map(len, [*runs_a, *runs_b]))
    part.numbers = {
        "n": fewest,
        "tasks": sorted(a),
        "a": [a[t].name for t in sorted(a)],
        "b": [b[t].name for t in sorted(a)],
    }
    need_seeds(part, fewest, "run", "of one of them")
    pairs = sum(len(x) * len(y) for x, y in zip(runs_a, runs_b, strict=True))
    if pairs > MOST_RUN_PAIRS:
        raise NotJudged(f"{pairs} pairs of runs to compare, of {MOST_RUN_PAIRS} at most; let a and b select fewer")
    chance = statistics.probability_of_improvement(runs_a, runs_b)
    part.numbers |= {"improvement": chance.mean, "low": chance.low, "high": chance.high}
    part.seen = f"{100 * chance.mean:.0f} % [{100 * (chance.low or 0):.0f}, {100 * (chance.high or 0):.0f}]"
    part.tests = Tests(statistics.p_improvement(runs_a, runs_b), statistics.p_improvement(runs_b, runs_a), None)


def _by_task(experiment: Experiment, spec: Mapping[str, Any], side: str) -> dict[str, Variant]:
    """The variants that a selector means, by the value of the setting that tells tasks apart."""
    setting = spec["tasks"]
    found = selectors.by_task(experiment.variants, lambda variant: variant.settings, spec[side], setting)
    for task, variants in found.items():
        if len(variants) > 1:
            wanted = selectors.told({**spec[side], setting: task})
            raise NotJudged(f"{len(variants)} variants of the newest sweep have {wanted}; a comparison needs just one")
    return {task: variants[0] for task, variants in found.items()}
