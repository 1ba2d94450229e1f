"""Launchers: checked before anything runs, and a real Slurm whose table is that of a serial sweep."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import slurm_cluster
from conftest import TINY

from fracpool.records import environment
from fracpool.records.store import Store
from fracpool.settings.refusal import SettingsError
from fracpool.sweep import launchers


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        ({"_target_": "BasicLauncher"}, None),
        ({"_target_": "JoblibLauncher", "n_jobs": 2}, 2),
        ({"_target_": "JoblibLauncher", "n_jobs": -1}, 1),
        ({"_target_": "JoblibLauncher", "n_jobs": 64}, 1),
        ({"_target_": "SlurmLauncher", "cpus_per_task": 3}, 3),
    ],
)
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, launcher, threads):
    monkeypatch.setattr(environment, "cores", lambda: 4)
    assert launchers.threads_per_run(launcher) == threads


JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"


@pytest.mark.parametrize("number", [0, -2, 1.5, "two"])
def test_a_wrong_number_of_workers_is_refused(number):
    with pytest.raises(SettingsError, match=r"hydra\.launcher\.n_jobs=.*from 1, or -1 for all cores"):
        launchers.check({"_target_": JOBLIB, "n_jobs": number})


def test_a_launcher_without_its_package_or_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    slurm = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"}
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(SettingsError, match="hydra/launcher=submitit_slurm: there is no sbatch on this machine"):
        launchers.check(slurm)
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r'submitit is missing; pip install "fracpool\[slurm\]"'):
        launchers.check(slurm)


def test_the_command_line_refuses_before_anything_runs(train, folder):
    wrong = train("-m", *TINY, "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=0,1")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("hydra.launcher.n_jobs=0: must be a whole number from 1")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:port", "127.0.0.1:99999999"])
def test_an_address_where_no_ray_is_is_refused_at_once(address):
    with pytest.raises(SettingsError, match=r"address=.*: no Ray answers there .* null to start one here"):
        launchers._check_address(address)


# Slurm

LONGER = [*TINY, "budget.epochs=60", "budget.train_examples=1000", "pool=max,fmp", "seed=0,1", "threads=1"]


def _sweep(folder: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fracpool.train", "-m", *LONGER, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, text=True, **pipes, **options)


def _table(folder: Path) -> dict[str, object]:
    """What a sweep found, without times and machine."""
    records = Store(folder / "results" / "mine").read().records
    curves = {r.run_id: [{k: v for k, v in row.items() if k != "seconds"} for row in r.history()] for r in records}
    files = {r.run_id: r.data["files"]["predictions.npz"] for r in records}
    return {r.run_id: (r.data["metrics"], curves[r.run_id], files[r.run_id]) for r in records}


def _wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def _running_tasks(environment: dict[str, str]) -> list[str]:
    ask = ["squeue", "-h", "-r", "-t", "R", "-o", "%i"]
    return subprocess.run(ask, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def serial_table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """That of LONGER, for every cluster."""
    alone = tmp_path_factory.mktemp("alone")
    serial = _sweep(alone)
    assert serial.wait(300) == 0, serial.stderr.read()
    return _table(alone)


needs_submitit = pytest.mark.skipif(find_spec("submitit") is None, reason='pip install "fracpool[slurm]"')
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason='pip install "fracpool[ray]"')


@pytest.mark.slow
@needs_submitit
@pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing()))
def test_slurm_gives_the_table_of_a_serial_sweep_though_a_task_is_killed(tmp_path: Path, serial_table):
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    with slurm_cluster.running(tmp_path / "slurm") as slurm:
        options = ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1"]
        sweep = _sweep(cluster, *options, env=slurm)
        unfinished = cluster / "results" / "mine" / "unfinished"
        _wait_for(lambda: list(unfinished.glob("*/checkpoint.npz")))
        for task in _running_tasks(slurm):
            subprocess.run(["scontrol", "requeue", task], env=slurm, check=True)  # kills it, and queues it again
        code = sweep.wait(400)
        out, err = sweep.communicate()
    assert code == 0, (out, err)
    assert "4 done, 0 skipped, 0 diverged, 0 failed" in out
    assert _table(cluster) == serial_table
    records = Store(cluster / "results" / "mine").read().records
    assert any(record.data["resumed_at_epoch"] > 0 for record in records)
    assert {record.data["environment"]["threads"] for record in records} == {1}


# Ray


@pytest.fixture
def ray_of_two_nodes():
    """Two nodes of one core on this machine; yields the environment and the address."""
    ray = [str(Path(sys.executable).with_name("ray"))]
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    size = ["--num-cpus=1", "--object-store-memory=100000000"]
    head = ["start", "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={tempfile.mkdtemp()}", *size]
    try:
        subprocess.run([*ray, *head], env=env, check=True, capture_output=True, timeout=120)
        joined = ["start", f"--address=127.0.0.1:{port}", *size]
        subprocess.run([*ray, *joined], env=env, check=True, capture_output=True, timeout=120)
        yield env, f"127.0.0.1:{port}"
    finally:
        subprocess.run([*ray, "stop", "--force"], env=env, capture_output=True, timeout=60)


@pytest.mark.slow
@needs_ray
def test_ray_gives_the_table_of_a_serial_sweep_though_a_worker_is_killed(
    tmp_path: Path, serial_table, ray_of_two_nodes
):
    env, address = ray_of_two_nodes
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    sweep = _sweep(cluster, "hydra/launcher=ray", f"hydra.launcher.ray.init.address='{address}'", env=env)
    results = cluster / "results" / "mine"
    _wait_for(lambda: list((results / "unfinished").glob("*/checkpoint.npz")))
    run = next((results / "unfinished").glob("*/checkpoint.npz")).parent.name
    os.kill(json.loads((results / "claims" / run).read_text())["process"], signal.SIGKILL)
    code = sweep.wait(400)
    out, err = sweep.communicate()
    assert code == 0, (out, err)
    assert _table(cluster) == serial_table
    resumed = {record.run_id: record.data["resumed_at_epoch"] for record in Store(results).read().records}
    assert resumed[run] > 0, resumed


def test_a_worker_can_take_over_hydras_registry_of_sources():
    """Joblib, submitit and Ray hand Hydra's state to their workers, where Hydra then registers its own sources."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.sources_registry import SourcesRegistry

    from fracpool.sweep import allowed_classes

    with allowed_classes.registered_only([]):
        handed_on = pickle.loads(pickle.dumps(SourcesRegistry.instance()))
    assert handed_on.types["file"] is not FileConfigSource
    handed_on.register(FileConfigSource)  # raises where it takes it for another
