"""trainer=seeds: several seeds of a variant in one program, on JAX, in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from fracpool.records.store import Store
from fracpool.sweep.sweep_file import NO_REPORT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is the optional extra fracpool[jax]"),
]


def jax(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=500)


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return jax("-m", "fracpool.train", "-m", *TINY, NO_REPORT, f"results_dir={folder}", *arguments)


def test_seeds_that_share_a_program_end_as_each_does_alone(tmp_path):
    # 300 images in steps of 70: the last step of an epoch is a smaller one
    variants = ["pool=max,fmp", "model.dropout=0.1", "model.batch_norm=true", "budget.batch_size=70", "seed=0,1,2"]
    variants += ["augmentation.shift=2"]
    alone = sweep(tmp_path, *variants)
    together = sweep(tmp_path, *variants, "trainer=seeds", "trainer.at_once=2")
    for done in (alone, together):
        assert done.returncode == 0, done.stderr
        assert "6 done, 0 skipped, 0 diverged, 0 failed" in done.stdout
    records = Store(tmp_path / "mine").read().records
    found = {(r.data["config"]["pool"]["kind"], r.data["seed"], "trainer" in r.data["config"]): r for r in records}
    assert len(found) == 12
    for (kind, seed, shared), record in found.items():
        if shared:
            continue
        other = found[kind, seed, True]
        assert other.data["label"] == record.data["label"]
        for row, same in zip(record.history(), other.history(), strict=True):
            assert row["train_loss"] == pytest.approx(same["train_loss"], rel=1e-3)
            assert row["test_loss"] == pytest.approx(same["test_loss"], rel=1e-3)
        for name, values in record.predictions().items():
            np.testing.assert_allclose(values.astype(float), other.predictions()[name].astype(float), atol=5e-3)
    again = sweep(tmp_path, *variants, "trainer=seeds")
    assert "6 skipped because their records are there, 0 to do" in again.stdout


STOPPED = """
import os, sys
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
from dataclasses import replace
from test_runs import StopAfter, results, settings
from fracpool.sweep import job, planned_run, progress

def planned(folder):
    made = settings(sys.argv[2] + folder)
    made.trainer.strategy, made.model.dropout, made.budget.epochs = "seeds", 0.2, 3
    return [planned_run.plan(replace(made, seed=seed)) for seed in (0, 1)]

def found(runs):
    outcomes = job.execute_together(runs, progress.RunReporter())
    records = [run.store.find(run.run_id) for run in runs]
    return records, [outcome.skipped for outcome in outcomes]

whole, _ = found(planned("/whole"))
pieces = planned("/pieces")
try:
    job.execute_together(pieces, StopAfter(2))  # at the end of the first seed's second epoch
except KeyboardInterrupt:
    pass
else:
    raise AssertionError("was not stopped")
records, skipped = found(pieces)
assert skipped == [False, False]
assert [record.data["resumed_at_epoch"] for record in records] == [2, 1]
for record, other in zip(records, whole):
    for row, same in zip(record.history(), other.history(), strict=True):
        assert abs(row["train_loss"] - same["train_loss"]) < 1e-4
assert found(pieces)[1] == [True, True]
"""


def test_seeds_that_were_stopped_at_different_epochs_go_on(tmp_path):
    done = jax("-c", STOPPED, str(Path(__file__).parent), str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]


FAILING = """
import os, sys
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
from dataclasses import replace
from test_runs import settings
from fracpool.sweep import job, planned_run, progress
from fracpool.training import seeds_together

def no_step(*arguments):
    raise MemoryError("no room for the images")

seeds_together._steps_of_all = no_step
made = settings(sys.argv[2])
made.trainer.strategy = "seeds"
runs = [planned_run.plan(replace(made, seed=seed)) for seed in (0, 1)]
outcomes = job.execute_together(runs, progress.RunReporter())
assert [outcome.status for outcome in outcomes] == ["failed", "failed"], outcomes
for run in runs:
    record = run.store.find(run.run_id)
    assert record.data["error"]["message"] == "no room for the images"
    assert record.data["metrics"]["test_accuracy"] is None
"""


def test_what_ends_the_program_is_the_failure_of_each_of_its_seeds(tmp_path):
    done = jax("-c", FAILING, str(Path(__file__).parent), str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]


def test_seeds_that_diverge_are_recorded_as_such(tmp_path):
    rates = ["optimizer=sgd", "optimizer.schedule=constant", "optimizer.learning_rate=1e30"]
    done = sweep(tmp_path, "pool=max", *rates, "seed=0,1", "trainer=seeds")
    assert done.returncode == 0, done.stderr
    assert "0 done, 0 skipped, 2 diverged, 0 failed" in done.stdout
    records = Store(tmp_path / "mine").read().records
    assert {record.data["error"]["type"] for record in records} == {"Diverged"}


ON_A_GPU = """
import sys
import jax
from fracpool import train
from fracpool.training import program

for profile in ("one_step", "whole_epochs"):
    if profile != "one_step":
        jax.default_backend = lambda: "gpu"
    program.forget_program()
    assert train.main(["-m", *sys.argv[1:], f"profile={profile}"]) == 0
"""


def test_an_epoch_in_one_call_and_seeds_in_turn_as_on_a_gpu_give_the_same(tmp_path):
    arguments = [*TINY, NO_REPORT, f"results_dir={tmp_path}", "trainer=seeds", "seed=0,1", "budget.batch_size=70"]
    done = jax("-c", ON_A_GPU, *arguments, "augmentation.shift=2", "pool=fmp")
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for profile in ("one_step", "whole_epochs"):
        records = sorted(Store(tmp_path / profile).read().records, key=lambda record: record.run_id)
        found[profile] = [row["train_loss"] for record in records for row in record.history()]
    assert len(found["one_step"]) == 4
    assert found["whole_epochs"] == pytest.approx(found["one_step"], rel=1e-5)
