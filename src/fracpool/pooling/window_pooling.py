"""What poolings over 2×2 windows share: their windows, their sizes, and sampling by a seeded stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.stream import Draws

Tensor = Any


class WindowPooling(keras.layers.Layer):
    """What poolings over k×k windows share: arguments, shapes, channel order; `pool` is channels-last.

    Args:
        pool_size: Side of a window.
        strides: Distance of windows; None: pool_size.
        padding: "valid" drops cells that fill no window, "same" has ceil(size / strides) windows and lets those at
            the border reach out of the image, where there is nothing.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are ceil(size / strides) with "same", floor((size − pool_size) / strides) + 1 with "valid".

    Raises:
        ValueError: an argument is out of its range, or the input is too small for a window or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = arguments.whole(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else arguments.whole(strides, "strides")
        self.padding = arguments.one_of(padding, "padding", ("valid", "same"))
        self.data_format = arguments.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def pool(self, x: Tensor, training: bool) -> Tensor:
        raise NotImplementedError

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = ops.cast(inputs, self.compute_dtype)
        if self.data_format == "channels_last":
            return self.pool(x, training)
        return ops.transpose(self.pool(ops.transpose(x, (0, 2, 3, 1)), training), (0, 3, 1, 2))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for name, place in zip(("height", "width"), self._places, strict=True):
            shape[place] = self._out(arguments.known_size(shape[place], name, self._smallest))
        return tuple(shape)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)  # says so if the layer does not fit its input

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    @property
    def _places(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    @property
    def _smallest(self) -> int:
        return self.pool_size if self.padding == "valid" else 1

    def _out(self, size: int) -> int:
        return cells_of_windows(size, self.pool_size, self.strides, self.padding)

    def _maximum(self, x: Tensor) -> Tensor:
        return ops.max_pool(x, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def _average(self, x: Tensor) -> Tensor:
        """The mean of a window's cells in the image."""
        return ops.average_pool(x, self.pool_size, self.strides, self.padding, data_format="channels_last")


class SampledPooling(Draws, WindowPooling):
    """What poolings with a random choice share: the streams of draws, and when they draw."""

    def __init__(self, sample_at_test: bool, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_at_test = arguments.flag(sample_at_test, "sample_at_test")
        self.seed = arguments.seed(seed)
        self.start_streams(self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sample_at_test": self.sample_at_test, "seed": self.seed}


def cells_of_windows(size: int, width: int, stride: int, padding: str) -> int:
    """How many windows an axis has."""
    return -(-size // stride) if padding == "same" else (size - width) // stride + 1
