"""Whole runs on a few real digits: what the record holds, repeating, resuming, failing."""

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, hears_ctrl_c

from fracpool.records.files import StorageError
from fracpool.records.store import Store
from fracpool.settings.schema import Settings
from fracpool.sweep import job
from fracpool.sweep.planned_run import plan
from fracpool.sweep.progress import RunReporter as Reporter
from fracpool.sweep.sweep_file import NO_REPORT


def settings(folder: Path, **pool) -> Settings:
    """TINY, as settings."""
    made = Settings(results_dir=str(folder), repeats=3)
    made.dataset.name = "mnist5k"
    made.budget.train_examples, made.budget.epochs = 300, 2
    made.model.filters, made.model.dense = [4, 8], [16]
    made.pool.kind = pool.pop("kind", "fmp")
    if made.pool.kind == "fmp":
        made.pool.ratio, made.pool.regions_per = 1.47, "batch"
        made.pool.pseudo_random = made.pool.overlapping = False
    for name, value in pool.items():
        setattr(made.pool, name, value)
    return made


def execute(made: Settings, reporter: Reporter | None = None):
    """The record of a run."""
    planned = plan(made)
    job.execute(planned, reporter or Reporter())
    return planned.store.find(planned.run_id)


def results(record) -> dict:
    """All that must repeat bit for bit: metrics, learning curve without times, predictions."""
    curve = [{k: v for k, v in row.items() if k != "seconds"} for row in record.history()]
    arrays = {name: array.tobytes() for name, array in record.predictions().items()}
    return {"metrics": record.data["metrics"], "curve": curve, "arrays": arrays}


class StopAfter(Reporter):
    """Ctrl-C at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def epoch_done(self, row):
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


def test_one_run_writes_one_record(train, folder):
    result = train(*TINY, "pool=fmp", "seed=3")
    assert (result.code, result.err) == (0, "")
    reading = Store(folder / "results" / "mine").read()
    (record,) = reading.records
    data = record.data
    assert reading.problems == []
    assert record.run_id in result.out
    assert (data["status"], data["seed"], data["label"]) == ("completed", 3, "2 conv, FMP 1.47 random")
    assert [row["epoch"] for row in record.history()] == [1, 2]
    assert (data["geometry"]["final_height"], data["geometry"]["final_width"]) == (12, 12)
    assert (data["data"]["train_examples"], data["data"]["test_examples"]) == (300, 1000)
    predictions = record.predictions()
    accuracy = (predictions["one_pass"].argmax(axis=1) == predictions["labels"]).mean()
    assert data["metrics"]["test_accuracy"] == pytest.approx(accuracy, abs=2e-3)  # float16 may turn a near tie
    assert data["metrics"]["test_accuracy"] == record.history()[-1]["test_accuracy"]
    assert list(data["metrics"]["accuracy_by_repeats"]) == ["1", "2", "3"]
    assert not np.array_equal(predictions["one_pass"], predictions["averaged"])
    assert not (folder / "results" / "mine" / "unfinished" / record.run_id).exists()
    assert not (folder / "results" / "mine" / "tracking").exists()  # off by default
    text = json.dumps(data)
    for private in (str(folder), os.uname().nodename, str(Path.home())):
        assert private not in text


def test_a_deterministic_pass_has_no_chance_in_it(folder):
    """Two seeds of the stream give other test passes, but the same weights one deterministic pass."""
    record = execute(settings(folder))
    predictions, metrics = record.predictions(), record.data["metrics"]
    accuracy = (predictions["deterministic"].argmax(axis=1) == predictions["labels"]).mean()
    assert metrics["deterministic_accuracy"] == pytest.approx(accuracy, abs=2e-3)
    assert not np.array_equal(predictions["deterministic"], predictions["one_pass"])
    plain = execute(settings(folder, kind="max"))
    assert plain.data["metrics"]["deterministic_accuracy"] == plain.data["metrics"]["test_accuracy"]


def test_regions_of_a_run_stay_the_same_and_follow_its_seed(folder):
    """`regions_per=run`: TensorFlow's op with a seed other than 0."""
    made = settings(folder, regions_per="run")
    record = execute(made)
    assert record.data["metrics"]["repeats"] == 1
    assert np.array_equal(record.predictions()["one_pass"], record.predictions()["deterministic"])
    other = execute(replace(made, seed=1))
    shapes = [record.data["geometry"]["layers"], other.data["geometry"]["layers"]]
    assert shapes[0] == shapes[1]
    assert record.data["metrics"]["train_loss"] != other.data["metrics"]["train_loss"]


