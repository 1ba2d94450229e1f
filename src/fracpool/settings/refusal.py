"""Settings that are refused: one line that names the field, its value, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class SettingsError(ValueError):
    """Settings that cannot be run. The text is one line: field=value, what is allowed, what to do."""


class ImpossibleNetwork(SettingsError):
    """Settings that are valid each, but whose network cannot be built: a sweep leaves the point out."""


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise SettingsError(f"{name}={value}: must be {allowed}")


def one_of(names: Any) -> str:
    return "one of " + ", ".join(names)


def nearest(name: str, known: Sequence[str]) -> str:
    """ "did you mean fmp? (average, fmp, max)" """
    listed = ", ".join(known[:40]) + (", …" if len(known) > 40 else "")
    close = closest(name, known)
    return f"did you mean {close}? ({listed})" if close else f"choose one of {listed}"


def nearest_setting(name: str, known: Sequence[str]) -> str:
    """The same for a setting, of which there are too many to list."""
    close = closest(name, known)
    return f"{f'did you mean {close}? ' if close else ''}`python -m fracpool.train --help` lists all"


def closest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), None)


def is_name(text: str) -> bool:
    """Whether it can be part of a path: letters, digits, _ and -, at most 100."""
    return text.replace("-", "").replace("_", "").isalnum() and len(text) <= 100


def expanded(field: str, path: str) -> Path:
    """The folder that a setting names, where ~ is the home of the user and ~name that of another."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{field}={path}: there is no such home folder; write the whole path") from None
