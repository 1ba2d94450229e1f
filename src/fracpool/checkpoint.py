"""The checkpoint of a run: one file per run, replaced in one step after each epoch, never pickled.

Keras' BackupAndRestore keeps weights and epoch in two files and no history; here weights, optimizer, random
streams and learning curve stand in one .npz, so that a kill at any moment leaves either the old or the new.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fracpool.records import StorageError

if TYPE_CHECKING:
    import keras

FILE = "checkpoint.npz"


def save(folder: Path, model: keras.Model, history: list[dict[str, float]]) -> None:
    from fracpool.models import state_variables

    arrays = {f"v{i}": np.asarray(v.numpy()) for i, v in enumerate(state_variables(model))}
    arrays["history"] = np.frombuffer(json.dumps(history).encode(), np.uint8)
    hidden = folder / f".{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(hidden, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(hidden, folder / FILE)
    except OSError as error:
        raise StorageError.about(folder / FILE, error) from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


def restore(folder: Path, model: keras.Model) -> list[dict[str, float]]:
    """Sets the model to its checkpoint and returns the history so far; [] when there is none to use."""
    from fracpool.models import state_variables

    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            history = json.loads(arrays["history"].tobytes())
            values = [arrays[f"v{i}"] for i in range(len(arrays.files) - 1)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError):
        return []  # a damaged checkpoint costs the epochs it held, not the run
    variables = state_variables(model)
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        return []
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return history


def history(folder: Path) -> list[dict[str, float]]:
    """The learning curve so far, without the model; [] when there is no checkpoint."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return list(json.loads(arrays["history"].tobytes()))
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError):
        return []


def discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
