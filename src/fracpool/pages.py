"""What the report of a results folder shows, and how it is written down."""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from fracpool import estimates, figures, findings, table
from fracpool.answer import Answer, answer
from fracpool.figures import Figures
from fracpool.findings import Finding
from fracpool.plain_text import points
from fracpool.records import PREDICTIONS_FILE, Record, RecordError
from fracpool.rules import ALPHA, REPRODUCED, Part
from fracpool.table import Experiment, Results, sizes_text

TITLE = "Does fractional max pooling beat 2×2 max pooling, and when?"
MOST_RUNS_SHOWN = 600
MOST_VARIANTS_SHOWN = 200
MOST_LISTED = 50
VERSIONS = (
    "python",
    "tensorflow",
    "keras",
    "numpy",
    "fracpool",
    "backend",
    "jax",
    "torch",
    "gpu",
    "cpu",
    "cores",
    "platform",
    "commit",
)


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
    verdicts = findings.judge(results)
    said = answer(results)
    drawn = figures.draw_all(results, said, verdicts)
    page = _page(results, verdicts, said, drawn)
    table.write(results)
    table.write_file(results.root / "summary.csv", table.as_csv(summary(results)))
    as_json = json.dumps(findings.as_json(verdicts), indent=1, ensure_ascii=False, allow_nan=False)
    table.write_file(results.root / "findings.json", as_json + "\n")
    _write_figures(results.root / "figures", drawn)
    loaded = templates()
    table.write_file(results.root / "report.md", loaded.get_template("report.md.j2").render(page=page))
    table.write_file(results.root / "report.html", loaded.get_template("report.html.j2").render(page=page))
    return page


def _write_figures(folder: Path, drawn: Figures) -> None:
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, and a report stays inside its own folder; remove it", str(folder))
    folder.mkdir(exist_ok=True)
    named = {f"{figure.name}.svg": figure.svg for figure in drawn}
    for old in folder.glob("*.svg"):
        if old.name not in named and old.stem.endswith(figures.NAMES):
            old.unlink()  # of an experiment that is gone
    for name, svg in named.items():
        table.write_file(folder / name, svg)


# ---- what the page shows ----


def summary(results: Results) -> pd.DataFrame:
    """One row per experiment and variant: network, sizes, cost, accuracy with interval, n, seconds per epoch."""
    rows = [row for experiment in results.experiments for row in _summary_rows(results, experiment)]
    columns = ("experiment", "variant", "conv_layers", "sizes", "final_height", "final_width", "parameters", "macs",
               "accuracy_mean", "accuracy_low", "accuracy_high", "n", "averaged_accuracy_mean",
               "seconds_per_epoch")  # fmt: skip
    counts = ("conv_layers", "final_height", "final_width", "parameters", "macs", "n")
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(counts, "Int64"))


def _summary_rows(results: Results, experiment: Experiment) -> list[dict[str, Any]]:
    means = {variant.id: mean for variant, mean in figures.ending(results, experiment)}
    runs = results.of(experiment)
    completed = runs[runs["status"] == "completed"].groupby("variant_id")
    seconds = completed["seconds_per_epoch"].mean()
    averaged = completed["averaged_accuracy"].mean()
    rows = []
    for variant in experiment.variants:
        mean = means.get(variant.id)
        final = variant.sizes[-1] if variant.sizes else (None, None)
        rows.append(
            {
                "experiment": experiment.name,
                "variant": variant.name,
                "conv_layers": variant.depth or None,
                "sizes": sizes_text(variant.sizes),
                "final_height": final[0],
                "final_width": final[1],
                "parameters": variant.geometry.get("parameters"),
                "macs": variant.geometry.get("macs"),
                "accuracy_mean": mean.mean if mean else None,
                "accuracy_low": mean.low if mean else None,
                "accuracy_high": mean.high if mean else None,
                "n": mean.n if mean else 0,
                "averaged_accuracy_mean": averaged.get(variant.id),
                "seconds_per_epoch": seconds.get(variant.id),
            }
        )
    return rows


