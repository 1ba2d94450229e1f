"""The pool with its gradients on TensorFlow, compiled by XLA piece by piece.

What surrounds the pool stays outside of XLA, since convolutions are faster in oneDNN.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tensorflow.python.eager import context

from fracpool.pooling.ops import reductions as cells
from fracpool.pooling.ops.runtime import exported_elsewhere
from fracpool.pooling.ops.windows import Regions, Windows

Tensor = Any


def compiled(function: Any) -> Any:
    """The function compiled by XLA. TensorFlow's own kernels go over the memory once for each operation: ten times as
    slow in training for stochastic pooling (3×3 windows, measured).

    All graphs share its traces, which XLA compiles once and keeps. One that is gone is made anew: what freezes a graph
    (`convert_variables_to_constants_v2`) takes the functions that it was the first to use out of the process.
    """
    shared = _xla(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        nonlocal shared
        if not tf.executing_eagerly():
            if exported_elsewhere():
                return function(*args)
            if not context.context().has_function(shared.get_concrete_function(*args).name):
                shared = _xla(function)
        return shared(*args)

    return call


def untransformed(function: Any) -> Any:
    """The function as it is: transforms leave streams of chance to Keras."""
    return function


def _xla(function: Any) -> Any:
    return tf.function(function, jit_compile=True, autograph=False)


def _opaque(function: Any) -> Any:
    """The function compiled by XLA and opaque to gradient tapes: its first argument has its own gradient."""
    whole = compiled(function)
    return lambda x, *rest: whole(tf.stop_gradient(x), *rest)


def largest_and_codes(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """Both in one pass over memory, which takes a reduction of pairs: two expressions would be two passes."""
    if not windows.small:
        return cells.largest(x, regions, windows), cells.codes(x, regions, windows)
    values, codes, within = cells.by_row(x, regions, windows)
    if not within:
        return values, codes
    lowest = tf.constant(-np.inf if values.dtype.is_floating else values.dtype.min, values.dtype)
    no_code = tf.constant(codes.dtype.max, codes.dtype)

    @tf.function(autograph=False)
    def larger(best: Tensor, best_code: Tensor, value: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        wins = cells.wins(value, code, best, best_code)
        return tf.where(wins, value, best), tf.where(wins, code, best_code)

    scalars = [tf.TensorSpec([], tensor.dtype) for tensor in (values, codes)]
    reducer = larger.get_concrete_function(*scalars, *scalars)
    return xla.variadic_reduce((values, codes), (lowest, no_code), within, reducer)


_forward = _opaque(largest_and_codes)
_largest = _opaque(cells.largest)
_codes = _opaque(cells.codes)
_pick = _opaque(cells.pick)
_spread = _opaque(cells.spread)
_indices = _opaque(cells.indices)


def pool(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window, with first and higher gradients with respect to x."""
    if exported_elsewhere():
        return pool_lazily(x, regions, windows)

    @tf.custom_gradient
    def forward(x: Tensor) -> Any:
        y, code = _forward(x, regions, windows)
        _, spread = _linear(code, regions, windows, _size(x))
        return y, spread

    return forward(x)


def pool_lazily(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The same where a gradient is rarely asked for: winners are found when it is.

    Without the reduction of pairs, the forward pass consists of what other runtimes (ONNX, LiteRT) have too.
    """

    @tf.custom_gradient
    def forward(x: Tensor) -> Any:
        def backward(dy: Tensor) -> Tensor:
            _, spread = _linear(_codes(x, regions, windows), regions, windows, _size(x))
            return spread(dy)

        return _largest(x, regions, windows), backward

    return forward(x)


def pool_with_indices(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """The pool, and where in its map each window's largest value stands: row · width + column, int32.

    Of what other runtimes have too, as `pool_lazily`; the gradient finds its winners here.
    """
    dtype = "int32" if exported_elsewhere() else None  # LiteRT chooses among no smaller ones
    code = _codes(x, regions, windows, dtype)
    _, spread = _linear(code, regions, windows, _size(x))

    @tf.custom_gradient
    def forward(x: Tensor) -> Any:
        return _largest(x, regions, windows), spread

    return forward(x), _indices(code, regions, windows, _size(x))


def _linear(code: Tensor, regions: Regions, windows: Windows, size: Any) -> tuple[Any, Any]:
    """`pick` and `spread` at a given code: linear, and each the other's gradient."""

    @tf.custom_gradient
    def pick(x: Tensor) -> Any:
        own_code, own_regions, own_size = _of_this_graph((code, regions, size))
        _, spread = _linear(own_code, own_regions, windows, own_size)
        return _pick(x, own_code, own_regions, windows), spread

    @tf.custom_gradient
    def spread(y: Tensor) -> Any:
        own_code, own_regions, own_size = _of_this_graph((code, regions, size))
        pick, _ = _linear(own_code, own_regions, windows, own_size)
        return _spread(y, own_code, own_regions, windows, own_size), pick

    return pick, spread


def _of_this_graph(values: Any) -> Any:
    """The same tensors as the graph that is being traced has them, in which alone its own gradient can use them.

    A gradient is a graph apart, which gets what the forward pass had as inputs; and so is the gradient of a gradient.
    """
    if tf.executing_eagerly():
        return values
    return tf.nest.map_structure(lambda value: tf.identity(value) if tf.is_tensor(value) else value, values)


def _size(x: Tensor) -> tuple[Any, ...]:
    shape = tf.shape(x)
    return tuple(shape[axis] if x.shape[axis] is None else x.shape[axis] for axis in range(1, len(x.shape) - 1))


def concrete(value: Any) -> np.ndarray | None:
    """The values of an array-like, or None inside a function that is being traced."""
    if isinstance(value, tf.Variable):
        return value.numpy() if tf.executing_eagerly() else None
    return tf.get_static_value(value) if tf.is_tensor(value) else np.asarray(value)


def long(values: Tensor) -> Tensor:
    return tf.cast(values, tf.int64)
