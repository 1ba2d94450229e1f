"""What fractional pools share, maximum and average, of one to three axes: arguments, shapes and regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.axis import Axis, Tensor, windows
from fracpool.pooling.drawing import draw, even
from fracpool.pooling.ops.windows import Regions, Windows
from fracpool.pooling.stream import Draws


class FractionalPooling(Draws, keras.layers.Layer):
    """The base of fractional pools. Axes are cut into regions of two sizes, floor(α) and floor(α) + 1 cells, or pooled
    over windows of fixed width at such distances; `reduce` makes one value of each.

    Args:
        pooling_ratio: Input size / output size α, at least 1 and at most the input size: a number, or one for each
            axis.
        output_size: Output size instead of the ratio: a whole number, or one for each axis.
        pseudo_random: Pseudorandom instead of random order: a_i = ceil(α(i + u)), one u per axis.
        overlapping: Whether a region includes the first cell of the next (TensorFlow's form).
        window: Width of fixed windows at the fractional places instead (Graham's overlapping regions have 2;
            `torch.nn.FractionalMaxPool2d`), or None.
        regions_per: "batch" draws one set of regions for all samples (TensorFlow), "sample" one per sample
            (Graham), "channel" one per sample and channel (PyTorch).
        inference: What regions are outside of training: "drawn" anew at each call, as in the paper, TensorFlow and
            PyTorch, so that the predictions of several passes can be averaged (`fracpool.average_predictions`); or
            "even": as even as whole cells allow, the same at every call.
        seed: Whole number that starts the streams of regions, or None. With a seed the streams repeat, and saving,
            loading or resuming a model continues them.
        data_format: "channels_last", "channels_first", or None for Keras' setting.

    Attributes:
        seed_generator: The stream of training; its state variable is all that training draws from.
        inference_generator: That of calls outside of training, which leave the training as it is.

    Raises:
        ValueError: an argument is out of its range, at construction, or at the call when it is too large for
            the input. Of sizes that a `tf.function` knows only as it runs, tf.errors.InvalidArgumentError.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        pooling_ratio: float | Sequence[float] | None = None,
        output_size: int | Sequence[int] | None = None,
        *,
        pseudo_random: bool = False,
        overlapping: bool = False,
        window: int | None = None,
        regions_per: str = "batch",
        inference: str = "drawn",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (pooling_ratio is None) == (output_size is None):
            raise ValueError(f"pooling_ratio={pooling_ratio!r}, output_size={output_size!r}: exactly one must be given")
        self.pooling_ratio = None if pooling_ratio is None else arguments.ratios(pooling_ratio, self.rank)
        self.output_size = None if output_size is None else arguments.output_sizes(output_size, self.rank)
        self.pseudo_random = arguments.flag(pseudo_random, "pseudo_random")
        self.overlapping = arguments.flag(overlapping, "overlapping")
        self.window = arguments.window(window, self.overlapping)
        self.regions_per = arguments.one_of(regions_per, "regions_per", arguments.REGIONS_PER)
        self.inference = arguments.one_of(inference, "inference", arguments.INFERENCE)
        self.seed = arguments.seed(seed)
        self.start_streams(self.seed)
        self.data_format = arguments.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)
        self._build_at_init()

    def call(self, inputs: Tensor, training: bool | None = False) -> Any:
        x = self._channels_last(inputs)
        return self.reduce(x, *self.regions(x, training), bool(training))

    def reduce(self, x: Tensor, regions: Regions, windows: Windows, training: bool) -> Any:
        """The output for x (N, *sizes, C), in the layer's own data format."""
        raise NotImplementedError

    def regions(self, x: Tensor, training: bool | None = False) -> tuple[Regions, Windows]:
        """The regions of a call for x (N, *sizes, C): boundaries or starts along each axis, (B, n) or (B, C, n)."""
        arguments.batch(x, "inputs", arguments.AXES[self.rank])
        count, *sizes, channels = ops.shape(x)
        axes = [self._axis(size, number) for number, size in enumerate(sizes)]
        return self._regions(axes, count, channels, training), windows(axes, self.overlapping, self.window)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        shape = list(input_shape)
        for number, place in enumerate(self._places):
            if shape[place] is not None or self.output_size is not None:
                shape[place] = self._axis(shape[place], number).out
        return tuple(shape)

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
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
            "inference": self.inference,
            "seed": self.seed,
            "data_format": self.data_format,
        }

    def _regions(self, axes: Sequence[Axis], count: Any, channels: Any, training: bool | None) -> Regions:
        if self.inference == "even" and not training:
            return tuple(even(axis.size, axis.out, self.window) for axis in axes)
        leading = {"batch": (1,), "sample": (count,), "channel": (count, channels)}[self.regions_per]
        stream = self.stream(training)
        return tuple(draw(axis.size, axis.out, leading, self.pseudo_random, self.window, stream) for axis in axes)

    def _axis(self, size: Any, number: int) -> Axis:
        ratio = None if self.pooling_ratio is None else self.pooling_ratio[number]
        out = None if self.output_size is None else self.output_size[number]
        return Axis(size, ratio, out, self.overlapping, self.window, arguments.AXES[self.rank][number])

    @property
    def _places(self) -> range:
        """Of the axes in the input's shape."""
        first = 2 if self.data_format == "channels_first" else 1
        return range(first, first + self.rank)

    def _channels_last(self, x: Tensor) -> Tensor:
        return ops.moveaxis(x, 1, -1) if self.data_format == "channels_first" else x

    def _as_given(self, y: Tensor) -> Tensor:
        """An output with channels last, in the layer's own data format."""
        return ops.moveaxis(y, -1, 1) if self.data_format == "channels_first" else y
