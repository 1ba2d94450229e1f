"""The tables as files: runs.csv, which is safe to open in a spreadsheet, and runs.parquet."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd

from fracpool.records.files import write_file
from fracpool.table.further_columns import further_columns
from fracpool.table.results import Results
from fracpool.table.rows import COLUMNS, FORMS


def write(results: Results) -> None:
    """Writes runs.csv and runs.parquet: COLUMNS, FORMS and what differs, a row per run, by experiment and variant."""
    order = ["experiment", "variant", "seed", "run_id"]
    table = results.runs.sort_values(order, kind="stable")[[*COLUMNS, *FORMS]]
    further = further_columns(results.records[run] for run in table["run_id"])
    table = table.join(further, on="run_id").reset_index(drop=True)
    write_file(results.root / "runs.csv", as_csv(table))
    packed = io.BytesIO()
    table.to_parquet(packed, index=False)
    write_file(results.root / "runs.parquet", packed.getvalue())


def as_csv(table: pd.DataFrame) -> str:
    """A CSV that a spreadsheet opens without running anything in it.

    Text that starts like a formula gets an apostrophe in front (OWASP, "CSV Injection").
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_no_formula)
    return safe.to_csv(index=False, lineterminator="\n")


def _no_formula(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
