"""How long runs will take, by what the records of a results folder say that like runs took here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fracpool.records import environment
from fracpool.records.plain_text import count, duration
from fracpool.sweep import planned_run

if TYPE_CHECKING:
    from fracpool.records.record import Record
    from fracpool.sweep.planned_run import PlannedRun

LIKE = 4  # runs tell about each other whose networks and lengths differ by no more than this factor
Kind = tuple[str, int, int]  # of a run: its pooling, multiply-accumulates of an image, images in all epochs


@dataclass(frozen=True)
class Measured:
    """One record: which kind of run it was, what it computed (`work` in multiply-accumulates) and what it took."""

    pool: str
    threads: int
    macs: int  # of one image
    images: int  # trained on, in all epochs
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
        macs = sum(layer["macs"] or 0 for layer in data["geometry"]["layers"])  # a layer of one's own may not tell them
        examples, tested = sizes["train_examples"], sizes["test_examples"]
        epochs, between = config["budget"]["epochs"], config["budget"].get("test_every", 1)
        passes = data["metrics"].get("repeats", 1)
        pool, threads, backend = config["pool"]["kind"], machine["threads"], machine.get("backend", "tensorflow")
    except (KeyError, TypeError, AttributeError):
        return None
    counts = (macs, examples, tested, epochs, between, passes, threads)
    whole = all(isinstance(number, int) and number > 0 for number in counts)
    if not whole or (machine.get("cpu"), backend) != (processor, environment.backend()):
        return None
    tests = passes + planned_run.tests_while_training(epochs, between)
    done = planned_run.work(macs, examples * epochs, tested * tests)
    return Measured(str(pool), threads, macs, examples * epochs, done, record.seconds)


@dataclass(frozen=True)
class Estimate:
    """Seconds of runs one after another: from `low` to `high`, told by so many `like` runs, without the `unlike`, of
    which nothing can be told."""

    low: float
    high: float
    like: int
    unlike: int

    def shared_by(self, workers: int) -> str:
        """In words, with so many workers at once: 12 min to 20 min (measured on 3 runs)."""
        times = dict.fromkeys(duration(time / workers) for time in (self.low, self.high))
        more = f"; without {count(self.unlike, 'run')} of which none alike was measured" if self.unlike else ""
        return f"{' to '.join(times)} (measured on {count(self.like, 'run')}{more})"


def estimate(runs: Sequence[PlannedRun], known: Sequence[Measured], threads: int) -> Estimate | None:
    """What the runs take with so many threads each; None where no run of like size was measured."""
    known = [one for one in known if one.threads == threads]
    told = {kind: like for kind in set(map(_kind, runs)) if (like := _like(kind, known))}
    if not told:
        return None
    rates = {kind: _rate(kind, like) for kind, like in told.items()}
    ends = [[end * run.work for end in rates[_kind(run)]] for run in runs if _kind(run) in rates]
    low, high = (sum(of_runs) for of_runs in zip(*ends, strict=True))
    return Estimate(low, high, len({id(one) for like in told.values() for one in like}), len(runs) - len(ends))


def _kind(run: PlannedRun) -> Kind:
    return run.settings.pool.kind, run.network.counted_macs, run.examples * run.settings.budget.epochs


def _like(kind: Kind, known: Sequence[Measured]) -> list[Measured]:
    """The runs of like size and length: of the same pooling, if there are any, else of others."""
    pool, macs, images = kind
    like = [one for one in known if _close(one.macs, macs) and _close(one.images, images)]
    return [one for one in like if one.pool == pool] or like


def _rate(kind: Kind, like: Sequence[Measured]) -> tuple[float, float]:
    """Seconds per multiply-accumulate, from and to: the middle half of what like runs took, made wider by what one or
    a few may be off, and more where they had another pooling.

    Held against `results/reference`, whose experiments are told from 1, 3, 10 and 30 of their runs: the rest then
    took as long as said in 91, 94, 99 and 97 % of 1,060 trials; the ends are a factor of 2.8, 2.3, 1.9, 1.8 apart.
    """
    of_pool = like[0].pool == kind[0]
    wider = 1 + (0.5 if of_pool else 1.0) / math.sqrt(len(like))
    low, high = np.quantile([one.seconds / one.work for one in like], [0.25, 0.75])
    return float(low) / wider, float(high) * wider


def _close(one: int, other: int) -> bool:
    return max(one, other) <= LIKE * min(one, other)


def lines(runs: Sequence[PlannedRun], records: Iterable[Record]) -> list[str]:
    """What the runs will take with 1, 2, … workers that share the cores out, in words."""
    trainings = [run for run in runs if run.settings.task == "train"]
    if not trainings:
        return []
    known, cores = measured(records), environment.cores()
    found = []
    for workers in sorted({1, *(2**power for power in range(1, 8) if 2**power < cores), cores}):
        threads = trainings[0].settings.threads or max(1, cores // workers)
        time = estimate(trainings, known, threads)
        if time is not None:
            found.append(f"{count(workers, 'worker')}, {count(threads, 'thread')} each: {time.shared_by(workers)}")
    return found or ["no estimate of time: no run of like size and length was measured here yet"]
