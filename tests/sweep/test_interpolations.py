"""Interpolated values: a worker computes what was planned, whatever they stand for where it runs."""

import pytest
from conftest import TINY
from omegaconf import OmegaConf

from fracpool.records.store import Store
from fracpool.settings.schema import Settings
from fracpool.sweep import interpolations, sweep
from fracpool.sweep.sweep_file import NO_REPORT

SWEEP = ["-m", *TINY, "pool=max", NO_REPORT]


def test_an_axis_may_follow_another(train, folder):
    axes = ["seed=1,2", "budget.epochs=${seed}"]
    done = train(*SWEEP, *axes)
    assert (done.code, done.err) == (0, "")
    records = Store(folder / "results" / "mine").read().records
    assert {(r.data["seed"], r.data["config"]["budget"]["epochs"]) for r in records} == {(1, 1), (2, 2)}
    assert "2 skipped" in train(*SWEEP, *axes).out


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (["budget.epochs=1,2", "seed=${budget.epochs}"], ["++seed=1", "++seed=2"]),
        (["seed=1,2", "model.filters=[4,${seed}]"], ["++model.filters=[4,1]", "++model.filters=[4,2]"]),
        (["seed=1,2", "budget.epochs=${oc.env:EPOCHS}"], ["++budget.epochs=7", "++budget.epochs=7"]),
    ],
    ids=lambda value: value[-1],
)
def test_a_worker_is_told_what_interpolations_stand_for(train, monkeypatch, axes, told):
    monkeypatch.setenv("EPOCHS", "7")
    with sweep.collecting() as plans:
        assert train(*SWEEP, *axes).code == 0
    (plan,) = plans
    assert [point.overrides[-1] for point in plan.points] == told


def test_what_changes_between_plan_and_run_is_as_it_was_planned(train, folder, monkeypatch):
    from fracpool.sweep import launch

    def launched_later(settings, threads):
        monkeypatch.setenv("EPOCHS", "3")
        return original(settings, threads)

    original = launch._for_a_worker
    monkeypatch.setattr(launch, "_for_a_worker", launched_later)
    monkeypatch.setenv("EPOCHS", "1")
    assert train(*SWEEP, "budget.epochs=${oc.env:EPOCHS}").code == 0
    (record,) = Store(folder / "results" / "mine").read().records
    assert record.data["config"]["budget"]["epochs"] == 1


def test_a_worker_that_makes_another_run_is_told_of(train, folder, monkeypatch):
    from fracpool.sweep import launch

    monkeypatch.setattr(launch, "_with_seeds", lambda others: ["model.dense=[7]"])
    done = train(*SWEEP, "budget.epochs=1")
    assert done.code == 1
    assert "1 run became other runs where they were carried out" in done.err


def test_lists_and_groups_are_written_out():
    config = OmegaConf.structured(Settings())
    config.model.filters = ["${seed}", 8]
    config.model.dense = "${model.filters}"
    config.dataset.data_dir = "${oc.env:NOWHERE,'a b'}"
    config.pool.arguments = {"depth": "${model.kernel}"}
    config.seed = 3
    assert list(interpolations.overrides(config)) == [
        "++dataset.data_dir='a b'",
        "++pool.arguments.depth=3",
        "++model.filters=[3,8]",
        "++model.dense=[3,8]",
    ]
