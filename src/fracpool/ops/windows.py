"""Max pooling over given windows, as array expressions that three backends share; no gradients here.

Two facts make this fast. A pool is a handful of shifted gathers and a running maximum, which a compiler fuses
into one pass over memory. And its gradient needs no scatter: each cell of the input knows the windows that
cover it, so it gathers their incoming gradients and keeps those whose winner it is. All that has to be
remembered of the input is the place of each window's winner, one byte (`codes`).

Shapes: x (N, H, W, C); boundaries or starts (B, n) or (B, C, n), B being 1 or N.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

Tensor = Any


class Windows(NamedTuple):
    """What is known about the windows before any value is: hashable, so that compiled code can depend on it.

    Attributes:
        overlapping: Whether window i includes the first cell of window i+1 (TensorFlow's form).
        width: Width of fixed windows; None where boundaries define the windows.
        longest: Largest number of cells in a window, along rows and columns.
        cover: Largest number of windows over a cell, along rows and columns.
    """

    overlapping: bool
    width: int | None
    longest: tuple[int, int]
    cover: tuple[int, int]

    @property
    def cells(self) -> int:
        return self.longest[0] * self.longest[1]

    @property
    def code_dtype(self) -> str:
        """Smallest type that holds the codes and one more value, which means "no window"."""
        return next(t for t in ("uint8", "uint16", "int32") if self.cells <= np.iinfo(t).max)


class Regions(NamedTuple):
    """Boundaries (or starts of fixed windows) along rows and columns."""

    rows: Tensor
    cols: Tensor


def _take(table: Tensor, index: Tensor) -> Tensor:
    """table[index] along the first axis; an index out of range is clamped or an error, never a stray read."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.gather(table, index)
        case "jax":
            import jax.numpy as jnp

            return jnp.take(table, index, axis=0, mode="clip")
        case _:
            return table[index.long()]


def largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window; NaN where a window holds one. (N, n_rows, n_cols, C)"""
    best, *others = _window_cells(x, regions, windows)
    for value in others:
        best = ops.where(_wins_value(value, best), value, best)
    return best


def codes(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """Where in its window the first largest value stands, counted row by row: row · longest + column.

    The first NaN counts as largest. Shape as `largest`, dtype `windows.code_dtype`.
    """
    best, *others = _window_cells(x, regions, windows)
    code = ops.zeros_like(best, dtype=windows.code_dtype)
    for number, value in enumerate(others, start=1):
        wins = _wins_place(value, best)
        best = ops.where(wins, value, best)
        code = ops.where(wins, ops.cast(number, windows.code_dtype), code)
    return code


def pick(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The values of x at the places that `code` names: the transpose of `spread`."""
    picked, *others = _window_cells(x, regions, windows)
    for number, value in enumerate(others, start=1):
        picked = ops.where(ops.equal(code, ops.cast(number, code.dtype)), value, picked)
    return picked


def spread(
    y: Tensor, code: Tensor, regions: Regions, windows: Windows, size: tuple[Tensor, Tensor]
) -> Tensor:
    """Each window's value of y at the place that `code` names, 0 elsewhere, overlaps added: the gradient.

    Shape (N, *size, C).
    """
    row_owners = _owners(regions.rows, windows, size[0], axis=0)
    col_owners = _owners(regions.cols, windows, size[1], axis=1)
    shape = ops.shape(y)
    total = None
    for row, row_place in row_owners:
        for col, col_place in col_owners:
            index = _flat_index(row, col, shape)
            own_code = _place_code(row_place, col_place, windows, len(row.shape))
            hit = ops.equal(_cells_at(code, index), own_code)
            share = ops.where(hit, _cells_at(y, index), ops.zeros((), dtype=y.dtype))
            total = share if total is None else total + share
    return total


def _wins_value(value: Tensor, best: Tensor) -> Tensor:
    wins = value > best
    return wins | (value != value) if _has_nan(value) else wins


def _wins_place(value: Tensor, best: Tensor) -> Tensor:
    wins = value > best
    return wins | ((value != value) & (best == best)) if _has_nan(value) else wins


def _has_nan(x: Tensor) -> bool:
    return "float" in keras.backend.standardize_dtype(x.dtype)


def _window_cells(x: Tensor, regions: Regions, windows: Windows) -> list[Tensor]:
    """For each place in a window, row by row: the values there, for all windows at once.

    A window shorter than the longest repeats its last row or column, which a strict comparison never lets win.
    """
    shape = ops.shape(x)
    row_starts, row_lasts = _spans(regions.rows, windows, shape[1])
    col_starts, col_lasts = _spans(regions.cols, windows, shape[2])
    return [
        _cells_at(
            x,
            _flat_index(
                ops.minimum(row_starts + row, row_lasts), ops.minimum(col_starts + col, col_lasts), shape
            ),
        )
        for row in range(windows.longest[0])
        for col in range(windows.longest[1])
    ]


def _spans(boundaries: Tensor, windows: Windows, size: Tensor) -> tuple[Tensor, Tensor]:
    """First and last cell of each window."""
    if windows.width is not None:
        return boundaries, boundaries + (windows.width - 1)
    starts, ends = boundaries[..., :-1], boundaries[..., 1:]
    return starts, ops.minimum(ends, size - 1) if windows.overlapping else ends - 1


def _owners(boundaries: Tensor, windows: Windows, size: Tensor, axis: int) -> list[tuple[Tensor, Tensor]]:
    """For each cell along an axis the windows that cover it, in order: pairs (window, place in it).

    Both (..., size); the place is `longest` where there is no further window.
    """
    starts, lasts = _spans(boundaries, windows, size)
    cells = ops.arange(size, dtype="int32")[:, None]
    passed = ops.sum(ops.cast(lasts[..., None, :] < cells, "int32"), axis=-1)
    begun = ops.sum(ops.cast(starts[..., None, :] <= cells, "int32"), axis=-1)
    owners = []
    for number in range(windows.cover[axis]):
        window = ops.minimum(passed + number, begun - 1)
        place = cells[:, 0] - ops.take_along_axis(starts, window, axis=-1)
        owners.append((window, ops.where(passed + number < begun, place, windows.longest[axis])))
    return owners


def _place_code(row_place: Tensor, col_place: Tensor, windows: Windows, rank: int) -> Tensor:
    """The code of a cell in its window, (B, H, W, 1 or C); `windows.cells` where the window does not exist."""
    row, col = _grid(row_place, col_place)
    exists = (row < windows.longest[0]) & (col < windows.longest[1])
    code = ops.where(exists, row * windows.longest[1] + col, windows.cells)
    return ops.cast(code[..., None] if rank == 2 else code, windows.code_dtype)


def _grid(rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns, (B, n) or (B, C, n), made to broadcast to (B, rows, cols) or (B, rows, cols, C)."""
    if len(rows.shape) == 2:
        return rows[:, :, None], cols[:, None, :]
    return ops.transpose(rows, (0, 2, 1))[:, :, None, :], ops.transpose(cols, (0, 2, 1))[:, None, :, :]


def _flat_index(rows: Tensor, cols: Tensor, shape: tuple[Tensor, ...]) -> Tensor:
    """Index into the flattened pixels, (N, rows, cols), or into the elements where channels differ, (…, C)."""
    count, height, width, channels = shape
    rank = len(rows.shape)
    rows, cols = _grid(rows, cols)
    image = ops.reshape(ops.arange(count, dtype="int32"), (-1, *[1] * rank))
    pixel = (image * height + rows) * width + cols
    return pixel if rank == 2 else pixel * channels + ops.arange(channels, dtype="int32")


def _cells_at(x: Tensor, index: Tensor) -> Tensor:
    channels = ops.shape(x)[3]
    return _take(ops.reshape(x, (-1, channels) if len(index.shape) == 3 else (-1,)), index)


