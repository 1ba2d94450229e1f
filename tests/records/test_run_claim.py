"""Two sweeps in one folder: each run is trained once, and what a dead process held is taken over."""

import os
import subprocess
import sys
import time

import pytest
from conftest import TINY

from fracpool.records import run_claim
from fracpool.records.store import Store

HOLD = """
import sys, time
from pathlib import Path
from fracpool.records.run_claim import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def holder(path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    return process


def test_a_claim_is_held_by_one(tmp_path):
    path = tmp_path / "claims" / "run"
    with run_claim.claim(path) as first, run_claim.claim(path) as second:
        assert (first, second) == (True, False)
        assert not run_claim.is_free(path)
    assert run_claim.is_free(path)
    assert list(path.parent.iterdir()) == []


def test_a_dead_process_of_this_machine_holds_nothing(tmp_path):
    process = holder(tmp_path / "run")
    with run_claim.claim(tmp_path / "run") as mine:
        assert not mine
    process.kill()
    process.wait()
    with run_claim.claim(tmp_path / "run") as mine:
        assert mine


def test_another_machine_holds_it_while_its_heart_beats(tmp_path, monkeypatch):
    path = tmp_path / "run"
    process = holder(path)
    try:
        monkeypatch.setattr(run_claim, "_machine", lambda: "another")
        with run_claim.claim(path) as mine:
            assert not mine
        past = time.time() - run_claim.STALE_SECONDS - 1
        os.utime(path, (past, past))
        with run_claim.claim(path) as mine:
            assert mine
    finally:
        process.kill()
        process.wait()


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(run_claim, "BEAT_SECONDS", 0.05)
    path = tmp_path / "run"
    with run_claim.claim(path):
        os.utime(path, (0, 0))
        time.sleep(0.5)
        assert path.stat().st_mtime > 0


def test_an_unreadable_claim_is_stale_only_by_its_age(tmp_path):
    path = tmp_path / "run"
    path.write_bytes(b"")
    assert not run_claim.is_free(path)
    os.utime(path, (0, 0))
    with run_claim.claim(path) as mine:
        assert mine


@pytest.mark.slow
def test_sweeps_in_one_folder_train_each_run_once(folder):
    sweeps, runs = 4, int(os.environ.get("FRACPOOL_SHARED_RUNS", "24"))
    tiny = [*TINY, "budget.epochs=1", "budget.train_examples=100", "repeats=1", "threads=1", "pool=max"]
    command = [sys.executable, "-m", "fracpool.train", "-m", *tiny, f"seed=range(0,{runs})"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(sweeps)]
    try:
        ends = [process.communicate(timeout=500) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * sweeps, ends
    store = Store(folder / "results" / "mine")
    assert len(store.read().records) == runs
    finished = [line for out, _ in ends for line in out.splitlines() if line.startswith("[")]
    assert len(finished) == runs
    assert list((store.root / "claims").iterdir()) == []
