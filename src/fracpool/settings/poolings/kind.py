"""What a network has to know of a kind of pooling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fracpool.settings.schema import PoolSettings


Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class Pooling:
    """One kind of pooling.

    Attributes:
        settings: The fields of `pool` that it has.
        check: Raises SettingsError when a field is out of its range.
        output_size: Side of the output for a side of the input; 0 when the input is too small.
        layer: Builds the Keras layer from (settings, name, seed).
        label: How tables and figures call it.
        stochastic: Whether, with these settings, test passes differ, so that averaging several is worth while.
        even_layer: Builds, from the same, its form without chance, for a deterministic test pass; None where it
            has none.
        takes_maximum: Whether each output is one of its inputs, the largest: then the pool commutes with
            monotone activations.
        convolves: Whether it is a convolution, which an activation follows.
        parameters: Its weights, for a map (height, width, channels).
        macs: Multiply-accumulates of its convolutions for one image whose map is (height, width, channels); None
            where nobody counted them.
    """

    settings: tuple[str, ...]
    check: Callable[[PoolSettings], None]
    output_size: Callable[[PoolSettings, int], int]
    layer: Callable[[PoolSettings, str, int], Any]
    label: Callable[[PoolSettings], str]
    stochastic: Callable[[PoolSettings], bool] = lambda pool: False
    even_layer: Callable[[PoolSettings, str, int], Any] | None = None
    takes_maximum: bool = False
    convolves: bool = False
    parameters: Callable[[PoolSettings, Shape], int] = lambda pool, shape: 0
    macs: Callable[[PoolSettings, Shape], int | None] = lambda pool, shape: 0


def nothing_to_check(pool: PoolSettings) -> None:
    pass
