"""The launchers of Hydra that a sweep can run with: what each needs, checked before any run starts, and how the
cores are shared out among its workers."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fracpool.records import environment
from fracpool.settings.refusal import SettingsError, require


@dataclass(frozen=True)
class Needs:
    """What a launcher needs.

    Attributes:
        option: The choice of `hydra/launcher` that it is.
        package: The module that has to be there.
        extra: The extra of fracpool that installs it; "" where fracpool itself does.
        command: A program that has to be on the machine, or "".
    """

    option: str
    package: str
    extra: str = ""
    command: str = ""


LAUNCHERS = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher": Needs("basic", "hydra"),
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher": Needs("joblib", "joblib"),
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": Needs(
        "submitit_local", "submitit", "slurm"
    ),
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": Needs(
        "submitit_slurm", "submitit", "slurm", "sbatch"
    ),
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher": Needs("ray", "ray", "ray"),
    "hydra_plugins.hydra_ray_launcher.ray_aws_launcher.RayAWSLauncher": Needs("ray_aws", "ray", "ray"),
}


def check(launcher: Mapping[str, Any]) -> None:
    """Raises SettingsError if the launcher of a composed config (`hydra.launcher`) cannot work on this machine."""
    needs = LAUNCHERS[launcher["_target_"]]
    if importlib.util.find_spec(needs.package) is None:
        raise SettingsError(
            f"hydra/launcher={needs.option}: the package {needs.package} is missing; "
            f'pip install "fracpool[{needs.extra}]"'
        )
    if needs.command and shutil.which(needs.command) is None:
        raise SettingsError(
            f"hydra/launcher={needs.option}: there is no {needs.command} on this machine; start the sweep where jobs "
            f"can be submitted, or choose hydra/launcher=joblib"
        )
    _check_workers(launcher)
    _check_address(_ray(launcher, "init").get("address"))


def _ray(launcher: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    return (launcher.get("ray") or {}).get(part) or {}


def _check_workers(launcher: Mapping[str, Any]) -> None:
    cpus = _ray(launcher, "remote").get("num_cpus")
    valid = cpus is None or (isinstance(cpus, int) and cpus >= 1)
    require(valid, "hydra.launcher.ray.remote.num_cpus", cpus, "a whole number from 1")
    for name in ("n_jobs", "cpus_per_task", "array_parallelism"):
        number = launcher.get(name)
        every = name == "n_jobs" and number == -1
        allowed = "a whole number from 1" + (", or -1 for all cores" if name == "n_jobs" else "")
        valid = number is None or every or (isinstance(number, int) and number >= 1)
        require(valid, f"hydra.launcher.{name}", number, allowed)


def _check_address(address: str | None) -> None:
    """Ray itself would try for minutes."""
    host, colon, port = str(address).rpartition(":")
    if address is None or not colon or "//" in host:
        return  # auto, or a form of Ray's own
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise SettingsError(
            f"hydra.launcher.ray.init.address={address}: no Ray answers there ({error}); give HOST:PORT of a cluster "
            f"that is up, auto to find it, or null to start one here"
        ) from error


def threads_per_run(launcher: Mapping[str, Any]) -> int | None:
    """How many threads each run computes with so that all workers together fill the cores; None: a run has them all."""
    if launcher.get("n_jobs") is not None:
        cores = environment.cores()
        workers = launcher["n_jobs"] if launcher["n_jobs"] > 0 else cores
        return max(1, cores // workers)
    cpus = launcher.get("cpus_per_task") or _ray(launcher, "remote").get("num_cpus")
    return None if cpus is None else int(cpus)
