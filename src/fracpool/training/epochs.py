"""Training from the first epoch, or the last that a checkpoint has, to the end of the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from fracpool.records.store import Store
from fracpool.settings.check import is_tested
from fracpool.settings.schema import Settings
from fracpool.training import checkpoint, tracking
from fracpool.training.measures import score
from fracpool.training.program import Program
from fracpool.training.reporter import Reporter
from fracpool.training.state import averaged, test_streams
from fracpool.training.testing import test_pass


class Diverged(Exception):
    """The training loss became NaN or infinite."""


@dataclass(frozen=True)
class Trained:
    """What came of the training of a run in this process.

    Attributes:
        first: The epoch it went on from; 0 is the start.
        probabilities: The test pass after the last epoch; None if all epochs were done before.
        test_seconds: Taken by the test passes after the epochs.
    """

    first: int
    probabilities: np.ndarray | None = None
    test_seconds: float = 0.0


def train(
    program: Program,
    settings: Settings,
    history: list[dict[str, float]],
    store: Store,
    run_id: str,
    reporter: Reporter,
) -> Trained:
    """Trains to the end of the budget, from the checkpoint if there is one, filling `history`."""
    folder = store.unfinished(run_id)
    history += checkpoint.restore(folder, program.model)
    first = len(history)
    epochs = settings.budget.epochs
    if first:
        reporter.note(f"goes on after epoch {first} of {epochs}")
    if first == epochs:
        return Trained(first)
    keep = partial(checkpoint.save, folder, program.model, history)
    watch = EpochWatch(settings, program, history, keep, reporter)
    with tracking.following(settings, store.root, run_id) as followers:
        program.model.fit(
            program.batches.of(settings.seed, first),
            steps_per_epoch=watch.steps,
            initial_epoch=first,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[watch, *followers],
        )
    return Trained(first, watch.probabilities, watch.test_seconds)


class EpochWatch(keras.callbacks.Callback):
    """At each epoch's end: tests the model where its budget asks for it, keeps a row of history, which has NaN where it
    was not tested, and a checkpoint; stops at a bad loss."""

    def __init__(
        self,
        settings: Settings,
        program: Program,
        history: list[dict[str, float]],
        save: Callable[[], None],
        reporter: Reporter,
    ) -> None:
        super().__init__()
        self.program, self.history, self.save, self.reporter = program, history, save, reporter
        self.seed, self.examples, self.budget = settings.seed, program.examples, settings.budget
        self.steps = -(-self.examples // settings.budget.batch_size)
        self.began = 0.0
        self.probabilities: np.ndarray | None = None
        self.test_seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch_ended(epoch, time.perf_counter() - self.began, logs["loss"], logs["accuracy"])
        row = self.history[-1]
        if self._ends_with_a_test(epoch + 1):  # for callbacks that come after
            logs |= {"val_loss": row["test_loss"], "val_accuracy": row["test_accuracy"]}

    def epoch_ended(self, epoch: int, seconds: float, loss: float, accuracy: float) -> None:
        """`epoch` is counted from 0; loss and accuracy are means over its training images."""
        done = epoch + 1
        row: dict[str, float] = {
            "epoch": done,
            "step": done * self.steps,
            "examples": done * self.examples,
            "train_loss": float(loss),
            "train_accuracy": float(accuracy),
            "test_loss": float("nan"),
            "test_accuracy": float("nan"),
            "seconds": seconds,
        }
        self.history.append(row)
        if not np.isfinite(row["train_loss"]):
            raise Diverged(f"the training loss was {row['train_loss']} in epoch {done}")
        if self._ends_with_a_test(done):
            row["test_loss"], row["test_accuracy"] = self._test(done)
        self.save()
        self.reporter.epoch_done(row)

    def _ends_with_a_test(self, done: int) -> bool:
        return is_tested(done, self.budget.epochs, self.budget.test_every)

    def _test(self, done: int) -> tuple[float, float]:
        """Loss and accuracy of one test pass after so many epochs."""
        began = time.perf_counter()
        tested, arrays = self.program.tested, self.program.arrays
        with averaged(self.program.model), test_streams(tested, self.seed, done):
            self.probabilities = test_pass(tested, arrays.test_images)
        self.test_seconds += time.perf_counter() - began
        return score(self.probabilities, arrays.test_labels)
