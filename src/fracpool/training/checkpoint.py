"""The checkpoint of a run: weights, optimizer slots, random streams and learning curve, kept after each epoch."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from fracpool.records import unfinished
from fracpool.records.unfinished import History
from fracpool.training.provenance import maker
from fracpool.training.state import random_streams, set_stream, state_variables


def save(folder: Path, model: keras.Model, history: History) -> None:
    unfinished.save(folder, _values(model), maker(), history)


def restore(folder: Path, model: keras.Model) -> History:
    """Sets the model to its checkpoint and returns the history so far; [] when there is none to use."""
    own = _values(model)
    values, history = unfinished.read(folder, maker(), sum(value.nbytes for value in own))
    if [(v.shape, v.dtype) for v in own] != [(v.shape, v.dtype) for v in values]:
        return []
    for variable, value in zip(state_variables(model), values, strict=True):
        variable.assign(value)
    for stream in random_streams(model).values():  # what is kept is the first replica's
        set_stream(stream, stream.state.numpy())
    return history


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable.numpy()) for variable in state_variables(model)]
