"""Whether the report of a folder is still the one that would be written: then a sweep leaves it as it is.

A report is made of the folder's records and sweeps, of fracpool and the libraries beside it, and of what the
experiments' files say by now. The hash of all that, and of the files that were written, is noted in the user's cache
folder: not in the results folder, which may come from a stranger, whose pages would then pass for ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fracpool.records.cache_folder import cache_folder
from fracpool.records.content import content_hash
from fracpool.records.files import write_file
from fracpool.records.store import Store
from fracpool.table.source import source_of

WRITTEN = (
    "report.html",
    "report.md",
    "summary.md",
    "runs.csv",
    "runs.parquet",
    "summary.csv",
    "findings.json",
    "figures",
)
MOST_NOTE_BYTES = 10**6


def made_of(root: Path) -> str | None:
    """A hash of all that the folder's report is made of; None where that cannot be told."""
    results = content_hash(root)
    try:
        sources = [source_of(sweep) for sweep in Store(root).read_sweeps()[0].values()]
    except (AttributeError, KeyError, TypeError):  # no sweep file, which the report says
        return None
    if results is None:
        return None
    edited = [source is not None and source.is_edited() for source in sources]
    parts = [results, _code(), sys.version, _libraries(), edited]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def note(root: Path, made: str | None, said: Mapping[str, Any]) -> None:
    """Notes what the report that was just written is made of, and what it `said`; where nothing can be written there
    is no note, and no complaint."""
    place = _place(root)
    if place is None or made is None:
        return
    told = {"folder": str(root.resolve()), "made_of": made, "written": content_hash(root, WRITTEN), "said": dict(said)}
    with contextlib.suppress(OSError):
        _forget_folders_that_are_gone(place.parent)
        write_file(place, json.dumps(told))


def unchanged(root: Path) -> dict[str, Any] | None:
    """What the folder's report said when it was written, if writing it again would change nothing."""
    place = _place(root)
    if place is None:
        return None
    told = _read(place)
    if told.get("written") is None or told["written"] != content_hash(root, WRITTEN):
        return None
    return told["said"] if told.get("made_of") == made_of(root) else None


def _code() -> list[tuple[str, str]]:
    """All files of fracpool, and their hashes."""
    package = Path(__file__).parents[1]
    files = (path for path in sorted(package.rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return [(path.relative_to(package).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def _libraries() -> list[str]:
    """All that is installed, by the names of its folders, which have its version."""
    found = []
    for folder in sys.path:
        with contextlib.suppress(OSError):
            found += [name for name in os.listdir(folder or ".") if name.endswith((".dist-info", ".egg-info"))]
    return sorted(found)


def _place(root: Path) -> Path | None:
    users = cache_folder()
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:32]
    return None if users is None else users / "reports" / f"{name}.json"


def _read(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_bytes()) if place.stat().st_size <= MOST_NOTE_BYTES else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _forget_folders_that_are_gone(notes: Path) -> None:
    for place in notes.glob("*.json"):
        if not Path(_read(place).get("folder", "")).is_dir():
            place.unlink(missing_ok=True)
