"""Batch norm, fractional max pool and leaky ReLU in one: what they give, without the maps between them.

On CPUs such layers take as long as memory takes to move their maps, and the largest map is the normalised one before
the pool. It is not needed: per channel batch norm is x · scale + offset, so a window's winner is the same before and
after it (its smallest value where scale is negative), and only winners have to be normalised. Of the gradient too
each map is written once. Two layers share the work: one takes the statistics, the other does the rest. TensorFlow
backend, float32, channels last.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fracpool.pooling.fractional_max import FractionalMaxPooling2D
from fracpool.pooling.ops import reductions as cells
from fracpool.pooling.ops.tensorflow import compiled, largest_and_codes
from fracpool.pooling.ops.windows import Regions, Windows
from fracpool.training.fused.batch_norm import FusedBatchNormalization
from fracpool.training.fused.convolution import channel_sums

Tensor = Any


class BatchStatistics(FusedBatchNormalization):
    """Batch norm that leaves normalising to the `NormalizedPooling` after it: gives its inputs as they are, then mean,
    1 / standard deviation, gamma and beta of each channel."""

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> tuple[Tensor, ...]:
        if training:
            mean, variance = _moments(tf.stop_gradient(inputs))
            self.keep(mean, variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        of_channels = mean, tf.math.rsqrt(variance + self.epsilon), self.gamma, self.beta
        return inputs, *map(tf.convert_to_tensor, of_channels)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[tuple[int | None, ...], ...]:
        return input_shape, *[input_shape[-1:]] * 4


class NormalizedPooling(keras.layers.Layer):
    """What `BatchStatistics` gives, normalised, pooled over the regions of `pool`, then a leaky ReLU."""

    def __init__(self, pool: FractionalMaxPooling2D, negative_slope: float, name: str) -> None:
        super().__init__(name=name)
        self.pool, self.negative_slope = pool, negative_slope

    @property
    def seed_generator(self) -> keras.random.SeedGenerator:
        return self.pool.seed_generator

    @property
    def inference_generator(self) -> keras.random.SeedGenerator:
        return self.pool.inference_generator

    def build(self, input_shape: tuple[tuple[int | None, ...], ...]) -> None:
        self.pool.build(input_shape[0])

    def call(self, normalized: tuple[Tensor, ...], training: bool | None = None) -> Tensor:
        regions, windows = self.pool.regions(normalized[0], training)
        return _normalized_pool(normalized, regions, windows, self.negative_slope, bool(training))

    def compute_output_shape(self, input_shape: tuple[tuple[int | None, ...], ...]) -> tuple[int | None, ...]:
        return self.pool.compute_output_shape(input_shape[0])


def _normalized_pool(
    normalized: tuple[Tensor, ...], regions: Regions, windows: Windows, slope: float, of_batch: bool
) -> Tensor:
    """`of_batch`: the statistics are those of the images themselves, which then have a gradient through them too."""
    x, mean, inverse, gamma, beta = normalized

    @tf.custom_gradient
    def forward(x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        x, scale, beta = map(tf.stop_gradient, (x, gamma * inverse, beta))  # a gradient tape would follow them inside
        y, winners, code = _forward(x, mean, scale, beta, regions, windows, slope)

        def backward(dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            dy = _before_activation(dy, y, slope)
            dbeta = channel_sums(dy)
            dgamma = channel_sums(_with_distances(dy, winners, mean, scale)) * inverse
            count = tf.cast(tf.size(x) // x.shape[-1], x.dtype) if of_batch else float("inf")
            through_deviation, through_mean = scale * inverse * dgamma / count, scale * dbeta / count
            dx = _backward(dy, code, x, mean, scale, through_deviation, through_mean, regions, windows)
            return dx, dgamma, dbeta

        return y, backward

    return forward(x, gamma, beta)


@compiled
def _forward(
    x: Tensor, mean: Tensor, scale: Tensor, beta: Tensor, regions: Regions, windows: Windows, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, the winners as they were in x but for `_sign`, and their places."""
    sign = _sign(scale)
    winners, code = largest_and_codes(x * sign, regions, windows)
    normalized = (winners - mean * sign) * (scale * sign) + beta
    return tf.where(normalized > 0, normalized, normalized * slope), winners, code


def _sign(scale: Tensor) -> Tensor:
    """What x is multiplied by to have its winners be the largest."""
    return tf.where(scale < 0, -1.0, 1.0)


@compiled
def _before_activation(dy: Tensor, y: Tensor, slope: float) -> Tensor:
    return tf.where(y > 0, dy, dy * slope)


@compiled
def _with_distances(dy: Tensor, winners: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """The gradient times the winners' distances from the mean, by `_by_column`."""
    sign = _sign(scale)
    return _by_column(lambda dy, winners: dy * (winners * sign - mean), dy, winners)


@compiled
def _backward(
    dy: Tensor,
    code: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    through_deviation: Tensor,
    through_mean: Tensor,
    regions: Regions,
    windows: Windows,
) -> Tensor:
    spread = cells.spread(dy, code, regions, windows, x.shape[1:3])
    return spread * scale - (x - mean) * through_deviation - through_mean


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel."""
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    mean = channel_sums(x) / count
    return mean, channel_sums(_squares(x, mean)) / count


@compiled
def _squares(x: Tensor, mean: Tensor) -> Tensor:
    """Of the distances from the mean, by `_by_column`."""
    return _by_column(lambda x: tf.square(x - mean), x)


def _by_column(function: Any, *maps: Tensor) -> Tensor:
    """The function of the maps, summed over the rows of each image, which are written out one by one: a sum that XLA
    computes fast, where `channel_sums` would not be."""
    rows = zip(*(tf.unstack(tensor, axis=1) for tensor in maps), strict=True)
    return tf.add_n([function(*row) for row in rows])
