"""Files written whole: beside their place, flushed to disk where that matters, then put there in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

LEFTOVER_SECONDS = 3600.0  # no file takes as long to write


class StorageError(RuntimeError):
    """A file that could not be written; the text names it, the reason and the remedy."""

    @classmethod
    def about(cls, path: Path, error: OSError) -> StorageError:
        reason = error.strerror or type(error).__name__
        return cls(f"{path}: cannot be written ({reason}); nothing finished is lost: mend it and run the command again")


def write_durably(path: Path, content: bytes) -> str:
    """Writes and flushes a file to disk; returns its SHA-256."""
    with open(path, "wb") as file:
        file.write(content)
        _flush(file)
    return hashlib.sha256(content).hexdigest()


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
