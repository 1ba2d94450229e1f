"""Windows along the axes of a map: which cells they have, which of them cover a cell, and the values at such places.

Shapes: x (N, *sizes, C) with one to three axes between batch and channels; for each of them boundaries or starts
(B, n), or (B, 1 or C, n) for all axes, B being 1 or N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

Tensor = Any
Regions = tuple[Tensor, ...]  # boundaries, or starts of fixed windows, along each axis, int32
LONG_AXIS = 256  # cells × windows of an axis above the square of this are searched, not compared with one another
UNROLLED = 36  # windows of more cells than this are walked by a loop, which keeps compilation short


class Windows(NamedTuple):
    """What is known about the windows before any value is: hashable, so that compiled code can depend on it.

    Attributes:
        overlapping: Whether window i includes the first cell of window i+1 (TensorFlow's form).
        width: Width of fixed windows; None where boundaries define the windows.
        longest: Upper bound of the cells in a window along each axis; None if only the values tell.
        cover: Upper bound of the windows over a cell along each axis; None likewise.
    """

    overlapping: bool
    width: int | None
    longest: tuple[int | None, ...]
    cover: tuple[int | None, ...]

    @property
    def cells(self) -> int | None:
        """Upper bound of the cells in a window; None if only the values tell."""
        known = [longest for longest in self.longest if longest is not None]
        return math.prod(known) if len(known) == len(self.longest) else None

    @property
    def small(self) -> bool:
        """Whether windows have so few cells, and surely so, that one reduction over them is best."""
        return self.cells is not None and self.cells <= UNROLLED

    @property
    def code_dtype(self) -> str:
        """Smallest type that holds all codes and one more value, which means "no window"."""
        cells = self.cells
        if cells is None:
            return "int32"
        return next(name for name in ("uint8", "int16", "int32") if cells <= np.iinfo(name).max)


def spans(boundaries: Tensor, windows: Windows, size: Tensor) -> tuple[Tensor, Tensor]:
    """First and last cell of each window."""
    if windows.width is not None:
        return boundaries, boundaries + (windows.width - 1)
    starts, ends = boundaries[..., :-1], boundaries[..., 1:]
    return starts, ops.minimum(ends, size - 1) if windows.overlapping else ends - 1


def longest_of(windows: Windows, axis: int, starts: Tensor, lasts: Tensor) -> Any:
    known = windows.longest[axis]
    return ops.max(lasts - starts) + 1 if known is None else known


def digits_of(number: Any, bases: Sequence[Any]) -> list[Any]:
    """The number counted along each axis, the last first: row and column of a place in a window."""
    weights = weights_of(bases)
    first = number // weights[0]
    return [first, *(number // weight % base for weight, base in zip(weights[1:], bases[1:], strict=True))]


def weights_of(bases: Sequence[Any]) -> list[Any]:
    """What one step along each axis counts where the last axis is counted first."""
    return [math.prod(bases[axis + 1 :]) for axis in range(len(bases))]


class Owners:
    """For each cell along an axis the windows that cover it."""

    def __init__(self, places: Tensor, windows: Windows, size: Tensor, axis: int) -> None:
        self.starts, lasts = spans(places, windows, size)
        self.cells = ops.arange(size, dtype="int32")
        self.longest = longest_of(windows, axis, self.starts, lasts)
        self.first = _count_below(lasts, self.cells)
        self.beyond = _count_below(self.starts, self.cells + 1)
        cover = windows.cover[axis]
        self.cover = ops.max(self.beyond - self.first) if cover is None else cover

    def at(self, number: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The cells' windows of this number: their index, the cell's place in them, whether they exist."""
        window = ops.maximum(ops.minimum(self.first + number, self.beyond - 1), 0)
        place = self.cells - ops.take_along_axis(self.starts, window, axis=-1)
        return window, place, self.first + number < self.beyond


def _count_below(ordered: Tensor, cells: Tensor) -> Tensor:
    """How many of the ordered values (…, n) lie below each cell (size,): (…, size).

    Short axes compare all with all, which compilers fuse; long ones, and those of unknown length, halve what is left.
    """
    count, size = ops.shape(ordered)[-1], ops.shape(cells)[0]
    if isinstance(count, int) and isinstance(size, int) and count * size <= LONG_AXIS**2:
        return ops.sum(ops.cast(ordered[..., None, :] < cells[:, None], "int32"), axis=-1)

    def halved(step: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        tried = ops.minimum(below + step, count)
        values = ops.take_along_axis(ordered, tried - 1, axis=-1)
        return step // 2, ops.where(values < cells, tried, below)

    below = ops.zeros((*ops.shape(ordered)[:-1], size), dtype="int32")
    first = ops.cast(2 ** (int(count).bit_length() - 1) if isinstance(count, int) else 2**30, "int32")
    return ops.while_loop(lambda step, below: step > 0, halved, (first, below))[1]


def grid(places: Sequence[Tensor]) -> list[Tensor]:
    """What is known along each axis, (B, n) or (B, C, n), in shapes that broadcast to (B, n, …) or (B, n, …, C)."""
    last = [places_ if len(places_.shape) == 2 else ops.transpose(places_, (0, 2, 1)) for places_ in places]
    return [
        one[(slice(None), *[None] * axis, slice(None), *[None] * (len(places) - 1 - axis))]
        for axis, one in enumerate(last)
    ]


def cells_at(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """x where places along its axes, (B, n) or per channel (B, C, n), cross: (N, n, …, C).

    An index out of range is clamped or an error, never a stray read.
    """
    shape = ops.shape(x)
    pixel = _pixel(grid(places), shape)
    if len(places[0].shape) == 2:
        return _take(ops.reshape(x, (-1, shape[-1])), pixel)
    return _take(ops.reshape(x, (-1,)), pixel * shape[-1] + ops.arange(shape[-1], dtype="int32"))


def _pixel(places: Sequence[Tensor], shape: tuple[Tensor, ...]) -> Tensor:
    """Index into the flattened pixels of all images, of (B, n, …)."""
    index = ops.reshape(ops.arange(shape[0], dtype="int32"), (-1, *[1] * (len(places[0].shape) - 1)))
    for size, along in zip(shape[1:-1], places, strict=True):
        index = index * size + along
    return index


def _take(table: Tensor, index: Tensor) -> Tensor:
    """table[index] along the first axis."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.gather(table, index)
        case "jax":
            return table.at[index].get(mode="clip")
        case _:
            return table[index.long()]
