"""What a variant is called: four columns (network, pooling, data, budget) that say what is not usual, and a short name.

A name says only what tells a variant from the others beside it, in the same words for the same network whatever its
pooling: "3 conv, max pool, 10 epochs". What all of a table have in common is said once, above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from fracpool.records.plain_text import count, text
from fracpool.settings import architecture
from fracpool.settings.names import distinct_names, flatten, pool_name
from fracpool.settings.schema import Settings

LONGEST = 60  # characters of a name, as far as its settings allow
NETWORK, POOLING, DATA, BUDGET = COLUMNS = ("network", "pooling", "data", "budget")
DATA_SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
USUAL = flatten(asdict(Settings()))
OWN_RECIPE = (  # what airbench's network and Graham's bring along, so that it is not told of them
    "model.filters", "model.kernel", "model.dense", "model.activation", "model.batch_norm", "optimizer.",
    "budget.batch_size", "budget.plain_epochs",
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A setting in words; `key` is its name on the command line."""

    key: str
    column: str
    words: str


def _widths(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)


# In this order a name tells what is not usual.
TOLD: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("model.k", NETWORK, lambda value: f"k = {value}"),
    ("model.filters", NETWORK, lambda value: f"filters {_widths(value)}"),
    ("model.kernel", NETWORK, lambda value: f"{value}×{value} filters"),
    ("model.pointwise", NETWORK, lambda _: "1×1 layers"),
    ("model.pad_to", NETWORK, lambda value: f"pad to {value}"),
    ("model.dense", NETWORK, lambda value: f"dense {_widths(value)}"),
    ("model.batch_norm", NETWORK, lambda _: "batch norm"),
    ("model.batch_norm_momentum", NETWORK, lambda value: f"its momentum {value}"),
    ("model.activation", NETWORK, str),
    ("model.dropout", NETWORK, lambda value: f"dropout {value}"),
    ("model.dense_dropout", NETWORK, lambda value: f"dense dropout {value}"),
    ("model.dropout_ramp", NETWORK, lambda value: f"dropout to {max(value)}"),
    ("dataset.name", DATA, lambda value: DATA_SETS.get(value, value)),
    ("dataset.held_out", DATA, lambda _: "held-out images"),
    ("budget.train_examples", DATA, lambda value: f"{value:,} images"),
    ("model.centre", DATA, lambda _: "centred"),
    ("model.distort", DATA, lambda _: "distorted"),
    ("augmentation.flip", DATA, lambda value: f"{value} flips"),
    ("augmentation.shift", DATA, lambda value: f"shifts of {value}"),
    ("budget.epochs", BUDGET, lambda value: count(value, "epoch")),
    ("optimizer.schedule", BUDGET, lambda value: f"{value} schedule"),
    ("optimizer.name", BUDGET, str),
    ("optimizer.learning_rate", BUDGET, lambda value: f"rate {value}"),
    ("optimizer.average", BUDGET, lambda _: "averaged weights"),
    ("budget.batch_size", BUDGET, lambda value: f"batches of {value}"),
    ("budget.test_every", BUDGET, lambda value: f"tested every {value} epochs"),
    ("precision", BUDGET, lambda value: {"mixed_bfloat16": "bfloat16"}.get(value, value)),
)
ALWAYS = ("dataset.name", "budget.epochs")  # which no value of is usual


def pieces(settings: Mapping[str, Any]) -> tuple[Piece, ...]:
    """What a variant's flat settings say: its network, its pooling, and whatever is not usual."""
    found = [Piece("model.conv_layers", NETWORK, _network(settings)), Piece("pool.kind", POOLING, _pooling(settings))]
    own = OWN_RECIPE if settings.get("model.widths") or settings.get("model.k") else ()
    for key, column, words in TOLD:
        value = settings.get(key)
        if _is_usual(settings, key, value) or key.startswith(own):
            continue
        try:
            found.append(Piece(key, column, text(words(value), 60)))
        except (AttributeError, TypeError, ValueError):  # a stranger's value
            found.append(Piece(key, column, text(f"{key}={value}", 60)))
    return tuple(found)


