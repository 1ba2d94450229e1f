"""Fractional max pooling: the op, its drop-in form for TensorFlow's, and the Keras layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool import geometry, regions
from fracpool.ops import Regions, Windows, pool

Tensor = Any

REGIONS_PER = ("batch", "sample", "channel")


class FractionalMaxPooling2D(keras.layers.Layer):
    """Fractional max pooling (Graham 2014, arXiv 1412.6071)."""

    def __init__(
        self,
        pooling_ratio: float | Sequence[float] | None = None,
        output_size: int | Sequence[int] | None = None,
        *,
        pseudo_random: bool = False,
        overlapping: bool = False,
        window: int | None = None,
        regions_per: str = "batch",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (pooling_ratio is None) == (output_size is None):
            raise ValueError(
                f"pooling_ratio={pooling_ratio}, output_size={output_size}: exactly one of them must be given"
            )
        self.pooling_ratio = None if pooling_ratio is None else _ratios(pooling_ratio)
        self.output_size = None if output_size is None else _sizes(output_size)
        self.pseudo_random = pseudo_random
        self.overlapping = overlapping
        self.window = window
        self.regions_per = regions_per
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.data_format = data_format or keras.config.image_data_format()
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self._build_at_init()

    def call(self, inputs: Tensor) -> Tensor:
        first = self.data_format == "channels_first"
        x = ops.transpose(inputs, (0, 2, 3, 1)) if first else inputs
        count, height, width, channels = ops.shape(x)
        leading = {"batch": (1,), "sample": (count,), "channel": (count, channels)}[self.regions_per]
        rows, row_longest, row_cover = self._axis(height, 0, leading)
        cols, col_longest, col_cover = self._axis(width, 1, leading)
        windows = Windows(
            self.overlapping, self.window, (row_longest, col_longest), (row_cover, col_cover)
        )
        y = pool(x, Regions(rows, cols), windows)
        return ops.transpose(y, (0, 3, 1, 2)) if first else y

    def _axis(self, size: Any, axis: int, leading: tuple[Any, ...]) -> tuple[Tensor, int, int]:
        out = self._output_size(size, axis)
        drawn = regions.draw(
            size,
            out,
            leading,
            pseudo_random=self.pseudo_random,
            window=self.window,
            seed=self.seed_generator,
        )
        longest, cover = self._bounds(size, out, axis)
        return drawn, longest, cover

    def _output_size(self, size: Any, axis: int) -> Any:
        if self.output_size is not None:
            return self.output_size[axis]
        assert self.pooling_ratio is not None
        ratio = self.pooling_ratio[axis]
        if isinstance(size, int):
            return geometry.output_size(size, ratio)
        return ops.cast(ops.floor(ops.cast(size, "float32") / np.float32(ratio)), "int32")

    def _bounds(self, size: Any, out: Any, axis: int) -> tuple[int, int]:
        """Upper bounds of the cells in a window and of the windows over a cell."""
        if self.window is not None:
            span, steps = size - self.window, out - 1
            if steps == 0:
                return self.window, 1
            step, rest = divmod(span, steps)
            crowd = math.ceil(self.window / step) if step else self.window + steps - rest
            return self.window, min(crowd, out)
        if isinstance(size, int):
            longest = -(-size // out)
        else:
            assert self.pooling_ratio is not None
            longest = math.ceil(2 * self.pooling_ratio[axis] * (1 + 1e-6))
        if not self.overlapping:
            return longest, 1
        return longest + 1, 2

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        first = self.data_format == "channels_first"
        axes = (2, 3) if first else (1, 2)
        shape = list(input_shape)
        for number, axis in enumerate(axes):
            if self.output_size is not None:
                shape[axis] = self.output_size[number]
            elif shape[axis] is not None:
                shape[axis] = self._output_size(shape[axis], number)
        return tuple(shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pooling_ratio": self.pooling_ratio,
            "output_size": self.output_size,
            "pseudo_random": self.pseudo_random,
            "overlapping": self.overlapping,
            "window": self.window,
            "regions_per": self.regions_per,
            "seed": self.seed,
            "data_format": self.data_format,
        }


def _ratios(value: Any) -> tuple[float, float]:
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    return float(pair[0]), float(pair[1])


def _sizes(value: Any) -> tuple[int, int]:
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    return int(pair[0]), int(pair[1])
