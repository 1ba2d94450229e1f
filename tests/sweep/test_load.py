"""Many records and many runs: time and memory that grow with them, and nothing that stays."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import record_factory as factory

from fracpool.table.files import write
from fracpool.table.results import read

MEMORY = '''
import gc, resource
def memory():
    """Megabytes that stay when garbage is collected."""
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
'''


def records(root: Path, count: int) -> Path:
    """A results folder with `count` records of one variant."""
    config = factory.config("fmp")
    first = factory.write_run(root, config, 0, 0.9)
    data = json.loads((root / "runs" / first / "record.json").read_text())
    for seed in range(1, count):
        data["run_id"], data["seed"] = f"run-s{seed}", seed
        folder = root / "runs" / data["run_id"]
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(data))
    return root


@pytest.mark.slow
def test_ten_thousand_records_are_read_in_ten_seconds(tmp_path):
    records(tmp_path, 10_000)
    began = time.perf_counter()
    results = read(tmp_path)
    write(results)
    seconds = time.perf_counter() - began
    assert len(results.runs) == 10_000
    assert seconds <= 10


AGGREGATE = (
    MEMORY
    + """
import sys, time
from pathlib import Path
from fracpool.table import files, results as table
table.read(Path(sys.argv[1]))  # imports, and what pandas sets up once
before, began = memory(), time.process_time()
read = table.read(Path(sys.argv[2]))
files.write(read)
print(time.process_time() - began, memory() - before)
"""
)


@pytest.mark.slow
def test_time_and_memory_grow_linearly_with_the_records(tmp_path):
    small, large = records(tmp_path / "small", 2_000), records(tmp_path / "large", 10_000)
    warm = records(tmp_path / "warm", 10)
    measured = []
    for root in (small, large):
        command = [sys.executable, "-c", AGGREGATE, str(warm), str(root)]
        out = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
        measured.append([float(word) for word in out.split()])
    (few_seconds, few_megabytes), (many_seconds, many_megabytes) = measured
    assert many_seconds < 5 * 1.5 * few_seconds, measured
    assert many_megabytes < 5 * 1.5 * few_megabytes, measured


TINY_RUNS = (
    MEMORY
    + """
import contextlib, io
from fracpool.sweep.sweep_file import NO_REPORT
from fracpool.train import main
tiny = [NO_REPORT, "dataset=mnist5k", "pool=fmp"]
tiny += ["model.conv_layers=1", "model.filters=[2]", "model.dense=[2]", "repeats=1"]
tiny += ["budget.epochs=1", "budget.train_examples=100", "predictions=classes", "threads=1"]
for done in range(0, 200, 20):
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["-m", *tiny, f"seed=range({done},{done + 20})"]) == 0
    print(memory())
"""
)


@pytest.mark.slow
def test_tiny_runs_leave_nothing_in_memory(tmp_path):
    """2,000 of them, from the 60th on, would stay within 5 %, but for one step of 20 runs: allocators grow by jumps."""
    command = [sys.executable, "-c", TINY_RUNS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    after = [float(word) for word in done.stdout.split()][2:]
    steps = sorted(b - a for a, b in pairwise(after))[:-1]
    assert sum(steps) / len(steps) / 20 * 1940 < 0.05 * after[0], done.stdout


@pytest.mark.slow
def test_memory_does_not_grow_as_programs_come_and_go(tmp_path):
    """Eight variants in turn, so that programs are built and thrown away again and again: 40 times."""
    script = (
        MEMORY
        + """
import sys
from fracpool.train import main
small = [*sys.argv[1:], "dataset=mnist5k", "pool=max,average,fmp", "pool.ratio=1.47,1.6", "model.conv_layers=1,2"]
after = []
for batch in range(5):
    seeds = f"seed={batch}"
    assert main(["-m", *small, seeds]) == 0
    after.append(memory())
print("MEMORY", *after)
"""
    )
    smaller = ["budget.epochs=1", "budget.train_examples=400", "model.filters=[4,8]", "model.dense=[16]", "repeats=2"]
    done = subprocess.run(
        [sys.executable, "-c", script, *smaller], cwd=tmp_path, capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr
    memory = [float(word) for word in done.stdout.split("MEMORY")[1].split()]
    assert len(list((tmp_path / "results" / "mine" / "runs").iterdir())) == 40
    assert memory[-1] < 1.05 * memory[1], memory
