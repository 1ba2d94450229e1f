"""What sweeps cost beside their trainings, by number of runs and of workers: trainings only wait here.

    python benchmarks/scaling.py RUNS [--engine serial|joblib|ray|slurm] [--workers N] [--seconds S]

A sweep of RUNS runs (half max pool, half FMP, one seed after another) in a folder of its own, then the same sweep
again, which finds all done, and the table over its records. `seconds` is how long each training waits. Prints one line
of JSON: wall and CPU seconds (of all processes), and per run; efficiency is the waiting that was wanted, over workers
times the time from the first record to the last. `starting` is the time from the command to the first training, and
`engine_starting` what an empty task of the engine takes by itself. Ray is started anew for each sweep; a Slurm has to
be up (`python tests/slurm_cluster.py FOLDER`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

LAUNCHERS = {
    "serial": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs={workers}"],
    "ray": ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus={workers}"],
    "slurm": ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1"],
}
EMPTY_TASKS = {
    "ray": [sys.executable, "-c", "import ray; ray.init(); ray.get(ray.remote(lambda: None).remote())"],
    "slurm": ["sbatch", "--wait", "--output=/dev/null", "--wrap", "true"],
}
TABLE = """
import sys, pathlib
from fracpool.table import files, results
files.write(results.read(pathlib.Path(sys.argv[1])))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=int, help="an even number")
    parser.add_argument("--engine", choices=LAUNCHERS, default="serial")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="that each training waits")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(arguments, Path(folder))))
    return 0


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    launcher = [word.format(workers=arguments.workers) for word in LAUNCHERS[arguments.engine]]
    grid = ["dataset=mnist5k", "pool=max,fmp", f"seed=range(0,{arguments.runs // 2})", "threads=1"]
    sweep = ["-m", "fracpool.train", "-m", *grid, *launcher, f"results_dir={folder}", "~hydra.callbacks.report"]
    seconds = arguments.seconds
    empty = EMPTY_TASKS.get(arguments.engine)
    engine_starting = timed(empty, 0)[0] if empty else None
    began = time.time()
    wall, cpu = timed([sys.executable, *sweep], seconds)
    records = list(folder.glob("mine/runs/*/record.json"))
    started = min(datetime.fromisoformat(json.loads(file.read_text())["started"]).timestamp() for file in records)
    ends = sorted(file.stat().st_mtime for file in records)
    assert len(ends) == arguments.runs, f"{len(ends)} of {arguments.runs} runs"
    again, _ = timed([sys.executable, *sweep], seconds)
    table, _ = timed([sys.executable, "-c", TABLE, str(folder / "mine")], seconds)
    between = ends[-1] - ends[0]
    return {
        "engine": arguments.engine,
        "workers": arguments.workers,
        "runs": arguments.runs,
        "training_seconds": seconds,
        "wall_seconds": round(wall, 1),
        "starting_seconds": round(started - began, 1),
        "engine_starting_seconds": round(engine_starting, 1) if engine_starting else None,
        "cpu_seconds": round(cpu, 1),
        "runs_per_second": round((len(ends) - 1) / between, 2),
        "cpu_ms_per_run": round(1000 * cpu / len(ends), 1),
        "efficiency": round((len(ends) - 1) * seconds / arguments.workers / between, 3) if seconds else None,
        "again_seconds": round(again, 1),
        "table_seconds": round(table, 1),
    }


def timed(command: list[str], seconds: float) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all that it starts and waits for."""
    trivial = str(Path(__file__).parent / "trivial")
    environment = os.environ | {"PYTHONPATH": trivial, "TRIVIAL_SECONDS": str(seconds)}
    began, before = time.perf_counter(), _cpu()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
