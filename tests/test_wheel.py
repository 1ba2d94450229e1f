"""The wheel, in an environment of its own outside the checkout: the layer alone, the commands, a user's own configs.
And the checkout in an environment of the user's."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import TINY
from documents import ROOT, write_files

from fracpool.records.store import Store

pytestmark = pytest.mark.slow
SOURCES = ("src", "configs", "experiments", "pyproject.toml", "README.md", "LICENSE")
HARNESS = (
    "hydra omegaconf pandas scipy matplotlib statsmodels tensorflow_datasets jinja2 mlxtend pyarrow joblib".split()
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        place = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=ignored)
        else:
            shutil.copy(place, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """Built by way of the source distribution, as `python -m build` does, from a copy of the sources alone."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
    built = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (sources / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a new environment with the wheel."""
    return _environment_with(tmp_path_factory.mktemp("environment"), str(wheel))


def _environment_with(folder: Path, *what: str) -> Path:
    """bin/ of a new environment; its dependencies are those of this one, without the checkout."""
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # a path: its own .pth are not read
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--ignore-installed", *what], check=True, timeout=300)
    return folder / "bin"


def run(environment: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HYDRA"))}
    done = subprocess.run(
        [environment / command[0], *command[1:]], cwd=folder, env=clean, capture_output=True, text=True, timeout=500
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done


def test_it_holds_the_package_and_its_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fracpool", "hydra_plugins"}
    for name in ("configs/train.yaml", "configs/pool/fmp.yaml", "configs/profiles/quick.yaml"):
        assert f"fracpool/{name}" in names
    assert {f"fracpool/configs/experiment/{file.name}" for file in (ROOT / "experiments").glob("*.yaml")} <= set(names)
    templates = {file.name for file in (ROOT / "src" / "fracpool" / "templates").iterdir() if file.is_file()}
    assert {f"fracpool/templates/{name}" for name in templates} <= set(names)
    assert "fracpool/py.typed" in names


def test_the_layer_needs_nothing_of_the_harness(environment, tmp_path):
    code = f"""
import sys
for name in {HARNESS}:
    sys.modules[name] = None  # as if it were not installed
import os; os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from fracpool import FractionalMaxPooling2D, __file__
import keras
print(FractionalMaxPooling2D(pooling_ratio=1.47, seed=0)(keras.ops.ones((8, 28, 28, 16))).shape)
print(__file__)
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [environment / "python", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shape, place = done.stdout.splitlines()
    assert shape == "(8, 19, 19, 16)"
    assert Path(place).is_relative_to(environment.parent)


def test_the_commands_find_their_configs_and_experiments(environment, tmp_path):
    assert "mnist_swap" in run(environment, tmp_path, "python", "-m", "fracpool.train", "--help").stdout
    plan = ["-m", "+experiment=mnist_swap", "dataset=mnist5k", "plan=true"]
    assert "30 runs of 6 variants" in run(environment, tmp_path, "fracpool-train", *plan).stdout
    assert list(tmp_path.iterdir()) == []
    small = ["budget.epochs=1", "budget.train_examples=200", "model.filters=[4,8]", "model.dense=[8]", "seed=0"]
    small += ["model.conv_layers=2"]
    overrides = [word for override in small for word in ("--override", override)]
    done = run(environment, tmp_path, "python", "-m", "fracpool.reproduce", "quick", "--only", "mnist_swap", *overrides)
    assert done.stdout.splitlines()[-1] == f"Open {tmp_path / 'results' / 'quick' / 'report.html'}"
    assert len(Store(tmp_path / "results" / "quick").read().records) == 3
    assert "3 done" in run(environment, tmp_path, "python", "-m", "fracpool.status").stdout
    (tmp_path / "results" / "quick" / "report.html").unlink()
    run(environment, tmp_path, "python", "-m", "fracpool.report", "results/quick")
    assert (tmp_path / "results" / "quick" / "report.html").is_file()
    geometry = ["python", "-m", "fracpool.geometry", "32", "--ratio", "1.4", "--layers", "6"]
    assert "end at 3×3" in run(environment, tmp_path, *geometry).stdout


def test_a_users_own_configs_and_experiments_are_found(environment, tmp_path):
    for page in ("pooling", "experiment", "dataset"):
        write_files(f"docs/{page}.md", tmp_path)
    own = [environment / "python", "-m", "fracpool.train", "--config-dir", "my"]
    done = run(environment, tmp_path, *map(str, own), "-m", "+experiment=overlap", "plan=true")
    assert "15 runs of 3 variants" in done.stdout
    done = run(environment, tmp_path, *map(str, own), "dataset=stripes", "pool=lp", *TINY[1:])
    (record,) = Store(tmp_path / "results" / "mine").read().records
    assert record.data["label"] == "2 conv, lp p 4"
    assert record.data["data"]["name"] == "stripes"


def test_hydra_finds_the_sweeper_of_an_editable_checkout(sources, tmp_path):
    environment = _environment_with(tmp_path / "environment", "--editable", str(sources))
    planned = run(environment, tmp_path, "fracpool-train", "-m", *TINY, "seed=0,1", "plan=true")
    assert "2 runs" in planned.stdout