def _is_usual(settings: Mapping[str, Any], key: str, value: Any) -> bool:
    if value is None or value is False or value == []:
        return True
    if key == "model.batch_norm_momentum" and not settings.get("model.batch_norm"):
        return True
    return key not in ALWAYS and repr(value) == repr(USUAL.get(key))


def _network(settings: Mapping[str, Any]) -> str:
    widths, depth = settings.get("model.widths"), settings.get("model.conv_layers")
    if isinstance(widths, list) and widths:
        return text(architecture.block_widths(widths), 60)
    if settings.get("model.k"):
        return text(f"Graham {depth} conv", 60)
    return text(f"{depth} conv", 60) if depth is not None else "no network"


def _pooling(settings: Mapping[str, Any]) -> str:
    pool: dict[str, Any] = {
        key.removeprefix("pool."): value for key, value in settings.items() if key.startswith("pool.")
    }
    pools, widths, depth = (settings.get(f"model.{name}") for name in ("pools", "widths", "conv_layers"))
    usual = len(widths) if isinstance(widths, list) and widths else depth
    times = "" if pools in (None, usual) or settings.get("model.k") else f"{pools} × "
    return f"{times}{pool_name(pool)}"


def in_columns(settings: Mapping[str, Any]) -> dict[str, str]:
    """The four columns of a variant, from its flat settings."""
    said = pieces(settings)
    return {column: ", ".join(piece.words for piece in said if piece.column == column) for column in COLUMNS}


def short_names(labelled: Sequence[tuple[str, Mapping[str, Any]]], without: Iterable[str] = ()) -> list[str]:
    """The names of variants that stand in one table, each with what tells it from the others.

    Args:
        labelled: (label, flat settings) per variant; the label names what is no network.
        without: settings that make no difference here, by how their keys start; "pool." leaves the poolings out.
    """
    left_out = tuple(without)
    said = [
        [piece for piece in pieces(settings) if not piece.key.startswith(left_out)] if is_network(settings) else []
        for _, settings in labelled
    ]
    networks = sum(map(bool, said))
    shared = {piece for piece, n in Counter(piece for found in said for piece in found).items() if n == networks}
    names = _names(labelled, said, shared)
    if networks > 1 and max(map(len, names)) > LONGEST:
        names = _names(labelled, said, shared, with_network=False)
        names = _without_what_follows(labelled, said, shared, names)
    rest = [{k: v for k, v in settings.items() if not k.startswith(left_out)} for _, settings in labelled]
    return distinct_names(list(zip(names, rest, strict=True)))


def is_network(settings: Mapping[str, Any]) -> bool:
    return isinstance(settings.get("model.conv_layers"), int) and settings.get("task") != "gradient"


def _names(
    labelled: Sequence[tuple[str, Any]], said: Sequence[Sequence[Piece]], shared: Set[Piece], with_network: bool = True
) -> list[str]:
    """The pooling is always told, and the network as well where there is room."""
    always = ("pool.kind", "model.conv_layers") if with_network else ("pool.kind",)
    return [
        ", ".join(piece.words for piece in found if piece not in shared or piece.key in always) or label
        for found, (label, _) in zip(said, labelled, strict=True)
    ]


def _without_what_follows(
    labelled: Sequence[tuple[str, Any]], said: Sequence[Sequence[Piece]], shared: Set[Piece], names: list[str]
) -> list[str]:
    """The names without settings that go with others, as Graham's k with his number of layers, where names are long."""
    needed = dict.fromkeys(piece.key for found in said for piece in found if piece not in shared)
    for key in reversed([key for key in needed if key != "pool.kind"]):
        if max(map(len, names)) <= LONGEST:
            break
        fewer = [[piece for piece in found if piece.key != key] for found in said]
        shorter = _names(labelled, fewer, shared, with_network=False)
        if len(set(shorter)) == len(set(names)):
            said, names = fewer, shorter
    return names


def in_common(settings: Sequence[Mapping[str, Any]]) -> str:
    """What all networks of a table have in common, in words; the pooling is told of each."""
    said = [pieces(each) for each in settings if is_network(each)]
    if not said:
        return ""
    return ", ".join(p.words for p in said[0] if p.column != POOLING and all(p in found for found in said))
