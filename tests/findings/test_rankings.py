"""Rankings, probabilities of improvement (as rliable defines them) and published levels, on runs of known truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import record_factory as factory

from fracpool.findings import statistics, verdicts
from fracpool.findings.rules.part import INCONCLUSIVE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, Part
from fracpool.records.record import Record
from fracpool.report.rendering import _details
from fracpool.table import results
from fracpool.table.experiment import Experiment
from fracpool.table.variant import Variant

NOISE = np.array([-0.002, 0.001, 0.0, -0.001, 0.002])
SHUFFLED = NOISE[[3, 0, 4, 2, 1]]


def judged(accuracies: Mapping[tuple[str, str, int], Sequence[float]], **part: Any) -> Part:
    """One part, judged on the accuracies by seed of (dataset, pooling, layers)."""
    variants, records = [], {}
    for number, ((dataset, kind, layers), values) in enumerate(accuracies.items()):
        config = factory.config(kind, dataset=dataset, conv_layers=layers)
        name = f"{dataset} {kind} {layers}"
        variants.append(Variant(str(number), name, config, factory.geometry(config)))
        for seed, value in enumerate(values):
            data = SimpleNamespace(run_id=f"{number}-{seed}", variant_id=str(number), seed=seed, status="completed")
            metrics = {"test_accuracy": value, "deterministic_accuracy": value, "averaged_accuracy": 1 - value}
            records[data.run_id] = Record({**vars(data), "metrics": metrics, "files": {}}, Path("nowhere"))
    finding = {"id": "F0", "claim": "c", "source": "s", "comparison": "k", "parts": [part]}
    experiment = Experiment("e", "t", "q", tuple(variants), (finding,), planned=tuple(records))
    (found,) = verdicts.judge(results.Results(Path("nowhere"), [experiment], pd.DataFrame(), records))
    assert found.verdict == found.parts[0].verdict
    return found.parts[0]


def ranking(fmp: Sequence[float], others: Sequence[Sequence[float]], **part: Any) -> Part:
    runs = {("mnist", "max", layers): values for layers, values in enumerate(others, start=1)}
    rule = {"kind": "ranking", "variants": {"dataset.name": "mnist"}, "first": {"pool.kind": "fmp"}, **part}
    return judged({("mnist", "fmp", 2): fmp, ("cifar10", "max", 2): [0.99] * 5} | runs, **rule)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([-0.02, -0.01, -0.03], REPRODUCED),
        ([-0.02, +0.02, -0.03], NOT_REPRODUCED),
        ([-0.02, 0.0, -0.03], INCONCLUSIVE),
    ],
)
def test_the_first_must_beat_each_of_the_others(others: Sequence[float], expected: str) -> None:
    part = ranking(0.9 + NOISE, [0.9 + other + SHUFFLED for other in others])
    assert part.verdict == expected
    assert part.claimed == "place 1 of 4"
    order = [row["variant"] for row in part.numbers["ranking"]]
    means = {"mnist fmp 2": 0.0} | {f"mnist max {i}": other for i, other in enumerate(others, start=1)}
    assert [means[name] for name in order] == sorted(means.values(), reverse=True)


def test_a_ranking_has_intervals_of_places_and_is_told_in_the_report() -> None:
    part = ranking(0.9 + NOISE, [0.9 + SHUFFLED, [0.7] * 5])
    places = {row["variant"]: row["places"] for row in part.numbers["ranking"]}
    assert places["mnist max 2"] == [3, 3]
    assert places["mnist fmp 2"] == [1, 2]
    last = part.numbers["ranking"][-1]
    assert (last["improvement"], last["improvement_low"]) == (1, 1)
    told = _details(part)
    (line,) = [line for line in told if line.startswith("probability that a run of mnist fmp 2 is better")]
    assert line.endswith("mnist max 2 100 %")


def test_the_seeds_that_would_settle_a_ranking_are_told_by_the_best_of_the_others() -> None:
    """Not by the nearest, which is level: no number of seeds would tell the two apart."""
    part = ranking(0.9 + NOISE, [0.9 + 0.004 + 3 * SHUFFLED, 0.9 + SHUFFLED, 0.88 + SHUFFLED])
    assert part.verdict == INCONCLUSIVE
    assert 5 < part.numbers["seeds_needed"] < 20


def test_a_ranking_takes_the_metric_that_is_asked_for() -> None:
    others = [0.9 - 0.02 + SHUFFLED]
    assert ranking(0.9 + NOISE, others, metric="averaged_accuracy").verdict == NOT_REPRODUCED  # there the lower is best
    assert ranking(0.9 + NOISE, others, metric="deterministic_accuracy").verdict == REPRODUCED


def test_a_ranking_of_too_few_seeds_is_not_judged() -> None:
    part = ranking([0.9, 0.9], [[0.8, 0.8]])
    assert (part.verdict, part.reason) == (INCONCLUSIVE, "2 seeds common to all 2; at least 3 are needed")


def test_ranking_errs_as_rarely_as_it_should() -> None:
    """Of four that are alike none is called the best, and none called beaten, in more than some 5 %."""
    rng = np.random.default_rng(0)
    found = [ranking(rng.normal(0.9, 0.01, 5), rng.normal(0.9, 0.01, (3, 5))).verdict for _ in range(100)]
    assert found.count(REPRODUCED) <= 11  # 999 of 1,000 times, were the rate 5 %
    assert found.count(NOT_REPRODUCED) <= 11
    sure = [ranking(rng.normal(0.93, 0.01, 5), rng.normal(0.9, 0.01, (3, 5))).verdict for _ in range(24)]
    assert sure.count(REPRODUCED) >= 12


def improvement(*tasks: tuple[Sequence[float], Sequence[float]]) -> Part:
    runs = {}
    for dataset, (a, b) in zip(("mnist", "cifar10"), tasks, strict=False):
        runs |= {(dataset, "fmp", 2): a, (dataset, "max", 2): b}
    sides = {"a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}}
    return judged(runs, kind="improvement", tasks="dataset.name", **sides)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((0.02, 0.02), REPRODUCED), ((-0.02, -0.02), NOT_REPRODUCED), ((0.02, -0.02), INCONCLUSIVE)],
)
def test_improvement_is_over_tasks(gains: Sequence[float], expected: str) -> None:
    part = improvement(*((0.8 + gain + NOISE, 0.8 + SHUFFLED) for gain in gains))
    assert part.verdict == expected
    assert part.numbers["tasks"] == ["cifar10", "mnist"]
    assert part.numbers["improvement"] == np.mean([gain > 0 for gain in gains])


def test_improvement_errs_as_rarely_as_it_should() -> None:
    rng = np.random.default_rng(0)
    alike = [improvement(*rng.normal(0.9, 0.01, (2, 2, 5))).verdict for _ in range(100)]
    assert alike.count(REPRODUCED) <= 11
    assert alike.count(NOT_REPRODUCED) <= 11


def test_tasks_that_one_side_lacks_are_not_judged() -> None:
    runs = {("mnist", "fmp", 2): [0.9] * 5, ("cifar10", "max", 2): [0.9] * 5}
    part = judged(runs, kind="improvement", tasks="dataset.name", a={"pool.kind": "fmp"}, b={"pool.kind": "max"})
    assert (part.verdict, part.reason) == (NOT_RUN, "a and b have no variants for the same values of dataset.name")


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (0.95, REPRODUCED),
        (0.905, REPRODUCED),
        (0.898, REPRODUCED),  # below the level, but by less than the margin
        (0.88, NOT_REPRODUCED),
        (0.8955, INCONCLUSIVE),
    ],
)
def test_a_published_level_is_reached_or_not(mean: float, expected: str) -> None:
    rule = {"kind": "reaches", "variant": {"pool.kind": "fmp"}, "level": 0.9, "margin": 0.005}
    part = judged({("mnist", "fmp", 2): mean + NOISE}, **rule)
    assert part.verdict == expected
    assert part.claimed == "error 10.00 %, +\u00a00.5"
    assert part.seen.startswith(f"error {100 * (1 - mean):.2f} % [")
    averaged = judged({("mnist", "fmp", 2): 1 - mean + NOISE}, **rule, metric="averaged_accuracy")
    assert averaged.numbers["mean"] == pytest.approx(mean)


def test_a_level_is_called_reached_as_rarely_as_it_should() -> None:
    """At the very edge, a true mean of the level less the margin."""
    rng = np.random.default_rng(0)
    rule = {"kind": "reaches", "variant": {"pool.kind": "fmp"}, "level": 0.9, "margin": 0.01}
    edge = [judged({("mnist", "fmp", 2): rng.normal(0.89, 0.01, 5)}, **rule).verdict for _ in range(200)]
    assert edge.count(REPRODUCED) <= 18
    assert edge.count(NOT_REPRODUCED) <= 18


def test_a_level_needs_three_runs() -> None:
    rule = {"kind": "reaches", "variant": {"pool.kind": "fmp"}, "level": 0.9, "margin": 0.01}
    part = judged({("mnist", "fmp", 2): [0.95, 0.95]}, **rule)
    assert (part.verdict, part.reason) == (INCONCLUSIVE, "2 runs of mnist fmp 2; at least 3 are needed")
    assert part.seen == "error 5.00 %, n\u00a0=\u00a02"


def test_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    """Mann and Whitney's U over the number of pairs, averaged over tasks."""
    a, b = [np.array([1.0, 2, 3]), np.array([5.0, 5])], [np.array([0.0, 2, 4]), np.array([5.0, 6])]
    found = statistics.probability_of_improvement(a, b)
    assert found.mean == pytest.approx(((1 + 1.5 + 2) / 9 + (0.5 + 0 + 0.5 + 0) / 4) / 2)
    assert 0 <= found.low <= found.mean <= found.high <= 1


def test_p_of_an_improvement_is_that_of_the_permutations() -> None:
    """Runs that do not overlap: of the 20 ways to part 6 runs only one is as extreme."""
    above, below = [np.array([4.0, 5, 6])], [np.array([1.0, 2, 3])]
    assert statistics.p_improvement(above, below) == pytest.approx(1 / 20, abs=0.01)
    assert statistics.p_improvement(below, above) == 1


def test_places_follow_the_seeds() -> None:
    scores = np.array([[0.9, 0.9, 0.9], [0.8, 0.8, 0.8], [0.95, 0.7, 0.7]])
    np.testing.assert_array_equal(statistics.places(scores), [[1, 2], [2, 3], [1, 3]])
