"""Convolutions as Keras has them, but quicker to train on CPUs, where TensorFlow leaves two things to oneDNN that take
less time by other means (measured on one core)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fracpool.pooling.ops.tensorflow import compiled

Tensor = Any


class Convolution2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without activation, with its variables: the same to rounding. TensorFlow backend, channels
    last."""

    def call(self, inputs: Tensor) -> Tensor:
        outputs = self.convolution_op(inputs, self.kernel)
        return _add_bias(outputs, tf.convert_to_tensor(self.bias)) if self.use_bias else outputs

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Where one window is all of the image this is a product of matrices, as which it takes a third of the time."""
        whole = tuple(inputs.shape[1:3]) == self.kernel_size and self.padding == "valid"
        if not whole or self.groups > 1:
            return super().convolution_op(inputs, kernel)
        matrix = tf.reshape(tf.convert_to_tensor(kernel), (-1, self.filters))
        return tf.reshape(tf.matmul(tf.reshape(inputs, (-1, matrix.shape[0])), matrix), (-1, 1, 1, self.filters))


@tf.custom_gradient
def _add_bias(x: Tensor, bias: Tensor) -> Any:
    """The bias' gradient is a sum. Left to TensorFlow it becomes part of oneDNN's gradient of the kernel, which takes
    up to twice as long with it."""
    return tf.nn.bias_add(x, bias), lambda dy: (dy, channel_sums(dy))


@compiled
def channel_sums(x: Tensor) -> Tensor:
    """Sums over all axes but the last. XLA is fast at this where x lies in memory; where it is computed on the way, in
    the same function, that takes up to ten times as long."""
    return tf.reduce_sum(x, axis=range(len(x.shape) - 1))
