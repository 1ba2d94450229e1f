"""The files of `configs/`: where they lie, in the checkout or in the installed package, and what they hold."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parent.parent
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*", re.ASCII)


def configs() -> Path:
    """configs/, whose folder `experiment` is the checkout's experiments/."""
    in_checkout = _CHECKOUT / "configs"
    return in_checkout if (_CHECKOUT / "pyproject.toml").is_file() and in_checkout.is_dir() else _PACKAGE / "configs"


def option(group: str, name: str, kind: type) -> tuple[bool, dict[str, Any]]:
    """Whether configs/ has the option, and its values (the schema's where it has none)."""
    values: dict[str, Any] = asdict(kind())
    file = configs() / group / f"{name}.yaml"
    if not file.is_file():
        return False, values
    own = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    for base in own.pop("defaults", []):
        values |= option(group, base, kind)[1]
    return True, values | own


def override_value(value: Any) -> str:
    """A value as an override has it: null, true, [32,64]."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")


def quoted(value: str) -> str:
    """A text as an override has it: in quotes, if Hydra would take it for something else without."""
    if _PLAIN.fullmatch(value) and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
