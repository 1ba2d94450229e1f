"""What a config may have made: Hydra makes whatever class a config names, so the names that may stand there are here.

A config comes from whoever wrote it: a file of --config-dir, a word on the command line. All of Hydra's ways (runs,
sweeps, the workers of a launcher, --help) get it from the loader below, before anything that it names is made.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from fracpool.settings.refusal import SettingsError
from fracpool.sweep import config_bounds, known_fields, launchers, output_paths
from fracpool.sweep.config_bounds import BoundedRepository, entries
from fracpool.sweep.hydra_errors import SEARCHING

LAUNCHERS = {needs.option: target for target, needs in launchers.LAUNCHERS.items()}
SWEEPERS = {"fracpool": "hydra_plugins.fracpool_sweeper.FracpoolSweeper"}
CALLBACKS = ("fracpool.report.after_sweep.WriteReport",)
HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
MAKING = ("launcher", "sweeper", "callbacks", "hydra_logging", "job_logging")  # parts of `hydra` that name classes
# What a part of these may take from elsewhere: texts, the same whenever it is asked for.
_TAKEN = re.compile(
    r"\$\{(hydra\.(run|sweep)\.(sub)?dir|hydra\.runtime\.(output_dir|cwd)|hydra\.job\.(name|num|id)|results_dir|profile"
    r"|(experiment|dataset|model)\.name)\}"
)


class RegisteredOnly(ConfigLoaderImpl):
    """Hydra's loader of configs, which hands out none that goes beyond the bounds, names a class from outside the
    registry or has a field that nothing reads."""

    def load_configuration(self, config_name: str | None, *arguments: Any, **options: Any) -> DictConfig:
        config_bounds.hold()  # a launcher's worker begins here
        config = super().load_configuration(config_name, *arguments, **options)
        if config_name is None:  # --hydra-help, which shows Hydra as it is without an application
            config.hydra.sweeper = {"_target_": SWEEPERS["fracpool"]}
        check(config)
        if config_name is not None:
            known_fields.check(config)
        return config

    def _parse_overrides_and_create_caching_repo(self, config_name: str | None, overrides: list[str]) -> Any:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        repository.__class__ = BoundedRepository
        return parsed, repository

    def _process_config_searchpath(self, config_name: str | None, parsed_overrides: Any, repo: Any) -> None:
        """Folders to search are for the command line to name: a package that is searched is imported."""
        primary = repo.load_config(config_path=config_name) if config_name is not None else None
        named = None if primary is None else OmegaConf.select(primary.config, "hydra.searchpath")
        if named is not None:
            raise SettingsError(
                f"hydra.searchpath={named}: no config can name it; give --config-dir DIR, or it, yourself"
            )
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


@contextlib.contextmanager
def registered_only(arguments: list[str]) -> Iterator[None]:
    """Within, Hydra makes nothing but what is in the registry; raises SettingsError for options that it cannot read,
    and for the one with which it would unpickle a config."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # which would print ten lines of usage, and exit
    file = parser.parse_args(arguments).experimental_rerun
    if file is not None:
        raise SettingsError(f"--experimental-rerun={file}: would unpickle it, which runs code; give the overrides anew")
    before = hydra._internal.hydra.ConfigLoaderImpl
    hydra._internal.hydra.ConfigLoaderImpl = RegisteredOnly  # type: ignore[misc]
    try:
        with config_bounds.held(arguments):
            yield
    finally:
        hydra._internal.hydra.ConfigLoaderImpl = before  # type: ignore[misc]


def _refuse(message: str) -> NoReturn:
    raise SettingsError(f"{message}; write options such as --config-dir DIR before FIELD=VALUE and GROUP=OPTION")


def check(config: DictConfig) -> None:
    """Raises SettingsError for the first thing in a composed config that Hydra is not to make, to import or to write,
    and for a config that is too large."""
    for field, value, literal in entries(config.hydra, "hydra", MAKING):
        _check_entry(field, value, literal)
    _check_taken(OmegaConf.to_container(OmegaConf.masked_copy(config.hydra, list(MAKING)), resolve=False), "hydra")
    job = config.hydra.job
    for name in [*job.env_set, *job.env_copy]:
        raise SettingsError(
            f"hydra.job.env_set.{name}: would change what runs without changing their ids; set it in the shell"
        )
    for name in config.hydra.sweeper.get("params") or {}:
        if str(name).lstrip("+~").startswith("hydra"):
            raise SettingsError(f"hydra.sweeper.params.{name}: a grid is one of runs, not of Hydra's settings")
    output_paths.check(config)
    own = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    for _ in entries(own):  # what leaves with the records takes nothing from Hydra, nor from the environment
        pass


def _check_entry(field: str, value: Any, literal: bool) -> None:
    key = field.rpartition(".")[2]
    logging = field.startswith(("hydra.hydra_logging.", "hydra.job_logging."))
    if field == "hydra.launcher._target_":
        _require_option(field, value, "hydra/launcher", LAUNCHERS)
    elif field == "hydra.sweeper._target_":
        _require_option(field, value, "hydra/sweeper", SWEEPERS, SEARCHING)
    elif field.startswith("hydra.callbacks.") and key == "_target_" and value in CALLBACKS:
        pass
    elif key == "_target_" or (logging and key == "()"):
        raise SettingsError(f"{field}={value}: no class or function can be named here; leave it out")
    elif logging and key == "class" and value not in HANDLERS:
        raise SettingsError(f"{field}={value}: must be one of {', '.join(HANDLERS)}")
    elif logging and isinstance(value, str) and "://" in value and value not in STREAMS:
        raise SettingsError(f"{field}={value}: must be {' or '.join(STREAMS)}")
    if key in ("_target_", "class") and not literal:
        raise SettingsError(f"{field}={value}: must stand there itself, not be taken from elsewhere; write the name")


def _check_taken(node: Any, field: str) -> None:
    """That the value which was checked is the one that is used: what is made of others may be another by then."""
    if isinstance(node, dict):
        for key, value in node.items():
            _check_taken(value, f"{field}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            _check_taken(value, f"{field}.{number}")
    elif isinstance(node, str) and "${" in _TAKEN.sub("", node):
        raise SettingsError(f"{field}={node}: cannot be told before the run; write the value")


def _require_option(field: str, value: Any, group: str, options: dict[str, str], otherwise: str = "") -> None:
    if value not in options.values():
        raise SettingsError(f"{field}={value}: is not in the registry; choose {group}={', '.join(options)}{otherwise}")
