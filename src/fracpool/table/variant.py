"""A network without its seed, as its record describes it; its sizes, names and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeGuard

from fracpool.records.plain_text import text
from fracpool.records.record import RecordError
from fracpool.settings.names import flatten, pool_name
from fracpool.settings.schema import BudgetSettings, ModelSettings, OptimizerSettings
from fracpool.table.variant_names import in_columns, short_names

# Settings of the test, some of which follow from the pooling.
TEST_PASSES = ("repeats", "test_shift", "consistency_shift", "views")
USUAL = {
    f"{group}.{name}": value
    for group, kind in (("model", ModelSettings), ("optimizer", OptimizerSettings), ("budget", BudgetSettings))
    for name, value in asdict(kind()).items()
}


@dataclass(frozen=True)
class Variant:
    """A network without its seed. `name` tells it from the other variants of its experiment."""

    id: str
    name: str
    config: Mapping[str, Any]
    geometry: Mapping[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config by dotted keys: {"pool.kind": "fmp", "model.conv_layers": 2, …}.

        A field that came after the record was written has its default, which is what the record was made with.
        """
        later = {key: value for key, value in USUAL.items() if key.partition(".")[0] in self.config}
        return {**later, **flatten(self.config)}

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the map that enters, and after every layer that changes it."""
        return sizes(self.geometry)

    @cached_property
    def pool(self) -> str:
        """What its pooling is called: "max pool", "FMP 1.47 random"."""
        return pool_name(self.config.get("pool") or {})

    @cached_property
    def columns(self) -> dict[str, str]:
        """Its network, pooling, data and budget, each in words that say what is not usual."""
        return in_columns(self.settings)

    @property
    def is_fmp(self) -> bool:
        return self.settings.get("pool.kind") == "fmp"

    @property
    def is_max(self) -> bool:
        return self.settings.get("pool.kind") == "max"

    @property
    def depth(self) -> int:
        """Number of convolutions; 0 where there is no network."""
        given = self.settings.get("model.conv_layers")
        return given if isinstance(given, int) and abs(given) < 10**6 else 0

    @property
    def ratio(self) -> float | None:
        """Its pooling ratio; 2 for 2×2 max pooling, None for a pooling without one."""
        given = self.settings.get("pool.ratio")
        if self.is_max:
            return 2.0
        return float(given) if is_number(given) and given > 0 else None

    @cached_property
    def rest(self) -> dict[str, Any]:
        """Its settings without those of the pooling, and without those that change nothing: equal for networks that
        differ by their pooling only."""
        idle = {*TEST_PASSES, "model.name"}
        if not self.settings.get("model.batch_norm"):
            idle |= {"model.batch_norm_momentum", "model.batch_norm_fused"}
        rest = {k: v for k, v in self.settings.items() if not k.startswith("pool.") and k not in idle}
        if rest.get("model.pools", 0) is None:
            rest["model.pools"] = self.depth  # what null stands for
        return rest


def sizes(geometry: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(height, width) of the input map and after each layer that changes it, up to the dense layers."""
    found: list[tuple[int, int]] = []
    for layer in geometry.get("layers", ()):
        if layer["kind"] == "flatten":
            break
        size = (layer["height"], layer["width"])
        if not found or found[-1] != size:
            found.append(size)
    return found


def network_names(variants: Sequence[Variant], without: tuple[str, ...] = ()) -> dict[str, str]:
    """By variant id: what its network is called without its pooling: "2 conv", "2 conv, batch norm".

    Settings that start like one of `without` make no difference either.
    """
    networks: dict[str, Mapping[str, Any]] = {}
    for variant in variants:
        networks.setdefault(network_key(variant, without), variant.rest)
    names = short_names([("no network", rest) for rest in networks.values()], without=("pool.", *without))
    by_network = dict(zip(networks, names, strict=True))
    return {variant.id: by_network[network_key(variant, without)] for variant in variants}


def network_key(variant: Variant, without: tuple[str, ...] = ()) -> str:
    """Equal for variants that differ by their pooling (and the settings in `without`) only."""
    return settings_key(variant.rest, without)


def settings_key(settings: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Equal for equal settings, whatever their order; keys that start like one of `without` are left out."""
    left_out = tuple(without)
    return repr([(key, settings[key]) for key in sorted(settings) if not key.startswith(left_out)])


def size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def sizes_text(found: Sequence[tuple[int, int]]) -> str:
    """28 → 19 → 12; with both sides where a map is not square."""
    return " → ".join(str(h) if h == w else size_text((h, w)) for h, w in found)


def number(value: Any, name: str, optional: bool = False) -> float | None:
    """A finite number from a record, or RecordError."""
    if value is None and optional:
        return None
    if not is_number(value):
        raise RecordError(f"{name} is {text(value, 40)!r}, no number")
    return value


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
