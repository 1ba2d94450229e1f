"""Faults for real: disks that are full, read-only or gone, memory that runs out, a second Ctrl-C."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import record_factory as factory
from conftest import TINY, hears_ctrl_c

from fracpool import report
from fracpool.records.store import Store
from fracpool.sweep.sweep_file import NO_REPORT

SWEEP = [sys.executable, "-m", "fracpool.train", "-m", *TINY, "pool=max"]


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 200 kB: a run's checkpoint fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SWEEP, *arguments], capture_output=True, text=True, timeout=300, **options)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.mark.slow
@pytest.mark.parametrize("filled", [0, 100, 180], ids=lambda kilobytes: f"{kilobytes} kB taken")
def test_a_full_disk_stops_with_one_line(train, small_disk, filled):
    (small_disk / "others").write_bytes(b"x" * 1024 * filled)
    sweep = [f"results_dir={small_disk}/r", "seed=0,1,2", "model.dense=[64]"]
    done = run(*sweep)
    assert done.returncode == 1
    assert "No space left on device" in one_line(done)
    store = Store(small_disk / "r" / "mine")
    assert store.read().problems == []
    assert all(record.predictions() for record in store.read().records)
    (small_disk / "others").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    again = train(*SWEEP[3:], *sweep, NO_REPORT)
    assert (again.code, again.err) == (0, "")
    assert len(store.read().records) == 3


def test_a_report_on_a_full_disk_says_so_and_leaves_the_last_one(small_disk):
    root = small_disk / "r"
    for seed in range(3):
        factory.write_run(root, factory.config("max"), seed, 0.9, test_images=20)
    subprocess.run(["mount", "-o", "remount,size=5m", str(small_disk)], check=True)
    assert report.main([str(root)]) == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    factory.write_run(root, factory.config("fmp"), 0, 0.9, test_images=20)
    with contextlib.suppress(OSError), open(small_disk / "others", "wb", buffering=0) as others:
        while others.write(b"x" * 4096):
            pass
    done = subprocess.run([sys.executable, "-m", "fracpool.report", str(root)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "No space left on device" in one_line(done)
    whole = [path for path in before if path.suffix in (".html", ".md", ".json")]
    assert {path: path.read_bytes() for path in whole} == {path: before[path] for path in whole}
    assert not list(root.glob(".*"))


def test_ctrl_c_stops_a_report_with_one_line(folder, monkeypatch, capfd):
    from fracpool.report import page

    factory.write_run(folder, factory.config("max"), 0, 0.9)
    monkeypatch.setattr(page, "write", lambda results: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert report.main([str(folder)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "fracpool.report: stopped; the same command writes it anew\n"


def test_a_read_only_folder_is_refused_before_anything_runs(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run(f"results_dir={small_disk}/r", "seed=0")
    assert done.returncode == 2
    assert "Read-only file system" in one_line(done)
    assert f"results_dir={small_disk}/r" in done.stderr


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_stops_the_sweep_with_one_line(train, small_disk):
    remount = ["mount", "-o"]
    subprocess.run([*remount, "remount,size=20m", str(small_disk)], check=True)
    arguments = [f"results_dir={small_disk}/r", "seed=0,1", "budget.epochs=60"]
    process = started(small_disk, *arguments)
    while subprocess.run([*remount, "remount,ro", str(small_disk)], capture_output=True).returncode:
        time.sleep(0.001)  # a file was just open for writing
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = err.strip().splitlines()
    assert "Read-only file system" in line
    subprocess.run([*remount, "remount,rw", str(small_disk)], check=True)
    again = train(*SWEEP[3:], *arguments)
    assert (again.code, again.err) == (0, "")
    store = Store(small_disk / "r" / "mine")
    assert len(store.read().records) == 2
    assert store.read().records[0].data["resumed_at_epoch"] > 0


WORKERS = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def workers_at_runs(store: Store) -> set[int]:
    """The processes that hold claims."""
    found = set()
    for claim in store.entries("claims"):
        with contextlib.suppress(OSError, ValueError):
            found.add(json.loads(claim.read_text())["process"])
    return found


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_run_a_second_start(folder):
    process = started(folder, *WORKERS, "seed=range(0,8)", "budget.epochs=20")
    store = Store(folder / "results" / "mine")
    while not store.read().records or not workers_at_runs(store):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(workers_at_runs(store).pop(), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert "a worker process was killed" in out
    assert "8 done, 0 skipped, 0 diverged, 0 failed" in out
    assert len(store.read().records) == 8
    assert store.entries("unfinished") == []


@pytest.mark.slow
def test_workers_that_are_killed_at_once_end_the_sweep_with_one_line(folder):
    process = started(folder, *WORKERS, "seed=0,1", "budget.epochs=2000")
    for worker in workers_at_runs(Store(folder / "results" / "mine")):
        os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = err.strip().splitlines()
    assert "hydra.launcher.n_jobs" in line


@pytest.mark.slow
def test_sigterm_stops_the_workers_too(folder):
    process = started(folder, *WORKERS, "seed=0,1", "budget.epochs=2000")
    store = Store(folder / "results" / "mine")
    workers = workers_at_runs(store)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert err.strip() == "Stopped: 0 of 2 runs are done; the same command goes on from here."
    assert workers
    time.sleep(1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert store.read().problems == []


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A sweep that has written its first checkpoint."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*SWEEP, *arguments], text=True, preexec_fn=hears_ctrl_c, **pipes)
    deadline = time.monotonic() + 120
    while not list(folder.rglob("checkpoint.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_a_folder_that_goes_away_is_made_again(folder):
    process = started(folder, "budget.epochs=60", "seed=0")
    shutil.rmtree(folder / "results", ignore_errors=True)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "1 done" in out
    assert len(Store(folder / "results" / "mine").read().records) == 1


@pytest.mark.slow
def test_a_second_ctrl_c_does_no_damage(train, folder):
    process = started(folder, "budget.epochs=2000", "seed=0,1")
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)  # the latter as the interpreter itself ends
    assert "Traceback" not in err
    assert "the same command goes on" in err
    reading = Store(folder / "results" / "mine").read()
    assert (reading.records, reading.problems) == ([], [])
    assert "2 done" in train(*SWEEP[3:], "budget.epochs=3", "seed=0,1", NO_REPORT).out


LONG_STEP = """
import hashlib
from fracpool.command_line import listen
listen()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, as a batch of a large network
"""


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far, of Linux' clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def test_a_second_ctrl_c_stops_at_once_even_within_a_long_batch():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", LONG_STEP], preexec_fn=hears_ctrl_c, **pipes)
    try:
        assert process.stdout.readline() == "ready\n"
        begun = cpu_seconds(process.pid)
        while cpu_seconds(process.pid) < begun + 0.2:  # until it is within the step
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # one waits for the end of the step
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert process.stderr.read().strip().startswith("Stopped at once; the same command goes on")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_out_of_memory_fails_one_run_and_the_sweep_goes_on(folder):
    # Room for the process as it is with TensorFlow in it and 4 GiB more, of which one weight matrix wants 16.
    # Without the report at the end: its libraries crash where memory is that short, not only fail.
    limited = f"""
