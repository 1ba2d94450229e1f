"""The Keras layer for fractional max pooling, and its form over regions that stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling import arguments, regions
from fracpool.pooling.axis import AXES, Axis, Tensor, windows
from fracpool.pooling.ops import draw, pool
from fracpool.pooling.ops.windows import Regions, Windows


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalMaxPooling2D(keras.layers.Layer):
    """Fractional max pooling (Graham 2014, arXiv 1412.6071): max pooling by any ratio from 1 on.

    Rows and columns are cut into regions of two sizes, floor(α) and floor(α) + 1 cells, in random order; each
    output is the maximum of a region. New regions are drawn at each call, in training and in inference,
    so that the predictions of several passes can be averaged. With a seed the stream of regions repeats, and
    saving, loading or resuming a model continues it.

    Args:
        pooling_ratio: Input size / output size α, at least 1 and at most the input size: a number or a pair
            (rows, columns).
        output_size: Output height and width instead of the ratio: a whole number or a pair.
        pseudo_random: Pseudorandom instead of random order: a_i = ceil(α(i + u)), one u per axis.
        overlapping: Whether a region includes the first row and column of the next (TensorFlow's form).
        window: Width of fixed windows at the fractional places instead (Graham's overlapping regions have 2;
            `torch.nn.FractionalMaxPool2d`), or None.
        regions_per: "batch" draws one set of regions for all images (TensorFlow), "sample" one per image
            (Graham), "channel" one per image and channel (PyTorch).
        seed: Whole number that starts the stream of regions, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are floor(size / pooling_ratio), the division in float32 as TensorFlow's op has it,
        or output_size.

    Attributes:
        seed_generator: Its state variable is the layer's only source of randomness.

    Raises:
        ValueError: an argument is out of its range, at construction, or at the call when it is too large for
            the input.

    Example:

    >>> layer = FractionalMaxPooling2D(1.4, seed=1)
    >>> layer(keras.ops.ones((8, 28, 28, 3))).shape
    (8, 20, 20, 3)

    A NaN in a region makes its output NaN. Of equal maxima the first in row-major order takes the gradient.
    """

    def __init__(
        self,
        pooling_ratio: float | Sequence[float] | None = None,
        output_size: int | Sequence[int] | None = None,
        *,
        pseudo_random: bool = False,
        overlapping: bool = False,
        window: int | None = None,
        regions_per: str = "batch",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (pooling_ratio is None) == (output_size is None):
            raise ValueError(f"pooling_ratio={pooling_ratio!r}, output_size={output_size!r}: exactly one must be given")
        self.pooling_ratio = None if pooling_ratio is None else arguments.ratios(pooling_ratio)
        self.output_size = None if output_size is None else arguments.output_sizes(output_size)
        self.pseudo_random = arguments.flag(pseudo_random, "pseudo_random")
        self.overlapping = arguments.flag(overlapping, "overlapping")
        self.window = arguments.window(window, self.overlapping)
        self.regions_per = arguments.regions_per(regions_per)
        self.seed = arguments.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.data_format = arguments.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self._build_at_init()

    def call(self, inputs: Tensor) -> Tensor:
        x = ops.transpose(inputs, (0, 2, 3, 1)) if self._channels_first else inputs
        y = self._reduce(x, *self.regions(x))
        return ops.transpose(y, (0, 3, 1, 2)) if self._channels_first else y

    def regions(self, x: Tensor) -> tuple[Regions, Windows]:
        """The regions of a call, drawn anew, for images x, which are channels-last here."""
        arguments.image_batch(x, "inputs")
        count, _, _, channels = ops.shape(x)
        leading = {"batch": (1,), "sample": (count,), "channel": (count, channels)}[self.regions_per]
        axes = [self._axis(size, number) for number, size in enumerate(ops.shape(x)[1:3])]
        return self._regions(axes, leading), windows(axes, self.overlapping, self.window)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for number, place in enumerate((2, 3) if self._channels_first else (1, 2)):
            if shape[place] is not None or self.output_size is not None:
                shape[place] = self._axis(shape[place], number).out
        return tuple(shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pooling_ratio": self.pooling_ratio,
            "output_size": self.output_size,
            "pseudo_random": self.pseudo_random,
            "overlapping": self.overlapping,
            "window": self.window,
            "regions_per": self.regions_per,
            "seed": self.seed,
            "data_format": self.data_format,
        }

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the stream, which Keras leaves out, so that a loaded model continues it."""
        store["seed_generator_state"] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        self.seed_generator.state.assign(store["seed_generator_state"])

    def _reduce(self, x: Tensor, regions: Regions, windows: Windows) -> Tensor:
        """One value of each region, the largest; x is channels-last."""
        return pool(x, regions, windows)

    def _regions(self, axes: Sequence[Axis], leading: tuple[Any, ...]) -> Regions:
        """New regions: boundaries or starts, shape leading + (n,)."""
        rows, cols = (
            draw(axis.size, axis.out, leading, self.pseudo_random, self.window, self.seed_generator) for axis in axes
        )
        return (rows, cols)

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    def _axis(self, size: Any, number: int) -> Axis:
        ratio = None if self.pooling_ratio is None else self.pooling_ratio[number]
        out = None if self.output_size is None else self.output_size[number]
        return Axis(size, ratio, out, self.overlapping, self.window, AXES[number])


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
        return (keras.ops.convert_to_tensor(self.rows)[None], keras.ops.convert_to_tensor(self.cols)[None])
