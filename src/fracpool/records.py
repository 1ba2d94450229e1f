"""The run record: what one run leaves behind, and how it is written and read whole.

A results folder (`results/<profile>/`) holds

    runs/<run id>/record.json      settings, metrics, geometry, timings, environment, fingerprints
    runs/<run id>/history.csv      one row per epoch (absent for checks, which have no epochs)
    runs/<run id>/predictions.npz  test probabilities or classes (absent for checks and diverged runs)
    labels/<digest>.npz            test labels, once for all runs that keep classes
    sweeps/<experiment>.json       which runs an experiment consists of, and the findings it tests
    unfinished/<run id>/           the checkpoint of a run that has not ended, and its record while it is written
    claims/  damaged/              who is at which run; records that could not be used

A record is written among the unfinished and renamed, so it appears whole or not at all. The whole folder may be
a link, its parts may not: what is read and written stays inside.
Nothing here needs TensorFlow, and nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

RECORD_SCHEMA = 1
RECORD_FILE, HISTORY_FILE, PREDICTIONS_FILE = "record.json", "history.csv", "predictions.npz"
STATUSES = ("completed", "diverged", "failed")
HISTORY_COLUMNS = (
    "epoch",
    "step",
    "examples",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
)
# A results folder may come from a stranger: no file that fracpool writes is near these sizes.
MAX_JSON_BYTES = 16 * 2**20
MAX_HISTORY_BYTES = 64 * 2**20
MAX_PREDICTIONS_BYTES = 256 * 2**20
MINUS_LABELS, LABELS_DIGEST = "_minus_labels", "labels_digest"


class RecordError(ValueError):
    """A file of a results folder that cannot be used; the text names the file and the remedy."""


class StorageError(RuntimeError):
    """A file that could not be written; the text names it, the reason and the remedy."""

    @classmethod
    def about(cls, path: Path, error: OSError) -> StorageError:
        reason = error.strerror or type(error).__name__
        return cls(f"{path}: cannot be written ({reason}); nothing finished is lost: mend it and run the command again")


@dataclass(frozen=True)
class Record:
    """One finished run, read back: `data` is record.json, `folder` is where it lies."""

    data: dict[str, Any]
    folder: Path

    @property
    def run_id(self) -> str:
        return str(self.data["run_id"])

    @property
    def status(self) -> str:
        return str(self.data["status"])

    def history(self) -> list[dict[str, float]]:
        """The learning curve: one dict per epoch with the keys HISTORY_COLUMNS (read once, to be left as it is)."""
        return self._history

    @cached_property
    def _history(self) -> list[dict[str, float]]:
        text = _read_bounded(self.folder / HISTORY_FILE, MAX_HISTORY_BYTES, self._checksum(HISTORY_FILE))
        rows = csv.DictReader(io.StringIO(text.decode("utf-8")))
        try:
            return [{k: float(row[k]) if row[k] else float("nan") for k in HISTORY_COLUMNS} for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{self.folder / HISTORY_FILE}: not a history file ({error})") from None

    def predictions(self) -> dict[str, np.ndarray]:
        """Test predictions of `one_pass`, of the `averaged` passes and of the `deterministic` one: probabilities
        (images, classes) float16, or classes (images,) uint8; and `labels` (images,) uint8."""
        path = self.folder / PREDICTIONS_FILE
        arrays = _read_arrays(path, self._checksum(PREDICTIONS_FILE))
        shared = arrays.pop(LABELS_DIGEST, None)
        if shared is not None:
            arrays["labels"] = _read_labels(self.folder.parents[1] / "labels", str(shared))
        try:
            return _without_labels(arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path}: not a predictions file ({error})") from None

    def _checksum(self, name: str) -> str:
        try:
            return str(self.data["files"][name])
        except KeyError:
            raise RecordError(f"{self.folder / RECORD_FILE}: the run has no {name} (status {self.status})") from None


def _without_labels(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The classes, of which `Store._pack` keeps the difference from the labels."""
    return {
        name.removesuffix(MINUS_LABELS): array + arrays["labels"] if name.endswith(MINUS_LABELS) else array
        for name, array in arrays.items()
    }


