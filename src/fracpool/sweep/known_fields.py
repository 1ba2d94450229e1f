"""Which fields a composed config may have: those of the schema, and Hydra's own where fracpool can mean them.

Hydra refuses a name that it does not know, but not behind a plus sign, which adds what is not there: so a typo there
would be read by nobody. What has no schema (`pool.arguments`, findings, handlers of logs) holds what one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import cast

from omegaconf import DictConfig, OmegaConf

from fracpool.settings.refusal import SettingsError, nearest, nearest_setting, require
from fracpool.sweep.hydra_errors import names

BESIDE_THE_SCHEMA = {"hydra", "hydra.env"}  # which Hydra itself adds
SWEEP_DIR = "${results_dir}/${profile}"


def check(config: DictConfig) -> None:
    """Raises SettingsError for the first field that is read by nobody, with the nearest name that is."""
    _check_folders(config.hydra)
    for field, known in _unknown(config, ""):
        group, _, name = field.rpartition(".")
        hint = nearest(name, known) if field.startswith("hydra.") else nearest_setting(field, names())
        raise SettingsError(f"{field}: no such setting{f' of {group}' if group else ''}; {hint}")


def _check_folders(hydra: DictConfig) -> None:
    """Of Hydra's own: what would have runs read or write elsewhere than fracpool looks."""
    sweep_dir = cast(dict[str, str], OmegaConf.to_container(hydra.sweep, resolve=False))["dir"]
    require(sweep_dir == SWEEP_DIR, "hydra.sweep.dir", sweep_dir, f"{SWEEP_DIR}; choose the folder with results_dir")
    allowed = "false: runs find modules and data from the working directory, and write nothing but their records"
    require(not hydra.job.chdir, "hydra.job.chdir", hydra.job.chdir, allowed)


def _unknown(node: DictConfig, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Fields that are not in the schema of their group, and those that are."""
    schema = OmegaConf.get_type(node)
    known = [item.name for item in fields(schema)] if is_dataclass(schema) else None
    for key in map(str, node):
        field = f"{prefix}{key}"
        if known is not None and key not in known and field not in BESIDE_THE_SCHEMA:
            yield field, known
        elif OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        elif isinstance(node[key], DictConfig):
            yield from _unknown(node[key], f"{field}.")
