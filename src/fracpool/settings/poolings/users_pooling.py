"""A pooling of the user's own: a Keras layer or a function that `pool.layer` names (docs/pooling.md)."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from fracpool.settings.poolings.kind import Pooling

if TYPE_CHECKING:
    from fracpool.settings.schema import PoolSettings


def _check(taken: Collection[str], pool: PoolSettings) -> None:
    from fracpool.settings import users_modules
    from fracpool.settings.refusal import is_name, require

    require(pool.kind not in taken, "pool.kind", pool.kind, "another name than fracpool's own, with pool.layer")
    require(is_name(pool.kind), "pool.kind", repr(pool.kind), "a name of letters, digits, _ and -")
    users_modules.source("pool.layer", str(pool.layer))


def _size(pool: PoolSettings, size: int) -> int:
    from fracpool.settings.refusal import ImpossibleNetwork

    layer = _layer(pool, "pool", 0)
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


def _layer(pool: PoolSettings, name: str, seed: int) -> Any:
    from fracpool.settings import users_modules
    from fracpool.settings.refusal import SettingsError

    made = users_modules.load("pool.layer", str(pool.layer))
    import keras

    from fracpool.pooling.from_function import FunctionLayer

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


def _label(pool: PoolSettings) -> str:
    given = pool.arguments.items()
    return " ".join([pool.kind, *(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in given)])


def own_pooling(taken: Collection[str]) -> Pooling:
    """The pooling of `pool.layer`, under any name that is not taken."""
    return Pooling(
        ("layer", "arguments", "stochastic"),
        partial(_check, taken),
        _size,
        _layer,
        _label,
        stochastic=lambda pool: bool(pool.stochastic),
    )
