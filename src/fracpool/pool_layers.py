"""The poolings that fractional max pooling is compared with, as Keras layers for any backend.

Each keeps to its paper's formula and defaults. Three kinds share the code: windows of k×k cells at a fixed stride
(strided convolution, stochastic, mixed, gated), the same with a random choice (stochastic, S3Pool), and maps that
are linear along rows and along columns (blur, S3Pool's sampling, fractional average). Height and width must be known
when a layer is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool import arguments
from fracpool.kept_regions import KeptRegions
from fracpool.ops import Regions, Windows
from fracpool.pooling import FractionalMaxPooling2D

Tensor = Any

ALMOST_ONE = 1 - 2**-20  # a draw below it stays below its total when rounded


class _WindowPooling(keras.layers.Layer):
    """What poolings over k×k windows share: arguments, shapes, channel order; `pool` is channels-last.

    Args:
        pool_size: Side of a window.
        strides: Distance of windows; None: pool_size.
        padding: "valid" drops cells that fill no window, "same" has ceil(size / strides) windows and lets those at
            the border reach out of the image, where there is nothing.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are ceil(size / strides) with "same", floor((size − pool_size) / strides) + 1 with "valid".

    Raises:
        ValueError: an argument is out of its range, or the input is too small for a window or of unknown size.
    """

    def __init__(
        self,
        pool_size: int,
        strides: int | None,
        padding: str,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = arguments.whole(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else arguments.whole(strides, "strides")
        self.padding = arguments.one_of(padding, "padding", ("valid", "same"))
        self.data_format = arguments.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def pool(self, x: Tensor, training: bool) -> Tensor:
        raise NotImplementedError

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        x = ops.cast(inputs, self.compute_dtype)
        if self.data_format == "channels_last":
            return self.pool(x, training)
        return ops.transpose(self.pool(ops.transpose(x, (0, 2, 3, 1)), training), (0, 3, 1, 2))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for name, place in zip(("height", "width"), self._places, strict=True):
            shape[place] = self._out(arguments.known_size(shape[place], name, self._smallest))
        return tuple(shape)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.compute_output_shape(input_shape)  # says so if the layer does not fit its input

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }

    @property
    def _places(self) -> tuple[int, int]:
        return (1, 2) if self.data_format == "channels_last" else (2, 3)

    @property
    def _smallest(self) -> int:
        return self.pool_size if self.padding == "valid" else 1

    def _out(self, size: int) -> int:
        return _windows(size, self.pool_size, self.strides, self.padding)

    def _maximum(self, x: Tensor) -> Tensor:
        return ops.max_pool(x, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def _average(self, x: Tensor) -> Tensor:
        """The mean of a window's cells in the image."""
        return ops.average_pool(x, self.pool_size, self.strides, self.padding, data_format="channels_last")


@keras.saving.register_keras_serializable(package="fracpool")
class StridedConvolution2D(_WindowPooling):
    """A convolution with stride in place of a pool, of as many filters as its input has channels.

    Springenberg, Dosovitskiy, Brox and Riedmiller, Striving for simplicity: the all convolutional net (arXiv
    1412.6806), section 2: 3×3 with stride 2. It is linear, as convolutions in Keras are: the activation that the
    paper has after it is a layer of its own.

    Args, shapes and errors: see `MixedPooling2D`; weights are the kernel (k, k, C, C) and bias (C,).
    """

    def __init__(
        self,
        pool_size: int = 3,
        strides: int | None = 2,
        padding: str = "same",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        shape = (self.pool_size, self.pool_size, channels, channels)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(channels,), initializer="zeros", name="bias")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        return ops.conv(x, self.kernel, self.strides, self.padding, data_format="channels_last") + self.bias


