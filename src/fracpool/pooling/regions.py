"""Boundaries of pooling regions, and starts of fixed windows: random, pseudorandom and even.

An axis of `in_size` cells is cut into `out_size` regions of k and k + 1 cells, k = in_size // out_size.
Everything is integer arithmetic, so that no rounding can make a region of another size. These functions are for one
axis, in numpy; `drawing` does the same on the tensors of the running Keras backend.
"""

from __future__ import annotations

import math

import numpy as np


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
    shift = min(max(math.ceil(in_size * u) - 1, 0), shifts(in_size, out_size) - 1)
    inner = (in_size * np.arange(1, out_size) + shift) // out_size
    return np.concatenate([[0], inner, [in_size]])


def largest_u(in_size: int, out_size: int) -> float:
    """Upper end of the range of u: min((k+2)/α, (in_size+1−k)/α − (out_size−2)) − 1."""
    return shifts(in_size, out_size) / in_size


def even_boundaries(in_size: int, out_size: int) -> np.ndarray:
    """The pseudorandom sequence in the middle of its range: regions as even as whole cells allow.

    Args, result and errors: see `pseudorandom_boundaries`.
    """
    return pseudorandom_boundaries(in_size, out_size, largest_u(in_size, out_size) / 2)


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


def random_starts(in_size: int, out_size: int, window: int, rng: np.random.Generator) -> np.ndarray:
    """Starts of windows of fixed width, floor(α) and floor(α) + 1 cells apart in random order (Graham's random form).

    Args:
        in_size, out_size, window: As for `fixed_starts`.
        rng: Source of the order.

    Returns:
        int64 array (out_size,), from 0 to in_size − window; in_size − window alone where out_size is 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_sizes(in_size, out_size)
    check_window(window, in_size)
    span, steps = in_size - window, out_size - 1
    if steps == 0:
        return np.array([span])
    return _cumulated(rng.permutation(steps) < span % steps, span // steps)


def check_window(window: int, in_size: int) -> None:
    if not 1 <= window <= in_size:
        raise ValueError(f"window={window}: must be from 1 to the size of the axis, {in_size}")


def shifts(in_size: int, out_size: int) -> int:
    """How many shifts s the pseudorandom form a_i = (in_size · i + s) // out_size can have, 0 included."""
    rest = in_size % out_size
    return min(2 * out_size - rest, out_size + rest)


def _cumulated(larger: np.ndarray, k: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(larger + k)])


def _check_sizes(in_size: int, out_size: int) -> None:
    if not 1 <= out_size <= in_size:
        raise ValueError(f"out_size={out_size}: must be from 1 to in_size={in_size}")
