"""One run: settings in, record out.

A program (the compiled model of a variant) serves all seeds of its variant that follow one another; each run
starts by setting it to the state that its seed stands for, so a run's result does not depend on what ran
before it in the process.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from tensorflow.python.framework.ops import gradient_registry

from fracpool import checkpoint, datasets, devices, models, poolings, tracking
from fracpool.architecture import Network
from fracpool.description import describe, now
from fracpool.identity import variant_id
from fracpool.progress import Reporter
from fracpool.records import Record, StorageError, Store
from fracpool.settings import Settings, test_passes

if TYPE_CHECKING:
    from fracpool.together import Group

TEST_BATCH = 500


class Diverged(Exception):
    """The training loss became NaN or infinite."""


@dataclass
class Program:
    """A compiled model, the variant it was compiled for and the data it trains on.

    Attributes:
        tested: Shares the weights and tests them, on one device.
        even: The same, pooling without chance; None where there is nothing to pool by chance.
        step_of_all: The compiled step of seeds that train together; None before they do.
    """

    variant_id: str
    arrays: datasets.Arrays
    examples: int
    batches: datasets.TrainingBatches
    model: keras.Model
    tested: keras.Model
    even: keras.Model | None
    step_of_all: Callable[..., Any] | None = None

    def serves(self, wanted: str, arrays: datasets.Arrays) -> bool:
        return self.variant_id == wanted and self.arrays is arrays


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


_program: Program | None = None


def run(
    settings: Settings,
    run_id: str,
    network: Network,
    store: Store,
    reporter: Reporter,
    group: Group | None = None,
) -> Record:
    """Trains, tests and writes the record of one run, or of one in a group that a program trains together.

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
        program = _program_for(settings, network, arrays)
        training = train if group is None else group.train
        trained = training(program, settings, history, store, run_id, reporter)
        models.take_averages(program.model)  # as fit does at its end, which not every run of this process has reached
        predictions, metrics, test_seconds = _test(program, settings, arrays, history, trained.probabilities)
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
                "message": str(error)[:2000],
                "traceback": traceback.format_exc()[-8000:],
            },
        }
    if outcome["status"] == "failed":
        _forget_program()  # not in the handler above: while it lasts the error holds on to all that it passed through
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


