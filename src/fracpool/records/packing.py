"""Packing the finished runs of a results folder into one file, and unpacking them again, without loss.

Whatever happens on the way, each run is there at every moment: in its folder, in the packed file, or in both.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fracpool.records.files import StorageError, read_inside, refuse_links, write_durably, write_inside
from fracpool.records.packed import PACKED_FILE, PackedError, PackedRuns, pack
from fracpool.records.record import LIMITS, MAX_JSON_BYTES, RECORD_FILE, RecordError, read_record
from fracpool.records.store import Store

Files = dict[str, bytes]  # of a run, by name


@dataclass(frozen=True)
class Moved:
    """How many runs moved, how many are packed now, and a line for each that stays where it is."""

    moved: int
    packed: int
    left: list[str]


def pack_runs(store: Store) -> Moved:
    """Moves every run that has its folder, and can be used, into the packed file.

    Raises:
        PackedError: the packed file that is there cannot be used; nothing was changed.
        StorageError: a file cannot be written; nothing is lost.
    """
    whole = _unpacked(store.packed())
    found: dict[str, Files] = {}
    left = []
    for folder in store.entries("runs"):
        if folder.name.startswith("."):
            continue
        try:
            found[folder.name] = _files_of(store, folder.name)
        except (RecordError, OSError) as error:
            left.append(str(error))
    whole |= found
    if found:
        with _writing(store):
            write_inside(store.root, store.root / PACKED_FILE, pack(whole.items()))
        _compare(store.packed(), found)
        for run_id in found:
            shutil.rmtree(store.folder(run_id), ignore_errors=True)
    return Moved(len(found), len(whole), left)


def unpack_runs(store: Store) -> Moved:
    """Gives every packed run its folder again, and throws the packed file away; raises as `pack_runs` does."""
    packed = _unpacked(store.packed())
    older = {run_id for run_id in packed if os.path.lexists(store.folder(run_id))}
    with _writing(store):
        for run_id in packed.keys() - older:
            _write_folder(store, run_id, packed[run_id])
        if packed:
            (store.root / PACKED_FILE).unlink()
    return Moved(len(packed) - len(older), 0, [])


def _unpacked(packed: PackedRuns | None) -> dict[str, Files]:
    found: dict[str, Files] = {}
    for name in (RECORD_FILE, *LIMITS):  # a column after the other, each read once
        for run_id in packed.ids if packed else ():
            content = packed.file(run_id, name) if packed else None
            if content is not None:
                found.setdefault(run_id, {})[name] = content
    return found


def _files_of(store: Store, run_id: str) -> Files:
    """The files of a run that can be used, as they are; RecordError or OSError for any other."""
    folder = store.folder(run_id)
    record = read_record(folder, verify_files=True)
    limits = {RECORD_FILE: MAX_JSON_BYTES, **{name: LIMITS[name] for name in record.data["files"]}}
    return {name: read_inside(store.root, folder / name, limit) for name, limit in limits.items()}


def _compare(packed: PackedRuns | None, expected: Mapping[str, Files]) -> None:
    """Before a folder goes, what was packed is read again."""
    found = _unpacked(packed)
    for run_id, files in expected.items():
        if found.get(run_id) != files:
            raise PackedError(
                f"{PACKED_FILE}: run {run_id} differs from its folder; no folder was taken away, pack again"
            )


def _write_folder(store: Store, run_id: str, files: Files) -> None:
    """A run's folder, whole or not at all."""
    new = store.unfinished(run_id) / f"unpacked.{os.getpid()}"
    for place in (store.unfinished(run_id), store.runs):
        refuse_links(store.root, place)
        place.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, content in files.items():
        write_durably(new / name, content)
    os.rename(new, store.folder(run_id))
    store.forget_unfinished(run_id)
    with suppress(OSError):  # it is not empty: other runs are unfinished
        store.unfinished(run_id).parent.rmdir()


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError.about(store.root / PACKED_FILE, error) from error
