"""Pages, figures and templates: the report of a results folder, from its records, its findings and its answer.

    python -m fracpool.report                                  the report of results/quick
    python -m fracpool.report results/mine                     of another folder
    python -m fracpool.report results/mine results/reference   both side by side (see `compare`)

A report is made from the records alone: the same records give the same bytes, on any day and any machine.
Imports of fracpool `findings`, `table`, `settings`, `records`, the regions of `pooling` and `command_line`, but neither
Keras nor a backend; pandas, scipy and matplotlib only once there is something to write.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracpool.command_line import BAD_INPUT, STOPPED, Parser, directory, need_study, show_what_can_be_shown
from fracpool.records.store import Store
from fracpool.report import kept

if TYPE_CHECKING:
    from fracpool.findings.verdicts import Finding
    from fracpool.table.experiment import Experiment

DEFAULT = Path("results/quick")
COMPARISON = Path("results/comparison")


class ReportError(Exception):
    """A report that cannot be written; the text is one line that says why and what to do."""


@dataclass(frozen=True)
class Report:
    """A written report: where it lies, and what it says in short."""

    path: Path
    answer: str
    verdicts: dict[str, str]  # by the finding's id, with the experiment where several have that id
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdicts = "; ".join(f"{finding} {verdict}" for finding, verdict in self.verdicts.items())
        told = [self.answer, *([verdicts] if verdicts else []), *self.remarks]
        return "\n".join([*told, f"Open {self.path.resolve()}"])


def write_report(results_dir: str | os.PathLike[str]) -> Path:
    """Writes the report of a results folder and returns the path of report.html (see `make_report`)."""
    return make_report(results_dir).path


def latest_report(results_dir: str | os.PathLike[str]) -> Report:
    """The report as it stands where writing it again would change nothing; else it is made (see `make_report`)."""
    root = Path(results_dir)
    said = kept.unchanged(root)
    return make_report(root) if said is None else _report(root, said)


def make_report(results_dir: str | os.PathLike[str]) -> Report:
    """Writes report.html, report.md, summary.md, the tables, findings.json and figures/*.svg.

    Raises:
        ReportError: there is nothing to report on, or the folder cannot be written to.
    """
    root = Path(results_dir)
    try:
        _need_runs(root)
        from fracpool.report.page import write
        from fracpool.table import results

        made_of = kept.made_of(root)  # before anything is read: what changes meanwhile is in the next report
        read = results.read(root)
        page = write(read)
        several = [id_ for id_, n in Counter(f.id for f in page.findings).items() if n > 1]
        verdicts = {f"{f.id} ({f.experiment})" if f.id in several else f.id: _shown(f) for f in page.findings}
        changed = [f"{f.id}: {line}" for f in page.findings for line in f.rule_changes]
        said = {
            "answer": page.answer.headline,
            "verdicts": verdicts,
            "remarks": [*changed, *_edited(read.experiments)],
        }
        kept.note(root, made_of, said)
        return _report(root, said)
    except OSError as error:
        raise ReportError(f"{error.filename or root}: cannot be read or written ({error.strerror})") from None


def _shown(finding: Finding) -> str:
    """Its verdict, with budget and form of test: smaller than claimed (10 epochs, one drawn pass)."""
    return f"{finding.told} ({finding.scope})" if finding.scope else finding.told


def _report(root: Path, said: Mapping[str, Any]) -> Report:
    return Report(root / "report.html", said["answer"], said["verdicts"], tuple(said["remarks"]))


def _edited(experiments: Iterable[Experiment]) -> list[str]:
    """A line for each experiment whose file says something else than when it was swept."""
    return [
        f"{experiment.source.file} was edited since {experiment.name} was swept: its findings are those of the sweep; "
        f"run it again to take in the new ones (what has its record is not trained again)"
        for experiment in experiments
        if experiment.source is not None and experiment.source.is_edited()
    ]


def write_comparison(folders: Sequence[Path], output: Path) -> str:
    """Writes the comparison of several results folders into `output`; returns what it says, and the path to open.

    Raises:
        ReportError: a folder is named twice or holds no runs, or `output` cannot be written to.
    """
    for number, folder in enumerate(folders):
        _need_runs(folder)
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise ReportError(f"{folder}: named twice; name each folder once")
    from fracpool.report.comparison import write

    try:
        compared = write(folders, output)
    except OSError as error:
        raise ReportError(f"--output={output}: cannot be written ({error.strerror}); choose another folder") from None
    problems = [f"set aside in {folder.name}: {line}" for folder in compared.folders for line in folder.problems]
    return "\n".join([compared.headline, *problems, f"Open {(output / 'comparison.html').resolve()}"])


def _need_runs(root: Path) -> None:
    if not Store(root).holds_results():
        state = "holds no runs" if root.is_dir() else "no such folder"
        raise ReportError(f"{root}: {state}; run `make reproduce`, or name a folder that holds runs/")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 written, 2 bad input, 130 stopped."""
    show_what_can_be_shown()
    given = _parser().parse_args(arguments)
    need_study("report")
    folders = given.folders or [DEFAULT]
    try:
        if len(folders) > 1:
            print(write_comparison(folders, given.output or COMPARISON))
        elif given.output:
            raise ReportError(f"--output={given.output}: one folder keeps its own report; name two or more to compare")
        else:
            print(make_report(folders[0]))
    except ReportError as error:
        print(f"fracpool.report: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("fracpool.report: stopped; the same command writes it anew", file=sys.stderr)
        return STOPPED
    return 0


def _parser() -> Parser:
    parser = Parser(
        "report",
        "One folder: write its report from its run records, into the folder itself (report.html, report.md,\n"
        "summary.md, runs.csv, runs.parquet, summary.csv, findings.json, figures/). The same records give the same\n"
        "bytes.\n\n"
        "Several folders: hold them side by side, variant by variant and finding by finding, and say what agrees\n"
        "within its intervals and what only one has (comparison.html, comparison.md, comparison.csv in --output).\n"
        "What is held against each other must have the same data set, network, pooling, optimizer and budget,\n"
        "whatever the seeds, and a finding the same experiment and id; the same network on another budget, and a\n"
        "finding on other data, stand beside each other and are marked.",
        "  python -m fracpool.report                              the report of results/quick\n"
        "  python -m fracpool.report results/mine                 of another folder\n"
        "  python -m fracpool.report results/mine results/reference\n"
        "                                                         mine against the reference\n"
        "  python -m fracpool.report a b c --output results/abc   three of them, into a folder of its own",
    )
    parser.add_argument(
        "folders", nargs="*", type=directory, metavar="DIR", help=f"results folders (default: {DEFAULT})"
    )
    parser.add_argument("--output", type=directory, metavar="DIR", help=f"of a comparison (default: {COMPARISON})")
    return parser