def _program_for(settings: Settings, network: Network, arrays: datasets.Arrays) -> Program:
    global _program
    wanted = variant_id(settings)
    if _program is None or not _program.serves(wanted, arrays):
        if _program is not None:
            _forget_program()
        examples, batch = _examples(settings, len(arrays.train_images)), settings.budget.batch_size
        steps, budget = -(-examples // batch), settings.budget
        distorted = (budget.epochs - budget.plain_epochs) * steps
        mirrored = settings.trainer.strategy == "mirrored"
        with devices.scope(settings.trainer):
            model = models.build(network, settings.model, settings.pool, mirrored, distorted)
            model.compile(
                optimizer=models.optimizer(settings.optimizer, steps, budget.epochs),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
                jit_compile=keras.backend.backend() == "jax",  # TensorFlow on CPUs: oneDNN convolves faster than XLA
            )
            model.optimizer.build(model.trainable_variables)
        tested = keras.Model(model.inputs[0], model.outputs[0]) if mirrored else model
        stochastic = poolings.of(settings.pool).stochastic(settings.pool)
        even = models.with_even_regions(model, network, settings.model, settings.pool) if stochastic else None
        _program = Program(
            wanted, arrays, examples, datasets.TrainingBatches(arrays, examples, batch), model, tested, even
        )
    models.initialise(_program.model, settings.seed)
    return _program


def _forget_program() -> None:
    """Frees the program. TensorFlow registers the gradient of each `tf.custom_gradient` that a graph was traced
    with, by a name of its own, and never takes it off again; with it stays the whole graph, so it is taken off
    here."""
    global _program
    _program = None
    registered = gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    keras.backend.clear_session()  # which collects garbage


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
    """At each epoch's end: tests the model, keeps a row of history and a checkpoint; stops at a bad loss."""

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
        self.seed, self.examples = settings.seed, program.examples
        self.steps = -(-self.examples // settings.budget.batch_size)
        self.began = 0.0
        self.probabilities: np.ndarray | None = None
        self.test_seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch_ended(epoch, time.perf_counter() - self.began, logs["loss"], logs["accuracy"])
        row = self.history[-1]
        logs |= {"val_loss": row["test_loss"], "val_accuracy": row["test_accuracy"]}  # for callbacks that come after

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
        began = time.perf_counter()
        tested, arrays = self.program.tested, self.program.arrays
        with models.averaged(self.program.model), models.test_streams(tested, self.seed, done):
            self.probabilities = test_pass(tested, arrays.test_images)
        self.test_seconds += time.perf_counter() - began
        row["test_loss"], row["test_accuracy"] = score(self.probabilities, arrays.test_labels)
        self.save()
        self.reporter.epoch_done(row)


def test_pass(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Class probabilities (n, classes) float32 of one pass. Regions of FMP are drawn anew for each batch."""
    logits = [
        model.predict_on_batch(images[start : start + TEST_BATCH].astype(np.float32) / 255.0)
        for start in range(0, len(images), TEST_BATCH)
    ]
    shifted = np.concatenate(logits).astype(np.float32)
    shifted -= shifted.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(axis=1, keepdims=True)


def score(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, 1e-12)).mean()), float((probabilities.argmax(axis=1) == labels).mean())


def _test(
    program: Program,
    settings: Settings,
    arrays: datasets.Arrays,
    history: list[dict[str, float]],
    tested: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], dict[str, Any], float]:
    """Predictions, metrics and seconds of the final test: one pass, and the average of `repeats` passes.

    The one pass is that after the last epoch (`tested`), or the same again where further passes follow it. The
    average sums probabilities, as Graham's repeat tests do; with `test_shift` the images move from pass to pass. A
    deterministic pass, over even regions, stands beside.
    """
    began = time.perf_counter()
    model = program.tested
    repeats, shift = test_passes(settings)
    labels = arrays.test_labels
    with models.test_streams(model, settings.seed, settings.budget.epochs):
        known = tested if repeats == 1 else None
        total = one_pass = test_pass(model, arrays.test_images) if known is None else known
        by_repeats = {"1": score(one_pass, labels)[1]}
        for number, move in enumerate(_moves(shift, repeats)[1:], start=2):
            total = total + test_pass(model, moved(arrays.test_images, *move))
            if number == repeats or number & (number - 1) == 0:
                by_repeats[str(number)] = score(total / number, labels)[1]
    loss, accuracy = score(one_pass, labels)
    even = one_pass if program.even is None else test_pass(program.even, arrays.test_images)
    metrics = {
        "test_accuracy": accuracy,
        "test_error": 1 - accuracy,
        "test_loss": loss,
        "averaged_accuracy": by_repeats[str(repeats)],
        "accuracy_by_repeats": by_repeats,
        "repeats": repeats,
        "deterministic_accuracy": score(even, labels)[1],
        "train_loss": history[-1]["train_loss"],
    }
    predictions = {"one_pass": one_pass, "averaged": total / repeats, "deterministic": even}
    kept = {name: _as_kept(settings.predictions, array) for name, array in predictions.items()} | {"labels": labels}
    return kept, metrics, time.perf_counter() - began


def _moves(furthest: int, count: int) -> list[tuple[int, int]]:
    """Rows and columns to move images by, one pair per pass: none, then the nearest first; all none for 0."""
    line = range(-furthest, furthest + 1)
    nearest = sorted(((i, j) for i in line for j in line), key=lambda move: (move[0] ** 2 + move[1] ** 2, move))
    return nearest[:count] if furthest else nearest * count


def moved(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The images (n, height, width, channels) moved down and to the right, with 0 where nothing comes in."""
    top, bottom, left, right = max(rows, 0), max(-rows, 0), max(columns, 0), max(-columns, 0)
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (top, bottom), (left, right), (0, 0)))
    return padded[:, bottom : bottom + height, right : right + width]


def _as_kept(form: str, probabilities: np.ndarray) -> np.ndarray:
    """What a record keeps of (images, classes) probabilities: them, or the most probable class of each image."""
    if form == "probabilities":
        return probabilities.astype(np.float16)
    return probabilities.argmax(axis=1).astype(np.uint8)


def _examples(settings: Settings, available: int) -> int:
    wanted = settings.budget.train_examples
    return available if wanted is None else wanted


def _describe_data(settings: Settings, arrays: datasets.Arrays) -> dict[str, Any]:
    known = datasets.describe(settings.dataset)
    return {
        "name": known.name,
        "version": known.version,
        "source": known.source,
        "fingerprint": datasets.fingerprint(settings.dataset),
        "content": arrays.content_hash,
        "train_examples": _examples(settings, len(arrays.train_images)),
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
