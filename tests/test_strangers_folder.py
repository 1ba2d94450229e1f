"""Commands that are started inside a stranger's folder import none of its modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
NAMES = (
    "typing",
    "dataclasses",
    "argparse",
    "json",
    "numpy",
    "pandas",
    "matplotlib",
    "jinja2",
    "yaml",
    "hydra",
    "keras",
)
TELLS = "import os\nos.write(2, b'ran ' + __file__.encode())\nos._exit(66)\n"
LAYER = "import keras\n\n\nclass Halves(keras.layers.MaxPooling2D):\n    pass\n"


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(TELLS)
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "evil.py").write_text(TELLS)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["fracpool.status", "--help"],
        ["fracpool.geometry", "28", "--ratio", "1.4", "--layers", "2"],
        pytest.param(["fracpool.report", "."], marks=pytest.mark.slow),
        pytest.param(["fracpool.reproduce", "--help"], marks=pytest.mark.slow),
        pytest.param(["fracpool.train", "dataset=mnist5k", "pool=max", "plan=true"], marks=pytest.mark.slow),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_imports_nothing_from_there(strangers: Path, arguments: list[str]) -> None:
    (strangers / "runs").mkdir()
    done = python(strangers, "-m", *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_that_python_imports_them(strangers: Path) -> None:
    """Else the test above shows nothing."""
    assert "ran " in python(strangers, "-m", "timeit", "import pandas").stderr


@pytest.mark.slow
def test_a_layer_of_ones_own_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LAYER)
    done = python(
        tmp_path,
        "-m",
        "fracpool.train",
        "dataset=mnist5k",
        "pool=max",
        "pool.kind=halves",
        "pool.layer=mine.Halves",
        "plan=true",
    )
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout
