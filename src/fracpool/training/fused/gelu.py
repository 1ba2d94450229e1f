"""GELU in one pass: TensorFlow computes it, and its gradient, as a chain of operations, each of which goes over the
memory. On CPUs that takes longer than the batch norm before it."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


class Gelu(keras.layers.Layer):
    """`keras.activations.gelu`, the exact one: x · Φ(x), with Φ of the normal distribution (Hendrycks and Gimpel, arXiv
    1606.08415); the same to rounding. TensorFlow backend."""

    def call(self, inputs: Tensor) -> Tensor:
        return _gelu(inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


@tf.custom_gradient
def _gelu(x: Tensor) -> Any:
    return _forward(x), lambda dy: _backward(dy, x)


@tf.function(jit_compile=True, autograph=False)
def _forward(x: Tensor) -> Tensor:
    wide = tf.cast(x, "float32")  # in half precision each operation would round, and take longer
    return tf.cast(wide * _phi(wide), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _backward(dy: Tensor, x: Tensor) -> Tensor:
    wide = tf.cast(x, "float32")
    density = tf.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(dy, "float32") * (_phi(wide) + wide * density), x.dtype)


def _phi(x: Tensor) -> Tensor:
    return 0.5 * (1 + tf.math.erf(x / math.sqrt(2)))
