"""How a selector, settings and values such as {pool.kind: max}, means networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fracpool.records.plain_text import text

Network = TypeVar("Network")
Flat = Mapping[str, Any]  # the settings of a network by dotted key: {"pool.kind": "fmp", …}


def matches(settings: Flat, selector: Mapping[str, Any]) -> bool:
    """Whether a network has all these values; a list of values stands for any of them."""
    return all(holds(settings.get(key, LEFT_OUT.get(key, ABSENT)), wanted) for key, wanted in selector.items())


ABSENT = object()
# What `identity.config` leaves out where it has this value: a selector may name it all the same.
LEFT_OUT = {
    "dataset.held_out": None,
    "augmentation.flip": None,
    "augmentation.shift": 0,
    "test_shift": 0,
    "consistency_shift": 0,
    "views": None,
    "precision": "float32",
    "backend": "tensorflow",
    "trainer.strategy": "single",
}


def holds(seen: Any, wanted: Any) -> bool:
    """Whether a setting has the wanted value, or one of a list of them."""
    return _same(seen, wanted) or (isinstance(wanted, list) and any(_same(seen, one) for one in wanted))


def _same(seen: Any, wanted: Any) -> bool:
    if isinstance(seen, bool) or isinstance(wanted, bool):
        return seen is wanted
    if isinstance(seen, int | float) and isinstance(wanted, int | float):
        return math.isclose(seen, wanted, rel_tol=1e-9)
    return bool(seen == wanted)


def told(selector: Mapping[str, Any]) -> str:
    """A selector in words: pool.kind=max, model.conv_layers=2."""
    return ", ".join(f"{text(key, 60)}={text(value, 60)}" for key, value in selector.items()) or "any settings"


def by_task(
    networks: Sequence[Network], settings: Callable[[Network], Flat], selector: Mapping[str, Any], setting: str
) -> dict[str, list[Network]]:
    """The networks that a selector means, by the value of the setting that tells tasks apart."""
    found: dict[str, list[Network]] = {}
    for network in networks:
        if matches(settings(network), selector):
            found.setdefault(text(settings(network).get(setting)), []).append(network)
    return found
