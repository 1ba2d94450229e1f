"""Several seeds of one variant trained in one program, their weights stacked: the step mapped over them (jax.vmap), or
on a GPU all whole steps of an epoch in one call, one seed after another.

Keras on JAX only. Each seed has its own weights, order of the data and random streams, those that it has by itself, so
its results are the same but for the rounding of sums. Tests and records are made for one seed after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from fracpool.training import checkpoint
from fracpool.training.augmentation import Augmentation, places
from fracpool.training.batches import order, part
from fracpool.training.epochs import Diverged, EpochWatch, Trained
from fracpool.training.program import Program
from fracpool.training.state import initialise

if TYPE_CHECKING:
    from fracpool.records.store import Store
    from fracpool.settings.schema import Settings
    from fracpool.training.reporter import Reporter


State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]  # trained, other variables, optimizer's


class Group:
    """The seeds that one program trains, all when the first of them is asked for.

    Args:
        runs: Settings by run id; they differ in the seed alone.
    """

    def __init__(self, runs: Mapping[str, Settings]) -> None:
        self.runs = runs
        self.watches: dict[str, EpochWatch] = {}
        self.first: dict[str, int] = {}
        self.states: dict[str, State] = {}
        self.diverged: dict[str, Diverged] = {}
        self.failed: Exception | None = None

    def train(
        self,
        program: Program,
        settings: Settings,
        history: list[dict[str, float]],
        store: Store,
        run_id: str,
        reporter: Reporter,
    ) -> Trained:
        """What `fracpool.training.train` does, for one of the runs."""
        if not self.watches and self.failed is None:
            try:
                self._train_all(program, settings, store, reporter)
            except Exception as error:
                self.failed = error
        if self.failed is not None:  # it is what came of each of them
            raise self.failed
        watch = self.watches[run_id]
        history += watch.history
        if run_id in self.diverged:
            raise self.diverged[run_id]
        _set_state(program.model, self.states[run_id])
        return Trained(self.first[run_id], watch.probabilities, watch.test_seconds)

    def _train_all(self, program: Program, settings: Settings, store: Store, reporter: Reporter) -> None:
        self._begin(program, store, reporter)
        for first in sorted(set(self.first.values())):  # those that were stopped at the same epoch go on together
            if first:
                reporter.note(f"goes on after epoch {first} of {settings.budget.epochs}")
            self._train_from(first, program, settings)

    def _begin(self, program: Program, store: Store, reporter: Reporter) -> None:
        model = program.model
        for run_id, settings in self.runs.items():
            initialise(model, settings.seed, program.own)
            folder = store.unfinished(run_id)
            history = checkpoint.restore(folder, model)
            keep = partial(checkpoint.save, folder, model, history)
            self.first[run_id], self.states[run_id] = len(history), _state(model)
            self.watches[run_id] = EpochWatch(settings, program, history, keep, reporter)

    def _train_from(self, first: int, program: Program, settings: Settings) -> None:
        together = [run_id for run_id, epoch in self.first.items() if epoch == first]
        examples, batch = program.examples, settings.budget.batch_size
        images, labels = part(program.arrays, examples)
        changed = Augmentation(settings.augmentation, images)
        steps = program.steps_of_all = program.steps_of_all or _steps_of_all(
            program.model, settings.optimizer.label_smoothing, images.shape[1:3]
        )
        data = jnp.asarray(changed.pixels), jnp.asarray(labels.astype(np.int32))
        stacked = jax.tree.map(lambda *of_each: jnp.stack(of_each), *(self.states[run_id] for run_id in together))
        for epoch in range(first, settings.budget.epochs):
            began = time.perf_counter()
            seeds = [self.runs[run_id].seed for run_id in together]
            orders = np.stack([order(seed, epoch, examples) for seed in seeds]).astype(np.int32)
            drawn = [np.stack(draws) for draws in zip(*(changed.draws(seed, epoch) for seed in seeds), strict=True)]
            sums = np.zeros((2, len(together)))
            told = []
            for chosen in _calls(orders, batch):
                stacked, *means = steps(stacked, chosen, *drawn, *data)
                told.append((chosen.shape[2], means))
            for size, means in told:  # only now, since asking for a value waits for it
                sums += size * np.sum(means, axis=-1)
            seconds = (time.perf_counter() - began) / len(together)
            for number, run_id in enumerate(together):
                self.states[run_id] = jax.tree.map(partial(_entry, number), stacked)
                self._end_epoch(run_id, epoch, seconds, sums[:, number] / examples, program.model)

    def _end_epoch(self, run_id: str, epoch: int, seconds: float, means: np.ndarray, model: keras.Model) -> None:
        """Each seed counts its share of the seconds. One that has diverged is trained on with the others, unseen."""
        if run_id in self.diverged:
            return
        _set_state(model, self.states[run_id])
        watch = self.watches[run_id]
        try:
            watch.epoch_ended(epoch, seconds, loss=float(means[0]), accuracy=float(means[1]))
        except Diverged as error:
            self.diverged[run_id] = error


def _calls(orders: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """The images (seeds, steps, batch) of the steps that one call does: all whole steps of an epoch on a GPU, which
    else waits for the processor; one on a CPU, where XLA computes the body of a loop with a single thread."""
    seeds, examples = orders.shape
    whole = examples - examples % batch
    at_once = whole if jax.default_backend() == "gpu" else batch
    for start in range(0, whole, at_once):
        yield orders[:, start : start + at_once].reshape(seeds, -1, batch)
    if whole < examples:
        yield orders[:, None, whole:]


def _entry(number: int, stacked: jax.Array) -> jax.Array:
    return stacked[number]


def _variables(model: keras.Model) -> tuple[list[Any], list[Any], list[Any]]:
    return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables


def _state(model: keras.Model) -> State:
    """What a model holds now."""
    trained, others, slots = ([variable.value for variable in part] for part in _variables(model))
    return trained, others, slots


def _set_state(model: keras.Model, values: State) -> None:
    for variables, of_part in zip(_variables(model), values, strict=True):
        for variable, value in zip(variables, of_part, strict=True):
            variable.assign(jnp.copy(value))  # JAX frees the arrays that a compiled test pass takes


def _steps_of_all(model: keras.Model, smoothing: float, sides: tuple[int, int]) -> Callable[..., Any]:
    """Steps of training of all seeds: (stacked states, chosen (seeds, steps, batch), moves and mirrored (seeds, …, as
    `Augmentation.draws` has them), pixels, labels) to (states, losses and accuracies (seeds, steps)). The pixels are an
    argument, since what a compiled function only refers to is compiled into it.

    On a GPU the seeds of a call train one after another: mapped, their convolutions become grouped ones, which took an
    H200 1.1 to 1.5 times as long (benchmarks/bench.md).
    """

    def loss_of(trained: Any, others: Any, x: Any, y: Any) -> Any:
        logits, others = model.stateless_call(trained, others, x, training=True)
        of_classes = jax.nn.log_softmax(logits)
        losses = -jnp.take_along_axis(of_classes, y[:, None], axis=1)
        if smoothing:
            losses = (1 - smoothing) * losses[:, 0] - smoothing * of_classes.mean(axis=1)
        return losses.mean(), (others, (logits.argmax(axis=1) == y).mean())

    def step(moves: Any, mirrored: Any, pixels: Any, labels: Any, values: State, chosen: Any) -> Any:
        trained, others, slots = values
        images = pixels[places(jnp, chosen, moves[chosen], mirrored[chosen], *sides)]
        x, y = images.astype(jnp.float32) / 255.0, labels[chosen]
        slope = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (others, accuracy)), slopes = slope(trained, others, x, y)
        trained, slots = model.optimizer.stateless_apply(slots, slopes, trained)
        return (trained, others, slots), (loss, accuracy)

    def steps(values: State, chosen: Any, *data: Any) -> Any:
        values, (losses, accuracies) = jax.lax.scan(partial(step, *data), values, chosen)
        return values, losses, accuracies

    def each_in_turn(values: State, chosen: Any, moves: Any, mirrored: Any, *data: Any) -> Any:
        return jax.lax.map(lambda own: steps(*own, *data), (values, chosen, moves, mirrored))

    is_gpu = jax.default_backend() == "gpu"
    of_all = each_in_turn if is_gpu else jax.vmap(steps, in_axes=(0, 0, 0, 0, None, None))
    return jax.jit(of_all, donate_argnums=0)
