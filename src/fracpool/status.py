"""How far the runs of a results folder are: done, running, left, diverged, failed.

Read from the records, the claims and the sweep files alone; a look changes nothing, and needs neither TensorFlow
nor pandas.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracpool.command_line import BAD_INPUT, Parser, directory, show_what_can_be_shown
from fracpool.records import run_claim
from fracpool.records.plain_text import cut, text
from fracpool.records.record import Record, RecordError
from fracpool.records.store import Store
from fracpool.records.unfinished import FILE, history

DEFAULT = Path("results")
DONE, RUNNING, LEFT = "done", "running", "left"
STATES = (DONE, RUNNING, LEFT, "diverged", "failed")
MOST_LISTED = 20
MOST_LISTED_EXPERIMENTS = 200
LONGEST_PATH = 4096
OTHER = "other runs"  # single runs, and those of an earlier grid


@dataclass(frozen=True)
class Status:
    """How far a results folder is.

    Attributes:
        total: Number of runs by state, each run once, though several experiments may share it.
        experiments: What is said of each, in order: the number of runs by state, or why none was run.
        running: Runs that a living process holds, and how far each is.
        stopped: Runs with a checkpoint that nobody holds: the same command goes on from there.
        failed: Runs that failed or diverged, with the reason.
        problems: Files that cannot be used.
    """

    root: Path
    total: Counter[str]
    experiments: dict[str, Counter[str] | str]
    running: list[str]
    stopped: list[str]
    failed: list[str]
    problems: list[str]

    def __str__(self) -> str:
        width = min(32, max(map(len, self.experiments), default=0))
        said = [f"{name:{width}}  {_counts(what)}" for name, what in self.experiments.items()]
        report, shown = self.root / "report.html", text(self.root, LONGEST_PATH)
        lines = [f"{shown}: {_counts(self.total)}", *_indented(said, MOST_LISTED_EXPERIMENTS)]
        lists = {
            "running": self.running,
            "stopped, to go on from": self.stopped,
            "failed": self.failed,
            "set aside": self.problems,
        }
        for title, found in lists.items():
            lines += [title, *_indented(found, MOST_LISTED)] if found else []
        command = f"python -m fracpool.report {shlex.quote(shown)}"
        lines.append(f"report: {text(report, LONGEST_PATH)}" if report.is_file() else f"report: {command}")
        return "\n".join(lines)


def read(root: Path) -> Status:
    """The status of one results folder (one that holds runs/ or sweeps/)."""
    store = Store(root)
    held = _held(store)
    reading = store.read()
    sweeps, problems = store.read_sweeps()
    records = {record.run_id: record for record in reading.records}
    planned = {name: _planned(sweep) for name, sweep in sweeps.items()}
    others = [run for run in {**records, **dict.fromkeys(held)} if not any(run in runs for runs in planned.values())]

    def tally(runs: Iterable[str]) -> Counter[str]:
        return Counter(_state(run, records, held) for run in runs)

    experiments: dict[str, Counter[str] | str] = {
        text(name, 60): tally(runs) if runs else f"not run: {text(sweeps[name].get('not_run') or 'it plans no run')}"
        for name, runs in planned.items()
    }
    if others:
        experiments[OTHER] = tally(others)
    return Status(
        root=root,
        total=tally(dict.fromkeys([*(run for runs in planned.values() for run in runs), *others])),
        experiments=experiments,
        running=[_progress(store, run) for run in held],
        stopped=[_progress(store, run) for run in _unfinished(store) if run not in held and run not in records],
        failed=[_reason(r) for r in reading.records if r.status != "completed" and r.run_id not in held],
        problems=[text(problem) for problem in (*reading.problems, *problems)],
    )


def _state(run: str, records: Mapping[str, Record], held: Sequence[str]) -> str:
    if run in held:
        return RUNNING
    if run not in records:
        return LEFT
    return DONE if records[run].status == "completed" else records[run].status


def _held(store: Store) -> list[str]:
    """The runs that a living process has claimed."""
    found = (path for path in store.entries("claims") if not path.name.startswith("."))
    return [path.name for path in found if not run_claim.is_free(path)]


def _unfinished(store: Store) -> list[str]:
    return [folder.name for folder in store.entries("unfinished") if (folder / FILE).is_file()]


def _planned(sweep: Mapping[str, Any]) -> dict[str, None]:
    runs = sweep.get("runs")
    return dict.fromkeys(str(run) for run in runs) if isinstance(runs, list) else {}


def _progress(store: Store, run: str) -> str:
    rows = history(store.unfinished(run))
    try:
        reached = f"after epoch {rows[-1]['epoch']:.0f}: {rows[-1]['test_accuracy']:.4f}"
    except (IndexError, KeyError, TypeError, ValueError):
        reached = "in its first epoch"
    return f"{text(run)}  {reached}"


def _reason(record: Record) -> str:
    return text(f"{record.run_id}  {record.status}: {record.error}")


def _counts(what: Counter[str] | str) -> str:
    if isinstance(what, str):
        return what
    return ", ".join(f"{what[state]} {state}" for state in STATES if what[state]) or "no runs"


def _indented(lines: Sequence[str], most: int) -> list[str]:
    return [f"  {line}" for line in cut(lines, most)]


def folders(path: Path) -> list[Path]:
    """The results folders that a path means: itself, or those in it.

    Raises:
        RecordError: there is none.
    """
    found = (
        [folder for folder in (path, *sorted(path.iterdir())) if Store(folder).holds_results()] if path.is_dir() else []
    )
    if not found:
        state = "holds no runs" if path.is_dir() else "no such folder"
        raise RecordError(f"{path}: {state}; run `make reproduce`, or name a folder that holds runs/")
    return found[:1] if found[0] == path else found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 2 for bad input."""
    show_what_can_be_shown()
    parser = Parser(
        "status",
        "Say how far the runs of a results folder are: done, running (and after which epoch), left,\n"
        "diverged, failed. What is left is known of experiments and sweeps with a name, as they were\n"
        "last started. Nothing is changed, and a sweep that goes on is not disturbed.",
        "  python -m fracpool.status                      every folder of results/\n"
        "  python -m fracpool.status results/quick        one of them\n"
        "  watch -n 10 python -m fracpool.status          again and again while a sweep runs",
    )
    parser.add_argument(
        "folders", nargs="*", type=directory, metavar="DIR", help=f"results folders (default: {DEFAULT})"
    )
    given = parser.parse_args(arguments).folders or [DEFAULT]
    try:
        found = [folder for path in given for folder in folders(path)]
        print("\n\n".join(str(read(folder)) for folder in found))
    except RecordError as error:
        print(f"fracpool.status: {text(error, LONGEST_PATH)}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(
            text(f"fracpool.status: {error.filename}: cannot be read ({error.strerror})", LONGEST_PATH), file=sys.stderr
        )
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
