"""A pooling of the user's own: a Keras layer or a function that `pool.layer` names (docs/pooling.md)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fracpool.settings.poolings.kind import Pooling, Shape

if TYPE_CHECKING:
    from fracpool.settings.schema import PoolSettings


def _check(taken: Collection[str], pool: PoolSettings) -> None:
    from fracpool.settings import users_modules
    from fracpool.settings.refusal import is_name, require

    require(pool.kind not in taken, "pool.kind", pool.kind, "another name than fracpool's own, with pool.layer")
    require(is_name(pool.kind), "pool.kind", repr(pool.kind), "a name of letters, digits, _ and -")
    users_modules.source("pool.layer", str(pool.layer))


@dataclass(frozen=True)
class _Measured:
    """What a layer makes of a map: the side of its output, the number of its weights, and its declared cost."""

    side: int
    parameters: int
    macs: int | None


_measured: dict[tuple[Any, ...], _Measured] = {}


def _measure(pool: PoolSettings, shape: Shape) -> _Measured:
    """Found by building the layer, once for each map, since every run of a sweep asks."""
    from fracpool.settings import users_modules

    made = users_modules.load("pool.layer", str(pool.layer))
    key = (made, repr(pool.arguments), pool.stochastic, shape)
    if key not in _measured:
        layer = _layer(pool, "pool", 0)
        side = _pooled(pool, layer, shape)
        _refuse_hidden_chance(pool, layer)
        _measured[key] = _Measured(side, layer.count_params(), _declared(pool, made, layer, shape))
    return _measured[key]


def _pooled(pool: PoolSettings, layer: Any, shape: Shape) -> int:
    import keras

    from fracpool.settings.refusal import ImpossibleNetwork, SettingsError

    try:
        pooled = layer(keras.Input(shape)).shape
    except Exception as error:  # whatever a user's layer raises; Keras' refuse a map that is too small for them
        what = f"does not pool a map of {shape[0]}×{shape[1]} ({type(error).__name__}: {_reason(error)})"
        raise ImpossibleNetwork(f"pool.layer={pool.layer}: {what}") from error
    if len(pooled) != 4 or pooled[3] != shape[2]:
        raise SettingsError(
            f"pool.layer={pool.layer}: makes {pooled[1:]} of a map of {shape}; a pooling gives (height, width, "
            f"channels) with as many channels"
        )
    return int(pooled[1])


def _refuse_hidden_chance(pool: PoolSettings, layer: Any) -> None:
    """A generator within an inner layer would start anywhere: runs could not be repeated, nor go on bit for bit."""
    from fracpool.settings.refusal import SettingsError

    own = getattr(layer, "seed_generator", None)
    known = {id(variable) for variable in layer.weights} | ({id(own.state)} if own is not None else set())
    if any(id(variable) not in known for variable in layer.variables):
        raise SettingsError(
            f"pool.layer={pool.layer}: an inner layer of it draws at random by a generator of its own; draw in the "
            f"layer itself, by a keras.random.SeedGenerator that is its seed_generator (see docs/pooling.md)"
        )


def _declared(pool: PoolSettings, made: Any, layer: Any, shape: Shape) -> int | None:
    """The multiply-accumulates that a layer or a function declares by `multiply_accumulates(shape)`."""
    from fracpool.settings.refusal import SettingsError

    declare = getattr(layer if isinstance(made, type) else made, "multiply_accumulates", None)
    if declare is None:
        return None
    try:
        macs = declare(shape)
        if isinstance(macs, int) and macs >= 0:
            return macs
        wrong = f"returns {macs!r}"
    except Exception as error:  # whatever a user's code raises
        wrong = f"raises {type(error).__name__}: {_reason(error)}"
    raise SettingsError(
        f"pool.layer={pool.layer}: its multiply_accumulates({shape}) {wrong}; it must return a whole number ≥ 0, the "
        f"multiply-accumulates for one image of this height, width and channels"
    )


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
        lambda pool, size: _measure(pool, (size, size, 1)).side,
        _layer,
        _label,
        stochastic=lambda pool: bool(pool.stochastic),
        parameters=lambda pool, shape: _measure(pool, shape).parameters,
        macs=lambda pool, shape: _measure(pool, shape).macs,
    )
