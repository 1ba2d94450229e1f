"""The parts of a run record that do not depend on what the run computes."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fracpool.records import environment
from fracpool.records.cache_folder import cache_folder
from fracpool.records.files import write_file
from fracpool.records.plain_text import text
from fracpool.records.record import Record
from fracpool.settings import identity
from fracpool.settings.architecture import Network
from fracpool.settings.names import label
from fracpool.settings.overrides import overrides
from fracpool.settings.schema import Settings
from fracpool.settings.source_code import code
from fracpool.training import devices

COMPUTING_FOLDERS = ("pooling", "settings", "training")


def describe(settings: Settings, run_id: str, network: Network) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "variant_id": identity.variant_id(settings),
        "label": label(settings),
        "seed": settings.seed,
        "config": identity.config(settings),
        "geometry": network.as_record(),
        "environment": environment.describe(devices.threads_in_use()),
        "code_fingerprint": code_fingerprint(),
        "results_version": identity.RESULTS_VERSION,
        "command": environment.command(overrides(settings)),
    }


def maker() -> dict[str, str]:
    """What computes the results of this process: records and checkpoints of another are told apart."""
    return _maker(code_fingerprint(), environment.packages())


def maker_of(record: Record) -> dict[str, str]:
    """The same of a record."""
    packages = record.data.get("environment")
    return _maker(record.data.get("code_fingerprint"), packages if isinstance(packages, dict) else {})


def _maker(code: Any, packages: Mapping[str, Any]) -> dict[str, str]:
    told = {"code": code, **{name: packages.get(name) for name in ("fracpool", "tensorflow", "keras", "numpy")}}
    return {name: text(value) for name, value in told.items()}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Hash of the folders that compute results, blind to comments, docstrings and layout.

    Parsing them takes a third of a second, so it is noted, in the user's cache folder, of which bytes it is.
    """
    package = Path(__file__).parents[1]
    files = [file for folder in COMPUTING_FOLDERS for file in sorted((package / folder).rglob("*.py"))]
    named = [(file.relative_to(package).as_posix(), file) for file in files]
    content = _hash(f"{name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for name, file in named)
    users = cache_folder()
    noted = users / "code_fingerprint.txt" if users else None
    known = _noted(noted, content)
    if known is not None:
        return known
    found = _hash(f"{name}\n{code(file)}\n" for name, file in named)[:16]
    if noted is not None:
        with contextlib.suppress(OSError):
            write_file(noted, f"{content} {found}")
    return found


def _noted(file: Path | None, content: str) -> str | None:
    """The fingerprint that is noted for code of this content."""
    try:
        words = file.read_text(encoding="ascii").split() if file else []
    except (OSError, ValueError):
        return None
    return words[1] if len(words) == 2 and words[0] == content else None


def _hash(lines: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode())
    return whole.hexdigest()
