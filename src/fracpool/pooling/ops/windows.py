"""Max pooling over given windows, as array expressions that three backends share; no gradients here.

Two facts make this fast. A pool is a handful of shifted gathers and a running maximum, which a compiler fuses
into one pass over memory. And its gradient needs no scatter: each cell of the input knows the windows that
cover it, so it gathers their incoming gradients and keeps those whose winner it is. All that has to be
remembered of the input is the place of each window's winner, one byte (`codes`).

Shapes: x (N, H, W, C); boundaries or starts (B, n) or (B, 1 or C, n), B being 1 or N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

Tensor = Any
UNROLLED = 36  # windows of more cells than this are walked by a loop, which keeps compilation short
# Widths at which LLVM unrolls the one-window form of `spread` over the channels instead of vectorising it. An
# empty second window makes its body too long for that: 1.7 times as fast at 24 and 32 channels (measured).
UNVECTORISED_WIDTHS = range(24, 40)


class Windows(NamedTuple):
    """What is known about the windows before any value is: hashable, so that compiled code can depend on it.

    Attributes:
        overlapping: Whether window i includes the first cell of window i+1 (TensorFlow's form).
        width: Width of fixed windows; None where boundaries define the windows.
        longest: Upper bound of the cells in a window, along rows and columns; None if only the values tell.
        cover: Upper bound of the windows over a cell, along rows and columns; None likewise.
    """

    overlapping: bool
    width: int | None
    longest: tuple[int | None, int | None]
    cover: tuple[int | None, int | None]

    @property
    def small(self) -> bool:
        """Whether windows have so few cells, and surely so, that one reduction over them is best."""
        rows, cols = self.longest
        return rows is not None and cols is not None and rows * cols <= UNROLLED

    @property
    def code_dtype(self) -> str:
        """Smallest type that holds all codes and one more value, which means "no window"."""
        rows, cols = self.longest
        if rows is None or cols is None:
            return "int32"
        return next(name for name in ("uint8", "int16", "int32") if rows * cols <= np.iinfo(name).max)


class Regions(NamedTuple):
    """Boundaries (or starts of fixed windows) along rows and columns, int32."""

    rows: Tensor
    cols: Tensor


def largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window; NaN where a window holds one. (N, n_rows, n_cols, C)"""
    count, value_at = _places(x, regions, windows)

    def step(number: Any, best: Tensor) -> Tensor:
        value = value_at(number)
        return ops.where(_beats(value, best), value, best)

    return _fold(count, step, value_at(0))


def codes(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """Where in its window the first largest value stands, counted row by row: row · longest + column.

    The first NaN counts as largest. Shape as `largest`, dtype `windows.code_dtype`.
    """
    count, value_at = _places(x, regions, windows)

    def step(number: Any, best: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        value = value_at(number)
        later = _beats(value, best)
        return ops.where(later, value, best), ops.where(later, ops.cast(number, code.dtype), code)

    first = value_at(0)
    return _fold(count, step, first, ops.zeros_like(first, dtype=windows.code_dtype))[1]


def by_row(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """The largest value and its code in each row of each small window.

    Both (N, n_rows, rows of a window, n_cols, C), for a reduction over axis 2 with `wins`. A reduction of pairs
    is the one way to have XLA compute values and codes in a single pass over memory.
    """
    height, width = windows.longest
    assert height is not None
    assert width is not None
    shape = ops.shape(x)
    starts, lasts = _spans(regions.rows, windows, shape[1])
    col_starts, col_lasts = _spans(regions.cols, windows, shape[2])
    offsets = ops.arange(height, dtype="int32")
    rows = ops.minimum(starts[..., None] + offsets, lasts[..., None])
    rows = ops.reshape(rows, (*ops.shape(starts)[:-1], -1))

    best = _cells_at(x, rows, col_starts)
    code = ops.zeros_like(best, dtype=windows.code_dtype)
    for col in range(1, width):
        value = _cells_at(x, rows, ops.minimum(col_starts + col, col_lasts))
        later = _beats(value, best)
        best = ops.where(later, value, best)
        code = ops.where(later, ops.cast(col, code.dtype), code)

    split = (shape[0], ops.shape(starts)[-1], height, ops.shape(best)[2], shape[3])
    first_of_row = ops.cast(offsets * width, code.dtype)[:, None, None]
    return ops.reshape(best, split), ops.reshape(code, split) + first_of_row


def wins(value: Tensor, code: Tensor, best: Tensor, best_code: Tensor) -> Tensor:
    """Whether a cell beats another of its window: larger, or NaN, or equal to it and before it."""
    nan, best_nan = _is_nan(value), _is_nan(best)
    return (value > best) | (nan & ~best_nan) | (((value == best) | (nan & best_nan)) & (code < best_code))


def _beats(value: Tensor, best: Tensor) -> Tensor:
    """Whether a cell beats all before it in its window: it is larger, or the first NaN.

    Two comparisons, where "greater, or NaN and not NaN before" takes three. Not `~(value <= best)`: in
    a compiled reduction that was seen to lose a NaN, as `value > best` does.
    """
    return ops.where(value <= best, False, ops.equal(best, best))


def pick(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The values of x at the places that `code` names: the transpose of `spread`."""
    count, value_at = _places(x, regions, windows)

    def step(number: Any, picked: Tensor) -> Tensor:
        return ops.where(ops.equal(code, ops.cast(number, code.dtype)), value_at(number), picked)

    return _fold(count, step, value_at(0))


def spread(y: Tensor, code: Tensor, regions: Regions, windows: Windows, size: tuple[Tensor, Tensor]) -> Tensor:
    """Each window's value of y at the place that `code` names, 0 elsewhere, overlaps added: the gradient.

    Overlaps are added in the order of the windows, as TensorFlow does. Shape (N, *size, C).
    """
    rows = _Owners(regions.rows, windows, size, 0)
    cols = _Owners(regions.cols, windows, size, 1)
    no_window = rows.longest * cols.longest
    per_channel = len(regions.rows.shape) == 3
    windows_over_a_cell = rows.cover * cols.cover
    if isinstance(windows_over_a_cell, int) and windows_over_a_cell == 1 and _unrolls(y.shape[3], per_channel):
        windows_over_a_cell = 2

    def share(number: Any) -> Tensor:
        row, row_place, row_exists = rows.at(number // cols.cover)
        col, col_place, col_exists = cols.at(number % cols.cover)
        row_place, col_place = _grid(row_place * cols.longest, col_place)
        row_exists, col_exists = _grid(row_exists, col_exists)
        # Not ops.add: Keras 3.15 takes (B, n, 1) + (B, 1, n) for the addition of a bias.
        own_code = ops.where(row_exists & col_exists, row_place + col_place, no_window)
        own_code = ops.cast(own_code, code.dtype)
        own_code = own_code if per_channel else own_code[..., None]
        hit = ops.equal(_cells_at(code, row, col), own_code)
        return ops.where(hit, _cells_at(y, row, col), ops.zeros((), dtype=y.dtype))

    return _fold(windows_over_a_cell, lambda number, total: total + share(number), share(0))


def _unrolls(channels: Any, per_channel: bool) -> bool:
    compiled = keras.backend.backend() != "torch"
    return compiled and not per_channel and isinstance(channels, int) and channels in UNVECTORISED_WIDTHS


def _fold(count: Any, step: Callable[..., Any], *state: Tensor) -> Any:
    """state = step(number, *state) for number = 1 … count − 1; unrolled where count is small and known."""
    if isinstance(count, int) and count <= UNROLLED:
        for number in range(1, count):
            new = step(number, *state)
            state = new if isinstance(new, tuple) else (new,)
        return state if len(state) > 1 else state[0]

    def body(number: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        new = step(number, *state)
        return (number + 1, *(new if isinstance(new, tuple) else (new,)))

    one = ops.ones((), dtype="int32")
    _, *final = ops.while_loop(lambda number, *_: number < count, body, (one, *state))
    return tuple(final) if len(final) > 1 else final[0]


def _places(x: Tensor, regions: Regions, windows: Windows) -> tuple[Any, Callable[[Any], Tensor]]:
    """How many places the longest window has, and a function from a place to all values there.

    A window with fewer places repeats its last row or column, which a strict comparison never lets win.
    """
    shape = ops.shape(x)
    row_starts, row_lasts = _spans(regions.rows, windows, shape[1])
    col_starts, col_lasts = _spans(regions.cols, windows, shape[2])
    height = _longest(windows, 0, row_starts, row_lasts)
    width = _longest(windows, 1, col_starts, col_lasts)

    def value_at(number: Any) -> Tensor:
        rows = ops.minimum(row_starts + number // width, row_lasts)
        cols = ops.minimum(col_starts + number % width, col_lasts)
        return _cells_at(x, rows, cols)

    return height * width, value_at


class _Owners:
    """For each cell along an axis the windows that cover it."""

    def __init__(self, boundaries: Tensor, windows: Windows, size: tuple[Tensor, Tensor], axis: int) -> None:
        self.starts, lasts = _spans(boundaries, windows, size[axis])
        self.cells = ops.arange(size[axis], dtype="int32")
        self.longest = _longest(windows, axis, self.starts, lasts)
        passed = lasts[..., None, :] < self.cells[:, None]
        begun = self.starts[..., None, :] <= self.cells[:, None]
        self.first = ops.sum(ops.cast(passed, "int32"), axis=-1)
        self.beyond = ops.sum(ops.cast(begun, "int32"), axis=-1)
        cover = windows.cover[axis]
        self.cover = ops.max(self.beyond - self.first) if cover is None else cover

    def at(self, number: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The cells' windows of this number: their index, the cell's place in them, whether they exist."""
        window = ops.maximum(ops.minimum(self.first + number, self.beyond - 1), 0)
        place = self.cells - ops.take_along_axis(self.starts, window, axis=-1)
        return window, place, self.first + number < self.beyond


def _spans(boundaries: Tensor, windows: Windows, size: Tensor) -> tuple[Tensor, Tensor]:
    """First and last cell of each window."""
    if windows.width is not None:
        return boundaries, boundaries + (windows.width - 1)
    starts, ends = boundaries[..., :-1], boundaries[..., 1:]
    return starts, ops.minimum(ends, size - 1) if windows.overlapping else ends - 1


def _longest(windows: Windows, axis: int, starts: Tensor, lasts: Tensor) -> Any:
    known = windows.longest[axis]
    return ops.max(lasts - starts) + 1 if known is None else known


def _grid(rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns, (B, n) or (B, C, n), in shapes that broadcast to (B, rows, cols) or (…, C)."""
    if len(rows.shape) == 2:
        return rows[:, :, None], cols[:, None, :]
    return ops.transpose(rows, (0, 2, 1))[:, :, None, :], ops.transpose(cols, (0, 2, 1))[:, None, :, :]


def _cells_at(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """x where rows (B, n) cross columns (B, m), or per channel (B, C, n) and (B, C, m): (N, n, m, C).

    An index out of range is clamped or an error, never a stray read.
    """
    shape = ops.shape(x)
    if len(rows.shape) == 2:
        return _take(ops.reshape(x, (-1, shape[3])), _pixel(*_grid(rows, cols), shape))
    element = _pixel(*_grid(rows, cols), shape) * shape[3] + ops.arange(shape[3], dtype="int32")
    return _take(ops.reshape(x, (-1,)), element)


def _pixel(rows: Tensor, cols: Tensor, shape: tuple[Tensor, ...]) -> Tensor:
    """Index into the flattened pixels of all images, of (B, rows, cols, …)."""
    count, height, width, _ = shape
    image = ops.reshape(ops.arange(count, dtype="int32"), (-1, *[1] * (len(rows.shape) - 1)))
    return (image * height + rows) * width + cols


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


def _is_nan(x: Tensor) -> Tensor:
    # For integers this is False everywhere, which compilers see.
    return ops.not_equal(x, x)
