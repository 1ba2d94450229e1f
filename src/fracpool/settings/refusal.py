"""Settings that are refused: one line that names the field, its value, what is allowed and what to do."""

from __future__ import annotations

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


def is_name(text: str) -> bool:
    """Whether it can be part of a path: letters, digits, _ and -, at most 100."""
    return text.replace("-", "").replace("_", "").isalnum() and len(text) <= 100