@keras.saving.register_keras_serializable(package="fracpool")
class MixedPooling2D(_WindowPooling):
    """α · max + (1 − α) · average of each window, α a weight of the layer.

    Lee, Gallagher and Tu, Generalizing pooling functions in convolutional neural networks: mixed, gated, and tree
    (AISTATS 2016, arXiv 1509.08985), mixed max-average pooling with one proportion per layer. The paper asks for
    0 ≤ α ≤ 1 and learns it by gradient descent; it starts at ½ here, and nothing holds it in that range.

    Args:
        pool_size: Side of a window.
        strides: Distance of windows; None: pool_size.
        padding: "valid" drops cells that fill no window, "same" has ceil(size / strides) windows and lets those at
            the border reach out of the image, where there is nothing.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are ceil(size / strides) with "same", floor((size − pool_size) / strides) + 1 with "valid".

    Raises:
        ValueError: an argument is out of its range, or the input is too small for a window or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.proportion = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.5), name="proportion")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        average = self._average(x)
        return average + self.proportion * (self._maximum(x) - average)


@keras.saving.register_keras_serializable(package="fracpool")
class GatedPooling2D(_WindowPooling):
    """σ(ωᵀx) · max + (1 − σ(ωᵀx)) · average of each window x, ω a mask of k×k weights of the layer.

    Lee, Gallagher and Tu (see `MixedPooling2D`), gated max-average pooling with one mask per layer, shared by its
    channels. The mask starts at 0, that is at the mean of maximum and average; cells out of the image count 0 in ωᵀx.

    Args, shapes and errors: see `MixedPooling2D`.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        self.mask = self.add_weight(shape=(self.pool_size, self.pool_size), initializer="zeros", name="mask")

    def pool(self, x: Tensor, training: bool) -> Tensor:
        shape = (self.pool_size, self.pool_size, x.shape[-1], 1)
        masks = ops.broadcast_to(self.mask[:, :, None, None], shape)
        gate = ops.sigmoid(ops.depthwise_conv(x, masks, self.strides, self.padding, data_format="channels_last"))
        average = self._average(x)
        return average + gate * (self._maximum(x) - average)


