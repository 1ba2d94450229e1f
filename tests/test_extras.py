"""The optional extras can be had beside the locked set. Needs a package index, as setting up does."""

import json
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
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "-e", f"{ROOT}[{extra}]"]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    moved = {package["metadata"]["name"].lower() for package in json.loads(done.stdout)["install"]}
    assert "fracpool" in moved
    assert not moved & KEPT
