"""Fractional average pooling: the mean of each of FMP's regions, as tf.nn.fractional_avg_pool has it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fracpool.pooling.fractional_max import FractionalMaxPooling2D, KeptRegions
from fracpool.pooling.linear_maps import along_both
from fracpool.pooling.ops.windows import Regions, Windows
from fracpool.pooling.window_pooling import Tensor


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalAveragePooling2D(FractionalMaxPooling2D):
    """Fractional average pooling: the mean of each of the regions of fractional max pooling.

    `tf.nn.fractional_avg_pool` with new regions at each call; the control that tells the fractional regions of
    Graham (arXiv 1412.6071) from their maximum. Arguments, shapes and errors are those of `FractionalMaxPooling2D`;
    integer inputs are a ValueError.
    """

    def _reduce(self, x: Tensor, regions: Regions, windows: Windows) -> Tensor:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(f"the input has dtype {dtype}: must be a float type to be averaged")
        rows, cols = (
            ops.cast(_membership(places, windows, size), x.dtype)
            for places, size in zip(regions, ops.shape(x)[1:3], strict=True)
        )
        counts = ops.sum(rows, -1)[..., :, None] * ops.sum(cols, -1)[..., None, :]
        if len(counts.shape) == 4:  # regions of each channel: (B, C, out, out)
            sums = ops.matmul(ops.matmul(rows, ops.transpose(x, (0, 3, 1, 2))), ops.swapaxes(cols, -1, -2))
            return ops.transpose(sums / counts, (0, 2, 3, 1))
        return along_both(x, rows, cols) / counts[..., None]


@keras.saving.register_keras_serializable(package="fracpool")
class KeptAverageRegions(FractionalAveragePooling2D, KeptRegions):
    """`FractionalAveragePooling2D` over the regions of `KeptRegions`: even ones, or drawn once."""


def _membership(places: Tensor, windows: Windows, size: Any) -> Tensor:
    """Which cells of an axis lie in which region, (…, regions, size), from boundaries or starts (…, n)."""
    if windows.width is not None:
        starts, ends = places, places + windows.width
    else:
        starts, ends = places[..., :-1], places[..., 1:] + int(windows.overlapping)
    cells = ops.arange(size, dtype="int32")
    return ops.logical_and(starts[..., None] <= cells, cells < ends[..., None])
