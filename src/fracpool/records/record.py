"""One run record, read back and checked: nothing in it is trusted."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fracpool.records import arrays, plain_json
from fracpool.records.files import read_inside
from fracpool.records.packed import PackedError, PackedRuns
from fracpool.records.plain_text import text

RECORD_SCHEMA = 1
RECORD_FILE, HISTORY_FILE, PREDICTIONS_FILE = "record.json", "history.csv", "predictions.npz"
STATUSES = ("completed", "diverged", "failed")
COUNTED = ("epoch", "step", "examples")
HISTORY_COLUMNS = (*COUNTED, "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
# A results folder may come from a stranger: no file that fracpool writes is near these sizes.
MAX_JSON_BYTES = 16 * 2**20
MAX_HISTORY_BYTES = 64 * 2**20
MAX_PREDICTIONS_BYTES = 256 * 2**20  # packed and unpacked
LIMITS = {HISTORY_FILE: MAX_HISTORY_BYTES, PREDICTIONS_FILE: MAX_PREDICTIONS_BYTES}
MOST_SECONDS = 1e10
PARTS_OF_THE_TIME = ("train_seconds", "epoch_test_seconds", "test_seconds", "overhead_seconds")
MINUS_LABELS, LABELS_DIGEST = "_minus_labels", "labels_digest"


class RecordError(ValueError):
    """A file of a results folder that cannot be used; the text names the file and the remedy."""


@dataclass(frozen=True)
class Record:
    """One finished run, read back: `data` is record.json, `folder` is where its files lie, or would if they were not
    `packed`."""

    data: dict[str, Any]
    folder: Path
    packed: PackedRuns | None = field(default=None, compare=False, repr=False)

    @property
    def run_id(self) -> str:
        return str(self.data["run_id"])

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def error(self) -> str:
        """What a run says that failed or diverged; "" where it says nothing."""
        error = self.data.get("error")
        return str(error.get("message", "") if isinstance(error, Mapping) else error or "")

    @property
    def seconds(self) -> float:
        """What the run took in all: training, tests and the rest; 0 where it does not say."""
        timings = self.data.get("timings") or {}
        return sum(timings.get(part) or 0.0 for part in PARTS_OF_THE_TIME)

    def history(self) -> list[dict[str, float]]:
        """The learning curve: one dict per epoch with the keys HISTORY_COLUMNS (read once, to be left as it is)."""
        return self._history

    @cached_property
    def _history(self) -> list[dict[str, float]]:
        content = self._content(HISTORY_FILE)
        try:
            rows = csv.DictReader(io.StringIO(content.decode()))
            return [{name: _measure(name, row[name]) for name in HISTORY_COLUMNS} for row in rows]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise RecordError(f"{self.folder / HISTORY_FILE}: not a history file ({text(error, 80)})") from None

    def predictions(self, *forms: str) -> dict[str, np.ndarray]:
        """Test predictions of `one_pass`, of the `averaged` passes and of the `deterministic` one, or those of the
        `forms`: probabilities (images, classes) float16, or classes (images,) uint8; and `labels` (images,) uint8."""
        path = self.folder / PREDICTIONS_FILE
        wanted = [*forms, *(form + MINUS_LABELS for form in forms), "labels", LABELS_DIGEST] if forms else ()
        found = _arrays(path, self._content(PREDICTIONS_FILE), wanted)
        shared = found.pop(LABELS_DIGEST, None)
        if shared is not None:
            found["labels"] = _read_labels(self._root, str(shared))
        try:
            return _checked(found)
        except (KeyError, ValueError) as error:
            raise RecordError(f"{path}: not a predictions file ({text(error, 80)})") from None

    def has(self, name: str) -> bool:
        """Whether a file that the record lists is there."""
        if name not in self.data["files"]:
            return False
        return (
            (self.folder / name).is_file() if self.packed is None else self.packed.file(self.run_id, name) is not None
        )

    def verify(self) -> None:
        """Raises RecordError if a file is not what the record says."""
        for name in self.data["files"]:
            if name not in LIMITS:
                raise RecordError(f"{self.folder / RECORD_FILE}: lists the unknown file {text(name, 40)!r}")
            self._content(name)

    def _content(self, name: str) -> bytes:
        """The bytes of a file of the run; RecordError if they are not those that the record was written with."""
        path, checksum = self.folder / name, self._checksum(name)
        if self.packed is None:
            return _read(self._root, path, LIMITS[name], checksum)
        content = _from_packed(self.packed, self.run_id, name)
        if content is None or len(content) > LIMITS[name]:
            raise RecordError(f"{path}: {'missing' if content is None else 'too large'} in {self.packed.path.name}")
        return _same(path, content, checksum)

    @property
    def _root(self) -> Path:
        """The results folder."""
        return self.folder.parents[1]

    def _checksum(self, name: str) -> str:
        try:
            return str(self.data["files"][name])
        except KeyError:
            raise RecordError(f"{self.folder / RECORD_FILE}: the run has no {name} (status {self.status})") from None


def _measure(name: str, cell: str) -> float:
    """A cell of the learning curve; an empty one is NaN, of a loss that is not finite or a test that was not made."""
    value = float(cell) if cell else math.nan
    if math.isinf(value) or (name in COUNTED and not 0 <= value < 2**53):
        raise ValueError(f"{name} is {value}")
    return value


def _checked(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The labels, and per image a class or the probability of each; of classes `Store._pack` keeps the difference from
    the labels. ValueError for anything else."""
    labels = found["labels"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError("labels are a whole number for each image")
    for name, array in found.items():
        kinds = {1: "iu", 2: "f"}.get(array.ndim, "")
        if len(kinds) == 0 or array.dtype.kind not in kinds or len(array) != len(labels) or 0 in array.shape[1:]:
            raise ValueError(f"{name} is neither a class nor probabilities for each image")
    return {
        name.removesuffix(MINUS_LABELS): array + labels if name.endswith(MINUS_LABELS) else array
        for name, array in found.items()
    }


def read_record(folder: Path, verify_files: bool = False) -> Record:
    """Reads and checks one record; raises RecordError with one line if it cannot be used."""
    data = read_json(folder.parents[1], folder / RECORD_FILE)
    record = _checked_record(data, folder)
    if verify_files:
        record.verify()
    return record


def read_packed_record(packed: PackedRuns, run_id: str, runs: Path, verify_files: bool = False) -> Record:
    """The same of a packed run, whose folder would lie in `runs`."""
    folder = runs / run_id
    content = _from_packed(packed, run_id, RECORD_FILE)
    if content is None or len(content) > MAX_JSON_BYTES:
        raise RecordError(f"{packed.path}: run {text(run_id, 100)} has no record of a usual size")
    record = _checked_record(_json_object(folder / RECORD_FILE, content), folder, packed)
    if verify_files:
        record.verify()
    return record


def _from_packed(packed: PackedRuns, run_id: str, name: str) -> bytes | None:
    try:
        return packed.file(run_id, name)
    except PackedError as error:
        raise RecordError(str(error)) from None


def _checked_record(data: dict[str, Any], folder: Path, packed: PackedRuns | None = None) -> Record:
    """What everything else relies on is there, and of its type."""
    path = folder / RECORD_FILE
    if data.get("run_id") != folder.name:
        raise RecordError(f"{path}: holds run {data.get('run_id')!r}, not {folder.name!r}; it was moved or edited")
    if data.get("status") not in STATUSES:
        raise RecordError(f"{path}: status {data.get('status')!r} is none of {', '.join(STATUSES)}")
    missing = [k for k in ("config", "geometry", "metrics", "seed", "variant_id", "files") if k not in data]
    if missing:
        raise RecordError(f"{path}: lacks {', '.join(missing)}; set the folder aside and run it again")
    wrong = _wrong_field(data)
    if wrong:
        raise RecordError(f"{path}: {wrong}; set the folder aside and run it again")
    return Record(data, folder, packed)


def _wrong_field(data: Mapping[str, Any]) -> str | None:
    """What is wrong with the fields that everything else relies on; None if nothing is."""
    groups = [name for name in ("config", "geometry", "metrics", "files") if not isinstance(data[name], dict)]
    groups += [name for name in ("timings", "data", "environment") if not isinstance(data.get(name) or {}, dict)]
    if groups:
        return f"{groups[0]} is no group of fields"
    if not isinstance(data["seed"], int) or isinstance(data["seed"], bool):
        return "seed is no whole number"
    for name, seconds in (data.get("timings") or {}).items():
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and abs(seconds) < MOST_SECONDS):
            return f"timings.{text(name, 40)} is {text(seconds, 40)}, no number of seconds"
    return None


