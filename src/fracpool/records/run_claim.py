"""Who trains a run: a claim, so that two sweeps in one folder, on one machine or several, share the work.

A claim is a file beside the runs, created exclusively (which network file systems keep to as well), that names
its owner and is touched while the owner lives. A claim is stale when its owner is a process of this
machine that is gone, or when it has not been touched for STALE_SECONDS by the file system's own clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from fracpool.records import plain_json
from fracpool.records.files import StorageError, read_inside, refuse_links

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
MAX_BYTES = 4096


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Holds the claim `path` if it can be had; yields whether it was."""
    owner = {"token": uuid.uuid4().hex, **_this_process()}
    try:
        refuse_links(path.parents[1], path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = _take(path, owner)
    except OSError as error:
        raise StorageError.about(path, error) from error
    if not taken:
        yield False
        return
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, owner, stop), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        stop.set()
        beat.join()
        if _owner(path) == owner:
            with contextlib.suppress(OSError):  # on a disk that became read-only it goes stale by itself
                path.unlink()


def is_free(path: Path) -> bool:
    """Whether nobody who lives holds the claim."""
    owner = _owner(path)
    return owner is None or _is_stale(path, owner)


def _take(path: Path, owner: dict[str, object]) -> bool:
    if _create(path, owner):
        return True
    held_by = _owner(path)
    if held_by is not None and not _is_stale(path, held_by):
        return False
    # Of several that find it stale one moves it away, and looks again at what it moved.
    aside = path.with_name(f".{path.name}.{owner['token']}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return _create(path, owner)
    if _owner(aside) != held_by:  # a new owner came first
        os.rename(aside, path)
        return False
    aside.unlink(missing_ok=True)
    return _create(path, owner)


def _create(path: Path, owner: dict[str, object]) -> bool:
    """Makes the claim; False if there is one."""
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(owner, file)
        return True
    except FileExistsError:
        return False


def _owner(path: Path) -> dict[str, object] | None:
    """None if there is no claim; {} if it cannot be read, which only time makes stale."""
    try:
        owner = plain_json.parse(read_inside(path.parents[1], path, MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_stale(path: Path, owner: dict[str, object]) -> bool:
    here = _this_process()
    if owner.get("machine") == here["machine"] and owner.get("started") is not None:
        return _started(owner.get("process")) != owner.get("started")
    try:  # nor does a living owner touch it in the future
        return abs(_clock_of(path.parent) - path.lstat().st_mtime) > STALE_SECONDS
    except FileNotFoundError:
        return True


def _beat(path: Path, owner: dict[str, object], stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        if _owner(path) != owner:
            return  # taken over while this process was held up; its record will simply be the second
        with contextlib.suppress(OSError):
            os.utime(path)


def _clock_of(folder: Path) -> float:
    """The file system's time, which is the one that claims are stamped with."""
    probe = folder / f".clock.{uuid.uuid4().hex}"
    try:
        refuse_links(folder.parent, folder)
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _this_process() -> dict[str, object]:
    pid = os.getpid()
    return {"machine": _machine(), "process": pid, "started": _started(pid)}


def _machine() -> str:
    """A number for this machine since it booted, that does not tell its name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, namespace = str(uuid.getnode()), ""
    return hashlib.sha256(f"{boot}{namespace}{os.uname().nodename}".encode()).hexdigest()[:16]


def _started(process: object) -> str | None:
    """When a process of this machine started, so that a new one with an old number is told apart."""
    if not isinstance(process, int):
        return None
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
