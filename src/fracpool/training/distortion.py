"""The random distortions of images with which Graham trains on CIFAR-10, as a Keras layer for any backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops, random

from fracpool.pooling import arguments

Tensor = Any
GREY = 128  # of 255: his background, and the middle of the range that he scales pixels to
BACKGROUND = 2 / GREY  # pixels as near to it as this count as background


@keras.saving.register_keras_serializable(package="fracpool")
class GrahamDistortion(keras.layers.Layer):
    """Stretches, mirrors, slants or turns, shifts and tints each image in training; does nothing otherwise.

    As cifar10.cpp and OpenCVPicture.cpp of his SparseConvNet have it: height and width are stretched by factors from
    0.8 to 1.2 each, half of the images are mirrored, each is slanted along one axis or the other or turned, by up to
    0.2 (radians), and moved by up to 16 pixels along each axis. Then each channel of what is not background gets an
    offset N(0, 25/128) and slopes N(0, 2/128) per pixel along rows and columns. His code asks for 25.5, 2.4 and for
    0.15 of contrast, and hands them over as whole numbers: what ran are 25, 2 and 0.

    Args:
        steps: Training calls that distort, after which images are left as they are (he ends with 10 plain epochs).
            None: all.
        stretch, slant: Largest relative stretch; largest slant, or angle in radians.
        shift: Furthest move in pixels.
        tint, slope: Standard deviations of a channel's offset, and of its slopes per pixel.
        seed: Seed of the stream of distortions; None follows `keras.utils.set_random_seed`.

    Input and output shape:
        (batch, height, width, channels), scaled so that the background is 0 (−1 to 1 with grey in the middle).
    """

    def __init__(
        self,
        steps: int | None = None,
        stretch: float = 0.2,
        slant: float = 0.2,
        shift: int = 16,
        tint: float = 25 / GREY,
        slope: float = 2 / GREY,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.stretch, self.slant, self.shift = steps, stretch, slant, shift
        self.tint, self.slope, self.seed = tint, slope, arguments.seed(seed)
        self.seed_generator = random.SeedGenerator(self.seed)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.done = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="done")

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training:
            return inputs
        count = ops.shape(inputs)[0]
        moves = [ops.round(self._uniform(count, self.shift + 0.4999)) for _ in range(2)]  # along x and y
        distorted = self._tinted(ops.image.affine_transform(inputs, self._transforms(inputs, *moves)), *moves)
        if self.steps is None:
            return distorted
        kept = ops.where(self.done < self.steps, distorted, inputs)
        self.done.assign(ops.minimum(self.done + 1, self.steps))
        return kept

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def _uniform(self, count: Tensor, furthest: float) -> Tensor:
        return random.uniform((count,), -furthest, furthest, seed=self.seed_generator)

    def _transforms(self, images: Tensor, x_move: Tensor, y_move: Tensor) -> Tensor:
        """For each image the map (8 numbers, as `keras.ops.image.affine_transform` takes them) from places in the
        result to places in the image: the inverse of the distortion, about the middle of the image."""
        count, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        x_scale, y_scale = (1 + self._uniform(count, self.stretch) for _ in range(2))
        x_scale = x_scale * ops.where(self._uniform(count, 1.0) < 0, -1.0, 1.0)  # half of them mirrored
        way = random.uniform((count,), 0.0, 3.0, seed=self.seed_generator)
        angle = self._uniform(count, self.slant)
        turned = way >= 2
        one, sine = ops.where(turned, ops.cos(angle), 1.0), ops.sin(angle)
        across = ops.where(turned, -sine, ops.where(way < 1, angle, 0.0))
        along = ops.where(turned, sine, ops.where(way < 1, 0.0, angle))

        # (x, y) goes to (a x + b y, c x + d y); its inverse is (d x − b y, −c x + a y) / (a d − b c)
        a, b, c, d = x_scale * one, x_scale * across, y_scale * along, y_scale * one
        area = a * d - b * c
        a, b, c, d = d / area, -b / area, -c / area, a / area
        x_middle, y_middle = (width - 1) / 2, (height - 1) / 2
        x, y = x_middle + x_move, y_middle + y_move
        none = ops.zeros((count,))
        return ops.stack([a, b, x_middle - a * x - b * y, c, d, y_middle - c * x - d * y, none, none], axis=1)

    def _tinted(self, images: Tensor, x_move: Tensor, y_move: Tensor) -> Tensor:
        """Slopes are about the middle of what was moved."""
        count, (height, width, channels) = ops.shape(images)[0], images.shape[1:]
        offset, across, down = (
            deviation * random.normal((count, 1, 1, channels), seed=self.seed_generator)
            for deviation in (self.tint, self.slope, self.slope)
        )
        x = ops.reshape(ops.arange(width, dtype="float32") - width / 2 - x_move[:, None], (-1, 1, width, 1))
        y = ops.reshape(ops.arange(height, dtype="float32") - height / 2 - y_move[:, None], (-1, height, 1, 1))
        foreground = ops.any(ops.abs(images) > BACKGROUND, axis=-1, keepdims=True)
        return images + ops.where(foreground, offset + across * x + down * y, 0.0)

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the stream too, which Keras leaves out, so that a loaded model continues it."""
        store["done"], store["seed_generator_state"] = self.done, self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        self.done.assign(store["done"])
        self.seed_generator.state.assign(store["seed_generator_state"])

    def get_config(self) -> dict[str, Any]:
        own = ("steps", "stretch", "slant", "shift", "tint", "slope", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
