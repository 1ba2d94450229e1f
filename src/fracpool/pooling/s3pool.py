"""S3Pool: maxima, of which rows and columns are drawn within a grid (Zhai et al. 2017)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.linear_maps import along_both
from fracpool.pooling.ops.runtime import uniform
from fracpool.pooling.stream import Stream
from fracpool.pooling.window_pooling import SampledPooling, Tensor


@keras.saving.register_keras_serializable(package="fracpool")
class S3Pooling2D(SampledPooling):
    """Max pooling with stride 1, then a random choice of rows and columns: g / s out of every g.

    Zhai, Wu, Kumar, Cheng, Lu, Zhang and Feris, S3Pool: pooling with stochastic spatial sampling (CVPR 2017, arXiv
    1611.05138), with the defaults of the authors' code: 2×2 maxima, stride 2, grid g = s, one choice per call for
    all samples and channels, the mean of each s×s cells of maxima at test time. A last strip of fewer than g rows
    gives its s-th part.

    Args:
        pool_size: Side of the windows of the maximum.
        strides: How many times fewer rows and columns come out; None: pool_size.
        grid_size: Width g of the strips that rows and columns are chosen from, a multiple of strides; None: strides.
            The larger, the more distortion.
        sample_at_test: Whether test passes choose as well, so that several can be averaged, instead of the means.
        seed: Whole number that starts the stream of choices, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are floor(size / strides).

    Raises:
        ValueError: an argument is out of its range, or the input is smaller than strides or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        grid_size: int | None = None,
        sample_at_test: bool = False,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sample_at_test,
            seed,
            pool_size=pool_size,
            strides=strides,
            padding="same",
            data_format=data_format,
            **kwargs,
        )
        self.grid_size = self.strides if grid_size is None else arguments.whole(grid_size, "grid_size")
        if self.grid_size % self.strides:
            raise ValueError(f"grid_size={grid_size!r}: must be a multiple of strides={self.strides}")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "grid_size": self.grid_size}
        del config["padding"]
        return config

    @property
    def _smallest(self) -> int:
        return self.strides

    def _out(self, size: int) -> int:
        return size // self.strides

    def pool(self, x: Tensor, training: bool) -> Tensor:
        maxima = ops.max_pool(x, self.pool_size, 1, "same", data_format="channels_last")
        if training or self.sample_at_test:
            rows, cols = (self._chosen(size, self.stream(training)) for size in x.shape[1:3])
        else:
            rows, cols = map(self._means, x.shape[1:3])
        return along_both(maxima, rows[None], cols[None])

    def _chosen(self, size: int, stream: Stream) -> Tensor:
        """One row of an identity matrix for each chosen row: (out, size)."""
        strips, rest = divmod(size, self.grid_size)
        chosen = self._choice(strips, self.grid_size, 0, stream)
        if rest >= self.strides:
            chosen = ops.concatenate([chosen, self._choice(1, rest, size - rest, stream)])
        return ops.one_hot(chosen, size, dtype="float32")

    def _choice(self, strips: int, cells: int, first: int, stream: Stream) -> Tensor:
        """Places, in order, of cells // strides different cells in each of the strips; int32 (…,)."""
        order = ops.argsort(uniform((strips, cells), stream), axis=-1)
        kept = ops.cast(ops.sort(order[:, : cells // self.strides], axis=-1), "int32")
        return ops.reshape(kept + first + cells * ops.arange(strips, dtype="int32")[:, None], (-1,))

    def _means(self, size: int) -> np.ndarray:
        """The matrix that takes the mean of each `strides` cells: (out, size)."""
        out = size // self.strides
        means = np.repeat(np.eye(out), self.strides, axis=1) / self.strides
        return np.pad(means, ((0, 0), (0, size - means.shape[1])))
