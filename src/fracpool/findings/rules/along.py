"""Rules along a setting, such as the length of training: from which value on one network is level with another, or
ahead of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fracpool.findings import statistics
from fracpool.findings.rules.part import ALPHA, INCONCLUSIVE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, Part, need_runs, wide
from fracpool.findings.scores import NotJudged, scores
from fracpool.findings.sighting import sighted, trained_on
from fracpool.findings.statistics import difference_text
from fracpool.records.plain_text import text
from fracpool.settings import selectors
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant

MIN_VALUES = 2  # of the setting: fewer show no course


def since(results: Results, experiment: Experiment, spec: Mapping[str, Any], part: Part) -> None:
    """From which value of the setting `along` on a is level with b (within the margin) or ahead of it.

    At each value the two are compared, paired by seed; the p-values are corrected over the values (Holm). The claim
    holds from the first value from which on it is shown at every value. It is reproduced if there is such a value, and
    not reproduced if at the last one it is refuted: the difference is shown to lie outside of the margin, or, of ahead,
    below it. A value without a run is left out, and named; judged is what was run, from two values on.
    """
    need_runs(experiment)
    margin, relation, along = float(spec["margin"]), spec["relation"], str(spec["along"])
    setting = {"budget.epochs": "some number of epochs"}.get(along, f"some value of {text(along, 40)}")
    part.claimed = f"{relation} from {setting} on, margin {wide(margin)}"
    pairs = _pairs(experiment, spec, along)
    found = [(pair[0].settings[along], _compared(results, experiment, *pair, spec, part)) for pair in pairs]
    points = [point for _, point in found if point is not None]
    left = ", ".join(text(value, 20) for value, point in found if point is None)
    if len(points) < MIN_VALUES:
        part.verdict = NOT_RUN
        raise NotJudged(f"not run at {left}; at least {MIN_VALUES} values are needed" if left else "a single value")
    part.notes += [f"not run at {left}"] if left else []
    for name in ("p_for", "p_against"):
        for point, p in zip(points, statistics.holm([point[name] for point in points]), strict=True):
            point[name] = p
    metrics = {"metric": spec.get("metric", "test_accuracy"), **{k: spec[k] for k in ("metric_b",) if k in spec}}
    part.scope, part.epochs = part.sightings[-1].scope, part.sightings[-1].epochs
    fewest = min(point["n"] for point in points)
    part.numbers = {"n": fewest, "along": along, "relation": relation, "margin": margin, **metrics, "values": points}
    held = [point["p_for"] <= ALPHA for point in points]
    after = next((number for number in range(len(points)) if all(held[number:])), None)
    last = points[-1]
    if after is not None:
        part.verdict = REPRODUCED
    else:
        part.verdict = NOT_REPRODUCED if last["p_against"] <= ALPHA else INCONCLUSIVE
    where = "at none" if after is None else f"from {points[after]['value']} on"
    part.seen = f"{where} of {', '.join(str(point['value']) for point in points)}; at {last['value']} {last['words']}"
    part.seen += f"; {left} not run" if left else ""
    for point in points:
        del point["words"]


def _pairs(experiment: Experiment, spec: Mapping[str, Any], along: str) -> list[tuple[Variant, Variant]]:
    """The networks of a and b at each value of the setting, from the smallest on."""
    a, b = (
        selectors.by_task(experiment.variants, lambda variant: variant.settings, spec[side], along)
        for side in ("a", "b")
    )
    if not a or set(a) != set(b) or any(len(found) != 1 for found in (*a.values(), *b.values())):
        raise NotJudged(f"a and b do not have one network each for the same values of {text(along, 60)}")
    pairs = [(a[value][0], b[value][0]) for value in a]
    return sorted(pairs, key=lambda pair: pair[0].settings[along])


def _compared(
    results: Results, experiment: Experiment, a: Variant, b: Variant, spec: Mapping[str, Any], part: Part
) -> dict[str, Any] | None:
    """What is seen of a and b at one value; None where they have no run with the same seed."""
    metric, margin, value = str(spec.get("metric", "test_accuracy")), float(spec["margin"]), a.settings[spec["along"]]
    of_a, notes_a = scores(results, experiment, a, "end", metric)
    of_b, notes_b = scores(results, experiment, b, "end", str(spec.get("metric_b", metric)))
    part.notes += [*notes_a, *notes_b]
    seeds = sorted(set(of_a) & set(of_b))
    if not seeds:
        return None
    if len(seeds) < statistics.MIN_SEEDS:
        part.verdict = INCONCLUSIVE
        raise NotJudged(f"{len(seeds)} common seeds at {text(value, 20)}; at least {statistics.MIN_SEEDS} are needed")
    sample = np.array([of_a[seed] - of_b[seed] for seed in seeds]).round(12)
    mean = statistics.difference(sample)
    if spec["relation"] == "level":
        p_for, p_against = statistics.p_inside(sample, -margin, margin), statistics.p_outside(sample, -margin, margin)
    else:
        p_for, p_against = statistics.p_above(sample, 0.0), statistics.p_below(sample, margin)
    means = (float(np.mean([found[seed] for seed in seeds])) for found in (of_a, of_b))
    level = statistics.p_inside(sample, -margin, margin) <= ALPHA
    shown = trained_on(results, experiment, a)
    part.sightings.append(sighted(a, b, mean, (next(means), next(means)), level, spec, shown))
    return {
        "value": value,
        "n": len(seeds),
        "difference": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "p_for": p_for,
        "p_against": p_against,
        "words": difference_text(mean),
    }
