"""Checks of what callers pass to the pool: ValueErrors that name argument, value and allowed range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}  # the names of the axes of a rank
MANY = {1: "a list of one", 2: "a pair", 3: "a list of three"}
REGIONS_PER = ("batch", "sample", "channel")
INFERENCE = ("drawn", "even")
MOST_CELLS = np.iinfo(np.int32).max  # that an index of 32 bits can tell apart


def ratios(value: Any, rank: int) -> tuple[float, ...]:
    """Pooling ratio of each axis from a number, or one for each."""
    of_axes = _of_axes(value, rank, "pooling_ratio")
    for ratio in of_axes:
        number = isinstance(ratio, Real) and not isinstance(ratio, bool)
        if not (number and math.isfinite(ratio) and ratio >= 1):
            raise ValueError(f"pooling_ratio={value!r}: must be finite and at least 1, a number or {MANY[rank]}")
    return tuple(map(float, of_axes))


def tensorflow_ratios(value: Any) -> tuple[float, ...]:
    """The same from all that `tf.nn.fractional_max_pool` takes: a number, or a list of 1, 2 or 4 numbers."""
    if not isinstance(value, Sequence | np.ndarray):
        return ratios(value, 2)
    if len(value) not in (1, 2, 4):
        raise ValueError(f"pooling_ratio={value!r}: must be a number or a list of 1, 2 or 4 numbers")
    if len(value) == 4 and not (value[0] == 1 and value[3] == 1):
        raise ValueError(f"pooling_ratio={value!r}: first and last, of batch and channels, must be 1")
    return ratios({1: value[0], 2: tuple(value), 4: tuple(value[1:3])}[len(value)], 2)


def output_sizes(value: Any, rank: int) -> tuple[int, ...]:
    """Output size of each axis from a whole number, or one for each."""
    of_axes = _of_axes(value, rank, "output_size")
    for size in of_axes:
        if not _is_whole(size) or size < 1:
            raise ValueError(f"output_size={value!r}: must be at least 1, a whole number or {MANY[rank]} of them")
    return tuple(map(int, of_axes))


def window(value: Any, overlapping: bool) -> int | None:
    """Width of fixed windows, or None."""
    if value is None:
        return None
    if not _is_whole(value) or value < 1:
        raise ValueError(f"window={value!r}: must be None or a whole number from 1 to the size of the input")
    if overlapping:
        raise ValueError(f"overlapping={overlapping}: must be False with window={value!r}, which overlaps by itself")
    return int(value)


def flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r}: must be True or False")
    return bool(value)


def one_of(value: Any, name: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number from 1 on."""
    if not _is_whole(value) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number from 1")
    return int(value)


def known_size(size: int | None, name: str, smallest: int) -> int:
    """The size of an axis of the input, height or width, which must be known and large enough for the windows."""
    if size is None:
        raise ValueError(f"the input's {name} is unknown: must be given, as in keras.Input((28, 28, 1))")
    if size < smallest:
        raise ValueError(f"the input has {name} {size}: must be at least {smallest} for this layer")
    return size


def seed(value: Any) -> int | None:
    if value is not None and not _is_whole(value):
        raise ValueError(f"seed={value!r}: must be None or a whole number")
    return None if value is None else int(value)


def data_format(value: Any) -> str:
    allowed = ("channels_last", "channels_first")
    value = keras.config.image_data_format() if value is None else value
    if value not in allowed:
        raise ValueError(f"data_format={value!r}: must be None or one of {', '.join(allowed)}")
    return value


def batch(value: Any, name: str, axes: Sequence[str] = ("height", "width")) -> None:
    """Rank, size and dtype of the input of a pool along these axes."""
    if len(value.shape) != len(axes) + 2:
        form = ", ".join(("batch", *axes, "channels"))
        raise ValueError(f"{name} has shape {tuple(value.shape)}: must be of rank {len(axes) + 2}, ({form})")
    if all(isinstance(size, int) for size in value.shape) and math.prod(value.shape) > MOST_CELLS:
        raise ValueError(f"{name} has {math.prod(value.shape)} values: must be at most {MOST_CELLS}; split the batch")
    dtype = keras.backend.standardize_dtype(value.dtype)
    if not dtype.startswith(("float", "bfloat", "int", "uint")):
        raise ValueError(f"{name} has dtype {dtype}: must be a real float or integer type")


def axis(size: Any, out: Any, ratio: float | None, width: int | None, name: str) -> list[tuple[Any, str]]:
    """Whether an axis of the input, `name`, is large enough: what must hold, and what to say, up to the size, if not.

    Size and out may be tensors.
    """
    if ratio is not None:
        rules = [(out >= 1, f"pooling_ratio={ratio}: must be at most the input's {name},")]
    else:
        rules = [(out <= size, f"output_size={out}: must be from 1 to the input's {name},")]
    if width is not None:
        rules.append((size >= width, f"window={width}: must be from 1 to the input's {name},"))
    return rules


