"""Keras models from the plain data of `architecture`, and their starting state as a function of the seed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType

import keras
import numpy as np

from fracpool.records import environment
from fracpool.settings import poolings
from fracpool.settings.architecture import Network, dropout_rate, pool_at
from fracpool.settings.layer_stack import Layer
from fracpool.settings.schema import ModelSettings, PoolSettings
from fracpool.training.distortion import GREY, GrahamDistortion
from fracpool.training.state import Dirac
from fracpool.training.whitening import WhiteningConvolution

LEAKY_SLOPE = 1 / 3  # Graham's
LOGITS_SCALE = 1 / 9  # airbench's


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


def own_layers(network: Network, pool: PoolSettings) -> dict[str, Callable[[], keras.Layer]]:
    """By name, what makes each layer of the user's own anew."""
    if not pool.layer:
        return {}
    make = poolings.of(pool).layer
    return {layer.name: partial(make, pool, layer.name, 0) for layer in network.layers if layer.kind == "pool"}


def _joined(network: Network, model: ModelSettings, pool: PoolSettings) -> set[str]:
    """Names of the layers that `normalized_pool` computes together: fused batch norm, FMP and leaky ReLU in a row."""
    regions_drawn = pool.kind == "fmp" and pool.regions_per != "run"
    if not (_computed_fused(model) and model.batch_norm_scale and model.activation == "leaky_relu" and regions_drawn):
        return set()
    together = ["batch_norm", "pool", "activation"]
    rows = (network.layers[first : first + 3] for first in range(len(network.layers)))
    return {layer.name for row in rows if [layer.kind for layer in row] == together for layer in row}


def _joined_layer(layer: Layer, model: ModelSettings, pool: PoolSettings) -> keras.Layer:
    match layer.kind:
        case "batch_norm":
            return _fused("normalized_pool").BatchStatistics(momentum=model.batch_norm_momentum, name=layer.name)
        case "pool":
            drawn = poolings.of(pool).layer(pool_at(model, pool, _number(layer)), layer.name, 0)
            return _fused("normalized_pool").NormalizedPooling(drawn, LEAKY_SLOPE, layer.name)
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
            start = {"kernel_initializer": Dirac()} if model.dirac else {}
            kind = _fused("convolution").Convolution2D if _computed_fused(model) else layers.Conv2D
            return kind(layer.units, layer.kernel, padding=padding, use_bias=not model.widths, name=name, **start)
        case "whiten":
            # In bfloat16 rounded pixels would make up 7 % of its outputs that vary least.
            return WhiteningConvolution(trained=model.whiten_epochs > 0, dtype="float32", name=name)
        case "batch_norm":
            usual = {"momentum": model.batch_norm_momentum, "scale": model.batch_norm_scale, "name": name}
            if _computed_fused(model):
                return _fused("batch_norm").FusedBatchNormalization(**usual)
            return layers.BatchNormalization(**usual, synchronized=synchronized)
        case "activation" if model.activation == "leaky_relu":
            return layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)
        case "activation" if model.activation == "gelu" and environment.backend() == "tensorflow" and not synchronized:
            return _fused("gelu").Gelu(name=name)
        case "activation":
            return layers.Activation(model.activation, name=name)
        case "dropout" if name.startswith("dense"):
            return layers.Dropout(model.dense_dropout, seed=0, name=name)
        case "dropout":
            whole = (1, 1, 1, None) if model.dropout_ramp else None  # Graham drops a filter for all of a batch
            return layers.Dropout(dropout_rate(model, _number(layer)), noise_shape=whole, seed=0, name=name)
        case "pool":
            return poolings.of(pool).layer(pool_at(model, pool, _number(layer)), name, 0)
        case "last_pool":
            return layers.MaxPooling2D((before.height // layer.height, before.width // layer.width), name=name)
        case "flatten":
            return layers.Flatten(name=name)
        case "dense":
            start = {"kernel_initializer": Dirac()} if model.dirac else {}
            exact = {"dtype": "float32"} if name == "logits" else {}  # at any precision
            return layers.Dense(layer.units, use_bias=name != "logits" or not model.widths, name=name, **start, **exact)
        case "scale":
            return layers.Rescaling(LOGITS_SCALE, dtype="float32", name=name)
    raise ValueError(f"layer {name}: unknown kind {layer.kind!r}")


def _computed_fused(model: ModelSettings) -> bool:
    """Elsewhere than on TensorFlow the backend's compiler fuses what it can by itself."""
    return model.batch_norm_fused and environment.backend() == "tensorflow"


def _fused(name: str) -> ModuleType:
    """A module of fused layers. They are TensorFlow's, which only a network that asks for them has to have."""
    return importlib.import_module(f"fracpool.training.fused.{name}")


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
            if layer.name in joined:
                made = _fused("normalized_pool").NormalizedPooling(made, LEAKY_SLOPE, made.name)
            outputs = made(outputs)
        else:
            outputs = trained.get_layer(layer.name)(outputs)
    return keras.Model(trained.inputs[0], outputs)


def adapt(model: keras.Model, images: np.ndarray) -> None:
    """Shows uint8 training images to the layers whose start depends on them."""
    for layer in model.layers:
        if isinstance(layer, WhiteningConvolution):
            layer.adapt(images)


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers that are made inside compute by this dtype policy of Keras."""
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(usual)


def _margins(before: Layer, after: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = after.height - before.height, after.width - before.width
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