def _page(results: Results, verdicts: list[Finding], said: Answer, drawn: Figures) -> Page:
    sections = [
        {
            "experiment": experiment,
            "figures": drawn.experiments.get(experiment.name, []),
            "summary": _summary_rows(results, experiment)[:MOST_VARIANTS_SHOWN],
            "hidden": max(0, len(experiment.variants) - MOST_VARIANTS_SHOWN),
            "checks": any(v.settings.get("task") == "gradient" for v in experiment.variants),
        }
        for experiment in results.experiments
    ]
    names = {variant.id: variant.name for experiment in results.experiments for variant in experiment.variants}
    shown = results.runs.sort_values(["experiment", "variant", "seed", "run_id"], kind="stable")
    return Page(
        title=TITLE,
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
    settings = table.flatten(record.data["config"])
    unusual = {k: v for k, v in settings.items() if k not in table.USUAL or v != table.USUAL[k]}
    return {name: None if pd.isna(value) else value for name, value in row.items()} | {
        "name": names.get(row["variant_id"], row["variant"]),
        "sizes": sizes_text(table.sizes(record.data["geometry"])),
        "command": table.text(record.data.get("command") or "", 2000),
        "curve": _curve(record),
        "settings": [f"{table.text(k, 60)}={table.text(v, 60)}" for k, v in unusual.items()],
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
    told.append(("Set aside: damaged, foreign or of another version", results.problems))
    return [(words, cut(lines)) for words, lines in told if lines]


def _without_predictions(results: Results, experiment: Experiment) -> Iterator[Record]:
    """The completed runs of a network whose predictions were not kept, or are gone."""
    for variant in experiment.variants:
        for record in results.records_of(experiment, variant):
            there = PREDICTIONS_FILE in record.data["files"] and (record.folder / PREDICTIONS_FILE).is_file()
            if record.status == "completed" and variant.depth and not there:
                yield record


def cut(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return lines if more <= 0 else [*lines[:MOST_LISTED], f"… and {more} more"]


def _error_line(results: Results, run: str) -> str:
    error = results.records[run].data.get("error")
    message = error.get("message", "") if isinstance(error, Mapping) else error or ""
    return table.text(f"{run}: {message}", 400)


def how_to_repeat(results: Results) -> dict[str, Any]:
    """Commands, versions and fingerprints, each with the values that the records hold."""
    seen: dict[str, Counter[str]] = {}
    for record in results.records.values():
        environment, data = record.data.get("environment"), record.data.get("data")
        for name in VERSIONS:
            if isinstance(environment, Mapping) and environment.get(name) is not None:
                seen.setdefault(name, Counter())[table.text(environment[name], 100)] += 1
        if isinstance(data, Mapping) and data.get("fingerprint"):
            name = f"data {table.text(data.get('name', '?'), 40)} {table.text(data.get('version', ''), 40)}".strip()
            seen.setdefault(name, Counter())[table.text(data["fingerprint"], 100)] += 1
        if record.data.get("code_fingerprint"):
            seen.setdefault("code", Counter())[table.text(record.data["code_fingerprint"], 100)] += 1
    commands = [experiment.command for experiment in results.experiments if experiment.command]
    return {
        "commands": [*commands, "python -m fracpool.report <this folder>"],
        "versions": {name: _tally(values) for name, values in seen.items()},
    }


def _tally(values: Mapping[str, int]) -> str:
    """The one value that all runs have, or each value with its number of runs: versions do not mix in silence."""
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({count} runs)" for value, count in sorted(values.items()))


# ---- templates ----


def templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(["html", "html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "md": _markdown,
        "percent": lambda value: "–" if value is None or pd.isna(value) else f"{100 * value:.2f}",
        "count": _count,
        "points": points,
        "seconds": lambda value: "–" if value is None or pd.isna(value) else f"{value:.2f}",
        "slug": lambda verdict: verdict.replace(" ", "-"),
        "inline_svg": lambda figure: Markup(figure.inline),
        "p_value": _p_value,
        "details": _details,
    }
    environment.globals |= {"method": estimates.METHOD, "alpha": ALPHA, "level": estimates.LEVEL}
    return environment


MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\*_{}[]#~$!"} | {ord(mark): f"&#{ord(mark)};" for mark in "&<>|`"}


def _markdown(value: Any) -> str:
    """Text as Markdown shows it: nothing in it is markup, a table cell stays one cell."""
    return table.text(value, 2000).translate(MARKDOWN)


def _count(value: Any) -> str:
    """A whole number for people: 1 199 882 as 1.20 M."""
    if value is None or pd.isna(value):
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _improvements(given: Mapping[str, Any]) -> list[str]:
    """How often the one that was to be first is the better of two; the order itself is a figure."""
    others = [row for row in given.get("ranking", ()) if row["variant"] != given["first"]]
    if not others:
        return []
    chances = ", ".join(f"{row['variant']} {100 * row['improvement']:.0f} %" for row in others)
    return [f"probability that a run of {given['first']} is better than one of: {chances}"]


def _details(part: Part) -> list[str]:
    """The numbers behind a part's verdict, in words."""
    given, told = part.numbers, []
    if "mean_a" in given:
        told.append(f"{given['a']} {100 * given['mean_a']:.2f} %, {given['b']} {100 * given['mean_b']:.2f} %")
    if "p_for_holm" in given:
        holm = f" (Holm over {given['family']})" if given["family"] > 1 else ""
        told.append(f"p for {_p_value(given['p_for_holm'])}, against {_p_value(given['p_against_holm'])}{holm}")
    if part.kind == "better" and part.verdict == REPRODUCED and given["low"] <= 0:
        told.append("weak: the interval, which looks to both sides, reaches 0; the test looks to one, at 5 %")
    told += _improvements(given)
    test = given.get("mcnemar")
    if test:
        told.append(
            f"same test images (McNemar): a alone right on {test['only_a_right']:.0f}, b alone on "
            f"{test['only_b_right']:.0f}; they differ in {test['significant']} of {test['seeds']} seeds"
        )
    return told + part.notes[:5]
