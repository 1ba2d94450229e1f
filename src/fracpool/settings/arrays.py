"""The images and labels of a data set in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


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
