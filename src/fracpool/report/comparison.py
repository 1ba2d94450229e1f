"""The comparison of several results folders, written down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fracpool.findings.agreement import Comparison, compare
from fracpool.records.files import write_file
from fracpool.report import rendering
from fracpool.table.files import as_csv

COLUMNS = (
    "kind", "name", "folder", "value", "low", "high", "n", "against", "difference", "difference_low",
    "difference_high", "verdict",
)  # fmt: skip


def write(folders: Sequence[Path], output: Path) -> Comparison:
    """Writes comparison.html, comparison.md and comparison.csv into `output`; the compared folders stay as they are."""
    compared = compare(folders)
    output.mkdir(parents=True, exist_ok=True)
    write_file(output / "comparison.csv", as_csv(_tidy(compared)))
    templates = rendering.templates()
    for name in ("comparison.md", "comparison.html"):
        write_file(output / name, templates.get_template(f"{name}.j2").render(page=compared))
    return compared


def _tidy(compared: Comparison) -> pd.DataFrame:
    """One row for each line and folder that has a number."""
    lines = [("variant", line.name, line) for line in compared.variants]
    lines += [("finding", f"{f.id} ({f.experiment}): {part.name}", part) for f in compared.findings for part in f.parts]
    rows = [
        {
            "kind": kind,
            "name": name,
            "folder": folder.name,
            "value": value.mean,
            "low": value.low,
            "high": value.high,
            "n": value.n,
            "against": compared.folders[line.first].name if difference else None,
            "difference": difference and difference.mean,
            "difference_low": difference and difference.low,
            "difference_high": difference and difference.high,
            "verdict": line.verdict,
        }
        for kind, name, line in lines
        for folder, value, difference in zip(compared.folders, line.values, line.differences, strict=True)
        if value is not None
    ]
    rows += [
        {
            "kind": "variant",
            "name": f"{line.name}, {budget}",
            "folder": folder.name,
            "value": value.mean,
            "low": value.low,
            "high": value.high,
            "n": value.n,
            "verdict": line.verdict,
        }
        for line in compared.beside
        for folder, found in zip(compared.folders, line.found, strict=True)
        for budget, value in found.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
