"""TensorBoard and MLflow: off by default, never part of a run; a missing package is said before anything runs.

The tests that follow runs need the extras (`pip install 'fracpool[tensorboard,mlflow]'`) and are skipped without.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from fracpool.records.store import Store

LOGGERS = ["tensorboard", "mlflow"]


@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("sweep", [[], ["-m"]], ids=["run", "sweep"])
def test_a_missing_package_is_one_line_before_anything_runs(train, folder, monkeypatch, logger, sweep):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == logger else find(name, *rest))
    result = train(*sweep, *TINY, "pool=max", f"logger={logger}")
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert line.startswith(f"logger={logger}: the package {logger} is missing; pip install 'fracpool[{logger}]'")
    assert not list(folder.rglob("record.json"))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: MLflow keeps its store for the whole process."""
    command = [sys.executable, "-m", "fracpool.train", *arguments, *TINY]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
    assert (done.returncode, done.stderr) == (0, "")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("logger", LOGGERS)
def test_a_followed_run_is_the_same_run_bit_for_bit(folder, logger):
    pytest.importorskip(logger)
    for profile, name in (("alone", "none"), ("followed", logger)):
        run(folder, "pool=fmp", "threads=1", f"profile={profile}", f"logger={name}")
    alone, followed = (Store(folder / "results" / name).read().records[0] for name in ("alone", "followed"))
    assert followed.run_id == alone.run_id
    assert followed.data["metrics"] == alone.data["metrics"]
    before, after = alone.predictions(), followed.predictions()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_tensorboard_has_the_learning_curve(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = run(folder, "pool=max", "logger=tensorboard")
    assert "tensorboard --logdir results/mine/tracking/tensorboard" in done.stdout
    (record,) = Store(folder / "results" / "mine").read().records
    events = EventAccumulator(str(folder / "results/mine/tracking/tensorboard" / record.run_id / "validation"))
    events.Reload()
    import tensorflow as tf

    values = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_accuracy")]
    assert values == pytest.approx([row["test_accuracy"] for row in record.history()])


@pytest.mark.slow
def test_mlflow_has_the_runs_of_two_workers(folder):
    pytest.importorskip("mlflow")
    import mlflow

    workers = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = run(folder, "-m", "pool=max", "seed=0,1,2,3", "logger=mlflow", *workers)
    assert "4 done" in done.stdout
    root = folder / "results" / "mine"
    mlflow.set_tracking_uri(f"sqlite:///{root / 'tracking' / 'mlflow.db'}")
    runs = mlflow.search_runs(experiment_names=["fracpool"], output_format="list")
    records = {record.run_id: record for record in Store(root).read().records}
    assert {found.info.run_name for found in runs} == set(records)
    for found in runs:
        assert found.info.status == "FINISHED"
        last = records[found.info.run_name].history()[-1]
        assert found.data.metrics["val_accuracy"] == pytest.approx(last["test_accuracy"])
        assert found.data.metrics["accuracy"] == pytest.approx(last["train_accuracy"])
