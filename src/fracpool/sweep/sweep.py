"""A sweep: the grid is planned whole before anything runs, what is done is skipped, the rest is launched.

The plan composes each point of the grid, drops the pool settings that a kind of pooling does not have (so
that `pool=max,fmp pool.ratio=1.4,1.47` trains max pool once), leaves out networks that cannot be built and
says why, and finds the runs that have their record. Any Hydra launcher then carries out what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig

from fracpool.records.plain_text import count
from fracpool.records.record import Record
from fracpool.settings import datasets, identity
from fracpool.settings.architecture import Network
from fracpool.sweep import config_sources, forecast, questions, sweep_file
from fracpool.sweep.grid import Composer, Plan, Point, by_backend, grid, one_per_dataset, plan_all
from fracpool.sweep.launch import carry_out
from fracpool.sweep.outcome import Outcome, SweepFailed
from fracpool.sweep.planned_run import plan, prepare_folder, refuse_other_backend
from fracpool.sweep.sweep_file import shown_name, write_sweep
from fracpool.training import tracking
from fracpool.training.provenance import maker, maker_of

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
    config_sources.refuse_hidden(config.hydra.runtime.config_sources)
    whole = plan_all(Composer(config, loader), grid(arguments, loader))
    whole.remarks = questions.remarks(whole, list(config.hydra.overrides.task), bool(config.hydra.sweeper.params))
    whole.remarks += sweep_file.remarks(whole)
    if _collected is not None:
        _collected.append(whole)
        return []
    if whole.settings.plan:
        _print_plan(whole)
        return []
    if whole.missing_data and whole.settings.missing_data == "error":
        for settings in one_per_dataset(whole):
            datasets.obtain(settings.dataset)
        whole = replace(whole, points=[replace(p, run=plan(p.run.settings)) for p in whole.points], missing_data=None)
    records = [point.run.finished() for point in whole.points]
    pending = [] if whole.missing_data else [p for p, record in zip(whole.points, records, strict=True) if not record]
    pending, elsewhere = by_backend(pending)
    if elsewhere and not pending:
        refuse_other_backend(next(iter(elsewhere.values()))[0].run.settings)
    config.hydra.sweep.dir = str(whole.store.root)  # where launchers and the report look, as it was planned
    prepare_folder(whole.store)
    tracking.prepare(whole.settings, whole.store.root)
    write_sweep(whole, config_sources.experiment_file(config))
    _say_before(whole, pending, [record for record in records if record])
    _say_elsewhere(elsewhere)
    outcomes = carry_out(launcher, config, pending)
    _say_after(whole, outcomes, sum(map(len, elsewhere.values())))
    return outcomes


def _say_before(whole: Plan, pending: list[Point], skipped: list[Record]) -> None:
    runs, variants = len(whole.points), len(sweep_file.variants(whole))
    if whole.missing_data:
        print(f"{shown_name(whole.settings)}: not run, only its geometry is kept: {whole.missing_data}")
        return
    print(
        f"{shown_name(whole.settings)}: {count(runs, 'run')} of {count(variants, 'variant')}, "
        f"{len(skipped)} skipped because their records are there, {len(pending)} to do"
    )
    here = maker()
    others = [other for other in map(maker_of, skipped) if other != here]
    if others:
        told = sorted({f"{name} {value}" for other in others for name, value in other.items() - here.items()})
        print(f"  {count(len(others), 'record')} made by another version: {', '.join(told)}; retry=all runs them again")
    _say_what_is_odd(whole)


def _say_elsewhere(elsewhere: Mapping[str, Sequence[Point]]) -> None:
    for backend, points in elsewhere.items():
        print(f"  {count(len(points), 'run')} left to another backend: {sweep_file.command(backend)}")


def _say_what_is_odd(whole: Plan) -> None:
    for warning in dict.fromkeys(point.run.warning for point in whole.points):
        if warning:
            print(f"  warning: {warning}")
    for one in whole.impossible:
        print(f"  left out: {one.label}: {one.reason}")
    for line in whole.remarks:
        print(f"  {line}")


def _say_after(whole: Plan, outcomes: list[Outcome], elsewhere: int) -> None:
    if not outcomes:
        return
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    done = {status: [o for o in ran if o.status == status] for status in ("completed", "diverged", "failed")}
    skipped = len(whole.points) - len(ran) - elsewhere
    summary = f"{shown_name(whole.settings)}: {len(done['completed'])} done, {skipped} skipped, "
    summary += f"{len(done['diverged'])} diverged, {len(done['failed'])} failed"
    print(summary)
    names = {point.run.run_id: point.name for point in whole.points}
    for outcome in done["failed"]:
        print(f"  failed: {names.get(outcome.run_id, outcome.label)}, seed {outcome.seed}: {outcome.message}")
    if done["failed"]:
        raise SweepFailed(
            "Tracebacks of the failed runs are in their records; retry=failed runs them again, and "
            f"`python -m fracpool.report {whole.store.root}` writes the report without them."
        )


def _cost(network: Network) -> str:
    macs = f"{network.counted_macs / 1e6:.1f} M multiply-accumulates per image"
    return macs if network.macs is not None else f"{macs}, those of its pooling not counted"


def _print_plan(whole: Plan) -> None:
    groups: dict[str, list[Point]] = {}
    for point in whole.points:
        groups.setdefault(identity.variant_id(point.run.settings), []).append(point)
    print(f"{shown_name(whole.settings)}: {count(len(whole.points), 'run')} of {count(len(groups), 'variant')}")
    for group in groups.values():
        done = sum(point.run.finished() is not None for point in group)
        seeds = ",".join(str(point.run.settings.seed) for point in group)
        print(f"  {group[0].name}: seed {seeds}; {_cost(group[0].run.network)}; {done} of {len(group)} done")
    _say_what_is_odd(whole)
    if whole.missing_data:
        print(f"  data missing: {whole.missing_data}")
        return
    here, elsewhere = by_backend(whole.pending())
    _say_elsewhere(elsewhere)
    pending = [point.run for point in here]
    for line in forecast.lines(pending, whole.store.read().records):
        print(f"  {count(len(pending), 'run')} to do: {line}")
