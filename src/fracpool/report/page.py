"""What the report of a results folder shows, and how it is written down."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fracpool.findings.answer import Answer
from fracpool.findings.said import said as said_by
from fracpool.findings.verdicts import Finding, as_json, judge
from fracpool.records.files import write_file
from fracpool.records.plain_text import cut, text
from fracpool.records.record import PREDICTIONS_FILE, Record
from fracpool.report import figures
from fracpool.report.chapters import chapters
from fracpool.report.citation import bibtex
from fracpool.report.figures import Figure, Figures
from fracpool.report.first_screen import FirstScreen, first_screen
from fracpool.report.one_page import one_page
from fracpool.report.rendering import templates
from fracpool.report.runs import variant_rows
from fracpool.report.summary import FORMS, summary, summary_rows
from fracpool.table import files
from fracpool.table.experiment import Experiment
from fracpool.table.files import as_csv
from fracpool.table.repeat import how_to_repeat
from fracpool.table.results import Results
from fracpool.table.variant_names import in_common

MOST_VARIANTS_SHOWN = 200  # of an experiment


@dataclass(frozen=True)
class Section:
    """An experiment as the page shows it: its table of variants, in these forms of test, and its figure."""

    number: int
    experiment: Experiment
    shared: str  # what its networks have in common
    rows: list[dict[str, Any]]
    forms: dict[str, str]  # metric: what the page calls it
    hidden: int
    figure: Figure | None

    @property
    def is_check(self) -> bool:
        return any(variant.settings.get("task") == "gradient" for variant in self.experiment.variants)


@dataclass(frozen=True)
class Told:
    """A finding, its place on the page, and the figure that it is told with."""

    number: int
    finding: Finding
    section: Section
    figure: Figure | None


@dataclass(frozen=True)
class Page:
    """All that the templates show."""

    title: str
    answer: Answer
    first: FirstScreen
    findings: list[Finding]
    chapters: list[tuple[str, list[Section], list[Told]]]
    figures: Figures
    variants: list[dict[str, Any]]  # the table of runs
    runs_total: int
    left_out: list[tuple[str, list[str]]]
    repeat: dict[str, Any]
    citation: str

    @property
    def is_about_fmp(self) -> bool:
        """Whether any of its networks pools fractionally."""
        return any(
            variant.is_fmp for _, sections, _ in self.chapters for s in sections for variant in s.experiment.variants
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """By variant id: its place in the table of runs."""
        return {variant["id"]: place for place, variant in enumerate(self.variants, start=1)}


def write(results: Results) -> Page:
    """Writes all files of the report into the folder that the results came from; returns what they show."""
    verdicts = judge(results)
    said = said_by(results, verdicts)
    drawn = figures.draw_all(results, said, verdicts)
    results.problems += _write_figures(results.root / "figures", drawn)
    page = _page(results, verdicts, said, drawn)
    files.write(results)
    write_file(results.root / "summary.csv", as_csv(summary(results)))
    judged = json.dumps(as_json(verdicts), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(results.root / "findings.json", judged + "\n")
    loaded = templates()
    write_file(results.root / "report.md", loaded.get_template("report.md.j2").render(page=page))
    short = one_page(results, said, verdicts, chapters(results.experiments, verdicts))
    write_file(results.root / "summary.md", loaded.get_template("summary.md.j2").render(page=short))
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
    repeat = how_to_repeat(results)
    return Page(
        title=said.question,
        answer=said,
        first=first_screen(results, verdicts, said),
        findings=verdicts,
        chapters=_chapters(results, verdicts, drawn),
        figures=drawn,
        variants=variant_rows(results),
        runs_total=len(results.runs),
        left_out=_left_out(results),
        repeat=repeat,
        citation=bibtex(repeat["versions"].get("fracpool", "")),
    )


def _chapters(results: Results, verdicts: list[Finding], drawn: Figures) -> list[tuple[str, list[Section], list[Told]]]:
    found = []
    number = 0
    for chapter in chapters(results.experiments, verdicts):
        sections = {}
        for experiment in chapter.experiments:
            number += 1
            sections[experiment.name] = _section(number, results, experiment, drawn.experiments.get(experiment.name))
        found.append((chapter.title, list(sections.values()), _told(chapter.findings, verdicts, sections)))
    return found


def _section(number: int, results: Results, experiment: Experiment, figure: Figure | None) -> Section:
    rows = summary_rows(results, experiment)
    measured = {metric for row in rows for metric in row["forms"]}
    return Section(
        number=number,
        experiment=experiment,
        shared=in_common([variant.settings for variant in experiment.variants]),
        rows=rows[:MOST_VARIANTS_SHOWN],
        forms={metric: words for metric, (_, words) in FORMS.items() if metric in measured},
        hidden=max(0, len(rows) - MOST_VARIANTS_SHOWN),
        figure=figure,
    )


def _told(findings: Sequence[Finding], all_findings: list[Finding], sections: Mapping[str, Section]) -> list[Told]:
    """The findings of a chapter; the figure of an experiment stands with the first that rests on it."""
    found: list[Told] = []
    for finding in findings:
        section = sections[finding.experiment]
        is_first = all(told.section is not section for told in found)
        number = next(n for n, other in enumerate(all_findings, 1) if other is finding)
        found.append(Told(number, finding, section, section.figure if is_first else None))
    return found


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
