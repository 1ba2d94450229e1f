"""The optional extras can be had beside the locked set. Needs a package index, as setting up does."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KEPT = {"tensorflow", "keras", "numpy", "hydra-core", "pandas", "matplotlib", "tensorflow-datasets"}


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["cuda", "jax", "torch", "slurm", "ray", "mlflow", "tensorboard"])
def test_an_extra_leaves_what_is_locked_where_it_is(extra):
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    place = ["--system-certs", "--python", sys.executable]
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", *place, "-e", f"{ROOT}[{extra}]"]
    done = subprocess.run(uv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    moved = set(re.findall(r"^ [+~] ([\w.-]+)", done.stderr.lower(), re.MULTILINE))
    assert "fracpool" in moved
    assert not moved & KEPT
