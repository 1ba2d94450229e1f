"""Fractional max pooling: the op, its drop-in form for TensorFlow's, and the Keras layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool import arguments, geometry
from fracpool.ops import Regions, Windows, concrete, draw, long, pool

Tensor = Any

AXES = ("height", "width")


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
    value = ops.convert_to_tensor(value)
    arguments.image_batch(value, "value")
    ratios = arguments.tensorflow_ratios(pooling_ratio)
    pseudo_random = arguments.flag(pseudo_random, "pseudo_random")
    overlapping = arguments.flag(overlapping, "overlapping")
    seed = arguments.seed(seed) or 0
    seeds = np.random.SeedSequence(abs(seed)).generate_state(2) >> 1 if seed else (None, None)
    axes = [
        _Axis(size, ratio, None, overlapping, None, name)
        for size, ratio, name in zip(ops.shape(value)[1:3], ratios, AXES, strict=True)
    ]
    rows, cols = (
        draw(axis.size, axis.out, (1,), pseudo_random, None, None if number is None else int(number))
        for axis, number in zip(axes, seeds, strict=True)
    )
    output = pool(value, Regions(rows, cols), _windows(axes, overlapping, None))
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
    value = ops.convert_to_tensor(value)
    arguments.image_batch(value, "value")
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
    return pool(value, Regions(_lifted(rows, rank), _lifted(cols, rank)), windows)


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
        return self._regions(axes, leading), _windows(axes, self.overlapping, self.window)

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

    def _regions(self, axes: Sequence[_Axis], leading: tuple[Any, ...]) -> Regions:
        """New regions: boundaries or starts, shape leading + (n,)."""
        rows, cols = (
            draw(axis.size, axis.out, leading, self.pseudo_random, self.window, self.seed_generator) for axis in axes
        )
        return Regions(rows, cols)

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    def _axis(self, size: Any, number: int) -> _Axis:
        ratio = None if self.pooling_ratio is None else self.pooling_ratio[number]
        out = None if self.output_size is None else self.output_size[number]
        return _Axis(size, ratio, out, self.overlapping, self.window, AXES[number])


class _Axis:
    """One spatial axis of a pool: its sizes, and what they say about the windows.

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
        self.size, self.ratio = size, ratio
        if isinstance(size, int) and size < 1:
            raise ValueError(f"the input has {name} {size}: must be at least 1")
        if out is None:
            assert ratio is not None
            out = geometry.output_size(size, ratio) if isinstance(size, int) else _floor_division(size, ratio)
        self.out: Any = out
        if isinstance(size, int):
            arguments.axis(size, out, ratio, width, name)
        self.longest = self._longest(overlapping) if width is None else width
        self.cover = (2 if overlapping else 1) if width is None else self._crowd(width)

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


def _windows(axes: Sequence[_Axis], overlapping: bool, width: int | None) -> Windows:
    rows, cols = axes
    return Windows(overlapping, width, (rows.longest, cols.longest), (rows.cover, cols.cover))


def _floor_division(size: Tensor, ratio: float) -> Tensor:
    """`geometry.output_size` of a size that is only known when the program runs."""
    return ops.cast(ops.floor(ops.cast(size, "float32") / np.float32(ratio)), "int32")


def _given(
    name: str, given: Any, value: Tensor, axis: int, overlapping: bool, window: int | None
) -> tuple[int | None, int | None]:
    """Checks boundaries or starts that a caller gives; (longest, cover) as in `Windows`."""
    known = concrete(given)
    shape, dtype = (given.shape, given.dtype) if known is None else (known.shape, known.dtype)
    least = 2 if window is None else 1
    arguments.boundaries_form(name, tuple(shape), keras.backend.standardize_dtype(dtype), value.shape, least)
    size = value.shape[axis]
    if window is not None and size is not None and window > size:
        raise ValueError(f"window={window}: must be from 1 to the input's {AXES[axis - 1]}, {size}")
    if known is None or size is None:
        return window, None if window is not None else 1 + overlapping
    if window is None:
        arguments.boundaries(name, known, size)
        longest = int(np.diff(known, axis=-1).max(initial=1)) + overlapping
        return _rounded(min(longest, size)), 2 if overlapping else 1
    arguments.starts(name, known, size, window)
    cells = np.arange(size)[:, None]
    over = (known[..., None, :] <= cells) & (cells < known[..., None, :] + window)
    return window, _rounded(int(over.sum(-1).max(initial=1)))


def _rounded(bound: int) -> int:
    """A bound made a little larger, so that boundaries with other extremes need no new compilation."""
    return bound if bound <= 3 else 1 << (bound - 1).bit_length()


def _lifted(boundaries: Tensor, rank: int) -> Tensor:
    """(n,) → (1, n); to rank 3, (B, n) → (B, 1, n)."""
    while len(boundaries.shape) < rank:
        boundaries = boundaries[None] if len(boundaries.shape) == 1 else boundaries[:, None]
    return boundaries
