"""What a results folder holds, as one hash: two folders with the same finished runs and sweeps have the same."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fracpool.records.files import open_inside
from fracpool.records.packed import MAX_PACKED_BYTES, PACKED_FILE

OF_RESULTS = ("runs", "sweeps", "labels", PACKED_FILE)
MOST_BYTES = 2**32  # hashed in seconds


def content_hash(root: Path, parts: Iterable[str] = OF_RESULTS) -> str | None:
    """SHA-256 of the names and bytes of all files in these parts of a results folder; None beyond MOST_BYTES.

    No link is followed and no pipe is read: what cannot be read counts by its name and the reason.
    """
    whole, left = hashlib.sha256(), MOST_BYTES
    for path in _files(root, parts):
        told = content = ""
        try:
            with open_inside(root, path, MAX_PACKED_BYTES) as file:
                left -= os.fstat(file.fileno()).st_size
                if left < 0:
                    return None
                content = hashlib.sha256(file.read(MAX_PACKED_BYTES)).hexdigest()
        except OSError as error:
            told = errno.errorcode.get(error.errno or 0, "")
        whole.update(f"{path.relative_to(root).as_posix()!r} {content}{told}\n".encode())
    return whole.hexdigest()


def _files(root: Path, parts: Iterable[str]) -> Iterator[Path]:
    """The parts, and everything in those that are folders, in order of their names."""
    for part in parts:
        yield root / part
        if (root / part).is_symlink():
            continue
        for folder, inner, names in os.walk(root / part):
            inner.sort()
            yield from (Path(folder) / name for name in sorted([*names, *inner]))
