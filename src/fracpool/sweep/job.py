"""A run from its settings: planned, skipped if its record is there, else carried out.

`job` is what Hydra calls, once per run, in this process or in a launcher's worker. TensorFlow is imported only
when something has to be computed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fracpool.records import run_claim
from fracpool.records.files import StorageError
from fracpool.records.record import Record
from fracpool.settings import datasets, quiet_import
from fracpool.settings.check import from_config
from fracpool.settings.names import label
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import Settings
from fracpool.sweep import config_sources, progress
from fracpool.sweep.outcome import ELSEWHERE, Outcome, SweepFailed, outcome_of
from fracpool.sweep.planned_run import PlannedRun, plan, prepare_folder, refuse_other_backend, refuse_others
from fracpool.training import tracking

# By task, the module that carries it out; loaded late, since it brings the backend.
COMPUTING = {"train": "fracpool.training.run", "gradient": "fracpool.training.gradient_check"}


def execute(planned: PlannedRun, reporter: progress.RunReporter) -> Outcome:
    """Carries a run out, unless its record is there or another process is at it."""
    return execute_together([planned], reporter)[0]


def execute_together(planned: Sequence[PlannedRun], reporter: progress.RunReporter) -> list[Outcome]:
    """The same for runs that differ in their seed alone; with trainer.strategy=seeds one program trains them."""
    outcomes = _finished(planned)
    left = [p for p in planned if p.key not in outcomes]
    if left:
        settings = left[0].settings
        compute = quiet_import.load(COMPUTING[settings.task])
        devices = quiet_import.load("fracpool.training.devices")
        keras_settings = quiet_import.load("fracpool.training.keras_settings")
        devices.use(settings.threads)
        devices.check(settings.trainer)
        with keras_settings.usual(), contextlib.ExitStack() as claimed:
            mine = [p for p in left if claimed.enter_context(run_claim.claim(p.claim))]
            outcomes |= {p.key: _elsewhere(p) for p in left if p not in mine}
            outcomes |= _finished(mine)  # another process may have ended them just before
            to_do = [p for p in mine if p.key not in outcomes]
            run = _in_one_program(compute, to_do) if settings.trainer.strategy == "seeds" else compute.run
            outcomes |= {p.key: _compute(p, run, reporter) for p in to_do}
    return [outcomes[p.key] for p in planned]


def _finished(planned: Sequence[PlannedRun]) -> dict[str, Outcome]:
    found = {p.key: p.finished() for p in planned}
    return {key: outcome_of(record, skipped=True, seconds=0.0) for key, record in found.items() if record is not None}


def _in_one_program(compute: ModuleType, planned: Sequence[PlannedRun]) -> Callable[..., Record]:
    together = quiet_import.load("fracpool.training.seeds_together")
    return partial(compute.run, train=together.Group({str(p.run_id): p.settings for p in planned}).train)


def _compute(planned: PlannedRun, run: Callable[..., Record], reporter: progress.RunReporter) -> Outcome:
    settings = planned.settings
    began = time.perf_counter()
    reporter.run_begins(
        reporter.name_of(str(planned.run_id), label(settings)), settings.seed, settings.budget.epochs, planned.work
    )
    record = run(settings, planned.run_id, planned.network, planned.store, reporter)
    outcome = outcome_of(record, skipped=False, seconds=time.perf_counter() - began)
    reporter.run_ends(outcome, planned.work)
    return outcome


def _elsewhere(planned: PlannedRun) -> Outcome:
    settings = planned.settings
    message = "another process is at it"
    return Outcome(str(planned.run_id), label(settings), settings.seed, ELSEWHERE, False, None, 0.0, message)


class Stop(BaseException):
    """An error that ends the command, not only its run. Hydra's launchers go on after an Exception, and Hydra says that
    there was one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_noted: list[Record] | None = None


@contextlib.contextmanager
def noting() -> Iterator[list[Record]]:
    """The records of single runs inside are handed over in the list, also those that were there before."""
    global _noted
    before, _noted = _noted, []
    try:
        yield _noted
    finally:
        _noted = before


def job(config: DictConfig) -> list[Outcome]:
    """Hydra's task function: one run, or in a sweep those of several seeds that share a program."""
    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        settings, _ = from_config(config, sweep=in_sweep)
        if in_sweep:  # planned and checked by the sweeper, in this process or in the one that launched this
            seeds = [settings.seed, *settings.trainer.others]
            return execute_together([plan(replace(settings, seed=seed)) for seed in seeds], progress.current())
        _single(settings)
        return []
    except (SettingsError, StorageError, SweepFailed) as error:
        raise Stop(error) from error


def _single(settings: Settings) -> None:
    config_sources.refuse_hidden(HydraConfig.get().runtime.config_sources)
    refuse_others(settings)
    if settings.experiment.name:
        print(f"One run of the experiment {settings.experiment.name}; add -m to run all of it.")
    if not settings.plan and settings.task == "train":
        datasets.obtain(settings.dataset)
    planned = plan(settings)
    if planned.warning:
        print(f"warning: {planned.warning}")
    if settings.plan:
        done = planned.finished() is not None
        print(f"{planned.run_id or label(settings)}: {'has its record' if done else 'would run'}")
        return
    if planned.finished() is None:
        refuse_other_backend(settings)
    prepare_folder(planned.store)
    tracking.prepare(settings, planned.store.root)
    with progress.reporting("run", 1, planned.work) as reporter:
        outcome = execute(planned, reporter)
    if outcome.status == ELSEWHERE:
        print(f"not run, another process is at it: {outcome.label}, seed {outcome.seed}")
        return
    if outcome.skipped:
        print(f"skipped, its record is there: {outcome.label}, seed {outcome.seed}{_accuracy(outcome)}")
    print(f"Record: {planned.store.folder(outcome.run_id)}")
    record = planned.store.find(outcome.run_id)
    if _noted is not None and record is not None:
        _noted.append(record)
    if outcome.status == "failed":
        raise SweepFailed("The traceback of the failed run is in its record; retry=failed runs it again.")


def _accuracy(outcome: Outcome) -> str:
    return "" if outcome.accuracy is None else f", test accuracy {outcome.accuracy:.4f}"