import resource, sys, tensorflow
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), used + (4 << 30)))
sys.argv = {[*SWEEP[2:], "model.dense=[65536,65536],[16]", "seed=0", NO_REPORT]!r}
from fracpool.train import command
sys.exit(command())
"""
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=500)
    assert done.returncode == 1
    assert "1 done, 0 skipped, 0 diverged, 1 failed" in done.stdout
    (failed,) = (r for r in Store(folder / "results" / "mine").read().records if r.status == "failed")
    assert "OOM" in failed.data["error"]["message"]
    assert "Traceback" in failed.data["error"]["traceback"]


@pytest.mark.slow
def test_divergence_under_another_launcher_is_recorded_and_the_sweep_goes_on(folder):
    workers = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    rates = ["optimizer=sgd", "optimizer.schedule=constant", "optimizer.learning_rate=1e30,0.01"]
    done = run(*rates, "seed=0,1", *workers)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 done, 0 skipped, 2 diverged, 0 failed" in done.stdout


@pytest.mark.slow
def test_a_report_made_while_a_sweep_runs_is_consistent(folder):
    from fracpool.report import write_report

    process = started(folder, "+experiment=mnist_swap", "dataset=mnist5k", "seed=range(0,6)")
    counts = []
    try:
        while process.poll() is None:
            page = write_report(folder / "results" / "mine")
            assert page.is_file()
            counts.append(len((folder / "results" / "mine" / "runs.csv").read_text().splitlines()) - 1)
    finally:
        process.kill()
        process.communicate()
    assert counts == sorted(counts)
    assert len(counts) > 1
    assert os.listdir(folder / "results" / "mine" / "claims") == []
