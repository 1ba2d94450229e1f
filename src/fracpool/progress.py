"""What the user sees while runs go on: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from fracpool.runner import Outcome

QUIET_SECONDS = 30  # piped output: at most one line in this time within a run


class Reporter:
    """Says nothing: for workers, whose launcher sees only what they return."""

    def run_begins(self, label: str, seed: int, epochs: int, work: float) -> None:
        """A run starts; `work` is its share of the whole, in the unit of the total."""

    def epoch_done(self, row: dict[str, float]) -> None:
        """`row` is the epoch's row of history."""

    def note(self, text: str) -> None:
        """A line about the run that goes on."""

    def run_ends(self, outcome: Outcome, work: float) -> None:
        """A run has its record."""


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


class LiveReporter(Reporter):
    """Runs one after another in this process."""

    def __init__(self, runs: int, work: float, console: Console) -> None:
        self.console = console
        self.estimate = _Estimate(runs, work)
        self.estimate.begin()
        self.epochs, self.run_work, self.title = 1, 0.0, ""
        self.said = time.monotonic()
        self.bar_width = 10 if console.width < 100 else 30
        self.bars: Progress | None = None
        self.all_runs: TaskID | None = None
        if console.is_terminal:
            self.bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=self.bar_width),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self.all_runs = self.bars.add_task(f"{runs} run{'s' * (runs != 1)}", total=work or runs, state="")
            self.bars.start()

    def run_begins(self, label: str, seed: int, epochs: int, work: float) -> None:
        self.estimate.begin()
        self.epochs, self.run_work, self.title = epochs, work, f"{label} · seed {seed}"
        self.said = time.monotonic()
        self._show(0.0, f"{self._count()} {self.title}")

    def epoch_done(self, row: dict[str, float]) -> None:
        epoch = int(row["epoch"])
        state = f"epoch {epoch}/{self.epochs} · {row['test_accuracy']:.4f}"
        self._show(self.run_work * epoch / self.epochs, f"{self._count()} {self.title} · {state}")
        if self.bars is None and epoch < self.epochs and time.monotonic() - self.said > QUIET_SECONDS:
            self._say(f"{self._count()} {self.title} · {state}{self._time_left(self.run_work * epoch / self.epochs)}")

    def note(self, text: str) -> None:
        self._say(f"{self._count()} {self.title} · {text}")

    def run_ends(self, outcome: Outcome, work: float) -> None:
        count = self._count()
        self.estimate.done_runs += 1
        self.estimate.done_work += work
        result = outcome.status if outcome.accuracy is None else f"{outcome.accuracy:.4f}"
        reason = f" ({outcome.message})" if outcome.message else ""
        what = f"{outcome.label} · seed {outcome.seed} · {result}{reason}"
        self._say(f"{count} {what} · {outcome.seconds:.1f} s{self._time_left()}")
        self._show(0.0, "")

    def close(self) -> None:
        if self.bars is not None:
            self.bars.stop()

    def _count(self) -> str:
        return f"[{self.estimate.done_runs + 1}/{self.estimate.runs}]"

    def _time_left(self, work_in_run: float = 0.0) -> str:
        left = self.estimate.left(work_in_run)
        return "" if left is None or self.estimate.done_runs >= self.estimate.runs else f" · {duration(left)} left"

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, work_in_run: float, text: str) -> None:
        if self.bars is None or self.all_runs is None:
            return
        done = self.estimate.done_work + work_in_run if self.estimate.work else self.estimate.done_runs
        left = self._time_left(work_in_run).removeprefix(" · ")
        width = max(10, self.console.width - self.bar_width - len(left) - 11)
        self.bars.update(self.all_runs, completed=done, description=text[:width] if text else None, state=left)


_SILENT = Reporter()
_current: Reporter | None = None


def current() -> Reporter:
    """The reporter of the work that goes on in this process; a silent one in a launcher's worker."""
    return _current or _SILENT


def leave() -> None:
    """From now on the runs are not this process' own."""
    global _current
    _current = None


@contextlib.contextmanager
def reporting(runs: int, work: float, stream: Any = None) -> Iterator[Reporter]:
    """Shows the progress of `runs` runs that take `work` in all, on standard output."""
    global _current
    reporter = LiveReporter(runs, work, Console(file=stream))
    _current = reporter
    try:
        yield reporter
    finally:
        _current = None
        reporter.close()


def duration(seconds: float) -> str:
    """A time as people say it: 45 s, 12 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
