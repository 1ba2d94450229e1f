"""The checkpoint of a run: one file per run, replaced in one step after each epoch, never pickled.

Keras' BackupAndRestore keeps weights and epoch in two files and no history; here weights, optimizer, random
streams and learning curve stand in one .npz, so that a kill at any moment leaves either the old or the new.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fracpool.records.files import StorageError
from fracpool.records.unfinished import FILE
from fracpool.training.provenance import maker

if TYPE_CHECKING:
    import keras


def save(folder: Path, model: keras.Model, history: list[dict[str, float]]) -> None:
    arrays = {f"v{i}": value for i, value in enumerate(_values(model))}
    about = {"run": folder.name, "maker": maker(), "history": history}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
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
    """Sets the model to its checkpoint and returns the history so far; [] when there is none to use.

    A checkpoint that is damaged, of another run, or made by other code or another TensorFlow costs the epochs it
    held, not the run.
    """
    from fracpool.training.state import random_streams, set_stream, state_variables

    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            if (about["run"], about["maker"]) != (folder.name, maker()):
                return []
            history = list(about["history"])
            values = [arrays[f"v{i}"] for i in range(len(arrays.files) - 1)]
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, OSError, EOFError):
        return []
    variables = state_variables(model)
    if [(v.shape, v.dtype) for v in _values(model)] != [(v.shape, v.dtype) for v in values]:
        return []
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for stream in random_streams(model).values():  # what is kept is the first replica's
        set_stream(stream, stream.numpy())
    return history


def _values(model: keras.Model) -> list[np.ndarray]:
    from fracpool.training.state import state_variables

    return [np.asarray(variable.numpy()) for variable in state_variables(model)]