def digest(value: Any) -> str:
    """Hash (16 hex digits) of a JSON value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def _read_labels(root: Path, name: str) -> np.ndarray:
    """Labels that several runs share; what is not what its name says is refused."""
    path = root / "labels" / f"{name}.npz"
    if not re.fullmatch("[0-9a-f]{16}", name):
        raise RecordError(f"{path.parent}: not the labels of a run; a results folder holds its own")
    labels = _arrays(path, _read(root, path, MAX_PREDICTIONS_BYTES), ["labels"]).get("labels")
    if labels is None or digest_of(labels) != name:
        raise RecordError(f"{path}: not the labels that its name stands for; take the file from where the run was made")
    return labels


def _arrays(path: Path, content: bytes, wanted: Collection[str] = ()) -> dict[str, np.ndarray]:
    try:
        return arrays.read_arrays(io.BytesIO(content), MAX_PREDICTIONS_BYTES, wanted)
    except ValueError as error:
        raise RecordError(f"{path}: not a predictions file ({text(error, 80)})") from None


def read_json(root: Path, path: Path) -> dict[str, Any]:
    """A JSON object of this schema, from a file below the results folder `root`."""
    return _json_object(path, _read(root, path, MAX_JSON_BYTES))


def _json_object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        data = plain_json.parse(content)
    except ValueError as error:
        raise RecordError(f"{path}: not valid JSON ({text(error, 80)}); set it aside and run it again") from None
    if not isinstance(data, dict):
        raise RecordError(f"{path}: no JSON object; set it aside and run it again")
    if data.get("schema") != RECORD_SCHEMA:
        raise RecordError(
            f"{path}: schema {text(data.get('schema'), 40)}, this fracpool reads {RECORD_SCHEMA}; "
            "use the version that wrote it, or run it again"
        )
    return data


def _read(root: Path, path: Path, limit: int, checksum: str | None = None) -> bytes:
    """A file's content, refused when it is no file of this folder, too large or not what its record says."""
    try:
        content = read_inside(root, path, limit)
    except OSError as error:
        place = error.filename or path
        raise RecordError(f"{place}: {error.strerror}; set the folder aside and run it again") from None
    return _same(path, content, checksum)


def _same(path: Path, content: bytes, checksum: str | None) -> bytes:
    """The content, if it has that SHA-256."""
    if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
        raise RecordError(f"{path}: differs from the checksum in {RECORD_FILE}; set the folder aside and run it again")
    return content
