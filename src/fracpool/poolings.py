"""The poolings that a network can be built with: for each its settings, its output size and its layer.

POOLINGS has those of the study. Any other is named by its config: `pool.layer` is a Keras layer or a function, with
`pool.arguments` (docs/pooling.md); `of` gives the pooling that settings mean. Keras is imported only when a layer is
built (of a pooling of one's own also to find its output size), so that settings can be checked without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fracpool import geometry

if TYPE_CHECKING:
    from fracpool.settings import PoolSettings


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
        parameters: Its weights, for a number of channels.
        macs: Multiply-accumulates of its convolutions for one place of the output, for a number of channels.
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
    parameters: Callable[[int], int] = lambda channels: 0
    macs: Callable[[int], int] = lambda channels: 0


def _nothing_to_check(pool: PoolSettings) -> None:
    pass


def _halved(pool: PoolSettings, size: int) -> int:
    return size // 2


def _max_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    import keras

    return keras.layers.MaxPooling2D(2, name=name)


def _halved_up(pool: PoolSettings, size: int) -> int:
    return -(-size // 2) if size > 1 else 0


def _average_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    import keras

    return keras.layers.AveragePooling2D(2, name=name)


def _check_fractional(pool: PoolSettings) -> None:
    from fracpool.settings import SettingsError, one_of, require

    ratio = pool.ratio
    require(ratio is not None, "pool.ratio", ratio, "a number ≥ 1, e.g. 1.47")
    valid = ratio is not None and math.isfinite(ratio) and ratio >= 1
    require(valid, "pool.ratio", ratio, "a finite number from 1 to the size of the map, e.g. 1.47")
    window = pool.window
    require(window is None or window >= 1, "pool.window", window, "null or a whole number ≥ 1")
    if window is not None and pool.overlapping:
        raise SettingsError(
            f"pool.window={window}: fixed windows overlap by themselves; set pool.overlapping=false or pool.window=null"
        )
    per = ("batch", "sample", "channel", "run")
    require(pool.regions_per in per, "pool.regions_per", pool.regions_per, one_of(per))


def _fractional_size(pool: PoolSettings, size: int) -> int:
    assert pool.ratio is not None
    if pool.ratio > size or (pool.window or 1) > size:
        return 0
    return geometry.output_size(size, pool.ratio)


def _fmp_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool import FractionalMaxPooling2D

    if pool.regions_per == "run":
        return _even_fmp_layer(pool, name, seed)
    return FractionalMaxPooling2D(**_drawn_arguments(pool), seed=seed, name=name)


def _even_fmp_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.kept_regions import KeptRegions

    return KeptRegions(**_fractional_arguments(pool), seed=seed, name=name)


def _fractional_average_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import FractionalAveragePooling2D

    if pool.regions_per == "run":
        return _even_fractional_average_layer(pool, name, seed)
    return FractionalAveragePooling2D(**_drawn_arguments(pool), seed=seed, name=name)


def _even_fractional_average_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import KeptAverageRegions

    return KeptAverageRegions(**_fractional_arguments(pool), seed=seed, name=name)


def _drawn_arguments(pool: PoolSettings) -> dict[str, Any]:
    return _fractional_arguments(pool) | {"regions_per": pool.regions_per or "batch"}


def _fractional_arguments(pool: PoolSettings) -> dict[str, Any]:
    return {
        "pooling_ratio": pool.ratio,
        "pseudo_random": bool(pool.pseudo_random),
        "overlapping": bool(pool.overlapping),
        "window": pool.window,
    }


def _fractional_label(pool: PoolSettings) -> str:
    words = [f"{pool.ratio:.4g}", "pseudorandom" if pool.pseudo_random else "random"]
    if pool.overlapping:
        words.append("overlapping")
    if pool.window:
        words.append(f"{pool.window}×{pool.window} windows")
    if pool.regions_per == "run":
        words.append("frozen")
    elif pool.regions_per != "batch":
        words.append(f"per {pool.regions_per}")
    return " ".join(words)


def _overlapping_max_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    import keras

    return keras.layers.MaxPooling2D(3, 2, padding="same", name=name)


def _strided_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import StridedConvolution2D

    return StridedConvolution2D(name=name)


def _mixed_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import MixedPooling2D

    return MixedPooling2D(name=name)


def _gated_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import GatedPooling2D

    return GatedPooling2D(name=name)


def _max_blur_size(pool: PoolSettings, size: int) -> int:
    return size // 2 if size > 2 else 0


def _max_blur_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pool_layers import MaxBlurPooling2D

    return MaxBlurPooling2D(name=name)


def _stochastic_layer(pool: PoolSettings, name: str, seed: int, sample_at_test: bool = True) -> Any:
    from fracpool.pool_layers import StochasticPooling2D

    return StochasticPooling2D(sample_at_test=sample_at_test, seed=seed, name=name)


def _check_s3pool(pool: PoolSettings) -> None:
    from fracpool.settings import require

    grid = pool.grid
    require(grid is not None and grid >= 2 and grid % 2 == 0, "pool.grid", grid, "an even number ≥ 2, e.g. 4")


def _s3pool_layer(pool: PoolSettings, name: str, seed: int, sample_at_test: bool = True) -> Any:
    from fracpool.pool_layers import S3Pooling2D

    return S3Pooling2D(grid_size=pool.grid, sample_at_test=sample_at_test, seed=seed, name=name)


POOLINGS: dict[str, Pooling] = {
    "max": Pooling((), _nothing_to_check, _halved, _max_layer, lambda pool: "max pool", takes_maximum=True),
    "average": Pooling((), _nothing_to_check, _halved, _average_layer, lambda pool: "average pool"),
    "fmp": Pooling(
        ("ratio", "pseudo_random", "overlapping", "window", "regions_per"),
        _check_fractional,
        _fractional_size,
        _fmp_layer,
        lambda pool: f"FMP {_fractional_label(pool)}",
        stochastic=lambda pool: pool.regions_per != "run",
        even_layer=_even_fmp_layer,
        takes_maximum=True,
    ),
    "fractional_average": Pooling(
        ("ratio", "pseudo_random", "overlapping", "window", "regions_per"),
        _check_fractional,
        _fractional_size,
        _fractional_average_layer,
        lambda pool: f"fractional average {_fractional_label(pool)}",
        stochastic=lambda pool: pool.regions_per != "run",
        even_layer=_even_fractional_average_layer,
    ),
    "overlapping_max": Pooling(
        (),
        _nothing_to_check,
        _halved_up,
        _overlapping_max_layer,
        lambda pool: "overlapping max pool",
        takes_maximum=True,
    ),
    "strided": Pooling(
        (),
        _nothing_to_check,
        _halved_up,
        _strided_layer,
        lambda pool: "strided convolution",
        convolves=True,
        parameters=lambda channels: 9 * channels**2 + channels,
        macs=lambda channels: 9 * channels**2,
    ),
    "stochastic": Pooling(
        (),
        _nothing_to_check,
        _halved_up,
        _stochastic_layer,
        lambda pool: "stochastic pool",
        stochastic=lambda pool: True,
        even_layer=partial(_stochastic_layer, sample_at_test=False),
    ),
    "mixed": Pooling(
        (), _nothing_to_check, _halved, _mixed_layer, lambda pool: "mixed pool", parameters=lambda channels: 1
    ),
    "gated": Pooling(
        (),
        _nothing_to_check,
        _halved,
        _gated_layer,
        lambda pool: "gated pool",
        parameters=lambda channels: 4,
        macs=lambda channels: 4 * channels,
    ),
    "max_blur": Pooling(
        (),
        _nothing_to_check,
        _max_blur_size,
        _max_blur_layer,
        lambda pool: "max-blur pool",
        macs=lambda channels: 9 * channels,
    ),
    "s3pool": Pooling(
        ("grid",),
        _check_s3pool,
        _halved,
        _s3pool_layer,
        lambda pool: f"S3Pool {pool.grid}",
        stochastic=lambda pool: True,
        even_layer=partial(_s3pool_layer, sample_at_test=False),
    ),
}


# ---- a pooling of one's own ----


def of(pool: PoolSettings) -> Pooling:
    """The pooling that the settings mean."""
    return OWN if getattr(pool, "layer", None) else POOLINGS[pool.kind]


def _check_own(pool: PoolSettings) -> None:
    from fracpool import own
    from fracpool.settings import is_name, require

    require(pool.kind not in POOLINGS, "pool.kind", pool.kind, "another name than fracpool's own, with pool.layer")
    require(is_name(pool.kind), "pool.kind", repr(pool.kind), "a name of letters, digits, _ and -")
    own.source("pool.layer", str(pool.layer))


def _own_size(pool: PoolSettings, size: int) -> int:
    from fracpool.settings import ImpossibleNetwork

    layer = _own_layer(pool, "pool", 0)
    import keras

    try:
        return int(layer(keras.Input((size, size, 1))).shape[1])
    except Exception as error:  # whatever a user's layer raises; Keras' refuse a map that is too small for them
        raise ImpossibleNetwork(
            f"pool.layer={pool.layer}: does not pool a map of {size}×{size} ({type(error).__name__}: {_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    """An error's text in one line, without what Keras wraps around it: bold marks, and remarks before and after."""
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    text = (bold.group(1) if bold else str(error)).rpartition("Error encountered:")[2]
    return " ".join(text.split())[:200]


def _own_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool import own
    from fracpool.settings import SettingsError

    made = own.load("pool.layer", str(pool.layer))
    import keras

    from fracpool.function_layer import FunctionLayer

    arguments = pool.arguments
    try:
        is_layer = isinstance(made, type) and issubclass(made, keras.layers.Layer)
        layer = made(**arguments, name=name) if is_layer else FunctionLayer(made, arguments, name)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"pool.arguments={arguments}: {pool.layer} does not take them ({error})") from error
    if bool(pool.stochastic) != (getattr(layer, "seed_generator", None) is not None):
        raise SettingsError(
            f"pool.stochastic={pool.stochastic}: must be true for a layer that pools by chance, whose "
            f"keras.random.SeedGenerator is its seed_generator, else false; see {pool.layer}"
        )
    return layer


def _own_label(pool: PoolSettings) -> str:
    given = pool.arguments.items()
    return " ".join([pool.kind, *(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in given)])


OWN = Pooling(
    ("layer", "arguments", "stochastic"),
    _check_own,
    _own_size,
    _own_layer,
    _own_label,
    stochastic=lambda pool: bool(pool.stochastic),
)
