"""The poolings that a network can be built with: for each its settings, its output size and its layer.

POOLINGS has those of the study. Any other is named by its config: `pool.layer` is a Keras layer or a function, with
`pool.arguments` (docs/pooling.md); `of` gives the pooling that settings mean. Keras is imported only when a layer is
built (of a pooling of one's own also to find its output size), so that settings can be checked without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fracpool.pooling.sizes import output_size
from fracpool.settings.poolings.kind import Pooling, Shape, nothing_to_check
from fracpool.settings.poolings.users_pooling import own_pooling

if TYPE_CHECKING:
    from fracpool.settings.schema import PoolSettings

HALVING = 2.0  # the ratio whose sizes, floor(size / 2), are those of 2×2 max pooling


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
    from fracpool.settings.refusal import SettingsError, one_of, require

    require(pool.match in (None, "max"), "pool.match", pool.match, "null, or max: the sizes that 2×2 max pooling gives")
    ratio = pool.ratio if pool.match is None else HALVING
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
    return output_size(size, pool.ratio)


def _fmp_layer(pool: PoolSettings, name: str, seed: int, inference: str = "drawn") -> Any:
    from fracpool.pooling.fractional_max import FractionalMaxPooling2D
    from fracpool.pooling.frozen import FrozenMaxPooling2D

    kind = FrozenMaxPooling2D if pool.regions_per == "run" else FractionalMaxPooling2D
    return kind(**_fractional_arguments(pool), inference=inference, seed=seed, name=name)


def _fractional_average_layer(pool: PoolSettings, name: str, seed: int, inference: str = "drawn") -> Any:
    from fracpool.pooling.fractional_average import FractionalAveragePooling2D
    from fracpool.pooling.frozen import FrozenAveragePooling2D

    kind = FrozenAveragePooling2D if pool.regions_per == "run" else FractionalAveragePooling2D
    return kind(**_fractional_arguments(pool), inference=inference, seed=seed, name=name)


def _fractional_arguments(pool: PoolSettings) -> dict[str, Any]:
    per = pool.regions_per
    return {
        "regions_per": "batch" if per is None or per == "run" else per,
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
    from fracpool.pooling.strided import StridedConvolution2D

    return StridedConvolution2D(name=name)


def _mixed_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pooling.mixed import MixedPooling2D

    return MixedPooling2D(name=name)


def _gated_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pooling.mixed import GatedPooling2D

    return GatedPooling2D(name=name)


def _max_blur_size(pool: PoolSettings, size: int) -> int:
    return size // 2 if size > 2 else 0


def _max_blur_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.pooling.max_blur import MaxBlurPooling2D

    return MaxBlurPooling2D(name=name)


def _stochastic_layer(pool: PoolSettings, name: str, seed: int, sample_at_test: bool = True) -> Any:
    from fracpool.pooling.stochastic import StochasticPooling2D

    return StochasticPooling2D(sample_at_test=sample_at_test, seed=seed, name=name)


def _check_s3pool(pool: PoolSettings) -> None:
    from fracpool.settings.refusal import require

    grid = pool.grid
    require(grid is not None and grid >= 2 and grid % 2 == 0, "pool.grid", grid, "an even number ≥ 2, e.g. 4")


def _s3pool_layer(pool: PoolSettings, name: str, seed: int, sample_at_test: bool = True) -> Any:
    from fracpool.pooling.s3pool import S3Pooling2D

    return S3Pooling2D(grid_size=pool.grid, sample_at_test=sample_at_test, seed=seed, name=name)


def _places(size: Callable[[PoolSettings, int], int], pool: PoolSettings, shape: Shape) -> int:
    """Of the output, where `size` gives its sides."""
    return size(pool, shape[0]) * size(pool, shape[1])


POOLINGS: dict[str, Pooling] = {
    "max": Pooling((), nothing_to_check, _halved, _max_layer, lambda pool: "max pool", takes_maximum=True),
    "average": Pooling((), nothing_to_check, _halved, _average_layer, lambda pool: "average pool"),
    "fmp": Pooling(
        ("ratio", "match", "pseudo_random", "overlapping", "window", "regions_per"),
        _check_fractional,
        _fractional_size,
        _fmp_layer,
        lambda pool: f"FMP {_fractional_label(pool)}",
        stochastic=lambda pool: pool.regions_per != "run",
        even_layer=partial(_fmp_layer, inference="even"),
        takes_maximum=True,
    ),
    "fractional_average": Pooling(
        ("ratio", "match", "pseudo_random", "overlapping", "window", "regions_per"),
        _check_fractional,
        _fractional_size,
        _fractional_average_layer,
        lambda pool: f"fractional average {_fractional_label(pool)}",
        stochastic=lambda pool: pool.regions_per != "run",
        even_layer=partial(_fractional_average_layer, inference="even"),
    ),
    "overlapping_max": Pooling(
        (),
        nothing_to_check,
        _halved_up,
        _overlapping_max_layer,
        lambda pool: "overlapping max pool",
        takes_maximum=True,
    ),
    "strided": Pooling(
        (),
        nothing_to_check,
        _halved_up,
        _strided_layer,
        lambda pool: "strided convolution",
        convolves=True,
        parameters=lambda pool, shape: 9 * shape[2] ** 2 + shape[2],
        macs=lambda pool, shape: 9 * shape[2] ** 2 * _places(_halved_up, pool, shape),
    ),
    "stochastic": Pooling(
        (),
        nothing_to_check,
        _halved_up,
        _stochastic_layer,
        lambda pool: "stochastic pool",
        stochastic=lambda pool: True,
        even_layer=partial(_stochastic_layer, sample_at_test=False),
    ),
    "mixed": Pooling(
        (), nothing_to_check, _halved, _mixed_layer, lambda pool: "mixed pool", parameters=lambda pool, shape: 1
    ),
    "gated": Pooling(
        (),
        nothing_to_check,
        _halved,
        _gated_layer,
        lambda pool: "gated pool",
        parameters=lambda pool, shape: 4,
        macs=lambda pool, shape: 4 * shape[2] * _places(_halved, pool, shape),
    ),
    "max_blur": Pooling(
        (),
        nothing_to_check,
        _max_blur_size,
        _max_blur_layer,
        lambda pool: "max-blur pool",
        macs=lambda pool, shape: 9 * shape[2] * _places(_max_blur_size, pool, shape),
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


OWN = own_pooling(taken=POOLINGS)


def of(pool: PoolSettings) -> Pooling:
    """The pooling that the settings mean."""
    return OWN if getattr(pool, "layer", None) else POOLINGS[pool.kind]
