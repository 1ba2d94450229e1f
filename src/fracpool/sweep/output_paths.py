"""Where Hydra's own output and log files may go: into the results folder, not to a path of a config's choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fracpool.settings.refusal import SettingsError, is_name, require

SUBDIRS = (None, ".hydra")
# Of the log files that Hydra's own options of job_logging and hydra_logging write.
HYDRAS_LOGS = ("${hydra.runtime.output_dir}/${hydra.job.name}.log", "hydra-${hydra.job.name}.log")


def check(config: DictConfig) -> None:
    """Raises SettingsError for the first path in a composed config that leads elsewhere, or could."""
    here, hydra = Path.cwd().resolve(), config.hydra
    results = Path(str(config.get("results_dir", "results")), str(config.get("profile", "mine")))
    given = any(word.lstrip("+").startswith("results_dir=") for word in hydra.overrides.task)
    allowed = "inside the working directory where a config says so; give results_dir=FOLDER yourself"
    require(given or _inside(results, here), "results_dir", config.get("results_dir"), allowed)
    require(hydra.output_subdir in SUBDIRS, "hydra.output_subdir", hydra.output_subdir, "null or .hydra")
    require(is_name(str(hydra.job.name)), "hydra.job.name", hydra.job.name, "letters, digits, _ and -")
    allowed = "inside the working directory or the results folder"
    run = str(hydra.run.dir)
    require(_inside(run, here) or _inside(run, results), "hydra.run.dir", run, allowed)
    subdir = str(OmegaConf.to_container(hydra.sweep, resolve=False)["subdir"])  # type: ignore[call-overload, index]
    fixed = "${" not in subdir.replace("${hydra.job.num}", "")
    require(fixed and _inside(results / subdir, results), "hydra.sweep.subdir", subdir, "a folder in hydra.sweep.dir")
    for part in ("hydra_logging", "job_logging"):
        logging = OmegaConf.to_container(hydra[part], resolve=False) if hydra.get(part) is not None else None
        _check_logs(logging, f"hydra.{part}", results)


def _inside(path: str | Path, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder.resolve())


def _check_logs(node: Any, field: str, results: Path) -> None:
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        place = f"{field}.{key}"
        if key == "filename" and value not in HYDRAS_LOGS:
            fits = isinstance(value, str) and "${" not in value and value.endswith(".log") and _inside(value, results)
            require(fits, place, value, f"a file inside the results folder, {results}, whose name ends in .log")
        if key == "mode" and value != "a":
            raise SettingsError(f"{place}={value}: must be a: a log goes on, and replaces nothing")
        _check_logs(value, place, results)
