"""Stochastic pooling: a cell drawn in proportion to its value (Zeiler and Fergus 2013)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from fracpool.pooling.ops import compiled
from fracpool.pooling.ops.runtime import uniform
from fracpool.pooling.window_pooling import SampledPooling, Tensor, cells_of_windows

ALMOST_ONE = 1 - 2**-20  # a draw below it stays below its total when rounded


@keras.saving.register_keras_serializable(package="fracpool")
class StochasticPooling2D(SampledPooling):
    """One cell of each window, drawn with a probability in proportion to its value.

    Zeiler and Fergus, Stochastic pooling for regularization of deep convolutional neural networks (ICLR 2013, arXiv
    1301.3557): p_i = a_i / Σ a, one draw per window, sample and channel, and Σ p_i a_i at test time; windows of 3×3
    at stride 2. The paper pools rectified values. Where others come in, negative ones have probability 0, and a
    window without a positive one is drawn from evenly, which is 0 for rectified values.

    Args:
        pool_size: Side of a window.
        strides: Distance of windows; None: pool_size.
        padding: As in `WindowPooling`; cells out of the image are never drawn.
        sample_at_test: Whether test passes draw as well, so that several can be averaged, instead of the weighted
            sum.
        seed: Whole number that starts the stream of draws, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Shapes and errors: see `WindowPooling`.
    """

    def __init__(
        self,
        pool_size: int = 3,
        strides: int | None = 2,
        padding: str = "same",
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
            padding=padding,
            data_format=data_format,
            **kwargs,
        )

    def pool(self, x: Tensor, training: bool) -> Tensor:
        form = self.pool_size, self.strides, self.padding
        if not (training or self.sample_at_test):
            return _weighted_sum(x, *form)
        count, height, width, channels = ops.shape(x)
        shape = (count, self._out(height), self._out(width), channels)
        chance = uniform(shape, self.stream(training))
        return _draw(x, chance * ALMOST_ONE, *form)


def _cells(x: Tensor, width: int, stride: int, padding: str) -> list[Tensor]:
    """The cells of all windows, each place in them one tensor (N, out height, out width, C); 0 out of the image."""
    counts = [cells_of_windows(size, width, stride, padding) for size in x.shape[1:3]]
    spans = [(count - 1) * stride + 1 for count in counts]
    missing = [max(span - 1 + width - size, 0) for span, size in zip(spans, x.shape[1:3], strict=True)]
    x = ops.pad(x, [(0, 0), *((cells // 2, cells - cells // 2) for cells in missing), (0, 0)])
    rows, cols = spans
    return [x[:, i : i + rows : stride, j : j + cols : stride] for i in range(width) for j in range(width)]


def _weights(x: Tensor, cells: list[Tensor], width: int, stride: int, padding: str) -> list[Tensor]:
    """In what proportion the cells are drawn: their positive parts; evenly in the image where there are none."""
    positive = [ops.cast(ops.relu(cell), "float32") for cell in cells]
    total = sum(positive)
    inside = _cells(ops.ones((1, *x.shape[1:3], 1), "float32"), width, stride, padding)
    return [ops.where(total > 0, weight, there) for weight, there in zip(positive, inside, strict=True)]


@compiled
def _weighted_sum(x: Tensor, width: int, stride: int, padding: str) -> Tensor:
    cells = _cells(x, width, stride, padding)
    weights = _weights(x, cells, width, stride, padding)
    weighted = sum(weight * ops.cast(cell, "float32") for weight, cell in zip(weights, cells, strict=True))
    return ops.cast(weighted / sum(weights), x.dtype)


@compiled
def _draw(x: Tensor, chance: Tensor, width: int, stride: int, padding: str) -> Tensor:
    """One cell of each window: that in which `chance`, uniform in [0, 1), falls when weights are laid end to end."""
    cells = _cells(x, width, stride, padding)
    weights = _weights(x, cells, width, stride, padding)
    mark = chance * sum(weights)
    drawn, below = ops.zeros_like(cells[0]), ops.zeros_like(mark)
    for cell, weight in zip(cells, weights, strict=True):
        above = below + weight
        drawn = ops.where(ops.logical_and(below <= mark, mark < above), cell, drawn)
        below = above
    return drawn
