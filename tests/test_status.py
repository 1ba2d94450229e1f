"""`python -m fracpool.status`: how far a results folder is, read without disturbing it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import record_factory as factory
from conftest import TINY

from fracpool import status
from fracpool.records.run_claim import claim
from fracpool.records.store import Store


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two experiments that share a run: 3 completed runs, a diverged and a failed one, and two without a record."""
    root = tmp_path / "results" / "quick"
    config = factory.config("fmp")
    done = [factory.write_run(root, config, seed, 0.9) for seed in range(3)]
    diverged = factory.write_run(root, config, 3, 0.1, status="diverged")
    failed = factory.write_run(root, config, 4, 0.1, status="failed")
    left = [factory.run_id(config, seed) for seed in (5, 6)]
    factory.write_sweep(root, "mnist_swap", [config], [*done, diverged, failed, *left], {})
    factory.write_sweep(root, "asker", [config], [done[0]], {})
    factory.write_sweep(root, "cifar10_depth", [config], [], {}, not_run="cifar10 is not there")
    return root


def test_each_run_is_counted_once_by_its_state(results: Path) -> None:
    found = status.read(results)
    assert found.total == {"done": 3, "diverged": 1, "failed": 1, "left": 2}
    assert found.experiments == {
        "asker": {"done": 1},
        "cifar10_depth": "not run: cifar10 is not there",
        "mnist_swap": found.total,
    }
    assert len(found.failed) == 2
    assert (found.running, found.problems) == ([], [])


def test_a_run_that_a_living_process_holds_is_running_and_says_how_far(results: Path) -> None:
    config = factory.config("fmp")
    held, stopped = factory.run_id(config, 5), factory.run_id(config, 6)
    rows = [{"epoch": 1.0, "test_accuracy": 0.5}, {"epoch": 2.0, "test_accuracy": 0.875}]
    for run in (held, stopped):
        folder = Store(results).unfinished(run)
        folder.mkdir(parents=True)
        np.savez(folder / "checkpoint.npz", about=np.frombuffer(json.dumps({"history": rows}).encode(), np.uint8))
    with claim(results / "claims" / held):
        found = status.read(results)
        assert found.total == {"done": 3, "running": 1, "left": 1, "diverged": 1, "failed": 1}
        assert found.running == [f"{held}  after epoch 2: 0.8750"]
        assert found.stopped == [f"{stopped}  after epoch 2: 0.8750"]
    assert status.read(results).running == []


def test_runs_of_no_experiment_are_told_apart(results: Path) -> None:
    factory.write_run(results, factory.config("max"), 0, 0.9)
    found = status.read(results)
    assert found.experiments[status.OTHER] == {"done": 1}
    assert found.total["done"] == 4


def test_the_command_takes_a_folder_or_a_folder_of_folders(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main([str(results)]) == 0
    one = capsys.readouterr().out
    assert "mnist_swap     3 done, 2 left, 1 diverged, 1 failed" in one
    assert "Diverged" not in one  # reasons, not types
    assert "the training loss was nan in epoch 2" in one
    monkeypatch.chdir(results.parents[1])
    assert status.main([]) == 0
    assert capsys.readouterr().out.replace("results/quick", str(results)) == one


@pytest.mark.parametrize("case", ["missing", "empty", "file"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    place = tmp_path / "place"
    if case == "empty":
        place.mkdir()
    elif case == "file":
        place.write_text("")
    assert status.main([str(place)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert str(place) in said.err


def test_a_strangers_folder_writes_nothing_into_the_terminal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_sweep("evil", {"runs": [], "not_run": "\x1b[2Jgone\nline"})
    store.write_sweep("other", {"runs": {"a": 1}})
    store.runs.mkdir()
    (store.runs / "x\x1b[31m").mkdir()
    shown = str(status.read(tmp_path))
    assert "\x1b" not in shown
    assert "not run: [2Jgone line" in shown
    assert "other.json: runs is no list of run ids" in shown


def test_the_name_of_a_strangers_folder_is_text_and_one_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x\x1b[31m; touch y" / "runs").mkdir(parents=True)
    assert status.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"python -m fracpool.report '{tmp_path}/x[31m; touch y'" in out


@pytest.mark.parametrize("part", ["claims", "unfinished"])
@pytest.mark.parametrize("kind", ["pipe", "endless", "link", "folder", "deep"])
def test_what_is_no_file_of_this_folder_is_passed_over_at_once(results: Path, part: str, kind: str) -> None:
    """It neither waits for what never comes nor reads what never ends."""
    run = factory.run_id(factory.config("fmp"), 5)
    place = results / "claims" / run if part == "claims" else Store(results).unfinished(run) / "checkpoint.npz"
    place.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "deep":
        place.write_text("[" * 100_000)
    else:
        place.symlink_to("/dev/zero" if kind == "endless" else results / "sweeps" / "asker.json")
    os.utime(place, (0, 0), follow_symlinks=False)
    found = status.read(results)
    assert found.total == {"done": 3, "diverged": 1, "failed": 1, "left": 2}
    assert found.running == []
    assert all("in its first epoch" in line for line in found.stopped)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    for seed in range(status.MOST_LISTED + 3):
        factory.write_run(tmp_path, factory.config(), seed, 0.1, status="failed")
    assert "… and 3 more" in str(status.read(tmp_path))


def test_it_is_quick_and_needs_neither_tensorflow_nor_pandas(results: Path) -> None:
    watched = "import sys; from fracpool import status; status.main(sys.argv[1:])\n"
    watched += "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'pandas', 'scipy')))"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", watched, str(results)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 5  # 0.4 s on a machine that does nothing else


@pytest.mark.slow
def test_a_sweep_is_seen_from_outside_while_it_runs_and_when_sigterm_has_stopped_it(folder: Path) -> None:
    sweep = [sys.executable, "-m", "fracpool.train", "-m", *TINY, "pool=max", "seed=range(0,4)", "budget.epochs=400"]
    process = subprocess.Popen(sweep, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        root = folder / "results" / "mine"
        waited = time.monotonic()
        while not (root.is_dir() and any("after epoch" in line for line in status.read(root).running)):
            assert process.poll() is None
            assert time.monotonic() - waited < 120
            time.sleep(0.2)
        assert status.read(root).total["running"] == 1
        process.terminate()
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err.strip() == "Stopped: 0 of 4 runs are done; the same command goes on from here."
    stopped = status.read(root)
    assert stopped.running == []
    assert len(stopped.stopped) == 1
