"""Initial values of the user's own layers: what their initializers say, drawn from (seed, layer, weight)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any
from unittest.mock import patch

import keras
import numpy as np


def start_as_made(layer: keras.Layer, make: Callable[[], keras.Layer], seed: int) -> None:
    """Gives a layer the weights of a new one, each drawn from (seed, the layer's name, where the layer keeps it) alone.

    A weight that is added to the layer therefore leaves the others as they were. An initializer with a seed of its own
    keeps it. What is no initializer, as an array that `build` computes, is drawn from (seed, the layer's name).
    """
    if not layer.weights:
        return
    keras.utils.set_random_seed(_seed(seed, layer.name))
    with _remembered_initializers() as initializers:
        new = make()
        new(keras.Input(batch_shape=layer.input.shape))
    places = _places(new)
    for number, variable in enumerate(new.weights):
        initializer = initializers.get(id(variable))
        if callable(initializer):
            place = places.get(id(variable), str(number))
            variable.assign(_drawn(initializer, variable, _seed(seed, layer.name, place)))
    layer.set_weights(new.get_weights())


def _seed(seed: int, *names: str) -> int:
    words = [zlib.crc32(name.encode()) for name in names]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1)[0])


@contextmanager
def _remembered_initializers() -> Iterator[dict[int, Any]]:
    """Initializers of the variables that are made inside, by their `id`: Keras keeps none once a variable is there."""
    found = {}
    begin = keras.Variable.__init__

    def remember(variable: keras.Variable, initializer: Any, *args: Any, **options: Any) -> None:
        begin(variable, initializer, *args, **options)
        found[id(variable)] = initializer

    with patch.object(keras.Variable, "__init__", remember):
        yield found


def _drawn(initializer: Callable[..., Any], variable: keras.Variable, seed: int) -> Any:
    """A value for the variable. Keras seeds an initializer that got no seed as soon as it is made."""
    if isinstance(initializer, keras.Initializer) and initializer.get_config().get("seed", seed) is None:
        seeded: Any = copy(initializer)
        seeded.seed = seed
        initializer = seeded
    keras.utils.set_random_seed(seed)  # for functions that draw from NumPy's, Keras' or the backend's stream
    return initializer(variable.shape, dtype=variable.dtype)


def _places(layer: keras.Layer) -> dict[int, str]:
    """Where a layer keeps its weights, as gate/kernel, by their `id`: names that Keras gives count on in a process."""
    keras_own, seen, places = vars(keras.Layer()).keys(), set(), {}

    def visit(holder: Any, place: str) -> None:
        if id(holder) in seen:
            return
        seen.add(id(holder))
        for name, part in _parts(holder, keras_own):
            visit(part, f"{place}/{name}")
        if isinstance(holder, keras.Variable):
            places[id(holder)] = place

    visit(layer, "")
    return places


def _parts(holder: Any, keras_own: Any) -> list[tuple[Any, Any]]:
    """What a layer, list or dictionary holds, by name; of a layer what does not come from Keras' base class."""
    match holder:
        case keras.Layer():
            kept = vars(holder) | vars(holder).get("_modules", {})  # where PyTorch puts the layers of a layer
            inner = [("layers", holder.layers)] if isinstance(holder, keras.Model) else []
            return inner + [(name, part) for name, part in kept.items() if name not in keras_own]
        case dict():
            return list(holder.items())
        case list() | tuple():
            return list(enumerate(holder))
    return []
