"""What a config may have made: Hydra makes whatever class a config names, so the names that may stand there are here.

A config comes from whoever wrote it: a file of --config-dir, a word on the command line. All of Hydra's ways (runs,
sweeps, the workers of a launcher, --help) get it from the loader below, before anything that it names is made.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from fracpool.settings.refusal import SettingsError
from fracpool.sweep import known_fields, launchers

LAUNCHERS = {needs.option: target for target, needs in launchers.LAUNCHERS.items()}
SWEEPERS = {"fracpool": "hydra_plugins.fracpool_sweeper.FracpoolSweeper"}
CALLBACKS = ("fracpool.report.after_sweep.WriteReport",)
HANDLERS = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
MAKING = ("launcher", "sweeper", "callbacks", "hydra_logging", "job_logging")  # parts of `hydra` that name classes
DEEPEST = 20
_CALLS_OR_NESTS = re.compile(r"\$\{[^}]*[:$]")  # ${oc.decode:…} and ${a.${b}}, unlike ${a.b}


class RegisteredOnly(ConfigLoaderImpl):
    """Hydra's loader of configs, which hands out none that names a class from outside the registry or has a field that
    nothing reads."""

    def load_configuration(self, config_name: str | None, *arguments: Any, **options: Any) -> DictConfig:
        config = super().load_configuration(config_name, *arguments, **options)
        if config_name is None:  # --hydra-help, which shows Hydra as it is without an application
            config.hydra.sweeper = {"_target_": SWEEPERS["fracpool"]}
        check(config)
        if config_name is not None:
            known_fields.check(config)
        return config


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
        yield
    finally:
        hydra._internal.hydra.ConfigLoaderImpl = before  # type: ignore[misc]


def _refuse(message: str) -> NoReturn:
    raise SettingsError(f"{message}; write options such as --config-dir DIR before FIELD=VALUE and GROUP=OPTION")


def check(config: DictConfig) -> None:
    """Raises SettingsError for the first name in a composed config that Hydra is not to make or to import."""
    for part in MAKING:
        if config.hydra.get(part) is not None:
            for field, value in _entries(config.hydra[part], f"hydra.{part}"):
                _check_entry(field, value)
    job = config.hydra.job
    for name in set(job.env_set) - set(job.env_copy):
        raise SettingsError(
            f"hydra.job.env_set.{name}: would change what runs without changing their ids; set it in the shell"
        )


def _check_entry(field: str, value: Any) -> None:
    key = field.rpartition(".")[2]
    logging = field.startswith(("hydra.hydra_logging.", "hydra.job_logging."))
    if field == "hydra.launcher._target_":
        _require_option(field, value, "hydra/launcher", LAUNCHERS)
    elif field == "hydra.sweeper._target_":
        _require_option(field, value, "hydra/sweeper", SWEEPERS)
    elif field.startswith("hydra.callbacks.") and key == "_target_" and value in CALLBACKS:
        pass
    elif key == "_target_" or (logging and key == "()"):
        raise SettingsError(f"{field}={value}: no class or function can be named here; leave it out")
    elif logging and key == "class" and value not in HANDLERS:
        raise SettingsError(f"{field}={value}: must be one of {', '.join(HANDLERS)}")
    elif logging and isinstance(value, str) and "://" in value and value not in STREAMS:
        raise SettingsError(f"{field}={value}: must be {' or '.join(STREAMS)}")


def _require_option(field: str, value: Any, group: str, options: dict[str, str]) -> None:
    if value not in options.values():
        raise SettingsError(f"{field}={value}: is not in the registry; choose {group}={', '.join(options)}")


def _entries(node: Any, field: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(field, value) of everything in a part of a config, resolved as Hydra will resolve it."""
    if not isinstance(node, DictConfig | ListConfig):
        yield field, node
        return
    if depth > DEEPEST:
        raise SettingsError(f"{field}: is nested more than {DEEPEST} deep; make it flat")
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        place = f"{field}.{key}"
        try:
            value = node[key]
        except (MissingMandatoryValue, InterpolationToMissingValueError):  # such as a run's folder, known later
            raw = str(cast(Any, OmegaConf.to_container(node, resolve=False))[key])
            if _CALLS_OR_NESTS.search(raw):
                raise SettingsError(f"{place}={raw}: cannot be told before the run; write the value") from None
            continue
        except OmegaConfBaseException as error:
            raise SettingsError(f"{place}: {str(error).splitlines()[0]}") from None
        yield from _entries(value, place, depth + 1)
