"""For benchmarks/scaling.py: in every process of a sweep, a training that only waits, and writes a record as any other.

Python loads this file by itself from PYTHONPATH. What is left is what a run costs beside its training.
"""

import os
import sys
import time
import types
from typing import Any


def run(settings: Any, run_id: str, network: Any, store: Any, reporter: Any) -> Any:
    from fracpool.training.provenance import describe, now

    started, began = now(), time.perf_counter()
    seconds = float(os.environ["TRIVIAL_SECONDS"])
    time.sleep(seconds)
    accuracy = 0.9 + settings.seed % 100 / 10_000
    row = {"epoch": 1, "step": 1, "examples": 100, "train_loss": 0.1, "train_accuracy": accuracy, "seconds": seconds}
    row |= {"test_loss": 0.1, "test_accuracy": accuracy}
    metrics = {
        "test_accuracy": accuracy, "test_error": 1 - accuracy, "test_loss": 0.1, "averaged_accuracy": accuracy,
        "accuracy_by_repeats": {"1": accuracy}, "repeats": 1, "deterministic_accuracy": accuracy, "train_loss": 0.1,
    }  # fmt: skip
    timings = {"train_seconds": seconds, "overhead_seconds": time.perf_counter() - began - seconds}
    whole = {"status": "completed", "error": None, "metrics": metrics, "timings": timings, "data": {}}
    return store.write({**whole, **describe(settings, run_id, network), "started": started, "finished": now()}, [row])


sys.modules["fracpool.training.run"] = types.ModuleType("fracpool.training.run")
sys.modules["fracpool.training.run"].run = run  # type: ignore[attr-defined]
