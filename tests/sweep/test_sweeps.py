"""Sweeps through Hydra: planned whole, collapsed, skipped, shared between experiments."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from conftest import TINY

from fracpool.records.store import Store
from fracpool.report import write_report
from fracpool.sweep.sweep_file import NO_REPORT


def test_a_grid_trains_each_network_once(train, folder):
    grid = ["-m", *TINY, "pool=max,average", "model.conv_layers=2,5", "pool.ratio=1.4,1.47", "seed=0,1", NO_REPORT]
    result = train(*grid)
    assert (result.code, result.err) == (0, "")
    assert "4 runs of 2 variants" in result.out
    assert "left out: 5 conv, max pool" in result.out
    assert "4 done, 0 skipped, 0 diverged, 0 failed" in result.out
    assert len(Store(folder / "results" / "mine").read().records) == 4
    result = train(*grid, "seed=0,1,2")
    assert "6 runs of 2 variants, 4 skipped" in result.out
    assert "2 done, 4 skipped" in result.out


def test_records_of_another_version_are_shown_as_such(train, folder):
    train("-m", *TINY, "pool=max", "seed=0,1", NO_REPORT)
    (path, _) = sorted(folder.rglob("record.json"))
    data = json.loads(path.read_text())
    data["environment"]["tensorflow"], data["code_fingerprint"] = "2.20.0", "0123456789abcdef"
    path.write_text(json.dumps(data))
    out = train("-m", *TINY, "pool=max", "seed=0,1").out
    assert "1 record made by another version: code 0123456789abcdef, tensorflow 2.20.0; retry=all" in out
    report = (write_report(folder / "results" / "mine").parent / "report.md").read_text()
    for mixed in ("2.20.0 (1 runs), 2.", "0123456789abcdef (1 runs), "):
        assert mixed in report


def test_a_record_of_a_stranger_writes_nothing_to_the_terminal(train, folder):
    train(*TINY, "pool=max")
    (path,) = folder.rglob("record.json")
    data = json.loads(path.read_text())
    escape = "\x1b]0;owned\x07\x1b[2J"
    data["error"] = {"type": escape, "message": [escape]}
    data["label"] = data["code_fingerprint"] = data["environment"]["tensorflow"] = escape
    data["metrics"]["test_accuracy"] = escape
    path.write_text(json.dumps(data))
    for mode in ([], ["-m"], ["-m", "plan=true"]):
        result = train(*mode, *TINY, "pool=max")
        assert result.code == 0
        assert "\x1b" not in result.out + result.err
    data["environment"] = [escape]
    path.write_text(json.dumps(data))
    assert train("-m", *TINY, "pool=max").code == 0


def test_a_plan_runs_nothing(train, folder):
    result = train("-m", *TINY, "pool=max,fmp", "pool.ratio=1.4,1.47", "seed=range(0,4)", "plan=true")
    assert result.code == 0
    assert "12 runs of 3 variants" in result.out
    assert "2 conv, FMP 1.47 random: seed 0,1,2,3" in result.out
    assert "12 runs to do: no estimate of time" in result.out
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_runs_of_another_backend_are_left_to_it_and_the_rest_goes_on(train, folder):
    both = ["-m", *TINY, "pool=max", "backend=jax,tensorflow"]
    left = "  1 run left to another backend: KERAS_BACKEND=jax python -m fracpool.train " + shlex.join(both)
    planned = train(*both, "plan=true")
    assert planned.code == 0
    assert left in planned.out.splitlines()
    assert "  1 run to do: " in planned.out
    result = train(*both)
    assert result.code == 0
    assert left in result.out.splitlines()
    assert (
        result.out.splitlines()[0] == "sweep: 2 runs of 2 variants, 0 skipped because their records are there, 1 to do"
    )
    assert "1 done, 0 skipped, 0 diverged, 0 failed" in result.out
    (record,) = Store(folder / "results" / "mine").read().records
    assert "backend" not in record.data["config"]  # TensorFlow's
    again = train(*both)
    assert again.code == 2
    assert again.err.startswith("backend=jax: Keras runs on tensorflow here; ")


def test_the_sweep_of_the_issue_plans_as_written(train):
    axes = ["pool=max,fmp", "model.conv_layers=2,3", "pool.ratio=1.4,1.47", "seed=0,1,2"]
    result = train("-m", "dataset=mnist5k", *axes, "plan=true")
    assert "18 runs of 6 variants" in result.out


def test_sweeping_over_option_groups_and_budgets(train):
    axes = ["model=plain,asker", "budget=short,standard"]
    result = train("-m", "dataset=mnist5k", *axes, "pool=max", "seed=0", "plan=true")
    assert "4 runs of 4 variants" in result.out


def test_an_experiment_keeps_what_it_consists_of(train, folder):
    cut = ["dataset=mnist5k", "budget.epochs=1", "budget.train_examples=200", "model.filters=[4,8]", "model.dense=[8]"]
    swap = ["-m", NO_REPORT, "+experiment=mnist_swap", *cut, "pool=max"]
    assert train(*swap, "seed=0,1").code == 0
    store = Store(folder / "results" / "mine")
    sweep = store.read_sweeps()[0]["mnist_swap"]
    assert sorted(sweep["runs"]) == sorted(r.run_id for r in store.read().records)
    assert [v["label"] for v in sweep["variants"]] == ["2 conv, max pool", "3 conv, max pool"]
    assert set(sweep["findings"]) == {"F2", "F3"}
    assert sweep["not_run"] is None

    result = train(*swap, "seed=0", "model.conv_layers=2")
    assert "1 run of 1 variant, 1 skipped" in result.out
    sweep = store.read_sweeps()[0]["mnist_swap"]
    assert (len(sweep["runs"]), len(sweep["older"])) == (1, 3)

    result = train("-m", NO_REPORT, "+experiment=depth_ratio", *cut, "pool=max", "model.conv_layers=2", "seed=0")
    assert "1 skipped" in result.out  # a run belongs to every experiment that asks for it


def test_missing_data_can_be_noted_with_the_geometry(train, folder):
    result = train("-m", "+experiment=cifar10_depth", "dataset.data_dir=nowhere", "missing_data=note")
    assert (result.code, result.err) == (0, "")
    assert "not run" in result.out
    (path,) = folder.rglob("cifar10_depth.json")
    sweep = json.loads(path.read_text())
    assert "cifar10 3.0.2 is not in the folder" in sweep["not_run"]
    sizes = {v["label"]: v["geometry"]["final_height"] for v in sweep["variants"]}
    assert sizes["3 conv, max pool"] == 4
    assert sizes["6 conv, FMP 1.4 random"] == 3
    assert "6 conv, max pool" in {left_out["label"] for left_out in sweep["impossible"]}


def test_damaged_records_are_set_aside_and_run_again(train, folder):
    sweep = ["-m", *TINY, "pool=max", "seed=0,1", NO_REPORT]
    train(*sweep)
    store = Store(folder / "results" / "mine")
    first, second = (record.folder for record in store.read().records)
    (first / "record.json").write_text((first / "record.json").read_text()[:-50])
    (second / "predictions.npz").write_bytes(b"other")
    assert "2 done" in train(*sweep).out
    assert len(list((store.root / "damaged").iterdir())) == 2
    assert store.read().problems == []


def test_what_is_not_a_record_is_left_alone(train, folder):
    sweep = ["-m", *TINY, "pool=max", "seed=0"]
    runs = folder / "results" / "mine" / "runs"
    (runs / "holiday").mkdir(parents=True)
    (runs / "holiday" / "photo.jpg").write_bytes(b"x")
    (runs / "notes.txt").write_text("mine")
    assert "1 done" in train(*sweep).out
    assert (runs / "holiday" / "photo.jpg").is_file()
    assert (runs / "notes.txt").is_file()


@pytest.mark.slow
def test_two_workers_give_the_same_table_as_one(folder):
    sweep = ["-m", *TINY, "pool=max,fmp", "seed=0,1", "threads=1"]
    workers = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "results_dir=parallel"]
    for extra in ([], workers):
        command = [sys.executable, "-m", "fracpool.train", *sweep, *extra]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        assert "4 done" in done.stdout
    serial, parallel = (Store(folder / name / "mine").read().records for name in ("results", "parallel"))
    assert [(r.run_id, r.data["metrics"]) for r in serial] == [(r.run_id, r.data["metrics"]) for r in parallel]
    assert {r.data["environment"]["threads"] for r in serial + parallel} == {1}
    told = re.findall(r"([\d.]+) s(?= · |$)", done.stdout, re.MULTILINE)  # a run's whole time, with its tests
    assert sorted(told) == sorted(f"{r.seconds:.1f}" for r in parallel)


def test_data_that_go_missing_take_nothing_from_what_was_run(train, folder):
    cut = ["budget.epochs=1", "budget.train_examples=100", "model.filters=[2,2,2]", "model.dense=[4]", "seed=0"]
    experiment = ["-m", "+experiment=cifar10_depth", *cut, "pool=max", "model.conv_layers=3", "model.pools=3"]
    assert train(*experiment, "dataset=mnist5k").code == 0
    (path,) = folder.rglob("cifar10_depth.json")
    (run,) = json.loads(path.read_text())["runs"]
    result = train(*experiment, "dataset.data_dir=nowhere", "missing_data=note")
    assert (result.code, result.err) == (0, "")
    sweep = json.loads(path.read_text())
    assert (sweep["runs"], sweep["not_run"]) == ([run], None)


def test_an_experiment_may_leave_points_of_its_grid_out(train, folder):
    grid = ["-m", "dataset=mnist5k", "pool=max,fmp", "model.dense=[44],[128]", "seed=0", "plan=true"]
    left = "experiment.leave_out=[{pool.kind:max,model.dense:[44]}]"
    whole = train(*grid).out
    assert "4 runs of 4 variants" in whole
    assert "max pool, dense [44]: seed 0;" in whole
    assert "max pool, dense [128]: seed 0;" in whole
    assert "3 runs of 3 variants" in train(*grid, left).out
    either = train(*grid, "experiment.leave_out=[{pool.kind:[max,average],model.dense:[[44],[128]]}]").out
    assert "2 runs of 2 variants" in either
    assert "max pool" not in either
    result = train(*grid, "experiment.leave_out=[{pool.kin:max}]")
    assert result.code == 2
    assert "experiment.leave_out" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_every_line_names_what_varies_in_the_sweep(train):
    cut = ["budget.train_examples=100", "budget.epochs=1", "repeats=1", "pool=max", NO_REPORT]
    result = train("-m", *TINY, *cut, "optimizer.learning_rate=0.1,0.001", "seed=0,1")
    for rate in ("0.1", "0.001"):
        for seed in (0, 1):
            assert f"] 2 conv, max pool, learning rate {rate} · seed {seed} · " in result.out
