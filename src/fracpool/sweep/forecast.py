"""How long runs will take, by what the records of a results folder say that like runs took here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fracpool.records import environment
from fracpool.records.plain_text import duration
from fracpool.sweep import planned_run

if TYPE_CHECKING:
    from fracpool.records.record import Record
    from fracpool.sweep.planned_run import PlannedRun


PARTS = ("train_seconds", "epoch_test_seconds", "test_seconds", "overhead_seconds")


@dataclass(frozen=True)
class Measured:
    """One record: which kind of run it was, what it computed (multiply-accumulates) and what it took."""

    dataset: str
    pool: str
    threads: int
    work: float
    seconds: float


def measured(records: Iterable[Record]) -> list[Measured]:
    """What completed training runs took on a processor like this one."""
    here = environment.processor()
    completed = (record for record in records if record.status == "completed")
    return [one for record in completed if (one := _measured(record, here)) is not None]


def _measured(record: Record, processor: str) -> Measured | None:
    """None for a run on another processor, or a record that does not say what is needed: it may be a stranger's."""
    data = record.data
    try:
        config, machine, sizes = data["config"], data["environment"], data["data"]
        counts = (
            sum(layer["macs"] or 0 for layer in data["geometry"]["layers"]),  # a layer of one's own may not tell them
            sizes["train_examples"],
            sizes["test_examples"],
            config["budget"]["epochs"],
            data["metrics"].get("repeats", 1),
        )
        dataset, pool, threads = config["dataset"]["name"], config["pool"]["kind"], machine["threads"]
    except (KeyError, TypeError, AttributeError):
        return None
    whole = all(isinstance(number, int) and number > 0 for number in (*counts, threads))
    if machine.get("cpu") != processor or not whole:
        return None
    seconds = sum((data.get("timings") or {}).get(part) or 0.0 for part in PARTS)
    return Measured(str(dataset), str(pool), threads, planned_run.work(*counts), seconds)


def seconds(runs: Sequence[PlannedRun], known: Sequence[Measured], threads: int) -> float | None:
    """Seconds of the runs one after another with so many threads each; None where too little was measured.

    Each takes as long per multiply-accumulate as the runs with the same data set and pooling did, or with the same
    pooling, or all.
    """
    known = [one for one in known if one.threads == threads]
    total = 0.0
    for run in runs:
        dataset, pool = run.settings.dataset.name, run.settings.pool.kind
        alike = (
            [one for one in known if one.dataset == dataset and one.pool == pool]
            or [one for one in known if one.pool == pool]
            or known
        )
        work = sum(one.work for one in alike)
        if not work:
            return None
        total += run.work * sum(one.seconds for one in alike) / work
    return total


def lines(runs: Sequence[PlannedRun], records: Iterable[Record]) -> list[str]:
    """What the runs will take with 1, 2, … workers that share the cores out, in words."""
    trainings = [run for run in runs if run.settings.task == "train"]
    if not trainings:
        return []
    known, cores = measured(records), environment.cores()
    found = []
    for workers in sorted({1, *(2**power for power in range(1, 8) if 2**power < cores), cores}):
        threads = trainings[0].settings.threads or max(1, cores // workers)
        time = seconds(trainings, known, threads)
        if time is not None:
            each = f"{threads} thread{'s' * (threads > 1)} each"
            found.append(f"about {duration(time / workers)} with {workers} worker{'s' * (workers > 1)}, {each}")
    if not found:
        return ["no estimate of time: no run like these was measured here yet"]
    return [f"{line} (measured on {len(known)} runs)" for line in found]
