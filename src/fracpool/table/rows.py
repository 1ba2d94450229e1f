"""A run record as a row of the table, each value checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fracpool.records.plain_text import text
from fracpool.records.record import Record, RecordError
from fracpool.table.variant import number

COLUMNS = (
    "experiment", "variant", "dataset", "pool", "ratio", "conv_layers", "final_height", "final_width",
    "parameters", "macs", "train_examples", "epochs", "seed", "test_accuracy", "test_error", "repeats",
    "train_seconds", "status", "run_id",
)  # fmt: skip
COUNTS = (
    "conv_layers", "final_height", "final_width", "parameters", "macs", "train_examples", "epochs", "seed",
    "repeats", "test_examples",
)  # fmt: skip
FORMS = ("averaged_accuracy", "even_accuracy")  # of test beside one pass; those of fewer averaged passes follow
MOST_LAYERS = 1000
MOST_GROUPS, LONGEST_SETTINGS = 500, 20_000  # of a config: lists and groups in it, and characters


# ---- one record → one row ----


def all_columns() -> list[str]:
    extra = ["variant_id", "label", "seconds_per_epoch", "test_examples", "finished"]
    return [*COLUMNS, *FORMS, *extra]


def row(record: Record) -> dict[str, Any]:
    try:
        return _unchecked_row(record.data)
    except (RecordError, AttributeError, KeyError, TypeError, ValueError) as error:
        what = str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
        place = record.folder / "record.json"
        raise RecordError(f"{place}: {what}; set the folder aside and run it again") from None


def typed(runs: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers stay whole where some are missing, and empty columns have a type."""
    measures = ("ratio", "test_accuracy", "test_error", "train_seconds", *FORMS, "seconds_per_epoch")
    types = dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(measures, "float64")
    return runs.astype(types)


def _unchecked_row(data: Mapping[str, Any]) -> dict[str, Any]:
    config, metrics, timings = data["config"], data["metrics"], data.get("timings") or {}
    geometry, about = checked_geometry(data["geometry"]), data.get("data") or {}
    check_config(config)
    pool, model, budget = config["pool"], config.get("model") or {}, config.get("budget") or {}
    for part in (config, metrics, timings, about, pool, model, budget, data["files"]):
        if not isinstance(part, Mapping):
            raise RecordError(f"holds {text(part, 40)!r} in place of a group of fields")
    if not isinstance(pool["kind"], str):
        raise RecordError(f"pool.kind is {text(pool['kind'], 40)!r}, no name")
    numeric = {
        "ratio": pool.get("ratio"),
        "conv_layers": model.get("conv_layers"),
        "final_height": geometry.get("final_height"),
        "final_width": geometry.get("final_width"),
        "parameters": geometry.get("parameters"),
        "macs": geometry.get("macs"),
        "train_examples": about.get("train_examples", budget.get("train_examples")),
        "epochs": budget.get("epochs"),
        "test_accuracy": metrics.get("test_accuracy"),
        "test_error": metrics.get("test_error"),
        "repeats": metrics.get("repeats"),
        "train_seconds": timings.get("train_seconds"),
        "averaged_accuracy": metrics.get("averaged_accuracy"),
        "even_accuracy": metrics.get("deterministic_accuracy"),
        "seconds_per_epoch": timings.get("seconds_per_epoch"),
        "test_examples": about.get("test_examples"),
    }
    if data["status"] == "completed" and config.get("task") != "gradient":
        number(metrics.get("test_accuracy"), "test_accuracy")
    row: dict[str, Any] = {name: number(value, name, optional=True) for name, value in numeric.items()}
    for name in ("test_accuracy", "test_error", *FORMS):
        if row[name] is not None and not 0 <= row[name] <= 1:
            raise RecordError(f"{name} is {row[name]}, not between 0 and 1")
    for name in COUNTS:
        _whole(row.get(name), name)
    seed = _whole(data["seed"], "seed")
    if seed is None:
        raise RecordError("seed is missing")
    if text(data["run_id"]) != data["run_id"]:
        raise RecordError("run_id holds characters that no run id has")
    return row | {
        "dataset": text((config.get("dataset") or {}).get("name", about.get("name", ""))),
        "pool": text(pool["kind"]),
        "seed": seed,
        "status": data["status"],
        "run_id": text(data["run_id"]),
        "variant_id": text(data["variant_id"]),
        "label": text(data.get("label") or "unnamed"),
        "finished": text(data.get("finished", "")),
    }


def _whole(value: Any, name: str) -> int | None:
    """A whole number from a record that fits a column of the table, or None; else RecordError."""
    if value is None:
        return None
    if number(value, name) != int(value) or abs(value) >= 2**63:
        raise RecordError(f"{name} is {text(value, 40)}, no whole number")
    return int(value)


def checked_geometry(geometry: Any) -> Mapping[str, Any]:
    """A record's geometry, or RecordError; a check without a network has an empty one."""
    if not isinstance(geometry, Mapping):
        raise RecordError("geometry is no group of fields")
    layers = geometry.get("layers", [])
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise RecordError("geometry.layers is no list of layers")
    for name in ("final_height", "final_width", "parameters", "macs"):
        _whole(geometry.get(name), name)
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise RecordError("geometry.layers holds something that is no layer")
        for name in ("height", "width"):
            size = _whole(layer.get(name), f"{name} of a layer")
            if size is None or not 1 <= size <= 10**6:
                raise RecordError(f"{name} of a layer is {size}")
        if not isinstance(layer.get("kind"), str):
            raise RecordError("a layer has no kind")
    return geometry


def check_config(config: Any) -> None:
    """Raises RecordError for a config that is none, or that holds more than a network's settings."""
    if not isinstance(config, Mapping):
        raise RecordError("config is no group of fields")
    left: list[Any] = [config]
    characters = 0
    for node in left:  # which grows meanwhile
        inner = list(node.values()) if isinstance(node, Mapping) else node
        left += [value for value in inner if isinstance(value, Mapping | list)]
        characters += sum(len(str(value)) for value in inner if not isinstance(value, Mapping | list))
        characters += sum(map(len, node)) if isinstance(node, Mapping) else len(node)
        if len(left) > MOST_GROUPS or characters > LONGEST_SETTINGS:
            raise RecordError(f"config holds more than {LONGEST_SETTINGS} characters or {MOST_GROUPS} groups")