def boundaries_form(name: str, shape: tuple[Any, ...], dtype: str, value_shape: tuple[Any, ...], least: int) -> None:
    """Rank, leading dimensions, length and dtype of boundaries or starts."""
    count, _, _, channels = value_shape
    leading = {1: (), 2: (count,), 3: (count, channels)}.get(len(shape))
    if leading is None:
        raise ValueError(f"{name} has shape {tuple(shape)}: must be (n,), (batch, n) or (batch, channels, n)")
    for have, want in zip(shape, leading, strict=False):
        if isinstance(have, int) and isinstance(want, int) and have != want:
            raise ValueError(f"{name} has shape {tuple(shape)}: must be {(*leading, 'n')} for this input")
    if not dtype.startswith(("int", "uint")):
        raise ValueError(f"{name} has dtype {dtype}: must be an integer type")
    if isinstance(shape[-1], int) and shape[-1] < least:
        raise ValueError(f"{name} has length {shape[-1]}: must be at least {least}")


def boundaries(name: str, values: np.ndarray, size: int) -> None:
    """0 = a_0 < a_1 < … < a_n = size."""
    if values.size == 0:
        return
    if (values[..., 0] != 0).any():
        raise ValueError(f"{name} starts at {_first(values[..., 0], values[..., 0] != 0)}: must start at 0")
    if (values[..., -1] != size).any():
        wrong = _first(values[..., -1], values[..., -1] != size)
        raise ValueError(f"{name} ends at {wrong}: must end at the input's size, {size}")
    if (np.diff(values, axis=-1) <= 0).any():
        raise ValueError(f"{name}={_short(values)}: must increase from each value to the next")


def starts(name: str, values: np.ndarray, size: int, width: int) -> None:
    """0 ≤ s_0 ≤ s_1 ≤ … ≤ s_n ≤ size − width."""
    if values.size == 0:
        return
    if values.min() < 0 or values.max() > size - width:
        raise ValueError(f"{name}={_short(values)}: must be from 0 to size − window = {size - width}")
    if (np.diff(values, axis=-1) < 0).any():
        raise ValueError(f"{name}={_short(values)}: must not decrease from one value to the next")


def unpooled_sizes(output_shape: Any, value: Any) -> tuple[int, ...]:
    """The sizes of the maps from them, or from the whole shape (batch, *sizes, channels), for pooled values."""
    rank = len(value.shape) - 2
    given = tuple(output_shape)
    sizes = given[1:-1] if len(given) == rank + 2 else given
    ends = [(given[place], value.shape[place]) for place in (0, -1)] if len(given) == rank + 2 else []
    fits = all(not (_is_whole(a) and _is_whole(b)) or a == b for a, b in ends)
    if len(sizes) != rank or not all(_is_whole(size) and size >= 1 for size in sizes) or not fits:
        raise ValueError(
            f"output_shape={given!r}: must be the sizes of the maps, ({', '.join(AXES[rank])}), or the whole shape, "
            f"with batch and channels of value, {tuple(value.shape)}"
        )
    return tuple(map(int, sizes))


def indices_form(indices: Any, value: Any) -> None:
    """Shape and dtype of the indices of maxima."""
    dtype = keras.backend.standardize_dtype(indices.dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(f"indices has dtype {dtype}: must be an integer type")
    same = all(a == b for a, b in zip(indices.shape, value.shape, strict=False) if _is_whole(a) and _is_whole(b))
    if len(indices.shape) != len(value.shape) or not same:
        raise ValueError(f"indices has shape {tuple(indices.shape)}: must be that of value, {tuple(value.shape)}")


def indices_within(indices: np.ndarray | None, cells: int) -> None:
    """Whether indices whose values are known lie in maps of so many cells."""
    if indices is not None and indices.size and not 0 <= indices.min() <= indices.max() < cells:
        wrong = indices.min() if indices.min() < 0 else indices.max()
        raise ValueError(f"indices holds {wrong}: must be from 0 to the last cell of output_shape, {cells - 1}")


def _first(values: np.ndarray, where: np.ndarray) -> Any:
    return values[where].flat[0]


def _short(values: np.ndarray) -> str:
    return np.array2string(values, threshold=20, separator=", ").replace("\n", "")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _of_axes(value: Any, rank: int, name: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return (value,) * rank
    if len(value) != rank:
        raise ValueError(f"{name}={value!r}: must be one value or {MANY[rank]}, ({', '.join(AXES[rank])})")
    return tuple(value)
