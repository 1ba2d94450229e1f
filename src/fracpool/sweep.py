"""A sweep: the grid is planned whole before anything runs, what is done is skipped, the rest is launched.

The plan composes each point of the grid, drops the pool settings that a kind of pooling does not have (so
that `pool=max,fmp pool.ratio=1.4,1.47` trains max pool once), leaves out networks that cannot be built and
says why, and finds the runs that have their record. Any Hydra launcher then carries out what is left.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fracpool import checkpoint, datasets, environment, forecast, identity, launchers, progress, tracking
from fracpool.claims import is_free
from fracpool.description import maker, maker_of, now
from fracpool.plain_text import count
from fracpool.records import Record, Store
from fracpool.runner import ELSEWHERE, Outcome, PlannedRun, outcome_of, plan, prepare_folder, refuse_others
from fracpool.settings import ImpossibleNetwork, Settings, SettingsError, from_config

POLL_SECONDS = 2.0
MOST_SHOWN = 16  # runs of other processes that go on
NO_REPORT = "~hydra.callbacks.report"  # of a sweep whose caller writes the report


class SweepFailed(Exception):
    """Some runs of a sweep failed; the text is the summary."""


@dataclass
class Point:
    """A planned run and the overrides that give it."""

    run: PlannedRun
    overrides: list[str]


@dataclass
class Plan:
    """The whole sweep. `impossible` holds (label, reason); `missing_data` is None or one line."""

    settings: Settings
    points: list[Point] = field(default_factory=list)
    impossible: list[tuple[str, str]] = field(default_factory=list)
    missing_data: str | None = None

    @property
    def store(self) -> Store:
        return self.points[0].run.store

    def pending(self) -> list[Point]:
        return [point for point in self.points if point.run.finished() is None]


_collected: list[Plan] | None = None


@contextmanager
def collecting() -> Iterator[list[Plan]]:
    """Sweeps inside are planned and handed over in the list; nothing of them is printed or runs."""
    global _collected
    _collected = []
    try:
        yield _collected
    finally:
        _collected = None


def sweep(config: DictConfig, loader: Any, launcher: Any, arguments: list[str]) -> list[Any]:
    """Plans and carries out the sweep of `arguments` (overrides, each with one value or several)."""
    whole = _plan(_Composer(config, loader), _grid(arguments, loader))
    if _collected is not None:
        _collected.append(whole)
        return []
    if whole.settings.plan:
        _print_plan(whole)
        return []
    if whole.missing_data and whole.settings.missing_data == "error":
        for settings in _one_per_dataset(whole):
            datasets.obtain(settings.dataset)
        whole = replace(whole, points=[replace(p, run=plan(p.run.settings)) for p in whole.points], missing_data=None)
    prepare_folder(whole.store)
    tracking.prepare(whole.settings, whole.store.root)
    records = [point.run.finished() for point in whole.points]
    pending = [] if whole.missing_data else [p for p, record in zip(whole.points, records, strict=True) if not record]
    _write_sweep(whole)
    _say_before(whole, pending, [record for record in records if record])
    outcomes = _carry_out(launcher, config, pending)
    _say_after(whole, outcomes)
    return outcomes


def _grid(arguments: list[str], loader: Any) -> list[list[Override]]:
    """For each point its overrides, each with a single value. A later override of a key replaces an earlier."""
    parser = OverridesParser.create(config_loader=loader)
    axes: dict[str, list[str]] = {}
    for override in parser.parse_overrides(arguments):
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}" if not override.is_delete() else key]
            continue
        if not override.is_discrete_sweep():
            raise HydraException(f"{override.input_line}: this kind of sweep is unknown; give the values, as in 1,2,3")
        if override.key_or_group == "experiment":
            raise SettingsError(
                f"{override.input_line}: a sweep has one experiment, which brings its grid; run them one by one"
            )
        axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not axes[key]:
            raise SettingsError(f"{override.input_line}: has no values; give at least one, as in seed=0,1,2")
    parsed = {text: parser.parse_override(text) for axis in axes.values() for text in axis}
    return [[parsed[text] for text in point] for point in itertools.product(*axes.values())]


class _Composer:
    """Composes points. Hydra needs some 60 ms for each, so one composition serves all that choose the same
    groups, and plain values are set on a copy of it, as Hydra itself does after composing."""

    def __init__(self, config: DictConfig, loader: Any) -> None:
        self.config, self.loader = config, loader
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        self.groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[Override]) -> DictConfig:
        plain = [o for o in overrides if self._is_plain_value(o)]
        rest = tuple(str(o.input_line) for o in overrides if o not in plain)
        if rest not in self.composed:
            whole = self.loader.load_sweep_config(self.config, list(rest))
            keep = [name for name in whole if name != "hydra"]
            self.composed[rest] = OmegaConf.masked_copy(whole, keep)
        config = deepcopy(self.composed[rest])
        try:
            for override in plain:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # composing it whole gives the error as Hydra words it
            self.loader.load_sweep_config(self.config, [str(o.input_line) for o in overrides])
            raise
        return config

    def _is_plain_value(self, override: Override) -> bool:
        changes = not (override.is_add() or override.is_force_add() or override.is_delete())
        key = override.key_or_group
        return changes and not key.startswith("hydra") and not self._is_group(key)

    def _is_group(self, key: str) -> bool:
        if key not in self.groups:  # Hydra reads its folders anew at each question
            self.groups[key] = bool(self.loader.get_group_options(key))
        return self.groups[key]


def _plan(composer: _Composer, grid: list[list[Override]]) -> Plan:
    points: dict[str, Point] = {}
    impossible: dict[str, str] = {}
    missing = None
    settings: Settings | None = None
    for settings, overrides in _all_settings(composer, grid):
        if _is_left_out(settings):
            continue
        try:
            run = plan(settings)
        except ImpossibleNetwork as error:
            impossible[identity.label(settings)] = str(error)
            continue
        if run.run_id is None:
            missing = missing or datasets.missing(settings.dataset)
        points.setdefault(run.key, Point(run, overrides))
    if settings is None or not points:
        reason = next(iter(impossible.values()), "the grid is empty")
        raise SettingsError(f"nothing to run: no network of the sweep can be built ({reason})")
    return Plan(
        settings=settings,
        points=_seeds_together(list(points.values())),
        impossible=list(impossible.items()),
        missing_data=missing,
    )


def _is_left_out(settings: Settings) -> bool:
    """Whether the experiment does not want this point of its grid: one of `leave_out` holds for it. A list of values
    stands for any of them."""

    def holds(key: str, wanted: Any) -> bool:
        value = reduce(getattr, key.split("."), settings)
        return value == wanted or (isinstance(wanted, list) and value in wanted)

    try:
        return any(all(map(holds, pattern, pattern.values())) for pattern in settings.experiment.leave_out)
    except AttributeError as error:
        raise SettingsError(
            f"experiment.leave_out={settings.experiment.leave_out}: must be a list of settings and values, such as "
            f"[{{pool.kind: fmp, model.pools: 3}}] ({error})"
        ) from error


def _all_settings(composer: _Composer, grid: list[list[Override]]) -> Iterator[tuple[Settings, list[str]]]:
    """The settings of each point; those that differ in the seed alone are composed and checked once."""
    known: dict[tuple[str, ...], Settings] = {}
    for point in grid:
        overrides = [str(o.input_line) for o in point]
        without_seed = tuple(o for o in overrides if not o.startswith("seed="))
        seed = next((o.value() for o in point if o.key_or_group == "seed"), None)
        if isinstance(seed, int) and 0 <= seed < 2**31 and without_seed in known:
            yield replace(known[without_seed], seed=seed), overrides
            continue
        settings, _ = from_config(composer.compose(point), sweep=True)
        refuse_others(settings)
        known[without_seed] = settings
        yield settings, overrides


def _seeds_together(points: list[Point]) -> list[Point]:
    """The seeds of a variant follow one another: its compiled program then serves them all."""
    order: dict[str, int] = {}
    for point in points:
        order.setdefault(identity.variant_id(point.run.settings), len(order))
    return sorted(points, key=lambda point: order[identity.variant_id(point.run.settings)])


def _one_per_dataset(whole: Plan) -> list[Settings]:
    return list({p.run.settings.dataset.name: p.run.settings for p in whole.points}.values())


def _carry_out(launcher: Any, config: DictConfig, pending: list[Point]) -> list[Outcome]:
    """Launches what is to do; runs that another sweep is at are waited for, and taken over if it goes away."""
    outcomes: dict[str | None, Outcome] = {}
    while pending:
        for outcome in _launch(launcher, config, pending):
            outcomes[outcome.run_id] = outcome
        waiting = [point for point in pending if outcomes[point.run.run_id].status == ELSEWHERE]
        if waiting and len(waiting) == len(pending):
            print(f"waiting for {count(len(waiting), 'run')} that another process is at")
        while waiting and all(point.run.finished() is None and not is_free(point.run.claim) for point in waiting):
            time.sleep(POLL_SECONDS)
        pending = waiting
    return list(outcomes.values())


def _launch(launcher: Any, config: DictConfig, pending: list[Point]) -> list[Outcome]:
    work = sum(point.run.work for point in pending)
    threads = pending[0].run.settings.threads or launchers.threads_per_run(config.hydra.launcher)
    jobs = [
        [*first.overrides, *_for_a_worker(first.run.settings, threads), *_with_seeds([p.run.settings for p in others])]
        for first, *others in _programs(pending)
    ]
    with progress.reporting(_name(pending[0].run.settings), len(pending), work) as reporter:
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
    return [f"trainer.others={identity.override_value([settings.seed for settings in others])}"] if others else []


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
    folder = str(Path(settings.results_dir).absolute()).replace("\\", "\\\\").replace("'", "\\'")
    return [f"results_dir='{folder}'", *([f"threads={threads}"] if threads else [])]


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
                    seconds = (record.data.get("timings") or {}).get("train_seconds") or 0.0
                    reporter.run_ends(outcome_of(record, skipped=False, seconds=seconds), point.run.work)
            if reporter.view is not None:
                held = (point.run for point in waiting if not is_free(point.run.claim))
                reporter.runs_go_on([_reached(run) for run in itertools.islice(held, MOST_SHOWN)])

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _reached(run: PlannedRun) -> progress.Reached:
    label, seed, epochs = identity.label(run.settings), run.settings.seed, run.settings.budget.epochs
    rows = checkpoint.history(run.store.unfinished(str(run.run_id)))
    return progress.Reached(label, seed, len(rows), epochs, rows[-1].get("test_accuracy") if rows else None, run.work)


def _write_sweep(whole: Plan) -> None:
    """Keeps which runs an experiment consists of, for the report: runs may be shared between experiments."""
    experiment = whole.settings.experiment
    if not experiment.name:
        return
    runs = [point.run.run_id for point in whole.points if point.run.run_id]
    before = whole.store.read_sweeps()[0].get(experiment.name, {})
    if whole.missing_data:  # data that are out of reach today take nothing from what was run before
        runs = before.get("runs", [])
    earlier = {*before.get("runs", []), *before.get("older", [])} - set(runs)
    whole.store.write_sweep(
        experiment.name,
        {
            "experiment": experiment.name,
            "title": experiment.title,
            "question": experiment.question,
            "findings": experiment.findings,
            "written": now(),
            "command": _command(),
            "commit": environment.commit(),
            "variants": _variants(whole),
            "runs": runs,
            "older": sorted(run for run in earlier if whole.store.folder(run).is_dir()),
            "impossible": [{"label": label, "reason": reason} for label, reason in whole.impossible],
            "not_run": None if runs else whole.missing_data,
        },
    )


def _variants(whole: Plan) -> list[dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    for point in whole.points:
        settings = point.run.settings
        variant = identity.variant_id(settings)
        if variant not in described:
            described[variant] = {
                "variant_id": variant,
                "label": identity.label(settings),
                "config": identity.config(settings),
                "geometry": point.run.network.as_record(),
            }
    return list(described.values())


def _command() -> str:
    return environment.command([word for word in sys.argv[1:] if word != NO_REPORT])


def _name(settings: Settings) -> str:
    return settings.experiment.name or "sweep"


def _say_before(whole: Plan, pending: list[Point], skipped: list[Record]) -> None:
    runs, variants = len(whole.points), len(_variants(whole))
    if whole.missing_data:
        print(f"{_name(whole.settings)}: not run, only its geometry is kept: {whole.missing_data}")
        return
    print(
        f"{_name(whole.settings)}: {count(runs, 'run')} of {count(variants, 'variant')}, "
        f"{runs - len(pending)} skipped because their records are there, {len(pending)} to do"
    )
    makers = [maker_of(record) for record in skipped]
    others = [other for other in makers if other != maker()]
    if others:
        told = sorted({f"{name} {value}" for other in others for name, value in other.items() - maker().items()})
        print(f"  {count(len(others), 'record')} made by another version: {', '.join(told)}; retry=all runs them again")
    for label, reason in whole.impossible:
        print(f"  left out: {label}: {reason}")


def _say_after(whole: Plan, outcomes: list[Outcome]) -> None:
    if not outcomes:
        return
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    done = {status: [o for o in ran if o.status == status] for status in ("completed", "diverged", "failed")}
    skipped = len(whole.points) - len(ran)
    summary = f"{_name(whole.settings)}: {len(done['completed'])} done, {skipped} skipped, "
    summary += f"{len(done['diverged'])} diverged, {len(done['failed'])} failed"
    print(summary)
    for outcome in done["failed"]:
        print(f"  failed: {outcome.label}, seed {outcome.seed}: {outcome.message}")
    if done["failed"]:
        raise SweepFailed(
            "Tracebacks of the failed runs are in their records; retry=failed runs them again, and "
            f"`python -m fracpool.report {whole.store.root}` writes the report without them."
        )


def _print_plan(whole: Plan) -> None:
    from fracpool import table  # brings pandas, which a sweep that runs needs at its end only

    variants = _variants(whole)
    print(f"{_name(whole.settings)}: {count(len(whole.points), 'run')} of {count(len(variants), 'variant')}")
    names = table.distinct_names([(v["label"], table.flatten(v["config"])) for v in variants])
    groups: dict[str, list[Point]] = {v["variant_id"]: [] for v in variants}
    for point in whole.points:
        groups[identity.variant_id(point.run.settings)].append(point)
    for name, group in zip(names, groups.values(), strict=True):
        done = sum(point.run.finished() is not None for point in group)
        seeds = ",".join(str(point.run.settings.seed) for point in group)
        macs = f"{group[0].run.network.macs / 1e6:.1f} M multiply-accumulates per image"
        print(f"  {name}: seed {seeds}; {macs}; {done} of {len(group)} done")
    for label, reason in whole.impossible:
        print(f"  left out: {label}: {reason}")
    if whole.missing_data:
        print(f"  data missing: {whole.missing_data}")
        return
    pending = [point.run for point in whole.pending()]
    for line in forecast.lines(pending, whole.store.read().records):
        print(f"  {count(len(pending), 'run')} to do: {line}")
