"""How long runs will take, told from what like runs took."""

from pathlib import Path

import pytest
import record_factory as factory

from fracpool.records import environment
from fracpool.records.store import Store
from fracpool.settings.schema import BudgetSettings, DatasetSettings, ModelSettings, PoolSettings, Settings
from fracpool.sweep import forecast
from fracpool.sweep.planned_run import plan


def planned(kind: str = "max", epochs: int = 10):
    pool = PoolSettings(kind, ratio=1.4, pseudo_random=False, overlapping=False, regions_per="batch")
    pool = pool if kind == "fmp" else PoolSettings(kind)
    model = ModelSettings(name="plain", filters=[8], dense=[16])
    return plan(Settings(DatasetSettings("mnist5k"), pool, model, budget=BudgetSettings(epochs=epochs)))


def took(run, seconds: float, dataset: str = "mnist5k", threads: int = 1) -> forecast.Measured:
    return forecast.Measured(dataset, run.settings.pool.kind, threads, run.work, seconds)


def test_time_is_that_of_the_runs_most_alike_by_their_work():
    run, fmp = planned(), planned("fmp")
    known = [took(run, 8.0), took(run, 12.0), took(run, 1000.0, dataset="mnist"), took(fmp, 30.0)]
    assert forecast.seconds([run], known, 1) == pytest.approx(10)
    longer = planned(epochs=20)
    assert 1.9 < longer.work / run.work < 2.1
    assert forecast.seconds([longer, fmp], known, 1) == pytest.approx(10 * longer.work / run.work + 30)
    average = planned("average")  # unlike all that was measured: all of it tells
    assert forecast.seconds([average], known[:2], 1) == pytest.approx(10 * average.work / run.work)


def test_without_measurements_there_is_no_estimate():
    run = planned()
    assert forecast.seconds([run], [], 1) is None
    assert forecast.seconds([run], [took(run, 8.0, threads=2)], 1) is None
    assert forecast.lines([run], []) == ["no estimate of time: no run like these was measured here yet"]
    assert forecast.lines([], []) == []


def test_workers_share_the_cores_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "cores", lambda: 4)
    run = planned()
    records = [took(run, 600.0, threads=1), took(run, 400.0, threads=2), took(run, 300.0, threads=4)]
    monkeypatch.setattr(forecast, "measured", lambda records: records)
    assert forecast.lines([run] * 4, records) == [
        "about 20 min with 1 worker, 4 threads each (measured on 3 runs)",
        "about 13 min with 2 workers, 2 threads each (measured on 3 runs)",
        "about 10 min with 4 workers, 1 thread each (measured on 3 runs)",
    ]


def test_records_of_another_processor_and_failed_runs_tell_nothing(tmp_path: Path):
    settings = factory.config()
    here = {**environment.describe(threads=1)}
    factory.write_run(tmp_path, settings, 0, 0.9, environment=here)
    factory.write_run(tmp_path, settings, 1, 0.9, environment={**here, "cpu": "abacus"})
    factory.write_run(tmp_path, settings, 2, 0.9, environment=here, status="diverged")
    found = forecast.measured(Store(tmp_path).read().records)
    assert [one.seconds for one in found] == [pytest.approx(1.5 * settings["budget"]["epochs"] + 0.2 + 0.3)]
