"""Batch norm by TensorFlow's fused op: Keras 3 computes it in a dozen passes over the activations, which on CPUs takes
several times as long."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the channels of images (n, height, width, channels), with its variables
    and its formulas, computed by `FusedBatchNormV3`: the same to rounding. TensorFlow backend, float32."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable):
            return self._fused(inputs, self.moving_mean, self.moving_variance, is_training=False)[0]
        outputs, mean, variance = self._fused(inputs, is_training=True)
        values = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        self.keep(mean, variance * (values - 1) / values)  # the op's is Bessel's, Keras keeps the biased one
        return outputs

    def keep(self, mean: Any, variance: Any) -> None:
        """Moves the moving statistics towards those of a batch."""
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))

    def _fused(self, inputs: Any, *statistics: Any, is_training: bool) -> Any:
        offset, *moments = map(tf.convert_to_tensor, (self.beta, *statistics))
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones_like(offset)
        return tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, *moments, epsilon=self.epsilon, is_training=is_training
        )
