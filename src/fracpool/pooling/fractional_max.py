"""The Keras layers for fractional max pooling, of one to three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from fracpool.pooling import arguments
from fracpool.pooling.axis import Tensor
from fracpool.pooling.fractional import FractionalPooling
from fracpool.pooling.ops import pool, pool_lazily, pool_with_indices
from fracpool.pooling.ops.windows import Regions, Windows


class FractionalMaxPooling(FractionalPooling):
    """The largest value of each region; see `FractionalMaxPooling2D`."""

    def __init__(
        self,
        pooling_ratio: float | Sequence[float] | None = None,
        output_size: int | Sequence[int] | None = None,
        *,
        return_indices: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(pooling_ratio, output_size, **kwargs)
        self.return_indices = arguments.flag(return_indices, "return_indices")

    def reduce(self, x: Tensor, regions: Regions, windows: Windows, training: bool) -> Any:
        if self.return_indices:
            return tuple(map(self._as_given, pool_with_indices(x, regions, windows)))
        return self._as_given((pool if training else pool_lazily)(x, regions, windows))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        shape = super().compute_output_shape(input_shape)
        return (shape, shape) if self.return_indices else shape

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        shape = super().compute_output_shape(inputs.shape)
        values = keras.KerasTensor(shape, dtype=inputs.dtype)
        return (values, keras.KerasTensor(shape, dtype="int32")) if self.return_indices else values

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "return_indices": self.return_indices}


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalMaxPooling1D(FractionalMaxPooling):
    """Fractional max pooling of sequences (batch, length, channels); see `FractionalMaxPooling2D`.

    Example:

    >>> FractionalMaxPooling1D(1.4, seed=1)(keras.ops.ones((8, 28, 3))).shape
    (8, 20, 3)
    """

    rank = 1


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalMaxPooling2D(FractionalMaxPooling):
    """Fractional max pooling (Graham 2014, arXiv 1412.6071): max pooling by any ratio from 1 on.

    Rows and columns are cut into regions of two sizes, floor(α) and floor(α) + 1 cells, in random order; each
    output is the maximum of a region. New regions are drawn at each call, in training, and in inference unless
    `inference="even"`. With a seed the streams of regions repeat, and saving, loading or resuming a model continues
    them.

    Args:
        pooling_ratio: Input size / output size α, at least 1 and at most the input size: a number or a pair
            (height, width).
        output_size: Output height and width instead of the ratio: a whole number or a pair.
        pseudo_random: Pseudorandom instead of random order: a_i = ceil(α(i + u)), one u per axis.
        overlapping: Whether a region includes the first row and column of the next (TensorFlow's form).
        window: Width of fixed windows at the fractional places instead (Graham's overlapping regions have 2;
            `torch.nn.FractionalMaxPool2d`), or None.
        regions_per: "batch" draws one set of regions for all images (TensorFlow), "sample" one per image
            (Graham), "channel" one per image and channel (PyTorch).
        inference: What regions are outside of training: "drawn" anew at each call, as in the paper, TensorFlow and
            PyTorch, so that the predictions of several passes can be averaged (`fracpool.average_predictions`); or
            "even": as even as whole cells allow, the same at every call.
        return_indices: Whether the place of each maximum is given too, as PyTorch does.
        seed: Whole number that starts the streams of regions, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are floor(size / pooling_ratio), the division in float32 as TensorFlow's op has it,
        or output_size. With return_indices two tensors of this shape: the maxima, and int32 indices, row · width +
        column of each maximum in its map (`fracpool.max_unpool_regions` undoes the pool with them).

    Attributes:
        seed_generator: The stream of training; its state variable is all that training draws from.
        inference_generator: That of calls outside of training, which leave the training as it is.

    Raises:
        ValueError: an argument is out of its range, at construction, or at the call when it is too large for
            the input. Of sizes that a `tf.function` knows only as it runs, tf.errors.InvalidArgumentError. Gradient
            checkpointing that would draw anew, on TensorFlow and PyTorch.

    Example:

    >>> layer = FractionalMaxPooling2D(1.4, seed=1)
    >>> layer(keras.ops.ones((8, 28, 28, 3))).shape
    (8, 20, 20, 3)

    A NaN in a region makes its output NaN. Of equal maxima the first in row-major order takes the gradient.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalMaxPooling3D(FractionalMaxPooling):
    """Fractional max pooling of volumes (batch, depth, height, width, channels); see `FractionalMaxPooling2D`.

    Example:

    >>> FractionalMaxPooling3D(1.4, seed=1)(keras.ops.ones((2, 14, 14, 14, 3))).shape
    (2, 10, 10, 10, 3)
    """

    rank = 3
