"""The layers of a network as plain data, each with the shape of its map, its weights and its multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass, replace

WHITEN_KERNEL = 2  # side of airbench's first convolution


@dataclass(frozen=True)
class Layer:
    """One layer and the shape of its output.

    Attributes:
        kind: input, centre, pad, distort, whiten, conv, batch_norm, activation, dropout, pool, last_pool, flatten,
            dense or scale.
        units: Filters of a convolution, width of a dense layer, else 0.
        kernel: Side of a convolution's kernel, else 0.
        parameters: All weights, trainable or not.
        macs: Multiply-accumulates for one image; None where nobody counted them.
    """

    name: str
    kind: str
    height: int
    width: int
    channels: int
    units: int = 0
    kernel: int = 0
    parameters: int = 0
    macs: int | None = 0


class Stack:
    """Collects layers and follows the shape of the map."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.height, self.width, self.channels = shape
        self.layers: list[Layer] = []
        self.add("input", "input")

    @property
    def features(self) -> int:
        return self.height * self.width * self.channels

    def add(
        self,
        name: str,
        kind: str,
        *,
        height: int | None = None,
        width: int | None = None,
        channels: int | None = None,
        units: int = 0,
        kernel: int = 0,
        parameters: int = 0,
        macs: int | None = 0,
    ) -> None:
        self.height = self.height if height is None else height
        self.width = self.width if width is None else width
        self.channels = self.channels if channels is None else channels
        self.layers.append(Layer(name, kind, self.height, self.width, self.channels, units, kernel, parameters, macs))

    def add_whitening(self) -> None:
        """A 'valid' convolution, each filter and its negative, with two biases: one of the data and one that learns."""
        filters = 2 * WHITEN_KERNEL**2 * self.channels
        self.add_conv("whiten", filters, WHITEN_KERNEL, valid=True)
        self.layers[-1] = replace(self.layers[-1], kind="whiten", parameters=self.layers[-1].parameters + filters)

    def add_conv(self, name: str, filters: int, kernel: int, valid: bool = False, bias: bool = True) -> None:
        """A 'same' or 'valid' convolution."""
        weights = kernel * kernel * self.channels * filters
        lost = kernel - 1 if valid else 0
        height, width = self.height - lost, self.width - lost
        shape = {"height": height, "width": width, "channels": filters, "units": filters, "kernel": kernel}
        parameters = weights + filters * bias
        self.add(name, "conv", **shape, parameters=parameters, macs=weights * height * width)

    def add_dense(self, name: str, units: int, bias: bool = True) -> None:
        weights = self.channels * units
        self.add(name, "dense", channels=units, units=units, parameters=weights + units * bias, macs=weights)
