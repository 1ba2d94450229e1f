"""What the report of a results folder shows, and how it is written down."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fracpool.findings.answer import Answer, answer
from fracpool.findings.own_answer import own_answer
from fracpool.findings.verdicts import Finding, as_json, judge
from fracpool.records.files import write_file
from fracpool.records.plain_text import cut, text
from fracpool.records.record import PREDICTIONS_FILE, Record, RecordError
from fracpool.report import figures
from fracpool.report.figures import Figures
from fracpool.report.rendering import templates
from fracpool.report.summary import summary, summary_rows
from fracpool.settings.names import flatten
from fracpool.table import files
from fracpool.table.experiment import Experiment
from fracpool.table.files import as_csv
from fracpool.table.repeat import how_to_repeat
from fracpool.table.results import Results
from fracpool.table.variant import USUAL, sizes, sizes_text

MOST_RUNS_SHOWN = 600
MOST_VARIANTS_SHOWN = 200


@dataclass(frozen=True)
class Page:
    """All that the templates show."""

    title: str
    answer: Answer
    findings: list[Finding]
    sections: list[dict[str, Any]]
    figures: Figures
    runs: list[dict[str, Any]]
    runs_total: int
    left_out: list[tuple[str, list[str]]]
    repeat: dict[str, Any]


def write(results: Results) -> Page:
    """Writes all files of the report into the folder that the results came from; returns what they show."""
    verdicts = judge(results)
    said = own_answer(results, verdicts) or answer(results)
    drawn = figures.draw_all(results, said, verdicts)
    results.problems += _write_figures(results.root / "figures", drawn)
    page = _page(results, verdicts, said, drawn)
    files.write(results)
    write_file(results.root / "summary.csv", as_csv(summary(results)))
    judged = json.dumps(as_json(verdicts), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(results.root / "findings.json", judged + "\n")
    loaded = templates()
    write_file(results.root / "report.md", loaded.get_template("report.md.j2").render(page=page))
    write_file(results.root / "report.html", loaded.get_template("report.html.j2").render(page=page))
    return page


def _write_figures(folder: Path, drawn: Figures) -> Iterator[str]:
    """Writes the figures, which the page holds as well; yields a line for each whose place is taken."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and a report stays inside its own folder; remove it", str(folder))
    folder.mkdir(exist_ok=True)
    named = {f"{figure.name}.svg": figure.svg for figure in drawn}
    for old in folder.glob("*.svg"):
        if old.name not in named and old.stem.endswith(figures.NAMES) and not _is_folder(old):
            old.unlink()  # of an experiment that is gone
    for name, svg in named.items():
        if _is_folder(folder / name):
            yield f"{folder.name}/{name}: a folder, and the figure is in the page alone; remove it"
        else:
            write_file(folder / name, svg)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _page(results: Results, verdicts: list[Finding], said: Answer, drawn: Figures) -> Page:
    sections = [
        {
            "experiment": experiment,
            "figures": drawn.experiments.get(experiment.name, []),
            "summary": summary_rows(results, experiment)[:MOST_VARIANTS_SHOWN],
            "hidden": max(0, len(experiment.variants) - MOST_VARIANTS_SHOWN),
            "checks": any(v.settings.get("task") == "gradient" for v in experiment.variants),
        }
        for experiment in results.experiments
    ]
    names = {variant.id: variant.name for experiment in results.experiments for variant in experiment.variants}
    shown = results.runs.sort_values(["experiment", "variant", "seed", "run_id"], kind="stable")
    return Page(
        title=said.question,
        answer=said,
        findings=verdicts,
        sections=sections,
        figures=drawn,
        runs=[_run_row(results, row, names) for row in shown.head(MOST_RUNS_SHOWN).to_dict("records")],
        runs_total=len(shown),
        left_out=_left_out(results),
        repeat=how_to_repeat(results),
    )


def _run_row(results: Results, row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    record = results.records[row["run_id"]]
    settings = flatten(record.data["config"])
    unusual = {k: v for k, v in settings.items() if k not in USUAL or v != USUAL[k]}
    return {name: None if pd.isna(value) else value for name, value in row.items()} | {
        "name": names.get(row["variant_id"], row["variant"]),
        "sizes": sizes_text(sizes(record.data["geometry"])),
        "command": text(record.data.get("command") or "", 2000),
        "curve": _curve(record),
        "settings": [f"{text(k, 60)}={text(v, 60)}" for k, v in unusual.items()],
    }


def _curve(record: Record) -> dict[str, Any] | None:
    """The learning curve in a drawing of 100 × 24: the error, logarithmic from 90 % (below) to 0.5 % (above)."""
    try:
        values = [row["test_accuracy"] for row in record.history()]
    except RecordError:
        return None
    values = [value for value in values if 0 <= value <= 1][:2000]
    if not values:
        return None
    errors = np.clip(1 - np.array(values), 0.005, 0.9)
    heights = 22 - 20 * np.log(0.9 / errors) / np.log(0.9 / 0.005)
    across = np.linspace(2, 98, len(values))
    points = [f"{x:.1f},{y:.1f}" for x, y in zip(across, heights, strict=True)]
    words = f"test accuracy after one epoch, {100 * values[0]:.1f} %"
    if len(points) > 1:
        words = f"test accuracy over {len(values)} epochs, from {100 * values[0]:.1f} to {100 * values[-1]:.1f} %"
    return {"points": " ".join(points * 2 if len(points) == 1 else points), "one": len(points) == 1, "words": words}


def _left_out(results: Results) -> list[tuple[str, list[str]]]:
    """What does not count in the tables, by cause; nothing is left out in silence."""
    told: list[tuple[str, list[str]]] = []
    for status, words in (("diverged", "Diverged"), ("failed", "Failed")):
        found = results.runs[results.runs["status"] == status]
        told.append((words, [_error_line(results, run) for run in found["run_id"]]))
    for experiment in results.experiments:
        if experiment.not_run:
            told.append((f"Not run: {experiment.name}", [experiment.not_run]))
            continue
        told.append((f"Planned in {experiment.name}, no record yet", results.missing(experiment)))
    for experiment in results.experiments:
        impossible = [f"{entry['label']}: {entry['reason']}" for entry in experiment.impossible]
        told.append((f"Impossible networks of the grid of {experiment.name}", impossible))
        older = [run for run in experiment.older if run in results.records]
        told.append((f"From an earlier grid of {experiment.name}", older))
        without = [record.run_id for record in _without_predictions(results, experiment)]
        told.append((f"Without predictions in {experiment.name}: no comparison on the same test images", without))
    told.append(("More than a report takes", [*results.beyond, *results.predictions.left_out]))
    told.append(("Set aside: damaged, foreign or of another version", results.problems))
    return [(words, cut(lines)) for words, lines in told if lines]


def _without_predictions(results: Results, experiment: Experiment) -> Iterator[Record]:
    """The completed runs of a network whose predictions were not kept, or are gone."""
    for variant in experiment.variants:
        for record in results.records_of(experiment, variant):
            if record.status == "completed" and variant.depth and not record.has(PREDICTIONS_FILE):
                yield record


def _error_line(results: Results, run: str) -> str:
    return text(f"{run}: {results.records[run].error}", 400)
