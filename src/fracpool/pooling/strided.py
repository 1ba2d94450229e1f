"""A strided convolution in place of a pool (All-CNN, Springenberg et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fracpool.pooling.window_pooling import Tensor, WindowPooling


@keras.saving.register_keras_serializable(package="fracpool")
class StridedConvolution2D(WindowPooling):
    """A convolution with stride in place of a pool, of as many filters as its input has channels.

    Springenberg, Dosovitskiy, Brox and Riedmiller, Striving for simplicity: the all convolutional net (arXiv
    1412.6806), section 2: 3×3 with stride 2. It is linear, as convolutions in Keras are: the activation that the
    paper has after it is a layer of its own.

    Args, shapes and errors: see `WindowPooling`; weights are the kernel (k, k, C, C) and bias (C,).
    """

    def __init__(
        self,
        pool_size: int = 3,
        strides: int | None = 2,
        padding: str = "same",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        shape = (self.pool_size, self.pool_size, channels, channels)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        return ops.conv(x, self.kernel, self.strides, self.padding, data_format="channels_last") + self.bias
