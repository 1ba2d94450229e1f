"""The table of runs: every run of the folder, its seeds folded under their variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fracpool.records.plain_text import text
from fracpool.records.record import Record, RecordError
from fracpool.settings.names import flatten
from fracpool.table.results import Results
from fracpool.table.variant import USUAL, Variant, sizes, sizes_text

MOST_ROWS = 2000  # variants, of a folder that asks for more than a page takes
MOST_SEEDS = 100  # of a variant
FORMS = ("test_accuracy", "even_accuracy", "averaged_accuracy")


def variant_rows(results: Results) -> list[dict[str, Any]]:
    """A row per variant, by experiment and name: what it is, its mean accuracies, and its runs."""
    rows = []
    for id_, runs in results.runs.groupby("variant_id", sort=False):
        record = results.records[str(runs["run_id"].iloc[0])]
        variant = Variant(str(id_), str(runs["variant"].iloc[0]), record.data["config"], record.data["geometry"])
        completed = runs[runs["status"] == "completed"]
        seeds = runs.sort_values(["seed", "run_id"], kind="stable")
        rows.append(
            {
                "id": str(id_),
                "name": variant.name,
                "experiments": _experiments(runs["experiment"]),
                **variant.columns,
                "n": len(runs),
                "means": {form: _number(completed[form].mean()) for form in FORMS},
                "parameters": _number(runs["parameters"].iloc[0]),
                "sizes": sizes_text(sizes(record.data["geometry"])),
                "settings": _unusual(record),
                "command": text(record.data.get("command") or "", 2000),
                "curve": _curve(results.records[str(seeds["run_id"].iloc[0])]),
                "seeds": [
                    {name: _number(value) for name, value in row.items()}
                    for row in seeds.head(MOST_SEEDS)[["seed", *FORMS, "train_seconds", "status", "run_id"]].to_dict(
                        "records"
                    )
                ],
            }
        )
    return sorted(rows, key=lambda row: (row["experiments"], row["name"]))[:MOST_ROWS]


def _experiments(named: Iterable[str]) -> str:
    """The experiments of some runs; a run may be in several, which its table tells with semicolons."""
    return ", ".join(sorted({name for names in named for name in names.split(";") if name}))


def _number(value: Any) -> Any:
    return None if pd.isna(value) else value


def _unusual(record: Record) -> list[str]:
    settings: Mapping[str, Any] = flatten(record.data["config"])
    unusual = {k: v for k, v in settings.items() if k not in USUAL or v != USUAL[k]}
    return [f"{text(k, 60)}={text(v, 60)}" for k, v in unusual.items()]


def _curve(record: Record) -> dict[str, Any] | None:
    """The learning curve in a drawing of 100 × 24: the error, logarithmic from 90 % (below) to 0.5 % (above)."""
    try:
        rows = [(row["epoch"], row["test_accuracy"]) for row in record.history()]
    except RecordError:
        return None
    tested = [(epoch, value) for epoch, value in rows if 0 <= value <= 1][:2000]
    if not tested:
        return None
    seen, values = np.array(tested).T
    errors = np.clip(1 - values, 0.005, 0.9)
    heights = 22 - 20 * np.log(0.9 / errors) / np.log(0.9 / 0.005)
    across = np.clip(2 + 96 * (seen - seen[0]) / max(seen[-1] - seen[0], 1), 2, 98)
    points = [f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True)]
    words = f"test accuracy after {'one epoch' if seen[0] == 1 else f'{seen[0]:.0f} epochs'}, {100 * values[0]:.1f} %"
    if len(points) > 1:
        words = f"test accuracy over {seen[-1]:.0f} epochs, from {100 * values[0]:.1f} to {100 * values[-1]:.1f} %"
    return {"points": " ".join(points * 2 if len(points) == 1 else points), "one": len(points) == 1, "words": words}
