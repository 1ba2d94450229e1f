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
    """

    settings: tuple[str, ...]
    check: Callable[[PoolSettings], None]
    output_size: Callable[[PoolSettings, int], int]
    layer: Callable[[PoolSettings, str, int], Any]
    label: Callable[[PoolSettings], str]
    stochastic: Callable[[PoolSettings], bool] = lambda pool: False
    even_layer: Callable[[PoolSettings, str, int], Any] | None = None
    takes_maximum: bool = False


def _nothing_to_check(pool: PoolSettings) -> None:
    pass


def _halved(pool: PoolSettings, size: int) -> int:
    return size // 2


def _max_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    import keras

    return keras.layers.MaxPooling2D(2, name=name)


def _average_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    import keras

    return keras.layers.AveragePooling2D(2, name=name)


def _check_fmp(pool: PoolSettings) -> None:
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


def _fmp_size(pool: PoolSettings, size: int) -> int:
    assert pool.ratio is not None
    if pool.ratio > size or (pool.window or 1) > size:
        return 0
    return geometry.output_size(size, pool.ratio)


def _fmp_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool import FractionalMaxPooling2D

    if pool.regions_per == "run":
        return _even_fmp_layer(pool, name, seed)
    return FractionalMaxPooling2D(**_fmp_arguments(pool), regions_per=pool.regions_per or "batch", seed=seed, name=name)


def _even_fmp_layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.kept_regions import KeptRegions

    return KeptRegions(**_fmp_arguments(pool), seed=seed, name=name)


def _fmp_arguments(pool: PoolSettings) -> dict[str, Any]:
    return {
        "pooling_ratio": pool.ratio,
        "pseudo_random": bool(pool.pseudo_random),
        "overlapping": bool(pool.overlapping),
        "window": pool.window,
    }


def _fmp_label(pool: PoolSettings) -> str:
    words = ["FMP", f"{pool.ratio:.4g}", "pseudorandom" if pool.pseudo_random else "random"]
    if pool.overlapping:
        words.append("overlapping")
    if pool.window:
        words.append(f"{pool.window}×{pool.window} windows")
    if pool.regions_per == "run":
        words.append("frozen")
    elif pool.regions_per != "batch":
        words.append(f"per {pool.regions_per}")
    return " ".join(words)


POOLINGS: dict[str, Pooling] = {
    "max": Pooling((), _nothing_to_check, _halved, _max_layer, lambda pool: "max pool", takes_maximum=True),
    "average": Pooling((), _nothing_to_check, _halved, _average_layer, lambda pool: "average pool"),
    "fmp": Pooling(
        ("ratio", "pseudo_random", "overlapping", "window", "regions_per"),
        _check_fmp,
        _fmp_size,
        _fmp_layer,
        _fmp_label,
        stochastic=lambda pool: pool.regions_per != "run",
        even_layer=_even_fmp_layer,
        takes_maximum=True,
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
