"""Batches for training: which images, in which order, as a function of seed and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from fracpool.settings.datasets import Arrays


class TrainingBatches:
    """Endless batches for training: (float32 images in [0, 1], int labels).

    The order of an epoch depends on the seed and the number of the epoch alone, so that a run that goes on
    from epoch k sees what it would have seen. Training on part of the data takes the same part for all
    seeds, drawn once without regard to class.

    TensorFlow keeps the functions of a tf.data pipeline until the process ends. So one pipeline serves run after
    run, and reads where it starts from a variable.
    """

    def __init__(self, arrays: Arrays, examples: int, batch_size: int) -> None:
        import tensorflow as tf

        of_part, labels_of_part = part(arrays, examples)
        with tf.device("CPU:0"):  # where tf.data works
            images = tf.constant(of_part)
            labels = tf.constant(labels_of_part.astype(np.int32))
            self._start = start = tf.Variable([0, 0], dtype=tf.int64)  # seed, first epoch

        def epoch_order(number: Any) -> Any:
            of_epoch = _order(start[0], start[1] + number, examples)
            return tf.data.Dataset.from_tensor_slices(of_epoch).batch(batch_size)

        def gather(order: Any) -> Any:
            return tf.cast(tf.gather(images, order), tf.float32) / 255.0, tf.gather(labels, order)

        options = tf.data.Options()
        options.autotune.enabled = False  # nothing to tune, and its thread can hold up the end of a run by seconds
        batches = tf.data.Dataset.counter().flat_map(epoch_order).map(gather, num_parallel_calls=1).prefetch(2)
        self._batches = batches.with_options(options)

    def of(self, seed: int, first_epoch: int) -> Any:
        """The tf.data.Dataset of a run from an epoch on; it ends the one that was asked for before."""
        self._start.assign([seed, first_epoch])
        return self._batches


def part(arrays: Arrays, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that a run with so many examples trains on."""
    available = len(arrays.train_images)
    if examples == available:
        return arrays.train_images, arrays.train_labels
    chosen = np.sort(np.random.default_rng(0).permutation(available)[:examples])
    return arrays.train_images[chosen], arrays.train_labels[chosen]


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order (examples,) int32 in which `TrainingBatches` has the images in an epoch, counted from 0."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        return np.asarray(_order(seed, epoch, examples))


def _order(seed: Any, epoch: Any, examples: int) -> Any:
    import tensorflow as tf

    of_epoch = tf.cast(tf.stack([seed, epoch]), tf.int64)
    return tf.random.experimental.stateless_shuffle(tf.range(examples), seed=of_epoch)
