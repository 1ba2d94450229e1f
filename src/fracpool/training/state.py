"""The state of a Keras model that training starts from, changes and keeps: weights, random streams, averages."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from fracpool.pooling.frozen import Frozen
from fracpool.pooling.stream import NEXT_REPLICA, Stream
from fracpool.training.own_weights import start_as_made
from fracpool.training.whitening import WhiteningConvolution

START = 0  # seed of kernels that Keras sets, before `initialise` does
TRAINING = 0  # the use of random streams; test passes use the number of their epoch, from 1


def initialise(model: keras.Model, seed: int, own: Mapping[str, Callable[[], keras.Layer]] | None = None) -> None:
    """Sets a compiled model to the state in which training with this seed starts.

    Each variable is drawn from (seed, its own name) alone: a model can be used for one seed after another,
    and networks that share layer names and shapes start equal under equal seeds. Kernels are Glorot uniform,
    as Keras' default, or `Dirac`; streams of randomness start at their own seed; optimizer slots are zero. Layers of
    the user's `own`, by name what makes them anew, start as their own initializers say.
    """
    own = own or {}
    for layer in model.layers:
        if layer.name in own:
            start_as_made(layer, own[layer.name], seed)
            continue
        if isinstance(layer, Frozen):
            layer.draw(np.random.default_rng([seed, zlib.crc32(layer.name.encode())]))
            continue
        if isinstance(layer, WhiteningConvolution):
            layer.begin()
            continue
        for variable in layer.weights:
            variable.assign(_initial_value(layer, variable, seed))
    for name, stream in random_streams(model).items():
        set_stream(stream, _stream_start(name, seed, TRAINING))
    for variable in model.optimizer.variables:
        if variable.name != "learning_rate":
            variable.assign(np.zeros(variable.shape, variable.dtype))


def _initial_value(layer: keras.Layer, variable: Any, seed: int) -> np.ndarray:
    path, shape = f"{layer.name}/{variable.name}", tuple(variable.shape)
    match variable.name:
        case "kernel":
            draws = np.random.default_rng([seed, zlib.crc32(path.encode())])
            initializer = getattr(layer, "kernel_initializer", None)
            if isinstance(initializer, Dirac):
                return initializer.draw(shape, draws)
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            return draws.uniform(-limit, limit, shape).astype(np.float32)
        case "gamma" | "moving_variance":
            return np.ones(shape, np.float32)
        case "bias" | "beta" | "moving_mean" | "mask":
            return np.zeros(shape, np.float32)
        case "done":  # steps that distorted their images
            return np.zeros(shape, np.int32)
        case "proportion":  # of the maximum in a mixed pool
            return np.full(shape, 0.5, np.float32)
    raise ValueError(f"variable {path}: no initial value is defined for it")


@keras.saving.register_keras_serializable(package="fracpool")
class Dirac(keras.initializers.Initializer):
    """Kernels that hand each channel on as it is, as far as there are filters; further filters, and the kernels of
    dense layers, are uniform in ±1 / √inputs, PyTorch's default (Jordan, arXiv 2404.00498, section 3.1)."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return keras.ops.convert_to_tensor(self.draw(tuple(shape), np.random.default_rng(START)), dtype)

    def draw(self, shape: tuple[int, ...], draws: np.random.Generator) -> np.ndarray:
        """A kernel (…, channels, filters) float32."""
        *window, channels, filters = shape
        limit = 1 / np.sqrt(int(np.prod(window)) * channels)
        kernel = draws.uniform(-limit, limit, shape).astype(np.float32)
        if window:
            passed = min(channels, filters)
            kernel[..., :passed] = 0
            middle = tuple(side // 2 for side in window)
            kernel[middle][range(passed), range(passed)] = 1
        return kernel


def random_streams(model: keras.Model, testing: bool = False) -> dict[str, Any]:
    """The SeedGenerators that training draws from, or testing, by layer name."""
    found = {}
    for layer in model.layers:
        stream = getattr(layer, "seed_generator", None)
        if stream is not None:
            found[layer.name] = getattr(layer, "inference_generator", stream) if testing else stream
    return found


@contextmanager
def test_streams(model: keras.Model, seed: int, epoch: int) -> Iterator[None]:
    """Random streams of their own for test passes after an epoch: testing does not change the training."""
    streams = random_streams(model, testing=True)
    before = {name: stream.state.numpy() for name, stream in streams.items()}
    for name, stream in streams.items():
        set_stream(stream, _stream_start(name, seed, epoch))
    try:
        yield
    finally:
        for name, stream in streams.items():
            set_stream(stream, before[name])


def set_stream(stream: Any, state: np.ndarray) -> None:
    """Sets a SeedGenerator to a state; where a model is mirrored, each replica to one of its own that follows from it.

    fracpool's own streams tell replicas apart by themselves.
    """
    variable, apart = stream.state, 0 if isinstance(stream, Stream) else NEXT_REPLICA
    copies = getattr(variable.value, "values", None)
    for replica, copy in enumerate(copies if isinstance(copies, tuple) else [variable]):
        copy.assign([(int(state[0]) + replica * apart) % 2**31, int(state[1])])


def _stream_start(name: str, seed: int, use: int) -> np.ndarray:
    """State of a Keras SeedGenerator (seed, counter), drawn from (seed, layer's name, what it is used for)."""
    drawn = np.random.SeedSequence([seed, zlib.crc32(name.encode()), use]).generate_state(1)[0]
    return np.array([drawn >> 1, 0], np.uint32)


def state_variables(model: keras.Model) -> list[Any]:
    """Everything that training changes, in a fixed order: weights, optimizer slots, random streams."""
    streams = [stream.state for stream in random_streams(model).values()]
    return [*model.weights, *model.optimizer.variables, *streams]


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """The running averages of the weights in their place; the weights themselves where none are kept.

    The statistics of batch norm stay those of the weights themselves.
    """
    if not model.optimizer.use_ema:
        yield
        return
    kept = [variable.numpy() for variable in model.trainable_variables]
    take_averages(model)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def take_averages(model: keras.Model) -> None:
    """Ends training: the weights become their running averages, where the optimizer keeps such."""
    if not model.optimizer.use_ema:
        return
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy())  # its own copy: JAX frees the arrays that a compiled test pass takes
