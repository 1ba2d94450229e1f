"""The data: always the same split, and a clear word when they are missing."""

import os
from pathlib import Path

import numpy as np
import pytest

from fracpool.settings import datasets
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import DatasetSettings

SAMPLE = DatasetSettings("mnist5k")
TFDS = os.environ.get("TFDS_DATA_DIR")


def test_the_sample_is_split_by_class():
    arrays = datasets.load(SAMPLE)
    assert (arrays.train_images.shape, arrays.train_images.dtype) == ((4000, 28, 28, 1), np.uint8)
    assert arrays.test_images.shape == (1000, 28, 28, 1)
    assert np.bincount(arrays.train_labels).tolist() == [400] * 10
    assert np.bincount(arrays.test_labels).tolist() == [100] * 10
    assert arrays.train_images.max() == 255
    assert arrays.content_hash == "6f1dec24eae41a25"


def test_no_image_is_in_both_parts():
    arrays = datasets.load(SAMPLE)
    train = {image.tobytes() for image in arrays.train_images}
    assert not train & {image.tobytes() for image in arrays.test_images}


def test_held_out_images_are_tested_on_and_not_trained_on():
    settings = DatasetSettings("mnist5k", held_out=600)
    whole, split = datasets.load(SAMPLE), datasets.load(settings)
    known = datasets.describe(settings)
    assert (known.train_examples, known.test_examples) == (3400, 600)
    assert (len(split.train_images), len(split.test_images)) == (3400, 600)
    together = np.concatenate([split.train_images, split.test_images])
    assert sorted(i.tobytes() for i in together) == sorted(i.tobytes() for i in whole.train_images)
    pairs = dict(zip((i.tobytes() for i in whole.train_images), whole.train_labels, strict=True))
    assert [pairs[image.tobytes()] for image in split.test_images] == split.test_labels.tolist()
    assert datasets.load(settings) is split


def test_missing_data_name_the_ways_out(tmp_path, no_network):
    settings = DatasetSettings("cifar10", data_dir=str(tmp_path))
    assert "cifar10 3.0.2 is not in" in datasets.missing(settings)
    assert str(tmp_path) not in datasets.missing(settings)  # it goes into reports
    with pytest.raises(SettingsError, match=r"TFDS_DATA_DIR.*network.*mnist5k"):
        datasets.obtain(settings)


def test_the_environment_and_the_override_choose_the_folder(tmp_path, monkeypatch, no_network):
    def refused(settings: DatasetSettings) -> str:
        with pytest.raises(SettingsError) as refusal:
            datasets.obtain(settings)
        return str(refusal.value)

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "environment"))
    assert str(tmp_path / "environment") in refused(DatasetSettings("mnist"))
    assert str(tmp_path / "override") in refused(DatasetSettings("mnist", data_dir=str(tmp_path / "override")))


@pytest.mark.skipif(not TFDS or not (Path(TFDS) / "mnist").is_dir(), reason="TFDS_DATA_DIR has no MNIST")
def test_mnist_through_tfds(tmp_path, monkeypatch):
    """Decoded, and read back from the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = DatasetSettings("mnist")
    assert datasets.missing(settings) is None
    arrays = datasets.load(settings)
    assert arrays.train_images.shape == (60_000, 28, 28, 1)
    assert np.bincount(arrays.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(datasets.fingerprint(settings)) == 16
    (kept,) = (tmp_path / "fracpool").iterdir()
    assert kept.name == f"mnist-3.0.1-{datasets.fingerprint(settings)}"
    assert np.array_equal(np.load(kept / "train_images.npy"), arrays.train_images)


@pytest.mark.slow
@pytest.mark.skipif(not TFDS or not (Path(TFDS) / "cifar10").is_dir(), reason="TFDS_DATA_DIR has no CIFAR-10")
def test_cifar10_through_tfds():
    arrays = datasets.load(DatasetSettings("cifar10"))
    assert arrays.train_images.shape == (50_000, 32, 32, 3)
    assert np.bincount(arrays.test_labels).tolist() == [1000] * 10


def test_without_a_home_only_what_lies_there_is_refused(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert len(datasets.load(SAMPLE).train_images) == 4000
    with pytest.raises(SettingsError, match=r"dataset.data_dir=~/tensorflow_datasets: there is no such home"):
        datasets.missing(DatasetSettings("mnist"))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/elsewhere")
    with pytest.raises(SettingsError, match="TFDS_DATA_DIR=~/elsewhere: there is no such home"):
        datasets.missing(DatasetSettings("mnist"))
