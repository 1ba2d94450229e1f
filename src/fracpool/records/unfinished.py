"""The file of an unfinished run: the arrays of its state; and its run, its maker and its learning curve.

Keras' BackupAndRestore keeps weights and epoch in two files and no history; here all stands in one .npz, replaced in
one step and never pickled, so that a kill at any moment leaves either the old or the new.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracpool.records import plain_json
from fracpool.records.arrays import read_arrays
from fracpool.records.files import StorageError, open_inside, write_inside
from fracpool.records.record import HISTORY_COLUMNS

FILE = "checkpoint.npz"
ABOUT = "about"  # the array whose bytes are JSON: {run, maker, history}
MAX_BYTES = 2**31 - 1  # zip has another format beyond
MAX_ABOUT_BYTES = 2**24
History = list[dict[str, float]]


class Unusable(Exception):
    """A checkpoint that is not there, or is damaged."""


def save(folder: Path, values: Sequence[np.ndarray], maker: Mapping[str, str], history: History) -> None:
    """Keeps the state of the run that the folder is named after; StorageError where that cannot be written."""
    arrays = {f"v{i}": value for i, value in enumerate(values)}
    about = {"run": folder.name, "maker": maker, "history": history}
    arrays[ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    path = folder / FILE
    try:
        write_inside(folder.parents[1], path, lambda file: np.savez(file, **arrays), durably=False)  # type: ignore[arg-type]
    except OSError as error:
        raise StorageError.about(path, error) from error


def read(folder: Path, maker: Mapping[str, str], size: int) -> tuple[list[np.ndarray], History]:
    """The state, of `size` bytes, and the learning curve so far; nothing when there is none to use: one that is
    damaged, larger, of another run or another maker costs the epochs it held, not the run."""
    try:
        about, arrays = _read(folder, size + MAX_ABOUT_BYTES)
        whole = all(set(row) == set(HISTORY_COLUMNS) for row in about["history"])
        if (about["run"], about["maker"]) != (folder.name, maker) or not whole:
            return [], []
        return [arrays[f"v{i}"] for i in range(len(arrays))], list(about["history"])
    except (Unusable, LookupError):
        return [], []


def history(folder: Path) -> History:
    """The learning curve so far, whoever made it; [] when there is no checkpoint."""
    try:
        return list(_read(folder, MAX_ABOUT_BYTES, [ABOUT])[0]["history"])
    except Unusable:
        return []


def _read(folder: Path, limit: int, wanted: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a checkpoint says of itself, and its arrays, or the `wanted` ones of them, if they take no more bytes."""
    try:
        with open_inside(folder.parents[1], folder / FILE, MAX_BYTES) as file:
            found = read_arrays(file, limit, wanted)
        about = plain_json.parse(found.pop(ABOUT).tobytes(), finite=False)
        numbers = (value for row in about["history"] for value in row.values())
        if not all(isinstance(value, int | float) for value in numbers):
            raise ValueError("a learning curve holds numbers")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unusable(str(error)) from None
    return about, found
