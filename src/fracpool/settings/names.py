"""What variants, networks and poolings are called in tables and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

from fracpool.records.plain_text import count, text
from fracpool.settings import architecture, poolings
from fracpool.settings.schema import Settings

MOST_TOLD = 50  # settings in which variants of one label differ: a name has no room for more


def flatten(config: Mapping[str, Any], prefix: str = "", levels: int = 5) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; what is nested deeper than `levels` stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and levels:
            flat |= flatten(value, f"{prefix}{key}.", levels - 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def pool_name(pool: Mapping[str, Any]) -> str:
    """The name that the registry of poolings gives; the bare kind where it knows none."""
    given = cast(Any, SimpleNamespace(**pool))
    try:
        return text(poolings.of(given).label(given), 80)
    except (AttributeError, KeyError, TypeError, ValueError):
        return text(pool.get("kind", "unknown pool"), 80)


def distinct_names(labelled: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Labels, each with the settings in which it differs from the others of the same label.

    Args:
        labelled: (label, flat settings) per variant.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for label, settings in labelled:
        groups.setdefault(label, []).append(settings)
    differing = {label: _differing_keys(group) for label, group in groups.items()}
    names = []
    for label, settings in labelled:
        extra = [_setting_text(key, settings[key]) for key in differing[label] if key in settings]
        names.append(text(", ".join([label, *extra])))
    return names


def _differing_keys(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that tell the settings apart; what is off in some and lacks a meaning in the others does not."""
    if len(group) == 1:
        return []
    values: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for settings in group:
        for key, value in settings.items():
            values.setdefault(key, set()).add(repr(value or None))
            times[key] += 1
    lacking = {repr(None)}
    telling = (key for key, seen in values.items() if len(seen if times[key] == len(group) else seen | lacking) > 1)
    return list(islice(telling, MOST_TOLD))


def _setting_text(key: str, value: Any) -> str:
    """A setting in words: "no dropout", "batch norm", "5 epochs", "mnist", "3×3 filters"."""
    name = key.rsplit(".", 1)[-1].replace("_", " ")
    if key.startswith("variables."):  # of the shell
        return f"{key.removeprefix('variables.')}={value}"
    if key.endswith(".name"):
        return str(value)
    if name == "train examples":
        return f"{value:,} images" if isinstance(value, int) else "all images"
    if name == "kernel":
        return f"{value}×{value} filters"
    if name == "pad to" and value:
        return f"padded to {value}×{value}"
    name = {"pad to": "padding", "pointwise": "1×1 convolutions"}.get(name, name)
    if value is None or value is False or value == 0:
        return f"no {name}"
    if value is True:
        return name
    if name in ("epochs", "pools") and isinstance(value, int):  # a stranger's record may hold anything
        return count(value, name[:-1])
    return f"{name} {value}"


def label(settings: Settings) -> str:
    """A variant as tables call it: "2 conv, FMP 1.47 random"."""
    pool = poolings.of(settings.pool).label(settings.pool)
    if settings.task == "gradient":
        return f"gradient of {pool}"
    model = settings.model
    if model.k is not None:
        mode = [] if settings.pool.ratio is None else [pool.partition(f"{settings.pool.ratio:.4g} ")[2]]
        norm = ["batch norm"] if model.batch_norm else []
        dropout = [f"dropout to {max(model.dropout_ramp):g}"] if any(model.dropout_ramp) else []
        return ", ".join([architecture.notation(model, settings.pool), *mode, *norm, *dropout, *_of_training(settings)])
    if model.widths:
        pools = "" if model.pools == len(model.widths) else f"{model.conv_layers} × "
        return ", ".join([architecture.block_widths(model.widths), f"{pools}{pool}", *_of_training(settings)])
    pools = "" if model.pools in (None, model.conv_layers) else f"{model.pools} × "
    extras = [
        *(["batch norm"] if model.batch_norm else []),
        *([f"dropout {model.dropout:g}"] if model.dropout else []),
        *_of_training(settings),
        *(["1×1 convolutions"] if model.pointwise else []),
        *([f"padded to {model.pad_to}×{model.pad_to}"] if model.pad_to else []),
        *_of_trainer(settings),
    ]
    return ", ".join([f"{model.conv_layers} conv", f"{pools}{pool}", *extras])


def _of_trainer(settings: Settings) -> list[str]:
    trainer = settings.trainer
    return [f"mirrored on {trainer.devices} devices"] if trainer.strategy == "mirrored" else []


def _of_training(settings: Settings) -> list[str]:
    model = settings.model
    images = ["distorted images"] if model.distort else ["centred images"] if model.centre else []
    flip, shift = settings.augmentation.flip, settings.augmentation.shift
    images += [f"{flip} flips"] if flip else []
    images += [f"shifts of {shift}"] if shift else []
    averaged = ["averaged weights"] if settings.optimizer.average else []
    precision = ["bfloat16"] if settings.precision == "mixed_bfloat16" else []
    return [*images, *averaged, *precision, *(["on held-out images"] if settings.dataset.held_out else [])]
