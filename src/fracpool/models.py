"""Keras models from the plain data of `architecture`, and their starting state as a function of the seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from fracpool import poolings
from fracpool.architecture import Layer, Network, dropout_rate, pool_at
from fracpool.batch_norm import FusedBatchNormalization
from fracpool.convolution import Convolution2D
from fracpool.distortion import GREY, GrahamDistortion
from fracpool.kept_regions import KeptRegions
from fracpool.normalized_pool import BatchStatistics, NormalizedPooling
from fracpool.settings import ModelSettings, OptimizerSettings, PoolSettings

LEAKY_SLOPE = 1 / 3  # Graham's
NEXT_REPLICA = 0x9E3779B1  # 2³² / golden ratio: seeds that are far apart for a few thousand replicas
TRAINING = 0  # the use of random streams; test passes use the number of their epoch, from 1


def build(
    network: Network,
    model: ModelSettings,
    pool: PoolSettings,
    synchronized: bool = False,
    distorted_steps: int | None = None,
) -> keras.Model:
    """The network as an uncompiled model from images (n, height, width, channels) to logits (n, classes).

    `synchronized` takes the statistics of batch norm over all replicas; `distorted_steps` is how many steps of
    training distort their images, where the model does (None: all).
    """
    first = network.layers[0]
    inputs = keras.Input((first.height, first.width, first.channels))
    outputs = inputs
    before = first
    joined = _joined(network, model, pool)
    for layer in network.layers[1:]:
        if layer.name in joined:
            made = _joined_layer(layer, model, pool)
        else:
            made = _keras_layer(layer, before, model, pool, synchronized, distorted_steps)
        outputs = made(outputs)
        before = layer
    return keras.Model(inputs, outputs)


def _joined(network: Network, model: ModelSettings, pool: PoolSettings) -> set[str]:
    """Names of the layers that `normalized_pool` computes together: fused batch norm, FMP and leaky ReLU in a row."""
    regions_drawn = pool.kind == "fmp" and pool.regions_per != "run"
    if not (model.batch_norm_fused and model.activation == "leaky_relu" and regions_drawn):
        return set()
    together = ["batch_norm", "pool", "activation"]
    rows = (network.layers[first : first + 3] for first in range(len(network.layers)))
    return {layer.name for row in rows if [layer.kind for layer in row] == together for layer in row}


def _joined_layer(layer: Layer, model: ModelSettings, pool: PoolSettings) -> keras.Layer:
    match layer.kind:
        case "batch_norm":
            return BatchStatistics(momentum=model.batch_norm_momentum, name=layer.name)
        case "pool":
            drawn = poolings.of(pool).layer(pool_at(model, pool, _number(layer)), layer.name, 0)
            return NormalizedPooling(drawn, LEAKY_SLOPE, layer.name)
    return keras.layers.Identity(name=layer.name)  # the activation, which the pool has applied


def _keras_layer(
    layer: Layer,
    before: Layer,
    model: ModelSettings,
    pool: PoolSettings,
    synchronized: bool,
    distorted_steps: int | None,
) -> keras.Layer:
    layers, name = keras.layers, layer.name
    match layer.kind:
        case "centre":
            return layers.Rescaling(255 / GREY, -1, name=name)
        case "distort":
            return GrahamDistortion(distorted_steps, seed=0, name=name)
        case "pad":
            return layers.ZeroPadding2D(_margins(before, layer), name=name)
        case "conv":
            padding = "same" if layer.height == before.height else "valid"
            kind = Convolution2D if model.batch_norm_fused else layers.Conv2D
            return kind(layer.units, layer.kernel, padding=padding, name=name)
        case "batch_norm":
            momentum = model.batch_norm_momentum
            if model.batch_norm_fused:
                return FusedBatchNormalization(momentum=momentum, name=name)
            return layers.BatchNormalization(momentum=momentum, synchronized=synchronized, name=name)
        case "activation" if model.activation == "leaky_relu":
            return layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)
        case "activation":
            return layers.Activation(model.activation, name=name)
        case "dropout" if name.startswith("dense"):
            return layers.Dropout(model.dense_dropout, seed=0, name=name)
        case "dropout":
            whole = (1, 1, 1, None) if model.dropout_ramp else None  # Graham drops a filter for all of a batch
            return layers.Dropout(dropout_rate(model, _number(layer)), noise_shape=whole, seed=0, name=name)
        case "pool":
            return poolings.of(pool).layer(pool_at(model, pool, _number(layer)), name, 0)
        case "flatten":
            return layers.Flatten(name=name)
        case "dense":
            return layers.Dense(layer.units, name=name)
    raise ValueError(f"layer {name}: unknown kind {layer.kind!r}")


def _number(layer: Layer) -> int:
    """Of the convolution that a layer belongs to: 3 for pool3."""
    return int(layer.name.removeprefix(layer.kind))


def with_even_regions(
    trained: keras.Model, network: Network, model: ModelSettings, pool: PoolSettings
) -> keras.Model | None:
    """The same network with the same weights, pooling over even regions in place of drawn ones; None where the
    pooling has no such form."""
    even_layer = poolings.of(pool).even_layer
    if even_layer is None:
        return None
    outputs = trained.inputs[0]
    joined = _joined(network, model, pool)
    for layer in network.layers[1:]:
        if layer.kind == "pool":
            made = even_layer(pool_at(model, pool, _number(layer)), f"{layer.name}_even", 0)
            outputs = (NormalizedPooling(made, LEAKY_SLOPE, made.name) if layer.name in joined else made)(outputs)
        else:
            outputs = trained.get_layer(layer.name)(outputs)
    return keras.Model(trained.inputs[0], outputs)


def _margins(before: Layer, after: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = after.height - before.height, after.width - before.width
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def initialise(model: keras.Model, seed: int) -> None:
    """Sets a compiled model to the state in which training with this seed starts.

    Each variable is drawn from (seed, its own name) alone: a model can be used for one seed after another,
    and networks that share layer names and shapes start equal under equal seeds. Kernels are Glorot uniform,
    as Keras' default; streams of randomness start at their own seed; optimizer slots are zero.
    """
    for layer in model.layers:
        if isinstance(layer, KeptRegions):
            layer.draw(np.random.default_rng([seed, zlib.crc32(layer.name.encode())]))
            continue
        for variable in layer.weights:
            variable.assign(_initial_value(variable, f"{layer.name}/{variable.name}", seed))
    for name, stream in random_streams(model).items():
        set_stream(stream, _stream_start(name, seed, TRAINING))
    for variable in model.optimizer.variables:
        if variable.name != "learning_rate":
            variable.assign(np.zeros(variable.shape, variable.dtype))


def _initial_value(variable: Any, path: str, seed: int) -> np.ndarray:
    shape = tuple(variable.shape)
    match variable.name:
        case "kernel":
            receptive = int(np.prod(shape[:-2]))
            limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
            draws = np.random.default_rng([seed, zlib.crc32(path.encode())])
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


def random_streams(model: keras.Model) -> dict[str, Any]:
    """The state variables of all SeedGenerators of a model, by layer name."""
    return {
        layer.name: layer.seed_generator.state
        for layer in model.layers
        if getattr(layer, "seed_generator", None) is not None
    }


@contextmanager
def test_streams(model: keras.Model, seed: int, epoch: int) -> Iterator[None]:
    """Random streams of their own for test passes after an epoch: testing does not change the training."""
    streams = random_streams(model)
    before = {name: stream.numpy() for name, stream in streams.items()}
    for name, stream in streams.items():
        set_stream(stream, _stream_start(name, seed, epoch))
    try:
        yield
    finally:
        for name, stream in streams.items():
            set_stream(stream, before[name])


def set_stream(stream: Any, state: np.ndarray) -> None:
    """Sets a stream to a state; where a model is mirrored, each replica to one of its own, which follows from it."""
    copies = getattr(stream.value, "values", None)
    for replica, copy in enumerate(copies if isinstance(copies, tuple) else [stream]):
        copy.assign([(int(state[0]) + replica * NEXT_REPLICA) % 2**31, int(state[1])])


def _stream_start(name: str, seed: int, use: int) -> np.ndarray:
    """State of a Keras SeedGenerator (seed, counter), drawn from (seed, layer's name, what it is used for)."""
    drawn = np.random.SeedSequence([seed, zlib.crc32(name.encode()), use]).generate_state(1)[0]
    return np.array([drawn >> 1, 0], np.uint32)


def state_variables(model: keras.Model) -> list[Any]:
    """Everything that training changes, in a fixed order: weights, optimizer slots, random streams."""
    return [*model.weights, *model.optimizer.variables, *random_streams(model).values()]


def optimizer(settings: OptimizerSettings, steps_per_epoch: int, epochs: int) -> keras.optimizers.Optimizer:
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps_per_epoch * epochs)
    elif settings.schedule == "exponential":
        rate = keras.optimizers.schedules.ExponentialDecay(
            rate, steps_per_epoch, float(np.exp(-settings.decay)), staircase=True
        )
    average = {"use_ema": settings.average > 0, "ema_momentum": settings.average}
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, **average)
    return keras.optimizers.SGD(rate, momentum=settings.momentum, nesterov=settings.momentum > 0, **average)


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
