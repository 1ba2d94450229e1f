"""A run from its settings: planned, skipped if its record is there, else carried out.

`job` is what Hydra calls, once per run, in this process or in a launcher's worker. TensorFlow is imported only
when something has to be computed.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fracpool import architecture, claims, datasets, identity, progress, quiet_import, tracking
from fracpool.plain_text import text
from fracpool.records import Record, StorageError, Store
from fracpool.settings import Settings, SettingsError, from_config, require, test_passes

ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class PlannedRun:
    """Settings that are known to be possible, and the id of their run (None while its data are missing)."""

    settings: Settings
    network: architecture.Network
    run_id: str | None

    @property
    def store(self) -> Store:
        return Store(Path(self.settings.results_dir) / self.settings.profile)

    @property
    def claim(self) -> Path:
        return self.store.claim(str(self.run_id))

    @property
    def key(self) -> str:
        """Its id; while the data are missing, that of its variant with the seed."""
        return self.run_id or f"{identity.variant_id(self.settings)}/{self.settings.seed}"

    @property
    def work(self) -> float:
        """Multiply-accumulates of the run, for estimates of time."""
        settings, known = self.settings, datasets.describe(self.settings.dataset)
        examples = settings.budget.train_examples or known.train_examples
        repeats, _ = test_passes(settings)
        return work(self.network.macs, examples, known.test_examples, settings.budget.epochs, repeats)

    def finished(self) -> Record | None:
        """Its record, if there is one that `retry` does not ask to make again."""
        record = self.store.find(self.run_id) if self.run_id else None
        retry = self.settings.retry
        again = record is not None and retry != "none" and retry in ("all", record.status)
        return None if again else record


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    `status` is that of the record, or `elsewhere` while another process holds the run; `skipped` says that the
    record was there before.
    """

    run_id: str
    label: str
    seed: int
    status: str
    skipped: bool
    accuracy: float | None
    seconds: float
    message: str = ""


def work(macs: int, train_examples: int, test_examples: int, epochs: int, repeats: int) -> float:
    """Multiply-accumulates of a run: a step of training costs three passes forward, and each epoch ends with a test."""
    return float(macs) * (3 * train_examples * epochs + test_examples * (epochs + repeats))


def plan(settings: Settings) -> PlannedRun:
    """Raises ImpossibleNetwork or SettingsError if the network cannot be built."""
    if settings.task == "gradient":
        return PlannedRun(settings, architecture.NO_NETWORK, identity.run_id(settings, "none"))
    known = datasets.describe(settings.dataset)
    examples, available = settings.budget.train_examples, known.train_examples
    require(
        examples is None or examples <= available,
        "budget.train_examples",
        examples,
        f"null for all, or at most the {available} of dataset={known.name}",
    )
    network = architecture.network(settings.model, settings.pool, known.shape, known.classes)
    there = datasets.missing(settings.dataset) is None
    run_id = identity.run_id(settings, datasets.fingerprint(settings.dataset)) if there else None
    return PlannedRun(settings, network, run_id)


def execute(planned: PlannedRun, reporter: progress.Reporter) -> Outcome:
    """Carries a run out, unless its record is there or another process is at it."""
    return execute_together([planned], reporter)[0]


def execute_together(planned: Sequence[PlannedRun], reporter: progress.Reporter) -> list[Outcome]:
    """The same for runs that differ in their seed alone; with trainer.strategy=seeds one program trains them."""
    outcomes = _finished(planned)
    left = [p for p in planned if p.key not in outcomes]
    if left:
        settings = left[0].settings
        compute = quiet_import.load("fracpool.gradient" if settings.task == "gradient" else "fracpool.training")
        quiet_import.load("fracpool.threads").use(settings.threads)
        quiet_import.load("fracpool.devices").check(settings.trainer)
        with contextlib.ExitStack() as claimed:
            mine = [p for p in left if claimed.enter_context(claims.claim(p.claim))]
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
    together = quiet_import.load("fracpool.together")
    return partial(compute.run, group=together.Group({str(p.run_id): p.settings for p in planned}))


def _compute(planned: PlannedRun, run: Callable[..., Record], reporter: progress.Reporter) -> Outcome:
    settings = planned.settings
    began = time.perf_counter()
    reporter.run_begins(identity.label(settings), settings.seed, settings.budget.epochs, planned.work)
    record = run(settings, planned.run_id, planned.network, planned.store, reporter)
    outcome = outcome_of(record, skipped=False, seconds=time.perf_counter() - began)
    reporter.run_ends(outcome, planned.work)
    return outcome


def _elsewhere(planned: PlannedRun) -> Outcome:
    settings = planned.settings
    label = identity.label(settings)
    return Outcome(str(planned.run_id), label, settings.seed, ELSEWHERE, False, None, 0.0, "another process is at it")


class Stop(BaseException):
    """An error that stops a sweep, not only its run. Hydra's launchers go on after an Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


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
    except (SettingsError, StorageError) as error:
        raise Stop(error) from error


def refuse_others(settings: Settings) -> None:
    """Seeds of one program are for a sweep to hand to its jobs, not for a command line."""
    others = settings.trainer.others
    require(not others, "trainer.others", others, "[], which a sweep fills in; give the seeds as in -m seed=0,1,2")


def _single(settings: Settings) -> None:
    refuse_others(settings)
    if settings.experiment.name:
        print(f"One run of the experiment {settings.experiment.name}; add -m to run all of it.")
    if not settings.plan and settings.task == "train":
        datasets.obtain(settings.dataset)
    planned = plan(settings)
    if settings.plan:
        done = planned.finished() is not None
        print(f"{planned.run_id or identity.label(settings)}: {'has its record' if done else 'would run'}")
        return
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
    if outcome.status == "failed":
        raise SystemExit(1)


def _accuracy(outcome: Outcome) -> str:
    return "" if outcome.accuracy is None else f", test accuracy {outcome.accuracy:.4f}"


def prepare_folder(store: Store) -> None:
    """Makes sure, before anything is computed, that records can be written, and clears up after killed processes."""
    for link in store.links():
        raise SettingsError(
            f"results_dir={store.root.parent}: {link} is a link, which is not followed; link {store.root} as a whole"
        )
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store.root) as file:
            file.write(b"x")
    except OSError as error:
        raise SettingsError(
            f"results_dir={store.root.parent}: {store.root} cannot be written "
            f"({error.strerror or type(error).__name__}); choose another with results_dir=FOLDER"
        ) from error
    store.forget_leftovers()


def outcome_of(record: Record, skipped: bool, seconds: float) -> Outcome:
    data: dict[str, Any] = record.data
    error, accuracy = data.get("error"), data["metrics"].get("test_accuracy")
    message = f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else ""
    return Outcome(
        run_id=record.run_id,
        label=text(data.get("label", "")),
        seed=data["seed"],
        status=record.status,
        skipped=skipped,
        accuracy=accuracy if isinstance(accuracy, float) else None,
        seconds=seconds,
        message=text(message.partition("\n")[0]),
    )
