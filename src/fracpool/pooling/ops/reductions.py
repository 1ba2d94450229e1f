"""Max pooling over given windows, as array expressions that three backends share; no gradients here.

Two facts make this fast. A pool is a handful of shifted gathers and a running maximum, which a compiler fuses
into one pass over memory. And its gradient needs no scatter: each cell of the input knows the windows that
cover it, so it gathers their incoming gradients and keeps those whose winner it is. All that has to be
remembered of the input is the place of each window's winner, one byte (`codes`).

Shapes are those of `windows`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import keras
from keras import ops

from fracpool.pooling.ops.windows import (
    UNROLLED,
    Owners,
    Regions,
    Tensor,
    Windows,
    cells_at,
    digits_of,
    grid,
    longest_of,
    spans,
    weights_of,
)

# Widths at which LLVM unrolls the one-window form of `spread` over the channels instead of vectorising it. An
# empty second window makes its body too long for that: 1.7 times as fast at 24 and 32 channels (measured).
UNVECTORISED_WIDTHS = range(24, 40)


def largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window; NaN where a window holds one. (N, *windows, C)"""
    count, value_at = _places(x, regions, windows)

    def step(number: Any, best: Tensor) -> Tensor:
        value = value_at(number)
        return ops.where(_beats(value, best), value, best)

    return _fold(count, step, value_at(0))