def test_a_record_may_keep_classes_only(folder):
    made = replace(settings(folder), predictions="classes")
    record = execute(made)
    predictions = record.predictions()
    assert predictions["one_pass"].dtype == np.uint8
    accuracy = (predictions["one_pass"] == predictions["labels"]).mean()
    assert record.data["metrics"]["test_accuracy"] == pytest.approx(accuracy)


def test_held_out_images_make_another_run_which_says_so(train, folder):
    for held_out in ([], ["dataset.held_out=500"]):
        result = train(*TINY, "pool=max", *held_out)
        assert result.code == 0, result.err
    records = {len(record.predictions()["labels"]): record for record in Store(folder / "results/mine").read().records}
    assert sorted(records) == [500, 1000]
    assert "held-out" not in records[1000].data["label"]
    assert records[500].data["label"].endswith("on held-out images")
    assert "dataset.held_out=500" in records[500].data["command"]


def test_the_command_in_the_record_repeats_the_run_which_is_skipped(train, folder):
    train(*TINY, "pool=fmp", "pool.ratio=1.3", "pool.overlapping=true", "model.activation=relu", "optimizer=sgd")
    (record,) = Store(folder / "results" / "mine").read().records
    words = shlex.split(record.data["command"])
    assert words[:3] == ["python", "-m", "fracpool.train"]
    result = train(*words[3:])
    assert result.code == 0
    assert "skipped" in result.out


@pytest.mark.parametrize(
    "pool",
    [
        {"kind": "max"},
        {},
        pytest.param({"pseudo_random": True, "overlapping": True}, marks=pytest.mark.slow),
        pytest.param({"window": 2, "regions_per": "sample"}, marks=pytest.mark.slow),
    ],
    ids=["max", "fmp", "pseudorandom overlapping", "fixed windows per sample"],
)
def test_the_same_seed_gives_the_same_run_whatever_ran_before(tmp_path, pool):
    first = results(execute(settings(tmp_path / "a", **pool)))
    other = settings(tmp_path / "b", **pool)
    other.seed = 1
    different = results(execute(other))
    again = results(execute(settings(tmp_path / "c", **pool)))
    assert first == again
    assert first["arrays"] != different["arrays"]


@pytest.mark.parametrize("kind", ["max", "fmp"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, kind):
    def made(folder: str) -> Settings:
        chosen = settings(tmp_path / folder, kind=kind)
        chosen.budget.epochs, chosen.model.dropout, chosen.model.batch_norm = 4, 0.2, True
        return chosen

    whole = results(execute(made("whole")))
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            execute(made("parts"), StopAfter(epoch))
    record = execute(made("parts"))
    assert record.data["resumed_at_epoch"] == 3
    assert results(record) == whole


@pytest.mark.slow
def test_distorted_images_are_seeded_go_on_bit_for_bit_and_end_before_plain_epochs(tmp_path):
    def made(folder: str, plain: int) -> Settings:
        chosen = settings(tmp_path / folder)
        chosen.model.centre, chosen.model.distort, chosen.model.pad_to = True, True, 36
        chosen.budget.epochs, chosen.budget.plain_epochs = 3, plain
        return chosen

    whole = execute(made("whole", 1))
    with pytest.raises(KeyboardInterrupt):
        execute(made("parts", 1), StopAfter(2))
    assert results(execute(made("parts", 1))) == results(whole)
    always = execute(made("always", 0))
    losses = [[row["train_loss"] for row in record.history()] for record in (whole, always)]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]
    assert "distorted images" in whole.data["label"]


