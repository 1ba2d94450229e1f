"""Fractional max pooling as functions: the drop-in for TensorFlow's op, and pooling over regions that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.axis import Axis, Tensor, windows
from fracpool.pooling.drawing import draw
from fracpool.pooling.ops import concrete, long, pool
from fracpool.pooling.ops.checkpointing import refuse_to_draw_again
from fracpool.pooling.ops.runtime import as_constants, as_number, unseeded, with_rank
from fracpool.pooling.ops.windows import Windows


def fractional_max_pool(
    value: Tensor,
    pooling_ratio: float | Sequence[float],
    pseudo_random: bool = False,
    overlapping: bool = False,
    seed: int = 0,
    name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A drop-in for `tf.nn.fractional_max_pool` that also runs on JAX and PyTorch.

    The gradient needs nothing but the output: the sequences are returned for information. Unlike TensorFlow's
    op it lets NaN through, takes two ratios, empty batches, half precision and ratio 1 in gradients, and has
    gradients of any order.

    Args:
        value: Tensor (batch, height, width, channels), floating or integer.
        pooling_ratio: Input size / output size, at least 1: a number, or a list of 1, 2 (height, width) or
            4 (1, height, width, 1).
        pseudo_random: Pseudorandom instead of random sequences.
        overlapping: Whether windows include the first cell of the next.
        seed: 0 draws new regions at each call, following `keras.utils.set_random_seed`; another seed draws
            the same at each call, as in TensorFlow. For both new and repeatable regions use the layer.
        name: Ignored.

    Returns:
        Output (batch, floor(height / ratio), floor(width / ratio), channels) with the division in float32;
        boundaries along rows (output height + 1,) and columns (output width + 1,), int64 where the backend
        has it.

    Raises:
        ValueError: an argument is out of its range.
    """
    value = with_rank(ops.convert_to_tensor(value), 4)
    arguments.batch(value, "value")
    ratios = arguments.tensorflow_ratios(pooling_ratio)
    pseudo_random = arguments.flag(pseudo_random, "pseudo_random")
    overlapping = arguments.flag(overlapping, "overlapping")
    seed = arguments.seed(seed) or 0
    if seed:
        seeds = [int(number) for number in np.random.SeedSequence(abs(seed)).generate_state(2) >> 1]
    else:
        refuse_to_draw_again()
        seeds = [unseeded()] * 2
    axes = [
        Axis(size, ratio, None, overlapping, None, name)
        for size, ratio, name in zip(ops.shape(value)[1:3], ratios, arguments.AXES[2], strict=True)
    ]

    def drawn() -> list[Tensor]:
        pairs = zip(axes, seeds, strict=True)
        return [draw(axis.size, axis.out, (1,), pseudo_random, None, number) for axis, number in pairs]

    known = seed != 0 and all(isinstance(axis.size, int) for axis in axes)
    rows, cols = as_constants(drawn) if known else drawn()
    output = pool(value, (rows, cols), windows(axes, overlapping, None))
    return output, long(rows[0]), long(cols[0])


def max_pool_regions(
    value: Tensor, rows: Tensor, cols: Tensor, overlapping: bool = False, window: int | None = None
) -> Tensor:
    """Max pooling over given regions, with gradients of any order.

    The first maximum of a window in row-major order takes its whole gradient, and a NaN counts as maximum.
    Output and gradient equal `tf.raw_ops.FractionalMaxPool(Grad)` for the same sequences, and with a window
    `torch.nn.FractionalMaxPool2d`.

    Args:
        value: Tensor (N, H, W, C), floating or integer.
        rows: Boundaries 0 = a_0 < … < a_n = H of the rows: integers (n + 1,), or (N, n + 1) per sample, or
            (N, C, n + 1) per channel. With a window: starts 0 ≤ s_0 ≤ … ≤ H − window, (n,), (N, n) or
            (N, C, n).
        cols: The same of the columns.
        overlapping: Whether region i includes the first cell of region i + 1, as TensorFlow has it.
        window: Width of fixed windows, or None.

    Returns:
        Tensor (N, n_rows, n_cols, C) of the dtype of `value`.

    Raises:
        ValueError: an argument is out of its range. Boundaries that are computed inside a compiled function
            have no values to check; there, boundaries out of range cannot read outside of `value`.
    """
    value = with_rank(ops.convert_to_tensor(value), 4)
    arguments.batch(value, "value")
    overlapping = arguments.flag(overlapping, "overlapping")
    window = arguments.window(window, overlapping)
    names = ("rows", "cols")
    limits = [
        _given(name, given, value, axis, overlapping, window)
        for axis, (name, given) in enumerate(zip(names, (rows, cols), strict=True), start=1)
    ]
    windows = Windows(overlapping, window, (limits[0][0], limits[1][0]), (limits[0][1], limits[1][1]))
    rows, cols = (ops.cast(ops.convert_to_tensor(given), "int32") for given in (rows, cols))
    rank = max(2, len(rows.shape), len(cols.shape))
    return pool(value, (_lifted(rows, rank), _lifted(cols, rank)), windows)


def _given(
    name: str, given: Any, value: Tensor, axis: int, overlapping: bool, window: int | None
) -> tuple[int | None, int | None]:
    """Checks boundaries or starts that a caller gives; (longest, cover) as in `Windows`."""
    known = concrete(given)
    shape, dtype = (given.shape, given.dtype) if known is None else (known.shape, known.dtype)
    least = 2 if window is None else 1
    arguments.boundaries_form(name, tuple(shape), keras.backend.standardize_dtype(dtype), value.shape, least)
    size = as_number(value.shape[axis])
    if window is not None and size is not None and window > size:
        raise ValueError(f"window={window}: must be from 1 to the input's {arguments.AXES[2][axis - 1]}, {size}")
    if known is None or size is None:
        return window, None if window is not None else 1 + overlapping
    if window is None:
        arguments.boundaries(name, known, size)
        longest = int(np.diff(known, axis=-1).max(initial=1)) + overlapping
        return _rounded(min(longest, size)), 2 if overlapping else 1
    arguments.starts(name, known, size, window)
    return window, _rounded(_most_over_a_cell(known, size, window))


def _most_over_a_cell(starts: np.ndarray, size: int, window: int) -> int:
    """How many windows the cell under most of them has; starts (…, n) that do not decrease."""
    apart = np.reshape(starts, (-1, starts.shape[-1])) + 2 * size * np.arange(starts[..., 0].size)[:, None]
    ordered = apart.ravel()  # in one line, so far apart that windows of two lines never meet
    ended = np.searchsorted(ordered, ordered - window, side="right")
    return int((np.arange(1, len(ordered) + 1) - ended).max(initial=1))


def _rounded(bound: int) -> int:
    """A bound made a little larger, so that boundaries with other extremes need no new compilation."""
    return bound if bound <= 3 else 1 << (bound - 1).bit_length()


def _lifted(boundaries: Tensor, rank: int) -> Tensor:
    """(n,) → (1, n); to rank 3, (B, n) → (B, 1, n)."""
    while len(boundaries.shape) < rank:
        boundaries = boundaries[None] if len(boundaries.shape) == 1 else boundaries[:, None]
    return boundaries
