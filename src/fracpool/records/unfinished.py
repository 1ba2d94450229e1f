"""The file of an unfinished run: the arrays of its state; and its run, its maker and its learning curve.

Keras' BackupAndRestore keeps weights and epoch in two files and no history; here all stands in one .npz, replaced in
one step and never pickled, so that a kill at any moment leaves either the old or the new.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fracpool.records.files import StorageError, write_file

FILE = "checkpoint.npz"
History = list[dict[str, float]]


def save(folder: Path, values: Sequence[np.ndarray], maker: Mapping[str, str], history: History) -> None:
    """Keeps the state of the run that the folder is named after; StorageError where that cannot be written."""
    arrays = {f"v{i}": value for i, value in enumerate(values)}
    about = {"run": folder.name, "maker": maker, "history": history}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    try:
        write_file(folder / FILE, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    except OSError as error:
        raise StorageError.about(folder / FILE, error) from error


def read(folder: Path, maker: Mapping[str, str]) -> tuple[list[np.ndarray], History]:
    """The state and the learning curve so far; nothing when there is none to use: one that is damaged, of another run
    or another maker costs the epochs it held, not the run."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            if (about["run"], about["maker"]) != (folder.name, maker):
                return [], []
            return [arrays[f"v{i}"] for i in range(len(arrays.files) - 1)], list(about["history"])
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, OSError, EOFError):
        return [], []


def history(folder: Path) -> History:
    """The learning curve so far, whoever made it; [] when there is no checkpoint."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return list(json.loads(arrays["about"].tobytes())["history"])
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, OSError, EOFError):
        return []
