"""Fractional average pooling: the mean of each of FMP's regions, as tf.nn.fractional_avg_pool has it."""

from __future__ import annotations

import math
from functools import reduce

import keras
from keras import ops

from fracpool.pooling.axis import Tensor
from fracpool.pooling.fractional import FractionalPooling
from fracpool.pooling.ops.windows import UNROLLED, Regions, Windows, grid, spans

DENSE = 2**20  # cells × regions of an axis up to which a matrix sums them


class FractionalAveragePooling(FractionalPooling):
    """The mean of each region; see `FractionalAveragePooling2D`."""

    def reduce(self, x: Tensor, regions: Regions, windows: Windows, training: bool) -> Tensor:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(f"the input has dtype {dtype}: must be a float type to be averaged")
        per_channel = len(regions[0].shape) == 3
        if per_channel:
            x = ops.moveaxis(x, -1, 1)
        counts = []
        for axis, places in enumerate(regions):
            ends = spans(places, windows, ops.shape(x)[axis + 1 + per_channel])
            x = _sums(x, *ends, windows.longest[axis], axis + 1 + per_channel, per_channel)
            counts.append(ops.cast(ends[1] - ends[0] + 1, x.dtype))
        cells = reduce(ops.multiply, grid(counts))
        if per_channel:
            return self._as_given(ops.moveaxis(x, 1, -1) / cells)
        return self._as_given(x / cells[..., None])


def _sums(x: Tensor, starts: Tensor, lasts: Tensor, longest: int | None, axis: int, per_channel: bool) -> Tensor:
    """The sums of x along one of its axes from each first to each last cell, (B, n) or per channel (B, C, n).

    x is (N, *sizes, C), or per channel (N, C, *sizes).
    """
    shape = ops.shape(x)
    before, after = shape[1 + per_channel : axis], shape[axis + 1 :]
    x = ops.reshape(x, (-1, *shape[1 : 1 + per_channel], math.prod(before), shape[axis], math.prod(after)))
    known = isinstance(shape[axis], int) and isinstance(ops.shape(starts)[-1], int)
    if known and longest is not None and longest <= UNROLLED and shape[axis] * ops.shape(starts)[-1] > DENSE:
        y = _by_gathering(x, starts, lasts, longest)
    else:
        y = _by_matrix(x, starts, lasts)
    return ops.reshape(y, (-1, *shape[1 : 1 + per_channel], *before, ops.shape(starts)[-1], *after))


def _by_matrix(x: Tensor, starts: Tensor, lasts: Tensor) -> Tensor:
    """x (…, before, size, after) times the matrix of which cells lie in which region: (…, before, n, after)."""
    cells = ops.arange(ops.shape(x)[-2], dtype="int32")
    inside = ops.cast(ops.logical_and(starts[..., None] <= cells, cells <= lasts[..., None]), x.dtype)[..., None, :, :]
    if len(x.shape) == 5 and x.shape[-1] == 1:  # per channel, along the last axis
        return ops.matmul(x[..., 0], ops.swapaxes(inside[..., 0, :, :], -1, -2))[..., None]
    return ops.matmul(inside, x)


def _by_gathering(x: Tensor, starts: Tensor, lasts: Tensor, longest: int) -> Tensor:
    """The same, one cell of all regions after the other: a matrix of a long axis would fill the memory."""
    shape = (*ops.shape(x)[:-2], ops.shape(starts)[-1], ops.shape(x)[-1])

    def cells(number: int) -> Tensor:
        place = ops.broadcast_to(ops.minimum(starts + number, lasts)[..., None, :, None], shape)
        there = ops.cast(starts + number <= lasts, x.dtype)[..., None, :, None]
        return ops.take_along_axis(x, place, axis=-2) * there

    return sum(cells(number) for number in range(longest))


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalAveragePooling1D(FractionalAveragePooling):
    """Fractional average pooling of sequences (batch, length, channels); see `FractionalAveragePooling2D`."""

    rank = 1


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalAveragePooling2D(FractionalAveragePooling):
    """Fractional average pooling: the mean of each of the regions of fractional max pooling.

    `tf.nn.fractional_avg_pool` with new regions at each call; the control that tells the fractional regions of
    Graham (arXiv 1412.6071) from their maximum. Arguments, shapes and errors are those of `FractionalMaxPooling2D`,
    without return_indices; integer inputs are a ValueError.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalAveragePooling3D(FractionalAveragePooling):
    """Fractional average pooling of volumes (batch, depth, height, width, channels); see
    `FractionalAveragePooling2D`."""

    rank = 3
