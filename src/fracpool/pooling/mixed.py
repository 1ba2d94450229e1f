"""Mixed and gated pooling: maximum and average in learned proportions (Lee et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from fracpool.pooling.window_pooling import Tensor, WindowPooling


@keras.saving.register_keras_serializable(package="fracpool")
class MixedPooling2D(WindowPooling):
    """α · max + (1 − α) · average of each window, α a weight of the layer.

    Lee, Gallagher and Tu, Generalizing pooling functions in convolutional neural networks: mixed, gated, and tree
    (AISTATS 2016, arXiv 1509.08985), mixed max-average pooling with one proportion per layer. The paper asks for
    0 ≤ α ≤ 1 and learns it by gradient descent; it starts at ½ here, and nothing holds it in that range.

    Args, shapes and errors: see `WindowPooling`.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.proportion = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.5), name="proportion")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        average = self._average(x)
        return average + self.proportion * (self._maximum(x) - average)


@keras.saving.register_keras_serializable(package="fracpool")
class GatedPooling2D(WindowPooling):
    """σ(ωᵀx) · max + (1 − σ(ωᵀx)) · average of each window x, ω a mask of k×k weights of the layer.

    Lee, Gallagher and Tu (see `MixedPooling2D`), gated max-average pooling with one mask per layer, shared by its
    channels. The mask starts at 0, that is at the mean of maximum and average; cells out of the image count 0 in ωᵀx.

    Args, shapes and errors: see `WindowPooling`.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.mask = self.add_weight(shape=(self.pool_size, self.pool_size), initializer="zeros", name="mask")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        shape = (self.pool_size, self.pool_size, x.shape[-1], 1)
        masks = ops.broadcast_to(self.mask[:, :, None, None], shape)
        gate = ops.sigmoid(ops.depthwise_conv(x, masks, self.strides, self.padding, data_format="channels_last"))
        average = self._average(x)
        return average + gate * (self._maximum(x) - average)
