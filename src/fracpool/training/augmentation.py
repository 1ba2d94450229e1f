"""Mirrored and moved training images, as a function of seed and epoch."""

from __future__ import annotations

from typing import Any

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
            (self.moves, self.mirrored), self.drawn = self.draws(seed, epoch), (seed, epoch)
        sides = self.height, self.width
        return np.take(self.pixels, places(np, chosen, self.moves[chosen], self.mirrored[chosen], *sides), axis=0)

    def draws(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """What is done in an epoch: moves (n, 2) down and to the right in pixels, and whether mirrored (n,) bool."""
        furthest, flip = self.settings.shift, self.settings.flip
        moves = np.random.default_rng([seed, epoch, MOVE]).integers(-furthest, furthest + 1, (self.examples, 2))
        mirrored = np.zeros(self.examples, bool)
        if flip == "random":
            mirrored = _coins([seed, epoch, FLIP], self.examples)
        if flip == "alternating":
            mirrored = _coins([seed, COIN], self.examples) ^ bool(epoch % 2)
        return moves, mirrored


def places(numeric: Any, chosen: Any, moves: Any, mirrored: Any, height: int, width: int) -> Any:
    """Where the pixels (images, height, width) of changed images lie among those of all images, in a row.

    Args:
        numeric: The module that computes: numpy, or jax.numpy.
        chosen, moves, mirrored: Of each image its number, moves in pixels (down, to the right), whether mirrored.
    """
    rows = _reflected(numeric.arange(height) - moves[:, :1], height)
    columns = _reflected(numeric.arange(width) - moves[:, 1:], width)
    columns = numeric.where(mirrored[:, None], columns[:, ::-1], columns)
    return (chosen[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]


def _coins(seeds: list[int], count: int) -> np.ndarray:
    return np.random.default_rng(seeds).integers(0, 2, count).astype(bool)


def _reflected(line: Any, size: int) -> Any:
    """Places on a line of `size` cells, those beyond an end reflected about the cell there."""
    return size - 1 - abs(size - 1 - abs(line))
