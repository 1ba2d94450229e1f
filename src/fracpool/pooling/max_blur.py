"""Max-blur pooling: a maximum with stride 1, then a binomial filter with stride 2 (Zhang 2019)."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.linear_maps import along_both
from fracpool.pooling.window_pooling import Tensor, WindowPooling


@keras.saving.register_keras_serializable(package="fracpool")
class MaxBlurPooling2D(WindowPooling):
    """Max pooling with stride 1, then a binomial blur with the stride.

    Zhang, Making convolutional networks shift-invariant again (ICML 2019, arXiv 1904.11486):
    MaxBlurPool with the filter Triangle-3, [1, 2, 1] / 4 along rows and columns, reflected at the border.

    Args:
        pool_size: Side of the windows of the maximum.
        strides: Distance of the blurred values; None: pool_size.
        filter_size: Cells of the blur: 2 is the paper's Rectangle-2, 3 its Triangle-3, 5 its Binomial-5.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are ceil((size − pool_size + 1) / strides) for odd filters: floor(size / 2) by default.

    Raises:
        ValueError: an argument is out of its range, or the input is too small to be blurred or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        filter_size: int = 3,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, "valid", data_format, **kwargs)
        self.filter_size = arguments.whole(filter_size, "filter_size")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "filter_size": self.filter_size}
        del config["padding"]
        return config

    @property
    def _smallest(self) -> int:
        return self.pool_size + self.filter_size // 2  # a reflection needs more cells than it adds

    def _out(self, size: int) -> int:
        return -(-(size - self.pool_size + 1) // self.strides)

    def pool(self, x: Tensor, training: bool) -> Tensor:
        maxima = ops.max_pool(x, self.pool_size, 1, "valid", data_format="channels_last")
        rows, cols = (self._blur(size) for size in maxima.shape[1:3])
        return along_both(maxima, rows[None], cols[None])

    def _blur(self, size: int) -> np.ndarray:
        """The matrix that blurs `size` maxima in a line and keeps each strides-th value: (out, size)."""
        last = self.filter_size - 1
        weights = np.array([math.comb(last, place) / 2**last for place in range(self.filter_size)])
        reflected = np.pad(np.arange(size), (last // 2, last - last // 2), mode="reflect")
        matrix = np.zeros((-(-size // self.strides), size))
        for row, first in enumerate(range(0, size, self.strides)):
            np.add.at(matrix[row], reflected[first : first + self.filter_size], weights)
        return matrix
