"""Batches for training: the order follows from seed and epoch alone, whoever makes it."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from fracpool.settings import datasets
from fracpool.settings.schema import AugmentationSettings, DatasetSettings
from fracpool.training.augmentation import Augmentation
from fracpool.training.batches import order, training_batches

SAMPLE = DatasetSettings("mnist5k")


@pytest.fixture(params=["tensorflow", "jax"])  # tf.data, and numpy for any other
def backend(request, monkeypatch) -> str:
    monkeypatch.setenv("KERAS_BACKEND", request.param)
    return request.param


def batches_of(seed: int, first_epoch: int, examples: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    made = training_batches(datasets.load(SAMPLE), examples, size).of(seed, first_epoch)
    return ((np.asarray(images), np.asarray(labels)) for images, labels in made)


def labels_of(seed: int, first_epoch: int, batches: int) -> list[list[int]]:
    return [labels.tolist() for _, labels in islice(batches_of(seed, first_epoch, 50, 20), batches)]


def test_the_order_follows_from_seed_and_epoch(backend):
    assert labels_of(3, 0, 6) == labels_of(3, 0, 6)
    assert labels_of(3, 0, 3) != labels_of(4, 0, 3)
    assert labels_of(3, 0, 6)[3:] == labels_of(3, 1, 3)
    assert labels_of(3, 0, 3) != labels_of(3, 1, 3)


def test_each_epoch_sees_each_image_once(backend):
    arrays = datasets.load(SAMPLE)
    batches = list(islice(batches_of(0, 0, 4000, 300), 14))
    assert [len(labels) for _, labels in batches] == [300] * 13 + [100]
    assert {(images.dtype.name, labels.dtype.name) for images, labels in batches} == {("float32", "int32")}
    images = np.concatenate([images for images, _ in batches])
    assert images.max() == 1.0
    seen = sorted(np.round(image * 255).astype(np.uint8).tobytes() for image in images)
    assert seen == sorted(image.tobytes() for image in arrays.train_images)


def test_the_order_is_that_of_the_batches(backend):
    labels = datasets.load(SAMPLE).train_labels
    (_, first) = next(batches_of(5, 2, 4000, 100))
    assert first.tolist() == labels[order(5, 2, 4000)[:100]].tolist()


def test_tensorflow_keeps_the_order_that_committed_records_were_made_with(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert order(3, 1, 10).tolist() == [7, 1, 8, 5, 0, 9, 2, 3, 6, 4]


def test_batches_have_the_images_as_their_epoch_has_them(backend):
    """Moved and mirrored, across the end of an epoch too."""
    arrays, chosen = datasets.load(SAMPLE), AugmentationSettings("random", 2)
    made = islice(training_batches(arrays, 4000, 2500, chosen).of(5, 2), 3)
    as_they_are = Augmentation(chosen, arrays.train_images)
    parts = [(2, slice(2500)), (2, slice(2500, None)), (3, slice(2500))]
    for (images, labels), (epoch, places) in zip(made, parts, strict=True):
        numbers = order(5, epoch, 4000)[places]
        assert np.asarray(labels).tolist() == arrays.train_labels[numbers].tolist()
        found = np.round(np.asarray(images) * 255).astype(np.uint8)
        assert np.array_equal(found, as_they_are.batch(numbers, 5, epoch))
        assert not np.array_equal(found, arrays.train_images[numbers])
