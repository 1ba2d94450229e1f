"""The benchmarks run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
GPU = BENCHMARKS / "gpu.py"
PACKAGE = "import bench; [print(f'{row.measure}: {row.ours:.0f}, {row.verdict}') for row in bench.package(1)]"


@pytest.mark.slow  # a process of its own
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_gpu_prints_its_rows_on_a_cpu(backend):
    pytest.importorskip(backend, reason=f"times {backend}")
    command = [sys.executable, GPU, "--quick", "--seconds", "0"]
    done = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("| 8×19×19×16"))
    times = [float(cell) for cell in row.split("|")[3:6]]
    assert min(times) > 0
    assert row.endswith("| yes |")  # a gradient has the same bits again
    assert "The rest is left out after 0 seconds" in done.stdout


@pytest.mark.slow  # a process of its own
def test_figures_of_a_gpu_stay_on_the_page(tmp_path):
    page = tmp_path / "bench.md"
    page.write_text("| old |\n\n## On a GPU\n\n| kept |\n")
    told = f"import bench, pathlib; print(bench.on_a_gpu(pathlib.Path({str(page)!r})), end='')"
    done = subprocess.run([sys.executable, "-c", told], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert done.stdout == "\n## On a GPU\n\n| kept |\n"


@pytest.mark.slow  # builds a wheel
def test_the_package_is_measured():
    done = subprocess.run([sys.executable, "-c", PACKAGE], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    size, took = done.stdout.splitlines()
    assert re.fullmatch(r"the wheel, kB: \d+, (below|aim)", size)
    assert re.fullmatch(r"import fracpool without Keras, ms: \d+, (floor|aim)", took)
