"""SIGKILL at random moments: what is left goes on to the same table, bit for bit."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY

from fracpool.records.store import Store

KILLS = int(os.environ.get("FRACPOOL_KILLS", "15"))

# A process that has TensorFlow loaded and forks a sweep for each line it reads: a start costs a moment, so that
# the kills fall into training, testing, checkpoints and records, and not into imports.
FORK_SERVER = """
import os, sys
import fracpool.training.run
from fracpool.train import main
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(main(line.split()))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line that is a number; the sweep prints to the same stream."""
    for line in process.stdout:
        if line.strip().lstrip("-").isdigit() or line == "ready\n":
            return line.strip()
    raise AssertionError("the fork server ended")


def table(folder: Path) -> dict:
    return {
        record.run_id: (
            record.data["metrics"],
            [{k: v for k, v in row.items() if k != "seconds"} for row in record.history()],
            {name: array.tobytes() for name, array in record.predictions().items()},
        )
        for record in Store(folder).read().records
    }


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_ends_with_the_table_of_one_left_alone(folder):
    sweep = ["-m", *TINY, "budget.epochs=6", "pool=max,fmp", "seed=0,1", "model.dropout=0.1", "threads=1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-c", FORK_SERVER], text=True, **pipes)
    rng = random.Random(0)
    killed = folder_number = 0
    try:
        assert read_line(server) == "ready"

        def start(results: str) -> int:
            server.stdin.write(" ".join([*sweep, f"results_dir={results}"]) + "\n")
            server.stdin.flush()
            return int(read_line(server))

        began = time.monotonic()
        start("alone")
        assert read_line(server) == "0"
        whole = time.monotonic() - began

        while killed < KILLS:
            results = f"killed{folder_number}"
            child = start(results)
            time.sleep(rng.uniform(0.05, 0.4) * whole)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            if read_line(server) == "0":  # it came to its end first: compare, and begin anew
                assert table(Path(results) / "mine") == table(Path("alone") / "mine")
                folder_number += 1
                continue
            killed += 1
            reading = Store(Path(results) / "mine").read()
            assert reading.problems == []
            assert {r.status for r in reading.records} <= {"completed"}
        start(results)
        assert read_line(server) == "0"
    finally:
        server.kill()
    assert table(Path(results) / "mine") == table(Path("alone") / "mine")
    assert list((Path(results) / "mine" / "unfinished").iterdir()) == []
