"""Boundaries of pooling regions: random and pseudorandom; drawn per batch, per sample or per channel.

An axis of `in_size` cells is cut into `out_size` regions of k and k + 1 cells, k = in_size // out_size.
Everything is integer arithmetic, so that no rounding can make a region of another size. The functions for
one axis work on numpy; `draw` does the same on the tensors of the running Keras backend.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Tensor = Any


def random_boundaries(in_size: int, out_size: int, rng: np.random.Generator) -> np.ndarray:
    """Boundaries with the regions of k and k + 1 cells in random order (Graham 2014, section 2; TensorFlow).

    Args:
        in_size: Cells of the axis.
        out_size: Regions, from 1 to in_size.
        rng: Source of the order.

    Returns:
        int64 array (out_size + 1,), from 0 to in_size.

    Raises:
        ValueError: out_size is out of its range.
    """
    _check_sizes(in_size, out_size)
    order = rng.permutation(out_size)
    return _cumulated(order < in_size % out_size, in_size // out_size)


def pseudorandom_boundaries(in_size: int, out_size: int, u: float) -> np.ndarray:
    """a_i = ceil(α(i + u)) − 1 between a_0 = 0 and a_n = in_size (Graham 2014, section 2; TensorFlow's form).

    Args:
        in_size: Cells of the axis.
        out_size: Regions, from 1 to in_size.
        u: From 0 to `largest_u(in_size, out_size)`, which keeps every region at k or k + 1 cells.

    Returns:
        int64 array (out_size + 1,).

    Raises:
        ValueError: out_size or u is out of its range.
    """
    _check_sizes(in_size, out_size)
    limit = largest_u(in_size, out_size)
    if not 0 <= u <= limit:
        raise ValueError(f"u={u}: must be from 0 to {limit} for in_size={in_size}, out_size={out_size}")
    shift = min(max(math.ceil(in_size * u) - 1, 0), _shifts(in_size, out_size) - 1)
    inner = (in_size * np.arange(1, out_size) + shift) // out_size
    return np.concatenate([[0], inner, [in_size]])


def largest_u(in_size: int, out_size: int) -> float:
    """Upper end of the range of u: min((k+2)/α, (in_size+1−k)/α − (out_size−2)) − 1."""
    return _shifts(in_size, out_size) / in_size


def fixed_starts(in_size: int, out_size: int, window: int, u: float) -> np.ndarray:
    """Starts of windows of fixed width: int((j+u)α) − int(uα), α = (in_size − window)/(out_size − 1).

    Graham's overlapping regions and those of `torch.nn.FractionalMaxPool2d`, whose sample is u. The last
    start is in_size − window.

    Args:
        in_size: Cells of the axis.
        out_size: Windows.
        window: Cells of a window, from 1 to in_size.
        u: From 0 to below 1.

    Returns:
        int64 array (out_size,).

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_sizes(in_size, out_size)
    check_window(window, in_size)
    if not 0 <= u < 1:
        raise ValueError(f"u={u}: must be at least 0 and below 1")
    span, steps = in_size - window, out_size - 1
    if steps == 0:
        return np.array([span])
    shift = math.floor(span * u)
    return (span * np.arange(out_size) + shift) // steps - shift // steps


def check_window(window: int, in_size: int) -> None:
    if not 1 <= window <= in_size:
        raise ValueError(f"window={window}: must be from 1 to the size of the axis, {in_size}")


def draw(
    in_size: Tensor,
    out_size: Tensor,
    leading: tuple[Tensor, ...],
    pseudo_random: bool,
    window: int | None,
    seed: Any,
) -> Tensor:
    """Boundaries, or starts of fixed windows, drawn with the running Keras backend.

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
    from keras import ops, random

    total = in_size if window is None else in_size - window
    steps = out_size if window is None else out_size - 1
    if isinstance(steps, int) and steps == 0:
        return ops.full((*leading, 1), total, dtype="int32")
    if not pseudo_random:
        order = ops.argsort(random.uniform((*leading, steps), seed=seed), axis=-1)
        jumps = ops.cast(ops.cast(order, "int32") < total % steps, "int32") + total // steps
        return ops.pad(ops.cumsum(jumps, axis=-1), [[0, 0]] * len(leading) + [[1, 0]])
    shifts = total if window else _shifts(total, steps)
    number = ops.cast(random.uniform((*leading, 1), seed=seed) * ops.cast(shifts, "float32"), "int32")
    shift = ops.minimum(number, ops.maximum(shifts - 1, 0))
    whole, rest = _multiples(total, steps)
    places = whole + (rest + shift) // steps
    if window:
        return places - shift // steps
    return ops.where(ops.arange(steps + 1, dtype="int32") == 0, 0, ops.minimum(places, total))


def _multiples(total: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """total · i over steps for i = 0 … steps, whole part and rest, int32; their products need 64 bits on long axes."""
    from keras import ops

    if isinstance(total, int) and isinstance(steps, int):  # JAX has no others, and 64 bits only when asked
        products = total * np.arange(steps + 1)
        return tuple(ops.convert_to_tensor(part, dtype="int32") for part in np.divmod(products, steps))
    steps = ops.cast(steps, "int64")
    products = ops.cast(total, "int64") * ops.arange(steps + 1, dtype="int64")
    return ops.cast(products // steps, "int32"), ops.cast(products % steps, "int32")


def _shifts(in_size: Any, out_size: Any) -> Any:
    """How many shifts s the pseudorandom form a_i = (in_size · i + s) // out_size can have, 0 included."""
    rest = in_size % out_size
    limits = (2 * out_size - rest, out_size + rest)
    if isinstance(in_size, int) and isinstance(out_size, int):
        return min(limits)
    from keras import ops

    return ops.minimum(*limits)


def _cumulated(larger: np.ndarray, k: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(larger + k)])


def _check_sizes(in_size: int, out_size: int) -> None:
    if not 1 <= out_size <= in_size:
        raise ValueError(f"out_size={out_size}: must be from 1 to in_size={in_size}")
