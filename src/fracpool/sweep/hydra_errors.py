"""Bad input as one line that names the field, its value, what is allowed and the nearest valid name."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from fracpool.records.files import StorageError
from fracpool.settings.refusal import SettingsError, nearest, nearest_setting
from fracpool.settings.schema import Settings

SEARCHING = "; Optuna and others search from Python: docs/tuning.md"
KINDS = {
    "Integer": "a whole number",
    "Float": "a number",
    "Boolean": "true or false",
    "String": "a text",
    "dict": "a group of fields",
    "list": "a list such as [32,64]",
}


def one_line(error: BaseException) -> str | None:
    """The line for an error that the user's input caused; None for any other error."""
    match error:
        case SettingsError() | StorageError():
            return str(error)
        case OSError() if error.strerror:  # what a run raises is in its record: this came of its surroundings
            return f"{error.filename or 'a file'}: {error.strerror}; mend it and run the command again"
        case MissingConfigException() if error.missing_cfg_file and error.options is not None:
            group, _, name = error.missing_cfg_file.rpartition("/")
            hint = SEARCHING if group == "hydra/sweeper" else ""
            return f"{group}={name}: no such option; {nearest(name, error.options)}{hint}"
        case OverrideParseException():
            return f"{error.override}: cannot be read; write FIELD=VALUE or GROUP=OPTION, and quote spaces and brackets"
        case ConfigCompositionException() if isinstance(error.__cause__, OmegaConfBaseException):
            return _about_value(error, error.__cause__)
        case HydraException() | OmegaConfBaseException():
            return _about_hydra(error)
        case ValueError() if str(error).startswith("Only one of --run"):  # Hydra's
            return f"{error}; leave out -m (--multirun) to see one config"
    return None


def names() -> list[str]:
    """All fields that an override can set, and all groups."""
    return _fields(Settings, "")


def _fields(kind: Any, prefix: str) -> list[str]:
    found = []
    default = kind()
    for item in fields(kind):
        value = getattr(default, item.name)
        found.append(prefix + item.name)
        if is_dataclass(value) and item.name != "experiment":
            found += _fields(type(value), f"{prefix}{item.name}.")
    return found


def _about_value(error: Exception, cause: OmegaConfBaseException) -> str:
    """Hydra's errors while an override is applied: no such field, or a value of the wrong type."""
    override = _after(str(error), r"Error merging override (.*)")
    if override is not None:
        value = _after(str(cause), r"could not be converted to (\w+)")
        if value is not None:
            return f"{override}: must be {KINDS.get(value, value)}"
        if "not a valid bool" in str(cause):
            return f"{override}: must be {KINDS['Boolean']}"
        return f"{override}: {str(cause).splitlines()[0]}"
    return _about_hydra(error)


def _about_hydra(error: BaseException) -> str:
    text = str(error)
    field = _after(text, r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'")
    if field == "experiment":
        return "experiment: write +experiment=NAME, with the plus sign"
    if field is not None and field not in names():
        return f"{field}: no such setting; {nearest_setting(field, names())}"
    chosen_twice = re.search(r"Multiple values for \S+ To override a value use 'override (\S+): (\S+)'", text)
    if chosen_twice is not None:
        group, option = chosen_twice.groups()
        return f"+{group}={option}: {group} has an option already; write {group}={option}, without the plus sign"
    ambiguous = _after(text, r"Ambiguous value for argument '([^']+)'")
    if ambiguous is not None:
        return f"{ambiguous}: several values need -m (a sweep); write [a,b] if the field is a list"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:500]


def _after(text: str, pattern: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None
