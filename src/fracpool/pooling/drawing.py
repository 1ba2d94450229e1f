"""The regions of a call, drawn or even, on the running Keras backend; per batch, per sample or per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from fracpool.pooling import regions
from fracpool.pooling.ops import untransformed
from fracpool.pooling.ops.runtime import uniform

Tensor = Any


@untransformed
def draw(
    in_size: Tensor,
    out_size: Tensor,
    leading: tuple[Tensor, ...],
    pseudo_random: bool,
    window: int | None,
    seed: Any,
) -> Tensor:
    """Boundaries, or starts of fixed windows, drawn.

    Args:
        in_size: Cells of the axis, int or scalar tensor.
        out_size: Regions, int or scalar tensor.
        leading: Shape of the independent draws, e.g. (samples,) or (samples, channels).
        pseudo_random: Which sequence.
        window: Width of fixed windows, or None for boundaries.
        seed: Seed or SeedGenerator, as `keras.random` takes it.

    Returns:
        int32 tensor leading + (out_size + 1,), or leading + (out_size,) with a window.
    """
    total = in_size if window is None else in_size - window
    steps = out_size if window is None else out_size - 1
    if isinstance(steps, int) and steps == 0:
        return ops.full((*leading, 1), total, dtype="int32")
    if not pseudo_random:
        order = ops.argsort(uniform((*leading, steps), seed), axis=-1)
        divisor = _divisor(steps)
        jumps = ops.cast(ops.cast(order, "int32") < total % divisor, "int32") + total // divisor
        first = ops.zeros((*leading, 1), dtype="int32")  # not `ops.pad`, which builds an operation at each call
        return _last_where_alone(ops.concatenate([first, ops.cumsum(jumps, axis=-1)], axis=-1), total, steps)
    shifts = total if window else _shifts(total, steps)
    number = ops.cast(uniform((*leading, 1), seed) * ops.cast(shifts, "float32"), "int32")
    shift = ops.minimum(number, ops.maximum(shifts - 1, 0))
    return (_fixed_sequence if window else _boundary_sequence)(total, steps, shift)


def even(in_size: Tensor, out_size: Tensor, window: int | None) -> Tensor:
    """Boundaries, or starts of fixed windows, without chance: int32 (1, out_size + 1), or (1, out_size) with a window.

    `even_boundaries`, and `fixed_starts` in the middle of their range; sizes are ints or scalar tensors.
    """
    if isinstance(in_size, int) and isinstance(out_size, int):
        if window is None:
            places = regions.even_boundaries(in_size, out_size)
        else:
            places = regions.fixed_starts(in_size, out_size, window, 0.5)
        return ops.convert_to_tensor(places[None], dtype="int32")
    if window is not None:
        return _fixed_sequence(in_size - window, out_size - 1, (in_size - window) // 2)[None]
    # The same rounding as where sizes are known: of shifts / in_size / 2 · in_size in 64 bits.
    cells, shifts = (ops.cast(number, "float64") for number in (in_size, _shifts(in_size, out_size)))
    shift = ops.cast(ops.ceil(cells * (shifts / cells / 2)), "int32") - 1
    return _boundary_sequence(in_size, out_size, ops.maximum(shift, 0))[None]


def _boundary_sequence(total: Tensor, steps: Tensor, shift: Tensor) -> Tensor:
    """(total · i + shift) // steps between 0 and total; shift scalar or (…, 1)."""
    whole, rest = _multiples(total, steps)
    places = whole + (rest + shift) // steps
    return ops.where(ops.arange(steps + 1, dtype="int32") == 0, 0, ops.minimum(places, total))


def _fixed_sequence(total: Tensor, steps: Tensor, shift: Tensor) -> Tensor:
    """(total · i + shift) // steps from 0 on; total alone where there is one window."""
    whole, rest = _multiples(total, steps)
    divisor = _divisor(steps)
    return _last_where_alone(whole + (rest + shift) // divisor - shift // divisor, total, steps)


def _divisor(steps: Tensor) -> Tensor:
    """What to divide by where steps may be 0."""
    return max(steps, 1) if isinstance(steps, int) else ops.maximum(steps, 1)


def _last_where_alone(places: Tensor, total: Tensor, steps: Tensor) -> Tensor:
    """The places; where there is no step but the one place, the last there can be."""
    return places if isinstance(steps, int) and steps > 0 else ops.where(ops.equal(steps, 0), total, places)


def _multiples(total: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """total · i over steps for i = 0 … steps, whole part and rest, int32; their products need 64 bits on long axes."""
    if isinstance(total, int) and isinstance(steps, int):  # JAX has no others, and 64 bits only when asked
        products = total * np.arange(steps + 1, dtype=np.int64)
        return tuple(ops.convert_to_tensor(part, dtype="int32") for part in np.divmod(products, steps))
    divisor = ops.cast(_divisor(steps), "int64")
    products = ops.cast(total, "int64") * ops.arange(ops.cast(steps, "int64") + 1, dtype="int64")
    return ops.cast(products // divisor, "int32"), ops.cast(products % divisor, "int32")


def _shifts(in_size: Tensor, out_size: Tensor) -> Tensor:
    """`regions.shifts`, of tensors too."""
    if isinstance(in_size, int) and isinstance(out_size, int):
        return regions.shifts(in_size, out_size)
    rest = in_size % out_size
    return ops.minimum(2 * out_size - rest, out_size + rest)
