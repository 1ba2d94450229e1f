"""What the user sees while runs go on: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from fracpool.records.plain_text import duration
from fracpool.sweep.outcome import Outcome
from fracpool.training.reporter import Reporter

LONGEST_NAME = 16  # of an experiment, beside its bar
QUIET_SECONDS = 30  # piped output: at most one line in this time within a run


@dataclass(frozen=True)
class Reached:
    """How far a run of another process is: `epoch` of `epochs` are done; `work` is that of the whole run."""

    label: str
    seed: int
    epoch: int
    epochs: int
    accuracy: float | None
    work: float


class _Estimate:
    """Time left, from the work done per second so far (work: multiply-accumulates)."""

    def __init__(self, runs: int, work: float) -> None:
        self.runs, self.work = runs, work
        self.done_runs, self.done_work = 0, 0.0
        self.began: float | None = None  # when the first run began: imports are not work

    def begin(self) -> None:
        self.began = self.began or time.monotonic()

    def left(self, work_in_run: float = 0.0) -> float | None:
        done = self.done_work + work_in_run
        if not self.work:  # checks have no work to tell by
            done, total = float(self.done_runs), float(self.runs)
        else:
            total = self.work
        if self.began is None or done <= 0:
            return None
        return (time.monotonic() - self.began) * (total - done) / done


class _View:
    """On a terminal, below the lines: a bar for the whole with the time left, and the runs that go on.

    All are cut to the terminal's width, whatever it becomes.
    """

    def __init__(self, name: str, total: float, console: Console) -> None:
        column = Column(no_wrap=True, overflow="ellipsis")
        self.bars = Progress(
            TextColumn("{task.description}", table_column=column),
            BarColumn(bar_width=None, table_column=Column(min_width=4, ratio=1)),
            TextColumn("{task.fields[state]}", table_column=column),
            console=console,
            expand=True,
        )
        shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        self.whole = self.bars.add_task(shown, total=total, state="")
        self.runs = Text(no_wrap=True, overflow="ellipsis")
        self.live = Live(Group(self.bars, self.runs), console=console, transient=True)
        self.live.start()

    def show(self, done: float, state: str, runs: Sequence[str]) -> None:
        self.bars.update(self.whole, completed=done, state=state)
        self.runs.plain = "\n".join(f"  {run}" for run in runs)

    def close(self) -> None:
        self.live.stop()


class RunReporter(Reporter):
    """Hears of whole runs, too. Says nothing: for workers, whose launcher sees only what they return."""

    def run_begins(self, label: str, seed: int, epochs: int, work: float) -> None:
        """A run starts; `work` is its share of the whole, in the unit of the total."""

    def run_ends(self, outcome: Outcome, work: float) -> None:
        """A run has its record."""

    def name_of(self, run_id: str, label: str) -> str:
        """What the run's variant is called here, where others may have the same label."""
        return label


class LiveReporter(RunReporter):
    """A line for each run that ends, with its accuracy, and on a terminal a view of what goes on below."""

    def __init__(
        self, name: str, runs: int, work: float, console: Console, names: Mapping[str, str] | None = None
    ) -> None:
        self.console, self.names = console, names or {}
        self.estimate = _Estimate(runs, work)
        self.estimate.begin()
        self.epochs, self.run_work, self.title = 1, 0.0, ""
        self.said = time.monotonic()
        self.view = _View(name, work or runs, console) if console.is_terminal else None
        self._show(0.0)

    def run_begins(self, label: str, seed: int, epochs: int, work: float) -> None:
        self.estimate.begin()
        self.epochs, self.run_work, self.title = epochs, work, _title(label, seed)
        self.said = time.monotonic()
        self._show(0.0, self.title)

    def epoch_done(self, row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        state = _state(epoch, self.epochs, row["test_accuracy"])
        self._show(self.run_work * epoch / self.epochs, f"{state} · {self.title}")
        if self.view is None and epoch < self.epochs and time.monotonic() - self.said > QUIET_SECONDS:
            self._say(f"{self._count()} {self.title} · {state}{self._time_left(self.run_work * epoch / self.epochs)}")

    def note(self, text: str) -> None:
        self._say(f"{self._count()} {self.title} · {text}")

    def run_ends(self, outcome: Outcome, work: float) -> None:
        count = self._count()
        self.estimate.done_runs += 1
        self.estimate.done_work += work
        result = outcome.status if outcome.accuracy is None else f"{outcome.accuracy:.4f}"
        reason = f" ({outcome.message})" if outcome.message else ""
        what = f"{_title(self.name_of(outcome.run_id, outcome.label), outcome.seed)} · {result}{reason}"
        self._say(f"{count} {what} · {outcome.seconds:.1f} s{self._time_left()}")
        self._show(0.0)

    def runs_go_on(self, runs: Sequence[Reached]) -> None:
        """Shows the runs of other processes in place of one of this process."""
        done = sum(run.work * run.epoch / run.epochs for run in runs)
        states = [_state(run.epoch, run.epochs, run.accuracy) for run in runs]
        self._show(done, *(f"{state} · {_title(run.label, run.seed)}" for state, run in zip(states, runs, strict=True)))

    def name_of(self, run_id: str, label: str) -> str:
        return self.names.get(run_id, label)

    def close(self) -> None:
        if self.view is not None:
            self.view.close()

    def _count(self) -> str:
        return f"[{self.estimate.done_runs + 1}/{self.estimate.runs}]"

    def _time_left(self, work_in_run: float = 0.0) -> str:
        left = self.estimate.left(work_in_run)
        return "" if left is None or self.estimate.done_runs >= self.estimate.runs else f" · {duration(left)} left"

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, work_in_runs: float, *runs: str) -> None:
        if self.view is None:
            return
        done = self.estimate.done_work + work_in_runs if self.estimate.work else self.estimate.done_runs
        state = f"{self.estimate.done_runs}/{self.estimate.runs}{self._time_left(work_in_runs)}"
        self.view.show(done, state, runs)


def _title(label: str, seed: int) -> str:
    return f"{label} · seed {seed}"


def _state(epoch: int, epochs: int, accuracy: float | None) -> str:
    known = accuracy is not None and not math.isnan(accuracy)  # NaN: not tested after this epoch
    return f"epoch {epoch}/{epochs}" + (f" · {accuracy:.4f}" if known else "")


_SILENT = RunReporter()
_current: RunReporter | None = None


def current() -> RunReporter:
    """The reporter of the work that goes on in this process; a silent one in a launcher's worker."""
    return _current or _SILENT


def leave() -> None:
    """From now on the runs are not this process' own."""
    global _current
    _current = None


@contextlib.contextmanager
def reporting(
    name: str, runs: int, work: float, names: Mapping[str, str] | None = None, stream: Any = None
) -> Iterator[LiveReporter]:
    """Shows the progress of `name`, whose `runs` runs take `work` in all, on standard output; `names` by run id."""
    global _current
    reporter = LiveReporter(name, runs, work, Console(file=stream), names)
    _current = reporter
    try:
        yield reporter
    finally:
        _current = None
        reporter.close()
