"""Streams of chance, one for training and one for inference, and what layers that draw share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.pooling.ops.checkpointing import refuse_to_draw_again
from fracpool.pooling.ops.runtime import replica

NEXT_REPLICA = 0x9E3779B1  # 2³² / golden ratio: seeds that are far apart for a few thousand replicas
INFERENCE = 1  # what the seed of the second stream is derived with


class Stream(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` that gives each replica seeds of its own, and none to a repeated pass.

    Raises:
        ValueError: it is asked for a seed by gradient checkpointing. The repeat would draw anew, and the gradient would
            be that of other regions than those of the output.
    """

    def next(self, ordered: bool = True) -> Any:
        refuse_to_draw_again()
        seed, number = super().next(ordered), replica()
        return seed if isinstance(number, int) and number == 0 else _apart(seed, number)


def _apart(seed: Any, number: Any) -> Any:
    """The seed (2,) of a replica: the first part moved on by its number, below 2³¹."""
    moved = (ops.cast(seed[0], "int64") + ops.cast(number, "int64") * NEXT_REPLICA) % 2**31
    return ops.stack([ops.cast(moved, seed.dtype), seed[1]])


def _derived(seed: int | None) -> int | None:
    """The seed of the second stream."""
    if seed is None:
        return None
    return int(np.random.SeedSequence([abs(seed), INFERENCE]).generate_state(1)[0] >> 1)


class Draws:
    """What layers share that draw: the streams, saved with the layer.

    Attributes:
        seed_generator: The stream of training; its state variable is all that training draws from.
        inference_generator: That of calls outside of training, so that these leave the training as it is.
    """

    seed_generator: Stream
    inference_generator: Stream

    def start_streams(self, seed: int | None) -> None:
        self.seed_generator, self.inference_generator = Stream(seed), Stream(_derived(seed))

    def stream(self, training: bool | None) -> Stream:
        return self.seed_generator if training else self.inference_generator

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the streams, which Keras leaves out, so that a loaded model continues them."""
        for name, stream in self._streams().items():
            store[name] = stream.state

    def load_own_variables(self, store: Any) -> None:
        """A stream that was not saved starts afresh: weights may come from a net with another pool in this place."""
        for name, stream in self._streams().items():
            if name in store:
                stream.state.assign(store[name])

    def _streams(self) -> dict[str, Stream]:
        return {
            "seed_generator_state": self.seed_generator,
            "inference_generator_state": self.inference_generator,
        }
