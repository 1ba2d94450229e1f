"""One run: settings in, record out.

A program (the compiled model of a variant) serves all seeds of its variant that follow one another; each run
starts by setting it to the state that its seed stands for, so a run's result does not depend on what ran
before it in the process.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from fracpool.records.files import StorageError
from fracpool.records.plain_text import without_folders
from fracpool.records.record import Record
from fracpool.records.store import Store
from fracpool.settings import datasets
from fracpool.settings.architecture import Network
from fracpool.settings.schema import Settings
from fracpool.training import epochs
from fracpool.training.epochs import Diverged, Trained
from fracpool.training.program import forget_program, program_for, training_examples
from fracpool.training.provenance import describe, now
from fracpool.training.reporter import Reporter
from fracpool.training.state import take_averages
from fracpool.training.testing import final_test


def run(
    settings: Settings,
    run_id: str,
    network: Network,
    store: Store,
    reporter: Reporter,
    train: Callable[..., Trained] = epochs.train,
) -> Record:
    """Trains (by `train`; several seeds of one program are trained by another), tests and writes the record of one run.

    An exception in a run becomes a record with status `failed`; a loss that is not finite one with status
    `diverged`. KeyboardInterrupt passes through: the checkpoint of the last finished epoch stays, and the
    same call goes on from there.
    """
    began = time.perf_counter()
    started = now()
    history: list[dict[str, float]] = []
    outcome: dict[str, Any] = {"status": "completed", "error": None}
    predictions = None
    timings: dict[str, float | None] = {}
    metrics: dict[str, Any] = {"test_accuracy": None, "test_error": None}
    data: dict[str, Any] = {}
    try:
        arrays = datasets.load(settings.dataset)
        data = _describe_data(settings, arrays)
        program = program_for(settings, network, arrays)
        trained = train(program, settings, history, store, run_id, reporter)
        take_averages(program.model)  # as fit does at its end, which not every run of this process has reached
        predictions, metrics, test_seconds = final_test(program, settings, arrays, history, trained.probabilities)
        outcome["resumed_at_epoch"] = trained.first
        computing = sum(row["seconds"] for row in history[trained.first :]) + trained.test_seconds + test_seconds
        timings = {
            "epoch_test_seconds": trained.test_seconds,
            "test_seconds": test_seconds,
            "overhead_seconds": time.perf_counter() - began - computing,
        }
    except StorageError:
        raise
    except Diverged as error:
        outcome = {"status": "diverged", "error": {"type": "Diverged", "message": str(error)}}
    except Exception as error:
        outcome = {
            "status": "failed",
            "error": {
                "type": type(error).__name__,
                "message": without_folders(str(error))[:2000],
                "traceback": without_folders(traceback.format_exc())[-8000:],
            },
        }
    if outcome["status"] == "failed":
        forget_program()  # not in the handler above: while it lasts the error holds on to all that it passed through
    timings |= _timings(history)
    return store.write(
        {
            **outcome,
            **describe(settings, run_id, network),
            "metrics": metrics,
            "timings": timings,
            "data": data,
            "started": started,
            "finished": now(),
        },
        history,
        predictions,
    )


def _describe_data(settings: Settings, arrays: datasets.Arrays) -> dict[str, Any]:
    known = datasets.describe(settings.dataset)
    return {
        "name": known.name,
        "version": known.version,
        "source": known.source,
        "fingerprint": datasets.fingerprint(settings.dataset),
        "content": arrays.content_hash,
        "train_examples": training_examples(settings, len(arrays.train_images)),
        "test_examples": len(arrays.test_images),
    }


def _timings(history: list[dict[str, float]]) -> dict[str, float | None]:
    """Seconds of training (testing between epochs left out); the first epoch's excess is compilation."""
    seconds = [row["seconds"] for row in history]
    if not seconds:
        return {"train_seconds": None, "seconds_per_epoch": None, "compile_seconds": None}
    usual = float(np.median(seconds))
    return {
        "train_seconds": sum(seconds),
        "seconds_per_epoch": usual,
        "compile_seconds": max(0.0, seconds[0] - usual),
    }
