"""The mean of several predictions, each over regions drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from fracpool.pooling import arguments
from fracpool.pooling.fractional import FractionalPooling
from fracpool.pooling.stream import Draws


def average_predictions(
    model: keras.Model,
    x: Any,
    repeats: int = 12,
    batch_size: int | None = None,
    *,
    seed: int | None = None,
    verbose: str | int = "auto",
) -> Any:
    """The mean of the outputs of `repeats` passes, each over regions drawn anew (Graham 2014, section 4).

    Layers with `inference="even"` draw here too, and are even again afterwards.

    Args:
        model: A Keras model with a pool that draws.
        x: What `model.predict` takes.
        repeats: Passes, at least 1.
        batch_size: As `model.predict` has it.
        seed: None goes on with the layers' streams, so that a second call draws other regions. With a whole number the
            call gives the same each time, and the streams are afterwards as before.
        verbose: "auto" or 1 shows a progress bar over the passes, 0 does not.

    Returns:
        numpy array, or a structure of them as the model's outputs are; float32, or float64 where an output is.

    Raises:
        ValueError: an argument is out of its range, or no layer of the model draws.
    """
    repeats, seed = arguments.whole(repeats, "repeats"), arguments.seed(seed)
    layers = [layer for layer in _all_layers(model) if isinstance(layer, Draws)]
    if not layers:
        raise ValueError(f"model={model.name!r}: must have a layer that draws, such as FractionalMaxPooling2D")
    shown = keras.utils.Progbar(repeats, unit_name="pass", verbose=int(verbose != 0))
    total = None
    with _drawing(model, layers), _streams_of(layers, seed):
        for number in range(repeats):
            outputs = keras.tree.map_structure(_wide, model.predict(x, batch_size=batch_size, verbose=0))
            total = outputs if total is None else keras.tree.map_structure(np.add, total, outputs)
            shown.update(number + 1)
    return keras.tree.map_structure(lambda output: output / output.dtype.type(repeats), total)


def _wide(output: Any) -> np.ndarray:
    """Summed in float32 at least."""
    array = np.asarray(output)
    return array.astype(np.result_type(array.dtype, np.float32))


def _all_layers(model: Any) -> list[keras.layers.Layer]:
    return list(model._flatten_layers(include_self=False))


@contextmanager
def _drawing(model: keras.Model, layers: list[Any]) -> Iterator[None]:
    """Layers that are even in inference draw; what was compiled is compiled anew, now and afterwards."""
    even = [layer for layer in layers if isinstance(layer, FractionalPooling) and layer.inference == "even"]
    still = [layer for layer in layers if getattr(layer, "sample_at_test", True) is False]
    if not (even or still):
        yield
        return
    try:
        for layer in even:
            layer.inference = "drawn"
        for layer in still:
            layer.sample_at_test = True
        model.predict_function = None
        yield
    finally:
        for layer in even:
            layer.inference = "even"
        for layer in still:
            layer.sample_at_test = False
        model.predict_function = None


@contextmanager
def _streams_of(layers: list[Any], seed: int | None) -> Iterator[None]:
    """With a seed the streams of inference start at states that follow from it, and are afterwards as before."""
    if seed is None:
        yield
        return
    streams = [layer.inference_generator.state for layer in layers]
    before = [np.array(keras.ops.convert_to_numpy(stream)) for stream in streams]
    starts = np.random.SeedSequence(abs(seed)).generate_state(len(streams)) >> 1
    try:
        for stream, start in zip(streams, starts, strict=True):
            stream.assign([int(start), 0])
        yield
    finally:
        for stream, state in zip(streams, before, strict=True):
            stream.assign(state)
