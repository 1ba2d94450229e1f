"""FMP over regions that stay the same: evenly spread for a test pass without chance, or drawn once for a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fracpool import regions
from fracpool.ops import Regions
from fracpool.pooling import FractionalMaxPooling2D


@keras.saving.register_keras_serializable(package="fracpool")
class KeptRegions(FractionalMaxPooling2D):
    """`FractionalMaxPooling2D` whose regions are weights: evenly spread, until `draw` draws others.

    Drawn once they are what a seed other than 0 makes of `tf.nn.fractional_max_pool`: the same regions at every
    step of a run. Arguments, shapes and errors are those of `FractionalMaxPooling2D`; height and width must be
    known when the layer is built.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        height_and_width = (2, 3) if self.data_format == "channels_first" else (1, 2)
        axes = [self._axis(input_shape[place], number) for number, place in enumerate(height_and_width)]
        self.sizes = [(axis.size, axis.out) for axis in axes]
        self.rows, self.cols = (
            self._weight(name, self._even(sizes)) for name, sizes in zip(("rows", "cols"), self.sizes, strict=True)
        )

    def _weight(self, name: str, values: np.ndarray) -> Any:
        def initial(shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
            return values

        return self.add_weight(shape=values.shape, dtype="int32", trainable=False, name=name, initializer=initial)

    def draw(self, rng: np.random.Generator) -> None:
        """Draws the regions that are kept from now on."""
        for weight, (size, out) in zip((self.rows, self.cols), self.sizes, strict=True):
            if self.window is not None:
                drawn = regions.fixed_starts(size, out, self.window, rng.uniform())
            elif self.pseudo_random:
                drawn = regions.pseudorandom_boundaries(size, out, rng.uniform(0, regions.largest_u(size, out)))
            else:
                drawn = regions.random_boundaries(size, out, rng)
            weight.assign(drawn.astype(np.int32))

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["rows"], store["cols"] = self.rows, self.cols

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self.rows.assign(store["rows"])
        self.cols.assign(store["cols"])

    def _even(self, sizes: tuple[int, int]) -> np.ndarray:
        """The pseudorandom sequence in the middle of its range: regions as even as whole cells allow."""
        size, out = sizes
        if self.window is not None:
            return regions.fixed_starts(size, out, self.window, 0.5).astype(np.int32)
        return regions.pseudorandom_boundaries(size, out, regions.largest_u(size, out) / 2).astype(np.int32)

    def _regions(self, axes: Sequence[Any], leading: tuple[Any, ...]) -> Regions:
        return Regions(keras.ops.convert_to_tensor(self.rows)[None], keras.ops.convert_to_tensor(self.cols)[None])