class _SampledPooling(_WindowPooling):
    """What poolings with a random choice share: the stream of draws, and when they draw."""

    def __init__(self, sample_at_test: bool, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_at_test = arguments.flag(sample_at_test, "sample_at_test")
        self.seed = arguments.seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sample_at_test": self.sample_at_test, "seed": self.seed}

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the stream, which Keras leaves out, so that a loaded model continues it."""
        store["seed_generator_state"] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        self.seed_generator.state.assign(store["seed_generator_state"])


@keras.saving.register_keras_serializable(package="fracpool")
class StochasticPooling2D(_SampledPooling):
    """One cell of each window, drawn with a probability in proportion to its value.

    Zeiler and Fergus, Stochastic pooling for regularization of deep convolutional neural networks (ICLR 2013, arXiv
    1301.3557): p_i = a_i / Σ a, one draw per window, sample and channel, and Σ p_i a_i at test time; windows of 3×3
    at stride 2. The paper pools rectified values. Where others come in, negative ones have probability 0, and a
    window without a positive one is drawn from evenly, which is 0 for rectified values.

    Args:
        pool_size: Side of a window.
        strides: Distance of windows; None: pool_size.
        padding: As in `MixedPooling2D`; cells out of the image are never drawn.
        sample_at_test: Whether test passes draw as well, so that several can be averaged, instead of the weighted
            sum.
        seed: Whole number that starts the stream of draws, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Shapes and errors: see `MixedPooling2D`.
    """

    def __init__(
        self,
        pool_size: int = 3,
        strides: int | None = 2,
        padding: str = "same",
        sample_at_test: bool = False,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sample_at_test,
            seed,
            pool_size=pool_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            **kwargs,
        )

    def pool(self, x: Tensor, training: bool) -> Tensor:
        form = self.pool_size, self.strides, self.padding
        if not (training or self.sample_at_test):
            return _weighted_sum(x, *form)
        count, height, width, channels = ops.shape(x)
        shape = (count, self._out(height), self._out(width), channels)
        chance = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return _draw(x, chance * ALMOST_ONE, *form)


def _windows(size: int, width: int, stride: int, padding: str) -> int:
    """How many windows an axis has."""
    return -(-size // stride) if padding == "same" else (size - width) // stride + 1


def _cells(x: Tensor, width: int, stride: int, padding: str) -> list[Tensor]:
    """The cells of all windows, each place in them one tensor (N, out height, out width, C); 0 out of the image."""
    counts = [_windows(size, width, stride, padding) for size in x.shape[1:3]]
    spans = [(count - 1) * stride + 1 for count in counts]
    missing = [max(span - 1 + width - size, 0) for span, size in zip(spans, x.shape[1:3], strict=True)]
    x = ops.pad(x, [(0, 0), *((cells // 2, cells - cells // 2) for cells in missing), (0, 0)])
    rows, cols = spans
    return [x[:, i : i + rows : stride, j : j + cols : stride] for i in range(width) for j in range(width)]


def _weights(x: Tensor, cells: list[Tensor], width: int, stride: int, padding: str) -> list[Tensor]:
    """In what proportion the cells are drawn: their positive parts; evenly in the image where there are none."""
    positive = [ops.cast(ops.relu(cell), "float32") for cell in cells]
    total = sum(positive)
    inside = _cells(ops.ones((1, *x.shape[1:3], 1), "float32"), width, stride, padding)
    return [ops.where(total > 0, weight, there) for weight, there in zip(positive, inside, strict=True)]


def _one_pass(function: Any) -> Any:
    """The function compiled by XLA on TensorFlow, whose own kernels go over the memory for each cell of a window:
    ten times as slow in training (3×3 windows, measured)."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


@_one_pass
def _weighted_sum(x: Tensor, width: int, stride: int, padding: str) -> Tensor:
    cells = _cells(x, width, stride, padding)
    weights = _weights(x, cells, width, stride, padding)
    weighted = sum(weight * ops.cast(cell, "float32") for weight, cell in zip(weights, cells, strict=True))
    return ops.cast(weighted / sum(weights), x.dtype)


@_one_pass
def _draw(x: Tensor, chance: Tensor, width: int, stride: int, padding: str) -> Tensor:
    """One cell of each window: that in which `chance`, uniform in [0, 1), falls when weights are laid end to end."""
    cells = _cells(x, width, stride, padding)
    weights = _weights(x, cells, width, stride, padding)
    mark = chance * sum(weights)
    drawn, below = ops.zeros_like(cells[0]), ops.zeros_like(mark)
    for cell, weight in zip(cells, weights, strict=True):
        above = below + weight
        drawn = ops.where(ops.logical_and(below <= mark, mark < above), cell, drawn)
        below = above
    return drawn


@keras.saving.register_keras_serializable(package="fracpool")
class S3Pooling2D(_SampledPooling):
    """Max pooling with stride 1, then a random choice of rows and columns: g / s out of every g.

    Zhai, Wu, Kumar, Cheng, Lu, Zhang and Feris, S3Pool: pooling with stochastic spatial sampling (CVPR 2017, arXiv
    1611.05138), with the defaults of the authors' code: 2×2 maxima, stride 2, grid g = s, one choice per call for
    all samples and channels, the mean of each s×s cells of maxima at test time. A last strip of fewer than g rows
    gives its s-th part.

    Args:
        pool_size: Side of the windows of the maximum.
        strides: How many times fewer rows and columns come out; None: pool_size.
        grid_size: Width g of the strips that rows and columns are chosen from, a multiple of strides; None: strides.
            The larger, the more distortion.
        sample_at_test: Whether test passes choose as well, so that several can be averaged, instead of the means.
        seed: Whole number that starts the stream of choices, or None.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are floor(size / strides).

    Raises:
        ValueError: an argument is out of its range, or the input is smaller than strides or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        grid_size: int | None = None,
        sample_at_test: bool = False,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            sample_at_test,
            seed,
            pool_size=pool_size,
            strides=strides,
            padding="same",
            data_format=data_format,
            **kwargs,
        )
        self.grid_size = self.strides if grid_size is None else arguments.whole(grid_size, "grid_size")
        if self.grid_size % self.strides:
            raise ValueError(f"grid_size={grid_size!r}: must be a multiple of strides={self.strides}")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "grid_size": self.grid_size}
        del config["padding"]
        return config

    @property
    def _smallest(self) -> int:
        return self.strides

    def _out(self, size: int) -> int:
        return size // self.strides

    def pool(self, x: Tensor, training: bool) -> Tensor:
        maxima = ops.max_pool(x, self.pool_size, 1, "same", data_format="channels_last")
        choose = self._chosen if training or self.sample_at_test else self._means
        rows, cols = (choose(size) for size in x.shape[1:3])
        return _along_both(maxima, rows[None], cols[None])

    def _chosen(self, size: int) -> Tensor:
        """One row of an identity matrix for each chosen row: (out, size)."""
        strips, rest = divmod(size, self.grid_size)
        chosen = self._choice(strips, self.grid_size, 0)
        if rest >= self.strides:
            chosen = ops.concatenate([chosen, self._choice(1, rest, size - rest)])
        return ops.one_hot(chosen, size, dtype="float32")

    def _choice(self, strips: int, cells: int, first: int) -> Tensor:
        """Places, in order, of cells // strides different cells in each of the strips; int32 (…,)."""
        order = ops.argsort(keras.random.uniform((strips, cells), seed=self.seed_generator), axis=-1)
        kept = ops.cast(ops.sort(order[:, : cells // self.strides], axis=-1), "int32")
        return ops.reshape(kept + first + cells * ops.arange(strips, dtype="int32")[:, None], (-1,))

    def _means(self, size: int) -> np.ndarray:
        """The matrix that takes the mean of each `strides` cells: (out, size)."""
        out = size // self.strides
        means = np.repeat(np.eye(out), self.strides, axis=1) / self.strides
        return np.pad(means, ((0, 0), (0, size - means.shape[1])))


@keras.saving.register_keras_serializable(package="fracpool")
class MaxBlurPooling2D(_WindowPooling):
    """Max pooling with stride 1, then a binomial blur with the stride.

    Zhang, Making convolutional networks shift-invariant again (ICML 2019, arXiv 1904.11486):
    MaxBlurPool with the filter Triangle-3, [1, 2, 1] / 4 along rows and columns, reflected at the border.

    Args:
        pool_size: Side of the windows of the maximum.
        strides: Distance of the blurred values; None: pool_size.
        filter_size: Cells of the blur: 2 is the paper's Rectangle-2, 3 its Triangle-3, 5 its Binomial-5.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) with channels_first.

    Output shape:
        Height and width are ceil((size − pool_size + 1) / strides) for odd filters: floor(size / 2) by default.

    Raises:
        ValueError: an argument is out of its range, or the input is too small to be blurred or of unknown size.
    """

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        filter_size: int = 3,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, "valid", data_format, **kwargs)
        self.filter_size = arguments.whole(filter_size, "filter_size")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "filter_size": self.filter_size}
        del config["padding"]
        return config

    @property
    def _smallest(self) -> int:
        return self.pool_size + self.filter_size // 2  # a reflection needs more cells than it adds

    def _out(self, size: int) -> int:
        return -(-(size - self.pool_size + 1) // self.strides)

    def pool(self, x: Tensor, training: bool) -> Tensor:
        maxima = ops.max_pool(x, self.pool_size, 1, "valid", data_format="channels_last")
        rows, cols = (self._blur(size) for size in maxima.shape[1:3])
        return _along_both(maxima, rows[None], cols[None])

    def _blur(self, size: int) -> np.ndarray:
        """The matrix that blurs `size` maxima in a line and keeps each strides-th value: (out, size)."""
        last = self.filter_size - 1
        weights = np.array([math.comb(last, place) / 2**last for place in range(self.filter_size)])
        reflected = np.pad(np.arange(size), (last // 2, last - last // 2), mode="reflect")
        matrix = np.zeros((-(-size // self.strides), size))
        for row, first in enumerate(range(0, size, self.strides)):
            np.add.at(matrix[row], reflected[first : first + self.filter_size], weights)
        return matrix


@keras.saving.register_keras_serializable(package="fracpool")
class FractionalAveragePooling2D(FractionalMaxPooling2D):
    """Fractional average pooling: the mean of each of the regions of fractional max pooling.

    `tf.nn.fractional_avg_pool` with new regions at each call; the control that tells the fractional regions of
    Graham (arXiv 1412.6071) from their maximum. Arguments, shapes and errors are those of `FractionalMaxPooling2D`;
    integer inputs are a ValueError.
    """

    def _reduce(self, x: Tensor, regions: Regions, windows: Windows) -> Tensor:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(f"the input has dtype {dtype}: must be a float type to be averaged")
        rows, cols = (
            ops.cast(_membership(places, windows, size), x.dtype)
            for places, size in zip(regions, ops.shape(x)[1:3], strict=True)
        )
        counts = ops.sum(rows, -1)[..., :, None] * ops.sum(cols, -1)[..., None, :]
        if len(counts.shape) == 4:  # regions of each channel: (B, C, out, out)
            sums = ops.matmul(ops.matmul(rows, ops.transpose(x, (0, 3, 1, 2))), ops.swapaxes(cols, -1, -2))
            return ops.transpose(sums / counts, (0, 2, 3, 1))
        return _along_both(x, rows, cols) / counts[..., None]


@keras.saving.register_keras_serializable(package="fracpool")
class KeptAverageRegions(FractionalAveragePooling2D, KeptRegions):
    """`FractionalAveragePooling2D` over the regions of `KeptRegions`: even ones, or drawn once."""


def _membership(places: Tensor, windows: Windows, size: Any) -> Tensor:
    """Which cells of an axis lie in which region, (…, regions, size), from boundaries or starts (…, n)."""
    if windows.width is not None:
        starts, ends = places, places + windows.width
    else:
        starts, ends = places[..., :-1], places[..., 1:] + int(windows.overlapping)
    cells = ops.arange(size, dtype="int32")
    return ops.logical_and(starts[..., None] <= cells, cells < ends[..., None])


def _along_both(x: Tensor, rows: Any, cols: Any) -> Tensor:
    """x (N, H, W, C) through matrices along its rows (B, out, H) and its columns (B, out, W), B being 1 or N."""
    rows, cols = (ops.cast(matrix, x.dtype) for matrix in (rows, cols))
    _, height, width, channels = ops.shape(x)
    x = ops.matmul(rows, ops.reshape(x, (-1, height, width * channels)))
    x = ops.reshape(x, (-1, ops.shape(rows)[1], width, channels))
    return ops.matmul(cols[:, None], x)
