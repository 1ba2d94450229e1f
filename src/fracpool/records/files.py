"""Files of a results folder: read within bounds, written whole, and nothing outside of the folder touched.

A results folder may come from a stranger. The folder itself may be a link; below it no link is followed, at no level,
neither to read nor to write, and what is read is a regular file of a bounded size: no pipe that never ends, no device.
That holds for a folder as it lies there, not against somebody who changes it in the same moment.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

LEFTOVER_SECONDS = 3600.0  # no file takes as long to write
A_LINK = "a link, which is not followed"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe would else wait for a writer


class StorageError(RuntimeError):
    """A file that could not be written; the text names it, the reason and the remedy."""

    @classmethod
    def about(cls, path: Path, error: OSError) -> StorageError:
        reason = error.strerror or type(error).__name__
        return cls(f"{path}: cannot be written ({reason}); nothing finished is lost: mend it and run the command again")


# ---- reading ----


def refuse_links(root: Path, path: Path) -> None:
    """Raises OSError if `path`, or a folder on the way to it from `root`, is a link."""
    place = root
    for part in path.relative_to(root).parts:
        place /= part
        if place.is_symlink():
            raise OSError(errno.ELOOP, A_LINK, str(place))


def open_inside(root: Path, path: Path, limit: int) -> BinaryIO:
    """Opens a file below `root`, a results folder, to read it.

    Raises:
        OSError: it is missing, no regular file, larger than `limit` bytes, or behind a link.
    """
    try:
        held = os.open(root, _FOLDER)
        try:
            *folders, name = path.relative_to(root).parts
            for folder in folders:
                outer, held = held, os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=held)
                os.close(outer)
            number = os.open(name, _FILE, dir_fd=held)
        finally:
            os.close(held)
    except OSError as error:
        refuse_links(root, path)
        raise OSError(error.errno, "missing" if error.errno == errno.ENOENT else error.strerror, str(path)) from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    if found.st_size > limit:
        os.close(number)
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return open(number, "rb")


def read_inside(root: Path, path: Path, limit: int) -> bytes:
    """The content of a file below `root`, a results folder; raises as `open_inside` does."""
    with open_inside(root, path, limit) as file:
        return file.read(limit)


def list_inside(root: Path, folder: Path) -> list[Path]:
    """The entries of a folder below `root` sorted by name; none if there is no such folder; OSError for a link."""
    refuse_links(root, folder)
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


# ---- writing ----


def write_durably(path: Path, content: bytes) -> str:
    """Writes a new file and flushes it to disk; returns its SHA-256."""
    with open(path, "xb") as file:
        file.write(content)
        _flush(file)
    return hashlib.sha256(content).hexdigest()


def write_inside(root: Path, path: Path, content: bytes | Callable[[IO[bytes]], object], durably: bool = True) -> None:
    """`write_file` below `root`, a results folder; OSError for a link on the way."""
    refuse_links(root, path.parent)
    write_file(path, content, durably)


def write_file(path: Path, content: str | bytes | Callable[[IO[bytes]], object], durably: bool = False) -> None:
    """Replaces a file in one step: no reader sees half of it, and a link in its place is replaced, not followed.

    Args:
        path: Where; its folder is made.
        content: What, or a function that writes it into an open file.
        durably: Whether it is flushed to disk before it takes its place.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden.unlink(missing_ok=True)
    try:
        with open(hidden, "xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            if durably:
                _flush(file)
        os.replace(hidden, path)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by processes that were killed while they wrote
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > LEFTOVER_SECONDS:
                left.unlink()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