def codes(x: Tensor, regions: Regions, windows: Windows, dtype: str | None = None) -> Tensor:
    """Where in its window the first largest value stands, counted row by row: in two axes row · longest + column.

    The first NaN counts as largest. Shape as `largest`, of a dtype, or of `windows.code_dtype`.
    """
    count, value_at = _places(x, regions, windows)

    def step(number: Any, best: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        value = value_at(number)
        later = _beats(value, best)
        return ops.where(later, value, best), ops.where(later, ops.cast(number, code.dtype), code)

    first = value_at(0)
    return _fold(count, step, first, ops.zeros_like(first, dtype=dtype or windows.code_dtype))[1]


def indices(code: Tensor, regions: Regions, windows: Windows, sizes: Sequence[Tensor]) -> Tensor:
    """Where in its map, of these sizes, stands what `code` names: row · width + column, int32, shape as `code`."""
    ends = [spans(places, windows, size) for places, size in zip(regions, sizes, strict=True)]
    lengths = [longest_of(windows, axis, *span) for axis, span in enumerate(ends)]
    steps = digits_of(ops.cast(code, "int32"), lengths)
    starts = grid([starts for starts, _ in ends])
    index = ops.zeros((), dtype="int32")
    for size, start, step in zip(sizes, starts, steps, strict=True):
        index = index * size + (start if len(regions[0].shape) == 3 else start[..., None]) + step
    return index


def by_row(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor, list[int]]:
    """The largest value and its code in each row of each small window, a row being its cells along the last axis.

    Both (N, n, cells, …, n_last, C), each axis but the last with its windows and then their cells; and the axes of
    these cells, for a reduction over them with `wins`. A reduction of pairs is the one way to have XLA compute
    values and codes in a single pass over memory.
    """
    lengths = [longest for longest in windows.longest if longest is not None]
    shape = ops.shape(x)
    ends = [spans(places, windows, size) for places, size in zip(regions, shape[1:-1], strict=True)]
    inner = [
        ops.minimum(starts[..., None] + ops.arange(length, dtype="int32"), lasts[..., None])
        for (starts, lasts), length in zip(ends[:-1], lengths, strict=False)
    ]
    inner = [ops.reshape(places, (*ops.shape(places)[:-2], -1)) for places in inner]
    col_starts, col_lasts = ends[-1]

    best = cells_at(x, [*inner, col_starts])
    code = ops.zeros_like(best, dtype=windows.code_dtype)
    for col in range(1, lengths[-1]):
        value = cells_at(x, [*inner, ops.minimum(col_starts + col, col_lasts)])
        later = _beats(value, best)
        best = ops.where(later, value, best)
        code = ops.where(later, ops.cast(col, code.dtype), code)

    split = [shape[0]]
    for (starts, _), length in zip(ends[:-1], lengths, strict=False):
        split += [ops.shape(starts)[-1], length]
    split += [ops.shape(best)[-2], shape[-1]]
    best, code = ops.reshape(best, split), ops.reshape(code, split)
    for axis, length in enumerate(lengths[:-1]):
        first_of_row = ops.cast(ops.arange(length, dtype="int32") * math.prod(lengths[axis + 1 :]), code.dtype)
        code = code + first_of_row[(slice(None), *[None] * (len(split) - 3 - 2 * axis))]
    return best, code, [2 + 2 * axis for axis in range(len(inner))]


def wins(value: Tensor, code: Tensor, best: Tensor, best_code: Tensor) -> Tensor:
    """Whether a cell beats another of its window: larger, or NaN, or equal to it and before it."""
    nan, best_nan = _is_nan(value), _is_nan(best)
    return (value > best) | (nan & ~best_nan) | (((value == best) | (nan & best_nan)) & (code < best_code))


def pick(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The values of x at the places that `code` names: the transpose of `spread`."""
    count, value_at = _places(x, regions, windows)

    def step(number: Any, picked: Tensor) -> Tensor:
        return ops.where(ops.equal(code, ops.cast(number, code.dtype)), value_at(number), picked)

    return _fold(count, step, value_at(0))


def spread(y: Tensor, code: Tensor, regions: Regions, windows: Windows, sizes: Sequence[Tensor]) -> Tensor:
    """Each window's value of y at the place that `code` names, 0 elsewhere, overlaps added: the gradient.

    Overlaps are added in the order of the windows, as TensorFlow does. Shape (N, *sizes, C).
    """
    axes = [Owners(places, windows, size, axis) for axis, (places, size) in enumerate(zip(regions, sizes, strict=True))]
    lengths, covers = [axis.longest for axis in axes], [axis.cover for axis in axes]
    no_window = math.prod(lengths)
    per_channel = len(regions[0].shape) == 3
    windows_over_a_cell = math.prod(covers)
    if isinstance(windows_over_a_cell, int) and windows_over_a_cell == 1 and _unrolls(y.shape[-1], per_channel):
        windows_over_a_cell = 2

    def share(number: Any) -> Tensor:
        owners = [axis.at(one) for axis, one in zip(axes, digits_of(number, covers), strict=True)]
        places = grid([place * weight for (_, place, _), weight in zip(owners, weights_of(lengths), strict=True)])
        exist = grid([exists for _, _, exists in owners])
        # Not ops.add: Keras 3.15 takes (B, n, 1) + (B, 1, n) for the addition of a bias.
        own_code = ops.where(reduce(operator.and_, exist), reduce(operator.add, places), no_window)
        own_code = ops.cast(own_code, code.dtype)
        own_code = own_code if per_channel else own_code[..., None]
        window = [index for index, _, _ in owners]
        hit = ops.equal(cells_at(code, window), own_code)
        return ops.where(hit, cells_at(y, window), ops.zeros((), dtype=y.dtype))

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
    ends = [spans(places, windows, size) for places, size in zip(regions, ops.shape(x)[1:-1], strict=True)]
    lengths = [longest_of(windows, axis, *span) for axis, span in enumerate(ends)]

    def value_at(number: Any) -> Tensor:
        digits = zip(ends, digits_of(number, lengths), strict=True)
        return cells_at(x, [ops.minimum(starts + digit, lasts) for (starts, lasts), digit in digits])

    return math.prod(lengths), value_at


def _beats(value: Tensor, best: Tensor) -> Tensor:
    """Whether a cell beats all before it in its window: it is larger, or the first NaN.

    Two comparisons, where "greater, or NaN and not NaN before" takes three. Not `~(value <= best)`: in
    a compiled reduction that was seen to lose a NaN, as `value > best` does. What PyTorch exports must be that, since
    onnxruntime does not choose among truth values.
    """
    if keras.backend.backend() == "torch":
        return ops.logical_and(ops.logical_not(value <= best), ops.equal(best, best))
    return ops.where(value <= best, False, ops.equal(best, best))


def _is_nan(x: Tensor) -> Tensor:
    # For integers this is False everywhere, which compilers see.
    return ops.not_equal(x, x)
