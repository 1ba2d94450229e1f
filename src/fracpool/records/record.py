"""One run record, read back and checked: nothing in it is trusted."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
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

    @property
    def error(self) -> str:
        """What a run says that failed or diverged; "" where it says nothing."""
        error = self.data.get("error")
        return str(error.get("message", "") if isinstance(error, Mapping) else error or "")

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


def read_record(folder: Path, verify_files: bool = False) -> Record:
    """Reads and checks one record; raises RecordError with one line if it cannot be used."""
    path = folder / RECORD_FILE
    if folder.is_symlink():
        raise RecordError(f"{folder}: a link, which is not followed; copy the run here instead")
    data = parse_json(path)
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
    if labels is None or digest_of(labels) != name:
        raise RecordError(f"{path}: not the labels that its name stands for; take the file from where the run was made")
    return labels


def digest_of(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()[:16]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no valid number")


def parse_json(path: Path) -> dict[str, Any]:
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
