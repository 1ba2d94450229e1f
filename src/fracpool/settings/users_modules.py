"""What a user brings along: a layer or a function that a config names by its dotted path, `module.name`.

The module lies in the directory that the command was started in. No other can be named, so that a config from elsewhere
reaches no function of Python or of an installed package; a module of one line can lend a name to what is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fracpool.settings import quiet_import
from fracpool.settings.refusal import SettingsError

_started: Path | None = None


@contextmanager
def started_here() -> Iterator[None]:
    """Within, modules are those of the working directory as it is now, wherever the process goes from here."""
    global _started
    _started = Path.cwd()
    try:
        yield
    finally:
        _started = None


def _directory() -> Path:
    """Where modules may lie. A launcher's worker is started there, too."""
    return _started or Path.cwd()


def load(field: str, path: str) -> Any:
    """The object that `field` names; SettingsError if it cannot be had."""
    source(field, path)
    module, _, name = path.rpartition(".")
    try:
        return getattr(quiet_import.load(module), name)
    except AttributeError:
        raise SettingsError(f"{field}={path}: the module {module} has no {name}") from None
    except Exception as error:  # whatever a user's module raises
        raise SettingsError(
            f"{field}={path}: {module} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from error


def source(field: str, path: str) -> Path:
    """The file of the module that `field` names, found without importing it (its package, if it lies in one, is)."""
    if str(_directory()) not in sys.path:
        sys.path.append(str(_directory()))
    module = path.rpartition(".")[0]
    file = _file(module) if _file(module.partition(".")[0]) else None
    if file is None:
        raise SettingsError(
            f"{field}={path}: must be module.name of a module in the working directory, such as my_pooling.MyPooling2D"
        )
    return file


def _file(module: str) -> Path | None:
    """Of a module in the working directory; None for any other."""
    try:
        found = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):
        return None
    if found is None or not found.has_location or found.origin is None:
        return None
    file = Path(found.origin).resolve()
    installed = file.is_relative_to(Path(sys.prefix).resolve())  # a .venv may lie in the working directory
    return file if file.is_relative_to(_directory().resolve()) and not installed else None
