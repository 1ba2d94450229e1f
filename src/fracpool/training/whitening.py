"""airbench's first layer: a convolution whose filters make the patches of the training images uncorrelated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.settings.layer_stack import WHITEN_KERNEL

IMAGES = 5000  # the first ones, whose patches are counted
EPSILON = 5e-4  # added to eigenvalues, so that what hardly varies is not blown up
CHUNK = 500  # images whose patches are in memory at once


class WhiteningConvolution(keras.layers.Layer):
    """Convolves with the eigenvectors of the images' patches, each over the root of its eigenvalue, and with their
    negatives; then adds a bias (Jordan, arXiv 2404.00498, section 3.2).

    Only `bias` is trained. `kernel` and `shift` are computed from training images by `adapt`, and contain the
    normalisation of pixels to mean 0 and deviation 1 in each channel, which the paper has as a step of its own.

    Input and output shape:
        (batch, height, width, channels) to (batch, height − 1, width − 1, 8 · channels).
    """

    def __init__(self, trained: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trained = trained
        self.start: dict[str, np.ndarray] = {}

    def build(self, input_shape: Sequence[int | None]) -> None:
        side, channels = WHITEN_KERNEL, int(input_shape[-1] or 0)
        filters = 2 * side**2 * channels
        self.kernel = self.add_weight(shape=(side, side, channels, filters), trainable=False, name="kernel")
        self.shift = self.add_weight(shape=(filters,), trainable=False, initializer="zeros", name="shift")
        self.bias = self.add_weight(shape=(filters,), trainable=self.trained, initializer="zeros", name="bias")

    def adapt(self, images: np.ndarray) -> None:
        """Takes the filters from uint8 training images (n, height, width, channels)."""
        kernel, shift = whitening_filters(images)
        self.start = {"kernel": kernel, "shift": shift, "bias": np.zeros_like(shift)}

    def begin(self) -> None:
        """Sets the weights to those that training starts from."""
        if not self.start:
            raise ValueError(f"layer {self.name}: adapt it to the training images first")
        for variable in self.weights:
            variable.assign(self.start[variable.name])

    def call(self, inputs: Any) -> Any:
        return ops.conv(inputs, self.kernel, padding="valid") + (self.shift + self.bias)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        lost = WHITEN_KERNEL - 1
        sides = [None if side is None else side - lost for side in (height, width)]
        return batch, *sides, None if channels is None else 2 * WHITEN_KERNEL**2 * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trained": self.trained}


def whitening_filters(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Filters (2, 2, channels, 8 · channels) and shifts (8 · channels,) float32 for pixels in [0, 1].

    Eigenvectors by falling eigenvalue, then their negatives; of the two directions of each the one whose largest entry
    is positive comes first. Sums over pixels are of whole numbers, so they are exact in any order: the same filters
    with any number of threads.
    """
    mean, deviation = _of_channels(images)
    patch_mean, patch_deviation = (np.tile(values, WHITEN_KERNEL**2) for values in (mean, deviation))
    sums, products, count = _patch_sums(images[:IMAGES])
    first = sums / count
    second = products / count
    cross = np.outer(first, patch_mean)
    moments = second - cross - cross.T + np.outer(patch_mean, patch_mean)  # about the means of all images' pixels
    values, vectors = np.linalg.eigh(moments / np.outer(patch_deviation, patch_deviation))
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    scaled = vectors / np.sqrt(np.maximum(values, 0) + EPSILON) / patch_deviation[:, None]
    both = np.concatenate([scaled, -scaled], axis=1)
    kernel = 255 * both.reshape(WHITEN_KERNEL, WHITEN_KERNEL, images.shape[-1], -1)
    return kernel.astype(np.float32), (-patch_mean @ both).astype(np.float32)


def _of_channels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel's pixels, of 255; a channel that never varies counts as of deviation 1."""
    counts = [np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(images.shape[-1])]
    values, shares = np.arange(256), np.array(counts) / (images.size // images.shape[-1])
    mean = shares @ values
    deviation = np.sqrt(shares @ values**2 - mean**2)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _patch_sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums (d,) and sums of products (d, d) of all patches of d = 4 · channels pixels, and their number."""
    size = WHITEN_KERNEL**2 * images.shape[-1]
    sums, products, count = np.zeros(size), np.zeros((size, size)), 0
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].astype(np.float64)
        height, width = (side - WHITEN_KERNEL + 1 for side in chunk.shape[1:3])
        places = [(row, column) for row in range(WHITEN_KERNEL) for column in range(WHITEN_KERNEL)]
        corners = [chunk[:, row : row + height, column : column + width] for row, column in places]
        patches = np.concatenate(corners, axis=-1).reshape(-1, size)
        sums, products, count = sums + patches.sum(axis=0), products + patches.T @ patches, count + len(patches)
    return sums, products, count
