"""What training minimises: the cross-entropy of the labels, smoothed or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any


def cross_entropy(smoothing: float) -> keras.losses.Loss | Callable[[Tensor, Tensor], Tensor]:
    """The loss of whole-number labels (n,) and logits (n, classes), in nats; with `smoothing` that share of each label
    is spread evenly over all classes, its own included."""
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(labels: Tensor, logits: Tensor) -> Tensor:
        of_classes = ops.one_hot(ops.reshape(labels, (-1,)), logits.shape[-1], dtype=logits.dtype)
        return keras.losses.categorical_crossentropy(of_classes, logits, from_logits=True, label_smoothing=smoothing)

    return smoothed
