"""Carrying a sweep out: what is left to do goes to Hydra's launcher, and is followed as its records appear."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from fracpool.records.plain_text import count
from fracpool.records.run_claim import is_free
from fracpool.records.unfinished import history
from fracpool.settings import identity
from fracpool.settings.config_files import override_value, quoted
from fracpool.settings.schema import Settings
from fracpool.sweep import launchers, progress
from fracpool.sweep.grid import Point
from fracpool.sweep.outcome import ELSEWHERE, Outcome, SweepFailed, outcome_of
from fracpool.sweep.sweep_file import shown_name

POLL_SECONDS = 2.0
MOST_SHOWN = 16  # runs of other processes that go on


def carry_out(launcher: Any, config: DictConfig, pending: list[Point]) -> list[Outcome]:
    """Launches what is to do; runs that another sweep is at are waited for, and taken over if it goes away."""
    outcomes: dict[str | None, Outcome] = {}
    while pending:
        for outcome in _launch(launcher, config, pending):
            outcomes[outcome.run_id] = outcome
        _require_planned(pending, outcomes)
        waiting = [point for point in pending if outcomes[point.run.run_id].status == ELSEWHERE]
        if waiting and len(waiting) == len(pending):
            print(f"waiting for {count(len(waiting), 'run')} that another process is at")
        while waiting and all(point.run.finished() is None and not is_free(point.run.claim) for point in waiting):
            time.sleep(POLL_SECONDS)
        pending = waiting
    return list(outcomes.values())


def _require_planned(pending: list[Point], outcomes: dict[str | None, Outcome]) -> None:
    """Raises SweepFailed where a worker made other runs than were planned here."""
    lost = [point for point in pending if point.run.run_id not in outcomes]
    if lost:
        raise SweepFailed(
            f"{count(len(lost), 'run')} became other runs where they were carried out, such as {lost[0].run.run_id}: "
            f"what reaches a worker from its surroundings (data, modules, KERAS_BACKEND and other variables) must be "
            f"as it is here"
        )


def _launch(launcher: Any, config: DictConfig, pending: list[Point]) -> list[Outcome]:
    work = sum(point.run.work for point in pending)
    threads = pending[0].run.settings.threads or launchers.threads_per_run(config.hydra.launcher)
    jobs = [
        [*first.overrides, *_for_a_worker(first.run.settings, threads), *_with_seeds([p.run.settings for p in others])]
        for first, *others in _programs(pending)
    ]
    names = {str(point.run.run_id): point.name for point in pending}
    with progress.reporting(shown_name(pending[0].run.settings), len(pending), work, names) as reporter:
        try:
            if type(launcher).__name__ == "BasicLauncher":  # Hydra loads its plugins anew: isinstance does not hold
                returns = launcher.launch(jobs, initial_job_idx=0)
            else:
                progress.leave()  # the runs go on elsewhere; what they finish is seen in the folder
                with _following(pending, reporter), warnings.catch_warnings():
                    # joblib replaces a worker whose memory grew: how it bounds memory, and nothing to warn of.
                    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
                    returns = launcher.launch(jobs, initial_job_idx=0)
        except KeyboardInterrupt:
            left = sum(point.run.finished() is None for point in pending)
            raise KeyboardInterrupt(
                f"Stopped: {len(pending) - left} of {len(pending)} runs are done; the same command goes on from here."
            ) from None
        except BrokenExecutor:
            return _launch_again(launcher, config, pending)
        except Exception as error:
            if type(launcher).__name__ == "BasicLauncher":
                raise
            left = sum(point.run.finished() is None for point in pending)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise SweepFailed(
                f"The workers of {type(launcher).__name__} stopped ({reason}); {len(pending) - left} of {len(pending)} "
                f"runs are done; the same command goes on from here."
            ) from error
    return [outcome for job_return in returns for outcome in _values(job_return)]


def _programs(pending: list[Point]) -> Iterator[list[Point]]:
    """Points whose runs one program trains: one each, or several seeds of a variant."""
    for _, points in itertools.groupby(pending, lambda point: identity.variant_id(point.run.settings)):
        of_variant = list(points)
        trainer = of_variant[0].run.settings.trainer
        size = trainer.at_once if trainer.strategy == "seeds" else 1
        yield from (of_variant[start : start + size] for start in range(0, len(of_variant), size))


def _with_seeds(others: list[Settings]) -> list[str]:
    return [f"trainer.others={override_value([settings.seed for settings in others])}"] if others else []


def _launch_again(launcher: Any, config: DictConfig, pending: list[Point]) -> list[Outcome]:
    """Goes on after a worker was killed, as the system does when memory runs out, unless nothing gets done."""
    records = [point.run.finished() for point in pending]
    done = [outcome_of(record, skipped=False, seconds=0.0) for record in records if record is not None]
    left = [point for point, record in zip(pending, records, strict=True) if record is None]
    if not done:
        raise SweepFailed(
            "A worker process was killed before any run was done, most likely for want of memory: use fewer workers "
            "(hydra.launcher.n_jobs) or a smaller network; the same command goes on from here."
        )
    print(f"a worker process was killed, most likely for want of memory; going on with {count(len(left), 'run')}")
    return done + (_launch(launcher, config, left) if left else [])


def _for_a_worker(settings: Settings, threads: int | None) -> list[str]:
    """What a worker has to be told beside the overrides: it may run in another folder, on some of the cores."""
    folder = quoted(str(Path(settings.results_dir).absolute()))
    return [f"results_dir={folder}", *([f"threads={threads}"] if threads else [])]


def _values(job_return: JobReturn) -> list[Outcome]:
    if job_return.status != JobStatus.COMPLETED:  # an error of fracpool: errors of a run are in its record
        raise job_return._return_value
    outcomes = job_return.return_value
    assert isinstance(outcomes, list)
    return outcomes


@contextmanager
def _following(pending: list[Point], reporter: progress.LiveReporter) -> Iterator[None]:
    """Reports the runs as their records appear and, on a terminal, how far those are that somebody is at."""
    stop = threading.Event()

    def follow() -> None:
        waiting, over = list(pending), False
        while waiting and not over:
            over = stop.wait(POLL_SECONDS)  # once more after the end
            for point in list(waiting):
                record = point.run.finished()
                if record is not None:
                    waiting.remove(point)
                    reporter.run_ends(outcome_of(record, skipped=False, seconds=record.seconds), point.run.work)
            if reporter.view is not None:
                held = (point for point in waiting if not is_free(point.run.claim))
                reporter.runs_go_on([_reached(point) for point in itertools.islice(held, MOST_SHOWN)])

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _reached(point: Point) -> progress.Reached:
    run = point.run
    label, seed, epochs = point.name, run.settings.seed, run.settings.budget.epochs
    rows = history(run.store.unfinished(str(run.run_id)))
    return progress.Reached(label, seed, len(rows), epochs, rows[-1].get("test_accuracy") if rows else None, run.work)
