"""Mirrored and moved training images, as a function of seed and epoch."""

from __future__ import annotations

import numpy as np

from fracpool.settings.schema import AugmentationSettings

MOVE, FLIP, COIN = range(1, 4)  # what draws are for, beside the seed and the epoch


class Augmentation:
    """Training images as an epoch has them: each moved by a draw of its own, with its border reflected, and mirrored.

    With flip "random" a new draw decides each time; with "alternating" an image is mirrored in every second epoch, and
    a draw decides whether in the first (Jordan, arXiv 2404.00498, section 3.6). Draws are numpy's, so that every
    backend trains on the same images.

    Args:
        settings: What is done.
        images: uint8 (n, height, width, channels).
    """

    def __init__(self, settings: AugmentationSettings, images: np.ndarray) -> None:
        self.settings = settings
        self.examples, self.height, self.width, channels = images.shape
        self.pixels = images.reshape(-1, channels)
        self.drawn: tuple[int, int] | None = None  # the seed and the epoch of the draws that are kept

    def batch(self, chosen: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """The images of these numbers, (len(chosen), height, width, channels) uint8, in an epoch counted from 0."""
        if self.drawn != (seed, epoch):
            self._draw(seed, epoch)
        rows = _reflected(np.arange(self.height) - self.moves[chosen, :1], self.height)
        columns = _reflected(np.arange(self.width) - self.moves[chosen, 1:], self.width)
        columns = np.where(self.mirrored[chosen, None], columns[:, ::-1], columns)
        places = (chosen[:, None, None] * self.height + rows[:, :, None]) * self.width + columns[:, None, :]
        return np.take(self.pixels, places, axis=0)

    def _draw(self, seed: int, epoch: int) -> None:
        """`moves` (n, 2) down and to the right in pixels, and `mirrored` (n,) bool."""
        furthest, flip = self.settings.shift, self.settings.flip
        moves = np.random.default_rng([seed, epoch, MOVE]).integers(-furthest, furthest + 1, (self.examples, 2))
        mirrored = np.zeros(self.examples, bool)
        if flip == "random":
            mirrored = _coins([seed, epoch, FLIP], self.examples)
        if flip == "alternating":
            mirrored = _coins([seed, COIN], self.examples) ^ bool(epoch % 2)
        self.moves, self.mirrored, self.drawn = moves, mirrored, (seed, epoch)


def _coins(seeds: list[int], count: int) -> np.ndarray:
    return np.random.default_rng(seeds).integers(0, 2, count).astype(bool)


def _reflected(places: np.ndarray, size: int) -> np.ndarray:
    """Places on a line of `size` cells, those beyond an end reflected about the cell there."""
    return size - 1 - np.abs(size - 1 - np.abs(places))
