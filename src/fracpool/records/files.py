"""Files written whole: beside their place, flushed to disk where that matters, then put there in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

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
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def replace_durably(target: Path, content: bytes) -> None:
    """Writes a file beside, flushed to disk, and puts it in its place in one step."""
    hidden = target.parent / f".{target.stem}.{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(hidden, content)
        os.replace(hidden, target)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


def write_file(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step: no reader sees half of it, and a link in its place is replaced, not followed."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.unlink(missing_ok=True)
    try:
        with open(hidden, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by processes that were killed while they wrote
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > LEFTOVER_SECONDS:
                left.unlink()