@dataclass
class Reading:
    """What a results folder holds: usable records, and one line for each thing that is not."""

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Store:
    """One results folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.runs = self.root / "runs"
        self.sweeps = self.root / "sweeps"
        self.labels = self.root / "labels"

    def folder(self, run_id: str) -> Path:
        return self.runs / run_id

    def unfinished(self, run_id: str) -> Path:
        """Where a run keeps its checkpoint until its record is written."""
        return self.root / "unfinished" / run_id

    def claim(self, run_id: str) -> Path:
        """The claim of the process that is at a run (see `fracpool.claims`)."""
        return self.root / "claims" / run_id

    def find(self, run_id: str) -> Record | None:
        """The record of a run, or None; a damaged one is set aside (never deleted) and reported missing."""
        folder = self.folder(run_id)
        if not os.path.lexists(folder):
            return None
        try:
            return read_record(folder, verify_files=True)
        except RecordError:
            self._set_aside(folder)
            return None

    def _set_aside(self, folder: Path) -> None:
        damaged = self.root / "damaged"
        aside = damaged / f"{folder.name}-{os.getpid()}-{len(list_dir(damaged))}"
        try:
            damaged.mkdir(parents=True, exist_ok=True)
            os.replace(folder, aside)
        except FileNotFoundError:
            pass  # another process did it just before
        except OSError as error:
            raise StorageError.about(aside, error) from error

    def links(self) -> list[Path]:
        """The parts of the folder that lead out of it."""
        others = (self.root / name for name in ("unfinished", "claims", "damaged"))
        return [part for part in (self.runs, self.sweeps, self.labels, *others) if part.is_symlink()]

    def write(
        self,
        data: Mapping[str, Any],
        history: Sequence[Mapping[str, float]] = (),
        predictions: Mapping[str, np.ndarray] | None = None,
    ) -> Record:
        """Writes a record whole: among the unfinished, flushed to disk, then renamed into place."""
        run_id = str(data["run_id"])
        target, unfinished = self.folder(run_id), self.unfinished(run_id)
        new, old = (unfinished / f"{name}.{os.getpid()}" for name in ("record", "replaced"))
        for left in (new, old):  # by a process of this number that was killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            new.mkdir(parents=True)
            files = {}
            if history:
                files[HISTORY_FILE] = _write_durably(new / HISTORY_FILE, _history_csv(history))
            if predictions is not None:
                files[PREDICTIONS_FILE] = _write_durably(new / PREDICTIONS_FILE, self._pack(predictions))
            whole = {"schema": RECORD_SCHEMA, **data, "files": files}
            _write_durably(new / RECORD_FILE, _json_bytes(whole))
            self.runs.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.rename(target, old)  # a failed run that was tried again: it goes whole, too
            os.rename(new, target)
        except OSError as error:
            raise StorageError.about(target, error) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        self.forget_unfinished(run_id)
        return Record(whole, target)

    def _pack(self, predictions: Mapping[str, np.ndarray]) -> bytes:
        """A file of predictions. Of classes it holds the difference from the labels, modulo 256, which is nearly all
        zero, and where the labels are: a tenth of the bytes."""
        labels = predictions["labels"]
        if any(array.dtype != labels.dtype for array in predictions.values()):
            return _packed(predictions)
        name = _digest_of(labels)
        target = self.labels / f"{name}.npz"
        if not target.is_file():
            _replace(target, _packed({"labels": labels}))
        apart = {name + MINUS_LABELS: array - labels for name, array in predictions.items() if name != "labels"}
        return _packed({**apart, LABELS_DIGEST: np.array(name)})

    def forget_unfinished(self, run_id: str) -> None:
        """Throws away what a run needed until its record was there."""
        shutil.rmtree(self.unfinished(run_id), ignore_errors=True)

    def forget_leftovers(self) -> None:
        """Throws away checkpoints that are older than their run's record: a process was killed between the two."""
        for folder in list_dir(self.root / "unfinished"):
            try:
                newest = max(file.stat().st_mtime_ns for file in folder.iterdir() if file.is_file())
                over = (self.folder(folder.name) / RECORD_FILE).stat().st_mtime_ns >= newest
            except (OSError, ValueError):  # no record, or nothing there
                continue
            if over:
                self.forget_unfinished(folder.name)

    def read(self) -> Reading:
        """Every usable record, sorted by id, and one line per folder that is none."""
        reading = Reading()
        for folder in _inside(self.runs, reading.problems):
            if folder.name.startswith("."):
                continue
            try:
                reading.records.append(read_record(folder))
            except RecordError as error:
                reading.problems.append(str(error))
        return reading

    def write_sweep(self, experiment: str, sweep: Mapping[str, Any]) -> None:
        """Writes `sweeps/<experiment>.json`, replacing the file in one step."""
        target = self.sweeps / f"{experiment}.json"
        try:
            _replace(target, _json_bytes({"schema": RECORD_SCHEMA, **sweep}))
        except OSError as error:
            raise StorageError.about(target, error) from error

    def read_sweeps(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """All sweep files by experiment name, and one line per file that cannot be used."""
        sweeps: dict[str, dict[str, Any]] = {}
        problems: list[str] = []
        for path in _inside(self.sweeps, problems):
            if path.suffix != ".json" or path.name.startswith("."):
                continue
            try:
                sweeps[path.stem] = _parse_json(path)
            except RecordError as error:
                problems.append(str(error))
        return sweeps, problems


def read_record(folder: Path, verify_files: bool = False) -> Record:
    """Reads and checks one record; raises RecordError with one line if it cannot be used."""
    path = folder / RECORD_FILE
    if folder.is_symlink():
        raise RecordError(f"{folder}: a link, which is not followed; copy the run here instead")
    data = _parse_json(path)
    if data.get("run_id") != folder.name:
        raise RecordError(f"{path}: holds run {data.get('run_id')!r}, not {folder.name!r}; it was moved or edited")
    if data.get("status") not in STATUSES:
        raise RecordError(f"{path}: status {data.get('status')!r} is none of {', '.join(STATUSES)}")
    missing = [k for k in ("config", "geometry", "metrics", "seed", "variant_id", "files") if k not in data]
    if missing:
        raise RecordError(f"{path}: lacks {', '.join(missing)}; set the folder aside and run it again")
    for name in ("config", "geometry", "metrics", "files"):
        if not isinstance(data[name], dict):
            raise RecordError(f"{path}: {name} is no group of fields; set the folder aside and run it again")
    if not isinstance(data["seed"], int):
        raise RecordError(f"{path}: seed is no whole number; set the folder aside and run it again")
    record = Record(data, folder)
    if verify_files:
        for name, checksum in data["files"].items():
            limit = MAX_HISTORY_BYTES if name == HISTORY_FILE else MAX_PREDICTIONS_BYTES
            if name not in (HISTORY_FILE, PREDICTIONS_FILE):
                raise RecordError(f"{path}: lists the unknown file {name!r}")
            _read_bounded(folder / name, limit, checksum)
    return record


def digest(value: Any) -> str:
    """Hash (16 hex digits) of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def list_dir(folder: Path) -> list[Path]:
    """The entries of a folder sorted by name; none if there is no such folder."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _inside(folder: Path, problems: list[str]) -> list[Path]:
    """The entries of a part of a results folder; none, and a problem, where it leads out of it."""
    if folder.is_symlink():
        problems.append(f"{folder}: a link, which is not followed; link the whole results folder instead")
        return []
    return list_dir(folder)


def _history_csv(history: Sequence[Mapping[str, float]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for row in history:
        writer.writerow([_plain(row[name]) for name in HISTORY_COLUMNS])
    return out.getvalue().encode()


def _plain(value: float) -> str:
    """A number as it should stand in a CSV: nothing for NaN and infinity, no trailing .0 for counts."""
    number = float(value)
    if not np.isfinite(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    """A line for each field: three quarters of the size that a line for each value takes."""
    fields = (
        f"{json.dumps(name)}: {json.dumps(value[name], sort_keys=True, allow_nan=False)}" for name in sorted(value)
    )
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def _write_durably(path: Path, content: bytes) -> str:
    """Writes and flushes a file to disk; returns its SHA-256."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _replace(target: Path, content: bytes) -> None:
    """Writes a file beside, flushed to disk, and puts it in its place in one step."""
    hidden = target.parent / f".{target.stem}.{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_durably(hidden, content)
        os.replace(hidden, target)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _read_arrays(path: Path, checksum: str | None = None) -> dict[str, np.ndarray]:
    blob = _read_bounded(path, MAX_PREDICTIONS_BYTES, checksum)
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_PREDICTIONS_BYTES:
                raise RecordError(f"{path}: unpacks to more than {MAX_PREDICTIONS_BYTES} bytes; refused")
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a predictions file ({error})") from None


def _read_labels(folder: Path, name: str) -> np.ndarray:
    """Labels that several runs share; what is not what its name says is refused."""
    path = folder / f"{name}.npz"
    if folder.is_symlink() or not re.fullmatch("[0-9a-f]{16}", name):
        raise RecordError(f"{folder}: not the labels of a run; a results folder holds its own")
    labels = _read_arrays(path).get("labels")
    if labels is None or _digest_of(labels) != name:
        raise RecordError(f"{path}: not the labels that its name stands for; take the file from where the run was made")
    return labels


def _digest_of(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no valid number")


def _parse_json(path: Path) -> dict[str, Any]:
    blob = _read_bounded(path, MAX_JSON_BYTES)
    try:
        data = json.loads(blob, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not valid JSON ({error}); set it aside and run it again") from None
    if not isinstance(data, dict):
        raise RecordError(f"{path}: no JSON object; set it aside and run it again")
    if data.get("schema") != RECORD_SCHEMA:
        raise RecordError(
            f"{path}: schema {data.get('schema')!r}, this fracpool reads {RECORD_SCHEMA}; "
            "use the version that wrote it, or run it again"
        )
    return data


def _read_bounded(path: Path, limit: int, checksum: str | None = None) -> bytes:
    """A regular file's content, refused when it is a link, too large or not what its record says."""
    try:
        if path.is_symlink() or not path.is_file():
            raise RecordError(f"{path}: missing or no regular file; set the folder aside and run it again")
        if path.stat().st_size > limit:
            raise RecordError(f"{path}: larger than {limit} bytes; refused")
        content = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None
    if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
        raise RecordError(f"{path}: differs from the checksum in {RECORD_FILE}; set the folder aside and run it again")
    return content
