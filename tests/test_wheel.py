"""The wheel, in an environment of its own outside the checkout: the layer alone, the commands, a user's own configs.
And the checkout in an environment of the user's."""

import importlib.metadata
import importlib.util
import os
import re
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
from packaging.requirements import Requirement

from fracpool.records.store import Store

pytestmark = pytest.mark.slow
SOURCES = ("src", "configs", "experiments", "pyproject.toml", "README.md", "LICENSE")


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
    templates = {file.name for file in (ROOT / "src" / "fracpool" / "report" / "templates").iterdir() if file.is_file()}
    assert {f"fracpool/report/templates/{name}" for name in templates} <= set(names)
    assert "fracpool/py.typed" in names


def test_the_layer_needs_two_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    assert {re.split("[<>=]", one)[0] for one in needed if "extra ==" not in one} == {"keras", "numpy"}


BARE = """
import importlib.util, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
others = {"tensorflow", "jax", "torch", "hydra", "omegaconf", "pandas", "matplotlib", "statsmodels"}
assert not [name for name in others - {sys.argv[1]} if importlib.util.find_spec(name) is not None]
import time
began = time.perf_counter()
import fracpool
assert time.perf_counter() - began < 0.05 and "keras" not in sys.modules
import keras
assert keras.backend.backend() == sys.argv[1]
keras.utils.set_random_seed(2)
images = keras.random.normal((8, 28, 28, 3), seed=0)
pool = fracpool.FractionalMaxPooling2D(pooling_ratio=1.47, seed=0)
assert pool(images).shape == (8, 19, 19, 3)
model = keras.Sequential([keras.layers.Conv2D(4, 3), pool, keras.layers.Flatten(), keras.layers.Dense(2)])
model.compile("adam", "mse")
history = model.fit(images, keras.ops.zeros((8, 2)), epochs=30, verbose=0).history["loss"]
assert history[-1] < history[0]
model.save("model.keras")
assert keras.saving.load_model("model.keras").count_params() == model.count_params()
assert fracpool.geometry.output_size(28, 1.47) == 19
print(fracpool.__file__)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_layer_works_beside_one_backend_alone(wheel, tmp_path, backend):
    """With keras, numpy and what they and the backend need: of this environment, by links, and nothing else."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: it is the optional extra fracpool[{backend}]")
    bare = tmp_path / "environment"
    venv.create(bare, with_pip=False)
    (site,) = (bare / "lib").glob("python*/site-packages")
    for place in _files_of({"keras", "numpy", backend}):
        (site / place.name).symlink_to(place)
    zipfile.ZipFile(wheel).extractall(site)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KERAS"))}
    clean |= {"KERAS_BACKEND": backend}
    command = [bare / "bin" / "python", "-c", BARE, backend]
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(bare)
    for module in ("train", "reproduce", "report"):
        command = [bare / "bin" / "python", "-m", f"fracpool.{module}"]
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert re.fullmatch(rf'.*fracpool.{module}: .*pip install "fracpool\[study\]"\n', done.stderr)


def _files_of(wanted: set[str]) -> set[Path]:
    """What lies in this environment's site-packages for some distributions and all that they require, by its top."""
    known: set[str] = set()
    while wanted - known:
        name = (wanted - known).pop()
        known.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found = (Requirement(line) for line in needs)
        wanted |= {need.name.lower() for need in found if need.marker is None or need.marker.evaluate({"extra": ""})}
    files = (file for name in known for file in _installed(name))
    return {place for place in files if place.exists() and place.name not in ("__pycache__", "..", "bin")}


def _installed(name: str) -> set[Path]:
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {Path(str(found.locate_file(file.parts[0]))) for file in found.files or () if file.parts[0] != ".."}


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
