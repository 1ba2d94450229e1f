"""Fractional pools whose regions are drawn once: what a seed other than 0 makes of TensorFlow's ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling import regions
from fracpool.pooling.axis import Axis
from fracpool.pooling.fractional import FractionalPooling
from fracpool.pooling.fractional_average import FractionalAveragePooling2D
from fracpool.pooling.fractional_max import FractionalMaxPooling2D
from fracpool.pooling.ops.windows import Regions


class Frozen(FractionalPooling):
    """A fractional pool whose regions are weights, the same at every step of a run: even ones until `draw` draws.

    Height and width must be known when the layer is built.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        axes = [self._axis(input_shape[place], number) for number, place in enumerate(self._places)]
        self.sizes = [(axis.size, axis.out) for axis in axes]
        self.rows, self.cols = (
            self._weight(name, self._even(*sizes)) for name, sizes in zip(("rows", "cols"), self.sizes, strict=True)
        )

    def draw(self, rng: np.random.Generator) -> None:
        """Draws the regions that are kept from now on."""
        for weight, sizes in zip((self.rows, self.cols), self.sizes, strict=True):
            weight.assign(self._drawn(*sizes, rng).astype(np.int32))

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["rows"], store["cols"] = self.rows, self.cols

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        for name in ("rows", "cols"):
            if name in store:
                getattr(self, name).assign(store[name])

    def _weight(self, name: str, values: np.ndarray) -> Any:
        def initial(shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
            return values

        return self.add_weight(shape=values.shape, dtype="int32", trainable=False, name=name, initializer=initial)

    def _even(self, size: int, out: int) -> np.ndarray:
        if self.window is not None:
            return regions.fixed_starts(size, out, self.window, 0.5).astype(np.int32)
        return regions.even_boundaries(size, out).astype(np.int32)

    def _drawn(self, size: int, out: int, rng: np.random.Generator) -> np.ndarray:
        if self.window is not None and self.pseudo_random:
            return regions.fixed_starts(size, out, self.window, rng.uniform())
        if self.window is not None:
            return regions.random_starts(size, out, self.window, rng)
        if self.pseudo_random:
            return regions.pseudorandom_boundaries(size, out, rng.uniform(0, regions.largest_u(size, out)))
        return regions.random_boundaries(size, out, rng)

    def _regions(self, axes: Sequence[Axis], count: Any, channels: Any, training: bool | None) -> Regions:
        return tuple(ops.convert_to_tensor(weight)[None] for weight in (self.rows, self.cols))


@keras.saving.register_keras_serializable(package="fracpool")
class FrozenMaxPooling2D(Frozen, FractionalMaxPooling2D):
    """`FractionalMaxPooling2D` over regions that are drawn once."""


@keras.saving.register_keras_serializable(package="fracpool")
class FrozenAveragePooling2D(Frozen, FractionalAveragePooling2D):
    """`FractionalAveragePooling2D` over regions that are drawn once."""
