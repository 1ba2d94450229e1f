"""Columns that not every table has: other forms and measures of tests, earlier epochs, and settings that differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from fracpool.records.plain_text import text
from fracpool.records.record import Record, RecordError
from fracpool.settings.findings_schema import ACCURACIES, METRICS
from fracpool.settings.names import flatten
from fracpool.settings.schema import Settings
from fracpool.table.variant import Variant, is_number

PASSES = (2, 4, 6, *(2**power for power in range(3, 11)))  # of which a record keeps the accuracy; 6: as many as views
VIEWS = ("views_accuracy", "even_views_accuracy")
SHARES = tuple(metric for metric in METRICS if metric not in ACCURACIES)  # likelihood, calibration, consistency
# Settings that the table tells in a column of its own, or that are known by another (the code of a layer by its pool).
TOLD = {"dataset.name", "pool.kind", "pool.ratio", "pool.code", "model.conv_layers", "budget.epochs",
        "budget.train_examples", "repeats", "task"}  # fmt: skip
MOST_ARGUMENTS = 100  # of layers of one's own


def further_columns(records: Iterable[Record]) -> pd.DataFrame:
    """By run id: `averaged_over_2`, …, the accuracies of views, likelihood, calibration and consistency, and the
    settings that differ, by their names on the command line."""
    found = list(records)
    ids = [record.run_id for record in found]
    forms = pd.DataFrame([_forms(record.data["metrics"]) for record in found], index=ids, dtype="float64")
    in_order = [name for name in [*map(_averaged_over, PASSES), *VIEWS, *SHARES] if name in forms]
    return pd.concat([forms[in_order], _settings([record.data for record in found], ids)], axis=1)


def earlier_epochs(records: Iterable[Record], epochs: Iterable[int]) -> pd.DataFrame:
    """By run id: `after_epoch_1`, …, the accuracy of one test pass after epochs that findings speak of."""
    found = {record.run_id: _curve(record) for record in records}
    columns = {f"after_epoch_{epoch}": [curve.get(epoch) for curve in found.values()] for epoch in sorted(set(epochs))}
    return pd.DataFrame(columns, index=list(found), dtype="float64")


def _curve(record: Record) -> dict[int, float]:
    try:
        return {int(row["epoch"]): row["test_accuracy"] for row in record.history() if 0 <= row["test_accuracy"] <= 1}
    except RecordError:
        return {}


def _averaged_over(passes: int) -> str:
    return f"averaged_over_{passes}"


def _forms(metrics: Mapping[str, Any]) -> dict[str, float]:
    kept, repeats = metrics.get("accuracy_by_repeats"), metrics.get("repeats")
    known = kept if isinstance(kept, Mapping) else {}
    values = {_averaged_over(passes): known.get(str(passes)) for passes in PASSES if passes != repeats}
    values |= {name: metrics.get(name) for name in (*VIEWS, *SHARES)}
    return {name: float(value) for name, value in values.items() if is_number(value) and 0 <= value <= 1}


def _settings(records: list[Mapping[str, Any]], ids: list[str]) -> pd.DataFrame:
    given = [{**_unless_told(), **Variant("", "", data["config"], {}).settings, **_backend(data)} for data in records]
    names = dict.fromkeys(key for settings in given for key in settings)
    known = [name for name in _fields() if name in names]
    known += sorted(text(name) for name in names if name.startswith("pool.arguments."))[:MOST_ARGUMENTS]
    differing = [
        name
        for name in known
        if name not in TOLD and len({repr(settings[name]) for settings in given if name in settings}) > 1
    ]
    columns = {name: _typed([_cell(settings.get(name)) for settings in given]) for name in differing}
    return pd.DataFrame(columns, index=ids)


def _backend(data: Mapping[str, Any]) -> dict[str, Any]:
    """The backend that a run was computed on, whether or not its settings ask for one."""
    environment = data.get("environment")
    found = environment.get("backend") if isinstance(environment, Mapping) else None
    return {"backend": found} if isinstance(found, str) else {}


def _unless_told() -> dict[str, Any]:
    """Settings that a record has only where they are not the usual ones."""
    usual = flatten(asdict(Settings()))
    return {name: usual[name] for name in usual if name.startswith("augmentation.")} | {
        name: usual[name]
        for name in ("views", "precision", "test_shift", "consistency_shift", "dataset.held_out", "trainer.strategy")
    }


def _fields() -> list[str]:
    return list(flatten(asdict(Settings())))


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool) or is_number(value):
        return value
    return text(value if isinstance(value, str) else json.dumps(value))


def _typed(values: list[Any]) -> Any:
    """Numbers as numbers; what is not all of one kind as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float}:
        return pd.array([float("nan") if value is None else float(value) for value in values], dtype="float64")
    return [
        None if value is None else str(value).lower() if isinstance(value, bool) else str(value) for value in values
    ]
