"""The compiled model of a variant, which serves all seeds that follow one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from fracpool.settings import datasets, poolings
from fracpool.settings.architecture import Network
from fracpool.settings.identity import variant_id
from fracpool.settings.schema import Settings
from fracpool.training import devices, keras_network
from fracpool.training.batches import TrainingBatches, part, training_batches
from fracpool.training.keras_network import precision
from fracpool.training.losses import cross_entropy
from fracpool.training.optimizers import optimizer
from fracpool.training.state import initialise


@dataclass
class Program:
    """A compiled model, the variant it was compiled for and the data it trains on.

    Attributes:
        tested: Shares the weights and tests them, on one device.
        even: The same, pooling without chance; None where there is nothing to pool by chance.
        network: What the model was built from.
        own: By name, what makes each layer of the user's own anew.
        steps_of_all: The compiled steps of seeds that train together; None before they do.
    """

    variant_id: str
    arrays: datasets.Arrays
    examples: int
    batches: TrainingBatches
    model: keras.Model
    tested: keras.Model
    even: keras.Model | None
    network: Network
    own: Mapping[str, Callable[[], keras.Layer]]
    steps_of_all: Callable[..., Any] | None = None

    def serves(self, wanted: str, arrays: datasets.Arrays) -> bool:
        return self.variant_id == wanted and self.arrays is arrays


_program: Program | None = None


def program_for(settings: Settings, network: Network, arrays: datasets.Arrays) -> Program:
    global _program
    wanted = variant_id(settings)
    if _program is None or not _program.serves(wanted, arrays):
        if _program is not None:
            forget_program()
        examples, batch = training_examples(settings, len(arrays.train_images)), settings.budget.batch_size
        steps, budget = -(-examples // batch), settings.budget
        distorted = (budget.epochs - budget.plain_epochs) * steps
        mirrored = settings.trainer.strategy == "mirrored"
        with devices.scope(settings.trainer), precision(settings.precision):
            model = keras_network.build(network, settings.model, settings.pool, mirrored, distorted)
            model.compile(
                optimizer=optimizer(settings.optimizer, steps, budget.epochs, settings.model.whiten_epochs),
                loss=cross_entropy(settings.optimizer.label_smoothing),
                metrics=["accuracy"],
                jit_compile=keras.backend.backend() == "jax",  # TensorFlow on CPUs: oneDNN convolves faster than XLA
            )
            model.optimizer.build(model.trainable_variables)
        keras_network.adapt(model, part(arrays, examples)[0])
        tested = keras.Model(model.inputs[0], model.outputs[0]) if mirrored else model
        with precision(settings.precision):
            even = _with_even_regions(model, network, settings)
        own = keras_network.own_layers(network, settings.pool)
        batches = training_batches(arrays, examples, batch, settings.augmentation)
        _program = Program(wanted, arrays, examples, batches, model, tested, even, network, own)
    initialise(_program.model, settings.seed, _program.own)
    return _program


def _with_even_regions(model: keras.Model, network: Network, settings: Settings) -> keras.Model | None:
    if not poolings.of(settings.pool).stochastic(settings.pool):
        return None
    return keras_network.with_even_regions(model, network, settings.model, settings.pool)


def forget_program() -> None:
    """Frees the program."""
    global _program
    _program = None
    if keras.backend.backend() == "tensorflow":
        _forget_gradients()
    keras.backend.clear_session()  # which collects garbage


def _forget_gradients() -> None:
    """TensorFlow registers the gradient of each `tf.custom_gradient` that a graph was traced with, by a name of its
    own, and never takes it off again; with it stays the whole graph, so it is taken off here."""
    from tensorflow.python.framework.ops import gradient_registry

    registered = gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


def training_examples(settings: Settings, available: int) -> int:
    wanted = settings.budget.train_examples
    return available if wanted is None else wanted
