"""The bytes of a record's files: settings and metrics as JSON, the learning curve as CSV, predictions as .npz."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fracpool.records.record import HISTORY_COLUMNS


def history_csv(history: Sequence[Mapping[str, float]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for row in history:
        writer.writerow([_plain(row[name]) for name in HISTORY_COLUMNS])
    return out.getvalue().encode()


def _plain(value: float) -> str:
    """A number as it should stand in a CSV: nothing for NaN and infinity, no trailing .0 for counts."""
    number = float(value)
    if not np.isfinite(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """A line for each field: three quarters of the size that a line for each value takes."""
    fields = (
        f"{json.dumps(name)}: {json.dumps(value[name], sort_keys=True, allow_nan=False)}" for name in sorted(value)
    )
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def compressed(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()
