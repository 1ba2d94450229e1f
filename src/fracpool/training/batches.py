"""Batches for training: which images, in which order, as a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from fracpool.records import environment
from fracpool.settings.arrays import Arrays
from fracpool.settings.schema import AugmentationSettings
from fracpool.training.augmentation import Augmentation


class TrainingBatches(Protocol):
    """Endless batches for training: (float32 images in [0, 1], int32 labels).

    The order of an epoch depends on the seed and the number of the epoch alone, so that a run that goes on
    from epoch k sees what it would have seen. Training on part of the data takes the same part for all
    seeds, drawn once without regard to class.
    """

    def of(self, seed: int, first_epoch: int) -> Any:
        """What Keras' fit takes for a run from an epoch on; it ends the one that was asked for before."""


def training_batches(
    arrays: Arrays, examples: int, batch_size: int, augmentation: AugmentationSettings | None = None
) -> TrainingBatches:
    """The batches of so many examples, made by tf.data where Keras runs on TensorFlow, else by numpy."""
    images, labels = part(arrays, examples)
    augmented = augmentation is not None and augmentation != AugmentationSettings()
    changed = Augmentation(augmentation, images) if augmented and augmentation else None
    made = _TensorFlowBatches if environment.backend() == "tensorflow" else _NumpyBatches
    return made(images, labels, batch_size, changed)


class _TensorFlowBatches:
    """By tf.data, whose functions TensorFlow keeps until the process ends. So one pipeline serves run after run, and
    reads where it starts from a variable."""

    def __init__(
        self, images_of_part: np.ndarray, labels_of_part: np.ndarray, batch_size: int, changed: Augmentation | None
    ) -> None:
        import tensorflow as tf

        examples = len(labels_of_part)
        with tf.device("CPU:0"):  # where tf.data works
            images = tf.constant(images_of_part if changed is None else images_of_part[:0])
            labels = tf.constant(labels_of_part.astype(np.int32))
            self._start = start = tf.Variable([0, 0], dtype=tf.int64)  # seed, first epoch

        def epoch_order(number: Any) -> Any:
            seed, epoch = start[0], start[1] + number
            of_epoch = tf.data.Dataset.from_tensor_slices(_tensorflow_order(seed, epoch, examples)).batch(batch_size)
            return of_epoch if changed is None else of_epoch.map(lambda order: (order, seed, epoch))

        def gather(order: Any, *of_epoch: Any) -> Any:
            if changed is None:
                chosen = tf.gather(images, order)
            else:
                chosen = tf.numpy_function(changed.batch, [order, *of_epoch], tf.uint8)
                chosen.set_shape((None, *images.shape[1:]))
            return tf.cast(chosen, tf.float32) / 255.0, tf.gather(labels, order)

        options = tf.data.Options()
        options.autotune.enabled = False  # nothing to tune, and its thread can hold up the end of a run by seconds
        batches = tf.data.Dataset.counter().flat_map(epoch_order).map(gather, num_parallel_calls=1).prefetch(2)
        self._batches = batches.with_options(options)

    def of(self, seed: int, first_epoch: int) -> Any:
        self._start.assign([seed, first_epoch])
        return self._batches


class _NumpyBatches:
    """By numpy, in a generator."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int, changed: Augmentation | None) -> None:
        self._images, self._labels, self._batch_size = images, labels.astype(np.int32), batch_size
        self._changed = changed

    def of(self, seed: int, first_epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        examples, epoch = len(self._labels), first_epoch
        while True:
            of_epoch = order(seed, epoch, examples)
            for start in range(0, examples, self._batch_size):
                chosen = of_epoch[start : start + self._batch_size]
                images = self._images[chosen] if self._changed is None else self._changed.batch(chosen, seed, epoch)
                yield images.astype(np.float32) / np.float32(255), self._labels[chosen]
            epoch += 1


def part(arrays: Arrays, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that a run with so many examples trains on."""
    available = len(arrays.train_images)
    if examples == available:
        return arrays.train_images, arrays.train_labels
    chosen = np.sort(np.random.default_rng(0).permutation(available)[:examples])
    return arrays.train_images[chosen], arrays.train_labels[chosen]


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order (examples,) in which a run has its images in an epoch, counted from 0.

    TensorFlow's own generator draws it where Keras runs on TensorFlow, numpy's elsewhere; `settings.identity` tells
    the two apart.
    """
    if environment.backend() != "tensorflow":
        return np.random.default_rng([seed, epoch]).permutation(examples)
    import tensorflow as tf

    with tf.device("CPU:0"):
        return np.asarray(_tensorflow_order(seed, epoch, examples))


def _tensorflow_order(seed: Any, epoch: Any, examples: int) -> Any:
    import tensorflow as tf

    of_epoch = tf.cast(tf.stack([seed, epoch]), tf.int64)
    return tf.random.experimental.stateless_shuffle(tf.range(examples), seed=of_epoch)
