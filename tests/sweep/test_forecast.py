"""How long runs will take, told from what like runs took."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import record_factory as factory

from fracpool.records import environment
from fracpool.records.store import Store
from fracpool.settings.schema import BudgetSettings, DatasetSettings, ModelSettings, PoolSettings, Settings
from fracpool.sweep import forecast
from fracpool.sweep.planned_run import plan


def planned(kind: str = "max", epochs: int = 10, filters: int = 8):
    pool = PoolSettings(kind, ratio=1.4, pseudo_random=False, overlapping=False, regions_per="batch")
    pool = pool if kind == "fmp" else PoolSettings(kind)
    model = ModelSettings(name="plain", filters=[filters], dense=[16])
    return plan(Settings(DatasetSettings("mnist5k"), pool, model, budget=BudgetSettings(epochs=epochs)))


def took(run, seconds: float, threads: int = 1) -> forecast.Measured:
    images = run.examples * run.settings.budget.epochs
    return forecast.Measured(run.settings.pool.kind, threads, run.network.counted_macs, images, run.work, seconds)


def test_time_is_that_of_runs_with_the_same_pooling_and_of_like_size_and_length():
    run, fmp, longer = planned(), planned("fmp"), planned(epochs=20)
    other_pooling = took(fmp, 90.0)
    alike = [took(run, seconds) for seconds in (10.0, 10.0, 10.0, 10.0)]
    found = forecast.estimate([run, run], [*alike, other_pooling], 1)
    assert (found.low, found.high) == (pytest.approx(20 / 1.25), pytest.approx(20 * 1.25))
    assert (found.like, found.unlike) == (4, 0)
    by_work = forecast.estimate([longer], alike, 1)
    assert by_work.high == pytest.approx(10 * 1.25 * longer.work / run.work)


def test_a_few_runs_or_another_pooling_tell_less():
    run, fmp = planned(), planned("fmp")
    one, many = [took(run, 10.0)], [took(run, 10.0)] * 100
    assert forecast.estimate([run], one, 1).high == pytest.approx(15)
    assert forecast.estimate([run], many, 1).high == pytest.approx(10.5)
    assert forecast.estimate([fmp], one, 1).high == pytest.approx(20 * fmp.work / run.work)
    spread = [took(run, seconds) for seconds in (5.0, 10.0, 10.0, 20.0)]
    assert forecast.estimate([run], spread, 1).high > forecast.estimate([run], [took(run, 10.0)] * 4, 1).high


@pytest.mark.parametrize("unlike", [planned(epochs=1), planned(epochs=100), planned(filters=1), planned(filters=64)])
def test_runs_of_another_size_or_length_tell_nothing(unlike):
    """A run of 200 images says next to nothing of one of 60,000, and a tiny network nothing of a large one."""
    run = planned()
    assert forecast.estimate([run], [took(unlike, 8.0)], 1) is None
    known = [took(run, 8.0)]
    assert forecast.estimate([run, unlike], known, 1).high == forecast.estimate([run], known, 1).high
    said = forecast.estimate([run, unlike], known, 1).shared_by(1)
    assert said == "5 s to 12 s (measured on 1 run; without 1 run of which none alike was measured)"


def test_without_measurements_there_is_no_estimate():
    run = planned()
    assert forecast.estimate([run], [], 1) is None
    assert forecast.estimate([run], [took(run, 8.0, threads=2)], 1) is None
    assert forecast.lines([run], []) == ["no estimate of time: no run of like size and length was measured here yet"]
    assert forecast.lines([], []) == []


def test_workers_share_the_cores_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "cores", lambda: 4)
    run = planned()
    records = [took(run, 600.0, threads=1), took(run, 400.0, threads=2), took(run, 300.0, threads=4)]
    monkeypatch.setattr(forecast, "measured", lambda records: records)
    assert forecast.lines([run] * 4, records) == [
        "1 worker, 4 threads each: 13 min to 30 min (measured on 1 run)",
        "2 workers, 2 threads each: 9 min to 20 min (measured on 1 run)",
        "4 workers, 1 thread each: 7 min to 15 min (measured on 1 run)",
    ]


def test_records_of_another_processor_and_failed_runs_tell_nothing(tmp_path: Path):
    settings = factory.config()
    here = {**environment.describe(threads=1)}
    factory.write_run(tmp_path, settings, 0, 0.9, environment=here)
    factory.write_run(tmp_path, settings, 1, 0.9, environment={**here, "cpu": "abacus"})
    factory.write_run(tmp_path, settings, 2, 0.9, environment=here, status="diverged")
    factory.write_run(tmp_path, settings, 3, 0.9, environment={**here, "backend": "jax"})
    found = forecast.measured(Store(tmp_path).read().records)
    assert [one.seconds for one in found] == [pytest.approx(1.5 * settings["budget"]["epochs"] + 0.2 + 0.3)]


@pytest.mark.slow
@pytest.mark.parametrize(("known", "least", "factor"), [(1, 0.88, 3.0), (10, 0.95, 2.1)])
def test_told_from_a_few_runs_the_rest_of_an_experiment_takes_as_long_as_said(known, least, factor):
    """The figures of the docstring, over the reference's experiments, 20 draws of each."""
    store, rng = Store(Path(__file__).parents[2] / "results" / "reference"), np.random.default_rng(0)
    records = {record.run_id: record for record in store.read().records if record.status == "completed"}
    inside, width = [], []
    for sweep in store.read_sweeps()[0].values():
        of_experiment = [records[run] for run in sweep["runs"] if run in records]
        machines = Counter(record.data["environment"]["cpu"] for record in of_experiment)
        processor = machines.most_common(1)[0][0]
        runs = [one for record in of_experiment if (one := forecast._measured(record, processor)) is not None]
        for order in [rng.permutation(len(runs)) for _ in range(20 if len(runs) >= known + 4 else 0)]:
            of, rest = [runs[n] for n in order[:known]], [runs[n] for n in order[known:]]
            told = [(run, like) for run in rest if (like := forecast._like((run.pool, run.macs, run.images), of))]
            if told:
                ends = [forecast._rate((run.pool, run.macs, run.images), like) for run, like in told]
                low, high = (sum(run.work * end[n] for (run, _), end in zip(told, ends, strict=True)) for n in (0, 1))
                inside.append(low <= sum(run.seconds for run, _ in told) <= high)
                width.append(high / low)
    assert len(inside) >= 200
    assert np.mean(inside) >= least
    assert np.exp(np.mean(np.log(width))) <= factor