@pytest.mark.slow
def test_only_the_epochs_that_test_every_names_and_the_last_end_with_a_test(tmp_path):
    def made(folder: str, test_every: int) -> Settings:
        chosen = settings(tmp_path / folder)
        chosen.budget.epochs, chosen.budget.test_every = 5, test_every
        return chosen

    each, rare = execute(made("each", 1)), execute(made("rare", 2))
    assert [math.isnan(row["test_accuracy"]) for row in rare.history()] == [True, False, True, False, False]
    for row, same in zip(rare.history(), each.history(), strict=True):  # what is tested does not change the training
        assert row["train_loss"] == same["train_loss"]
        assert math.isnan(row["test_accuracy"]) or row["test_accuracy"] == same["test_accuracy"]
    assert rare.data["metrics"] == each.data["metrics"]
    with pytest.raises(KeyboardInterrupt):
        execute(made("parts", 2), StopAfter(3))
    assert str(results(execute(made("parts", 2)))) == str(results(rare))  # as text, in which NaN is NaN


@pytest.mark.slow
def test_averaged_weights_are_tested_and_go_on_bit_for_bit(tmp_path):
    def made(folder: str, average: float) -> Settings:
        chosen = settings(tmp_path / folder)
        chosen.budget.epochs, chosen.optimizer.average = 3, average
        return chosen

    averaged = execute(made("averaged", 0.9))
    for epoch in (1, 2, 3):  # after the last one, only the tests are left
        with pytest.raises(KeyboardInterrupt):
            execute(made("parts", 0.9), StopAfter(epoch))
    assert results(execute(made("parts", 0.9))) == results(averaged)
    assert averaged.data["label"].endswith("averaged weights")
    last, plain = averaged.history()[-1], execute(made("plain", 0.0)).history()[-1]
    assert last["test_accuracy"] == averaged.data["metrics"]["test_accuracy"]
    assert last["train_loss"] == plain["train_loss"]  # what is tested is another thing, the training is not
    assert last["test_loss"] != plain["test_loss"]


def packed_with_a_flaw(path):
    with np.load(path) as arrays:
        np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20] = bytes(20)
    path.write_bytes(content)


def far_too_large(path):
    with np.load(path) as arrays:
        np.savez_compressed(path, **{**arrays, "v0": np.zeros(2**28, np.uint8)})


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def without_columns(path):
    with np.load(path) as arrays:
        about = json.loads(arrays["about"].tobytes())
        about["history"] = [{"epoch": 1.0}]
        np.savez(path, **{**arrays, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)})


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "packed with a flaw": packed_with_a_flaw,
    "far too large": far_too_large,
    "a pipe": pipe,
    "endless": endless,
    "another learning curve": without_columns,
}


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_only_its_epochs(tmp_path):
    whole = results(execute(settings(tmp_path / "whole")))
    made = settings(tmp_path / "parts")
    for damage in DAMAGE.values():
        with pytest.raises(KeyboardInterrupt):
            execute(made, StopAfter(1))
        (checkpoint,) = (tmp_path / "parts").rglob("checkpoint.npz")
        damage(checkpoint)
        record = execute(made)
        assert record.data["resumed_at_epoch"] == 0
        assert results(record) == whole
        shutil.rmtree(record.folder)


def test_a_checkpoint_is_not_written_through_a_link(tmp_path):
    made = settings(tmp_path / "parts")
    store, elsewhere = plan(made).store, tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = store.unfinished(plan(made).run_id)
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="a link, which is not followed"):
        execute(made, StopAfter(1))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("other", ["run", "code", "TensorFlow"])
