"""Decoded images, kept: TFDS takes ten seconds and TensorFlow to decode MNIST; reading it back takes neither.

A data set is a folder of plain .npy files in the user's cache folder (XDG_CACHE_HOME, ~/.cache) or, where that cannot
be written, beside the folder of TFDS. It bears the fingerprint of the files that it was decoded from, appears whole or
not at all, is made anew when it is damaged, and may be deleted at any time. Where nothing can be written there is no
cache, and no complaint.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fracpool.records.cache_folder import cache_folder
from fracpool.records.files import LEFTOVER_SECONDS
from fracpool.settings.arrays import Arrays

PARTS = ("train_images", "train_labels", "test_images", "test_labels")
CONTENT = "content.txt"  # the hash of all four


def cached(name: str, beside: Path, decode: Callable[[], Arrays]) -> Arrays:
    """The arrays that are kept under `name`; where there are none they are decoded, and kept.

    Args:
        name: Of the data set, with the fingerprint of its files.
        beside: The folder of TFDS.
    """
    folders = list(_folders(beside))
    for folder in folders:
        found = _read(folder / name)
        if found is not None:
            return found
    arrays = decode()
    for folder in folders:
        if _keep(arrays, folder / name):
            break
    return arrays


def _folders(beside: Path) -> Iterator[Path]:
    users = cache_folder()
    if users is not None:
        yield users
    yield beside / "fracpool"


def _read(folder: Path) -> Arrays | None:
    try:
        arrays = Arrays(*(np.load(folder / f"{part}.npy", allow_pickle=False) for part in PARTS))
        content = (folder / CONTENT).read_text(encoding="ascii")
        return arrays if content == arrays.content_hash else None
    except (OSError, ValueError, EOFError):
        return None


def _keep(arrays: Arrays, folder: Path) -> bool:
    """Whether the arrays are there now."""
    hidden = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_leftovers(folder.parent)
        hidden = Path(tempfile.mkdtemp(prefix=".writing.", dir=folder.parent))
        for part in PARTS:
            np.save(hidden / f"{part}.npy", getattr(arrays, part), allow_pickle=False)
        (hidden / CONTENT).write_text(arrays.content_hash, encoding="ascii")
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        os.rename(hidden, folder)
        return True
    except OSError:
        return folder.is_dir()  # another process was faster
    finally:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)


def _forget_leftovers(folder: Path) -> None:
    """Throws away what processes left that were killed while they wrote."""
    for left in folder.glob(".writing.*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
