"""Data that TFDS downloads: by its own builders, from a server on this machine, in the formats of the originals."""

import dataclasses
import functools
import gzip
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from fracpool.settings import datasets
from fracpool.settings.arrays import Arrays
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import DatasetSettings


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder whose files have the returned address."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """The settings of a data set that has to be downloaded, with so many images."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def choose(name: str, arrays: Arrays) -> DatasetSettings:
        counts = {"train_examples": len(arrays.train_labels), "test_examples": len(arrays.test_labels)}
        monkeypatch.setitem(datasets.DATASETS, name, dataclasses.replace(datasets.DATASETS[name], **counts))
        datasets._load.cache_clear()
        datasets._load_split.cache_clear()
        return DatasetSettings(name, data_dir=str(tmp_path / "tfds"))

    yield choose
    datasets._load.cache_clear()
    datasets._load_split.cache_clear()


def drawn(shape: tuple[int, int, int], train: int, test: int) -> Arrays:
    rng = np.random.default_rng(0)
    return Arrays(
        rng.integers(0, 256, (train, *shape), np.uint8),
        rng.integers(0, 10, train, np.uint8),
        rng.integers(0, 256, (test, *shape), np.uint8),
        rng.integers(0, 10, test, np.uint8),
    )


def publish_mnist(arrays: Arrays, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files in LeCun's format: IDX, big-endian, gzip."""
    from tensorflow_datasets.image_classification import mnist

    for part, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("t10k", arrays.test_images, arrays.test_labels),
    ):
        head = np.array([2051, len(images), 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = np.array([2049, len(labels)], ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels.tobytes()))
    monkeypatch.setattr(mnist.MNIST, "URL", address)
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", len(arrays.train_labels))
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", len(arrays.test_labels))


def publish_cifar10(arrays: Arrays, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Krizhevsky's archive: of each image its label, then its red, green and blue planes."""
    from tensorflow_datasets.image_classification import cifar

    def records(images: np.ndarray, labels: np.ndarray) -> bytes:
        return np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(len(labels), -1)], 1).tobytes()

    parts = np.array_split(np.arange(len(arrays.train_labels)), 5)
    files = {
        f"data_batch_{n}.bin": records(arrays.train_images[p], arrays.train_labels[p]) for n, p in enumerate(parts, 1)
    }
    files["test_batch.bin"] = records(arrays.test_images, arrays.test_labels)
    files["batches.meta.txt"] = "\n".join(f"class {n}" for n in range(10)).encode()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    info = cifar.Cifar10._cifar_info.fget
    here = property(lambda self: info(self)._replace(url=f"{address}cifar-10-binary.tar.gz"))
    monkeypatch.setattr(cifar.Cifar10, "_cifar_info", here)


PUBLISH = {"mnist": (publish_mnist, (28, 28, 1)), "cifar10": (publish_cifar10, (32, 32, 3))}


def images_of(arrays: Arrays) -> list[tuple[bytes, int]]:
    """All pairs, sorted: TFDS shuffles them once, as it writes them."""
    images = np.concatenate([arrays.train_images, arrays.test_images])
    labels = np.concatenate([arrays.train_labels, arrays.test_labels])
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("name", PUBLISH)
def test_what_is_published_is_downloaded_and_read(name, served, chosen, monkeypatch):
    publish, shape = PUBLISH[name]
    arrays = drawn(shape, 50, 20)
    publish(arrays, *served, monkeypatch)
    settings = chosen(name, arrays)
    assert f"{name} {datasets.DATASETS[name].version} is not in" in datasets.missing(settings)
    datasets.obtain(settings)
    assert datasets.missing(settings) is None
    loaded = datasets.load(settings)
    assert (loaded.train_images.shape, loaded.test_images.shape) == ((50, *shape), (20, *shape))
    assert images_of(loaded) == images_of(arrays)


def test_a_download_that_breaks_off_is_begun_again(served, chosen, monkeypatch):
    arrays = drawn((28, 28, 1), 50, 20)
    publish_mnist(arrays, *served, monkeypatch)
    settings = chosen("mnist", arrays)
    labels = served[0] / "t10k-labels-idx1-ubyte.gz"
    labels.rename(served[0] / "late")
    with pytest.raises(SettingsError, match=r"could not be downloaded \(DownloadError: .*404.*; set TFDS_DATA_DIR"):
        datasets.obtain(settings)
    assert datasets.missing(settings) is not None
    (served[0] / "late").rename(labels)
    datasets.obtain(settings)
    assert images_of(datasets.load(settings)) == images_of(arrays)


def kept(folder: Path, **changes: object) -> Path:
    """The folder of complete MNIST as TFDS keeps it, by its looks; `changes` are those of dataset_info.json."""
    place = folder / "tfds" / "mnist" / "3.0.1"
    place.mkdir(parents=True)
    parts = [("train", 60_000, 900), ("test", 10_000, 500)]
    splits = [{"name": n, "shardLengths": [str(count)], "numBytes": str(size)} for n, count, size in parts]
    (place / "dataset_info.json").write_text(json.dumps({"fileFormat": "tfrecord", "splits": splits} | changes))
    for name, count, size in parts:
        with open(place / f"mnist-{name}.tfrecord-00000-of-00001", "wb") as file:
            file.truncate(size + 16 * count)
    return place


def half(**changes: object) -> list[dict[str, object]]:
    whole = {"name": "train", "shardLengths": ["60000"], "numBytes": "900"}
    return [whole | changes]


HALVES = {
    "no records": (lambda f: [file.unlink() for file in f.glob("*tfrecord*")], {}, "train.tfrecord-00000-of-00001 is"),
    "a part of them": (lambda f: (f / "mnist-test.tfrecord-00000-of-00001").unlink(), {}, "test.tfrecord-00000-of"),
    "cut off": (lambda f: open(f / "mnist-test.tfrecord-00000-of-00001", "wb").close(), {}, "records are cut off: 0 "),
    "no information": (lambda f: (f / "dataset_info.json").unlink(), {}, "dataset_info.json: No such file"),
    "half information": (lambda f: (f / "dataset_info.json").write_text('{"splits": ['), {}, "is damaged"),
    "other information": (lambda f: (f / "dataset_info.json").write_text("[1]"), {}, "is damaged"),
    "another form": (lambda f: None, {"fileFormat": "array_record"}, "in the form array_record, not tfrecord"),
    "one part": (lambda f: None, {"splits": half()}, "it has 0 test images, not 10,000"),
    "fewer images": (lambda f: None, {"splits": half(shardLengths=["100"])}, "it has 100 train images, not 60,000"),
}


@pytest.mark.parametrize("case", HALVES)
def test_half_a_data_set_is_one_line_before_anything_runs(train, folder, case):
    harm, changes, said = HALVES[case]
    place = kept(folder, **changes)
    harm(place)
    for mode in ([], ["-m", "seed=0,1"], ["-m", "missing_data=note", "plan=true"]):
        refused = train(*mode, "dataset=mnist", "pool=max", f"dataset.data_dir={folder}/tfds")
        assert refused.code == 2
        (line,) = refused.err.splitlines()
        assert line.startswith(f"dataset=mnist: {place} cannot be used (")
        assert said in line
    assert not (folder / "results").exists()


def test_a_whole_data_set_is_taken_by_its_looks(train, folder):
    kept(folder)
    planned = train("dataset=mnist", "pool=max", f"dataset.data_dir={folder}/tfds", "plan=true")
    assert (planned.code, planned.err) == (0, "")
    assert "would run" in planned.out