def test_the_checkpoint_of_another_run_or_version_is_not_gone_on_from(tmp_path, monkeypatch, other):
    """Its arrays have the right shapes: only what it says of its maker tells it apart."""
    from fracpool.records import environment
    from fracpool.training import provenance

    whole = results(execute(settings(tmp_path / "whole")))
    made = settings(tmp_path / "parts")
    begun = replace(made, seed=1) if other == "run" else made
    packages = environment.packages()
    with monkeypatch.context() as patched:
        if other == "code":
            patched.setattr(provenance, "code_fingerprint", lambda: "another")
        if other == "TensorFlow":
            patched.setattr(environment, "packages", lambda: packages | {"tensorflow": "2"})
        with pytest.raises(KeyboardInterrupt):
            execute(begun, StopAfter(1))
    store = plan(made).store
    if other == "run":
        os.rename(store.unfinished(plan(begun).run_id), store.unfinished(plan(made).run_id))
    record = execute(made)
    assert record.data["resumed_at_epoch"] == 0
    assert results(record) == whole


def test_the_same_network_on_other_data_trains_on_them(tmp_path, monkeypatch):
    """A program serves all runs of its variant, but its batches only those of its data."""
    from fracpool.settings import datasets

    first = execute(settings(tmp_path / "a"))
    arrays = datasets.load(settings(tmp_path).dataset)
    monkeypatch.setattr(datasets, "load", lambda known: replace(arrays, train_images=255 - arrays.train_images))
    other = execute(settings(tmp_path / "b"))
    assert other.data["metrics"]["train_loss"] != first.data["metrics"]["train_loss"]


def test_testing_does_not_change_the_training(tmp_path):
    few, many = settings(tmp_path / "a"), settings(tmp_path / "b")
    many.repeats = 9
    a, b = execute(few), execute(many)
    assert [row["train_loss"] for row in a.history()] == [row["train_loss"] for row in b.history()]
    assert a.data["metrics"]["test_accuracy"] == b.data["metrics"]["test_accuracy"]


def test_a_loss_that_is_not_finite_is_recorded_at_its_epoch(train, folder):
    result = train(*TINY, "pool=max", "optimizer=sgd", "optimizer.learning_rate=1e30", "optimizer.schedule=constant")
    (record,) = Store(folder / "results" / "mine").read().records
    assert (result.code, record.status) == (0, "diverged")
    assert len(record.history()) == 1
    assert "epoch 1" in record.data["error"]["message"]


def test_failed_runs_are_recorded_and_run_again_when_asked(train, folder, monkeypatch):
    from fracpool.training import testing

    def broken(*arguments):
        raise MemoryError("no more memory")

    sweep = ["-m", *TINY, "pool=max,average", "seed=0", NO_REPORT]
    with monkeypatch.context() as patched:
        patched.setattr(testing, "score", broken)
        result = train(*sweep)
    assert result.code == 1
    assert "0 done, 0 skipped, 0 diverged, 2 failed" in result.out
    records = Store(folder / "results" / "mine").read().records
    assert {r.data["error"]["message"] for r in records} == {"no more memory"}
    assert all("broken" in r.data["error"]["traceback"] for r in records)
    assert "2 skipped" in train(*sweep).out
    result = train(*sweep, "retry=failed")
    assert result.code == 0
    assert "2 done" in result.out


def test_a_killed_process_leaves_nothing_torn(train, folder):
    run = [*TINY, "pool=max", "budget.epochs=2000"]
    command = [sys.executable, "-m", "fracpool.train", *run]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = Store(folder / "results" / "mine")
    deadline = time.monotonic() + 120
    while not list(store.root.rglob("checkpoint.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.read().records == []
    assert store.read().problems == []
    assert "would run" in train(*run, "plan=true").out


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(folder):
    command = [sys.executable, "-m", "fracpool.train", "-m", *TINY, "pool=max", "budget.epochs=2000", "seed=0,1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, preexec_fn=hears_ctrl_c, **pipes)
    deadline = time.monotonic() + 120
    while not list(folder.rglob("checkpoint.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert err.strip() == "Stopped: 0 of 2 runs are done; the same command goes on from here."
