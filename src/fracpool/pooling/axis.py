"""One spatial axis of a pool: its sizes, and what they say about the windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.ops.runtime import as_number, checked
from fracpool.pooling.ops.windows import Windows
from fracpool.pooling.sizes import output_size

Tensor = Any


class Axis:
    """One spatial axis of a pool: its sizes, and what they say about the windows.

    A size that is only known when the program runs is checked then.

    Attributes:
        size, out: Cells before and after; scalar tensors where the input's shape is dynamic.
        longest, cover: As in `Windows`.
    """

    def __init__(
        self,
        size: Any,
        ratio: float | None,
        out: int | None,
        overlapping: bool,
        width: int | None,
        name: str,
    ) -> None:
        size = as_number(size)
        self.size, self.ratio = size, ratio
        if isinstance(size, int) and size < 1:
            raise ValueError(f"the input has {name} {size}: must be at least 1")
        if out is None:
            assert ratio is not None
            out = output_size(size, ratio) if isinstance(size, int) else _floor_division(size, ratio)
        self.out: Any = out
        if size is not None:
            self._check(name, width)
        self.longest = self._longest(overlapping) if width is None else width
        self.cover = (2 if overlapping else 1) if width is None else self._crowd(width)

    def _check(self, name: str, width: int | None) -> None:
        rules = arguments.axis(self.size, self.out, self.ratio, width, name)
        if ops.is_tensor(self.size):
            self.size = checked(self.size, rules)
            if self.ratio is not None:
                self.out = _floor_division(self.size, self.ratio)  # of the size that was checked
            return
        for holds, words in rules:
            if not holds:
                raise ValueError(f"{words} {self.size}")

    def _longest(self, overlapping: bool) -> int | None:
        if isinstance(self.size, int):
            return min(-(-self.size // self.out) + overlapping, self.size)
        if self.ratio is None or self.ratio > 2.5:
            return None
        # size / out < 2 · ratio, most at out = 1; the margin covers the rounding of the float32 division.
        return math.ceil(2 * self.ratio * (1 + 1e-6)) + overlapping

    def _crowd(self, width: int) -> int | None:
        """Windows of this width over a cell at most: their starts are floor(α) or floor(α) + 1 apart."""
        if not isinstance(self.size, int):
            return None
        if self.out == 1:
            return 1
        step, rest = divmod(self.size - width, self.out - 1)
        same = self.out - 1 - rest  # steps of floor(α)
        return min(math.ceil(width / step) if step else width + same, self.out)


def windows(axes: Sequence[Axis], overlapping: bool, width: int | None) -> Windows:
    return Windows(overlapping, width, tuple(axis.longest for axis in axes), tuple(axis.cover for axis in axes))


def _floor_division(size: Tensor, ratio: float) -> Tensor:
    """`geometry.output_size` of a size that is only known when the program runs."""
    return ops.cast(ops.floor(ops.cast(size, "float32") / np.float32(ratio)), "int32")
