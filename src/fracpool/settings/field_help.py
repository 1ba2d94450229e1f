"""What `python -m fracpool.train --help` says of each field: its value, and the comment that its config file gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from fracpool.settings import config_files
from fracpool.settings.config_files import override_value

COMMENTED = re.compile(r"^(?P<field>\w+):.*?\s#\s(?P<comment>.+)$")
COLUMN = 32


def register() -> None:
    """Makes `${fracpool.fields:}` known to configs/train.yaml, whose help template has it."""
    if not OmegaConf.has_resolver("fracpool.fields"):
        OmegaConf.register_new_resolver("fracpool.fields", lambda *, _root_: fields(_root_, config_files.configs()))


def fields(config: DictConfig, folder: Path) -> str:
    """The fields of a composed config, a line each, with the comments of the files in `folder` (configs/)."""
    plain = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    values = cast(dict[str, Any], OmegaConf.to_container(plain))
    return "\n".join(_lines(values, folder)).replace("$", "$$")  # Hydra puts this into a template of its own


def _lines(values: dict[str, object], folder: Path) -> list[str]:
    comments = _comments([folder / "train.yaml"])
    lines = []
    for name, value in values.items():
        if name == "experiment":
            continue  # it comes as a file: +experiment=NAME
        if not isinstance(value, dict):
            lines.append(_line(name, value, comments))
            continue
        of_group = _comments(sorted((folder / name).glob("*.yaml")))
        lines += [f"{name}:", *(_line(f"  {field}", each, of_group) for field, each in value.items())]
    return lines


def _line(name: str, value: object, comments: dict[str, str]) -> str:
    shown = f"{name}: {override_value(value)}"
    comment = comments.get(name.strip())
    return f"{shown:{COLUMN}}  {comment}" if comment else shown


def _comments(files: list[Path]) -> dict[str, str]:
    """By field, the comment behind it; where several files have one, that of the file that comments most."""
    matches = ((COMMENTED.match(line) for line in file.read_text(encoding="utf-8").splitlines()) for file in files)
    commented = [{match["field"]: match["comment"] for match in found if match} for found in matches]
    return dict(item for comments in sorted(commented, key=len) for item in comments.items())
