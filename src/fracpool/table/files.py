"""The tables as files: runs.csv, which is safe to open in a spreadsheet, and runs.parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fracpool.records.files import write_file
from fracpool.records.record import Record
from fracpool.table.further_columns import earlier_epochs, further_columns
from fracpool.table.results import Results
from fracpool.table.rows import COLUMNS, FORMS
from fracpool.table.variant import Variant
from fracpool.table.variant_names import COLUMNS as WORDS

MOST_EPOCHS = 10_000  # that a stranger's finding may speak of


def write(results: Results) -> None:
    """Writes runs.csv and runs.parquet, a row per run, by experiment and variant.

    COLUMNS, FORMS and words, then what differs: accuracies of earlier epochs and other forms of test, and settings.
    """
    order = ["experiment", "variant", "seed", "run_id"]
    table = results.runs.sort_values(order, kind="stable")[[*COLUMNS, *FORMS]]
    records = [results.records[run] for run in table["run_id"]]
    for further in (_words(records), earlier_epochs(records, _epochs(results)), further_columns(records)):
        table = table.join(further, on="run_id")
    table = table.reset_index(drop=True)
    write_file(results.root / "runs.csv", as_csv(table))
    packed = io.BytesIO()
    table.to_parquet(packed, index=False)
    write_file(results.root / "runs.parquet", packed.getvalue())


def _epochs(results: Results) -> Iterator[int]:
    """The epochs that findings speak of, beside the end."""
    for experiment in results.experiments:
        for finding in experiment.findings:
            parts = finding.get("parts")
            for part in parts if isinstance(parts, list) else ():
                given = part.get("at") if isinstance(part, Mapping) else None
                for at in given if isinstance(given, list) else [given]:
                    if isinstance(at, int) and not isinstance(at, bool) and 1 <= at <= MOST_EPOCHS:
                        yield at


def _words(records: Sequence[Record]) -> pd.DataFrame:
    """By run id: network, pooling, data and budget in words."""
    return pd.DataFrame(
        [Variant("", "", record.data["config"], {}).columns for record in records],
        index=[record.run_id for record in records],
        columns=list(WORDS),
    )


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
