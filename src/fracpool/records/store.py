"""The run record: what one run leaves behind, and how it is written and read whole.

A results folder (`results/<profile>/`) holds

    runs/<run id>/record.json      settings, metrics, geometry, timings, environment, fingerprints
    runs/<run id>/history.csv      one row per epoch (absent for checks, which have no epochs)
    runs/<run id>/predictions.npz  test probabilities or classes (absent for checks and diverged runs)
    records.parquet                the same of runs that are packed (`fracpool.records.packed`)
    labels/<digest>.npz            test labels, once for all runs that keep classes
    sweeps/<experiment>.json       which runs an experiment consists of, and the findings it tests
    unfinished/<run id>/           the checkpoint of a run that has not ended, and its record while it is written
    claims/  damaged/              who is at which run; records that could not be used

A record is written among the unfinished and renamed, so it appears whole or not at all. The whole folder may be
a link, nothing in it may (`fracpool.records.files`): what is read and written stays inside.
Nothing here needs TensorFlow, and nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fracpool.records.file_bytes import compressed, history_csv, json_bytes
from fracpool.records.files import StorageError, list_inside, refuse_links, write_durably, write_inside
from fracpool.records.packed import PACKED_FILE, PackedError, PackedRuns, read_packed
from fracpool.records.record import (
    HISTORY_FILE,
    LABELS_DIGEST,
    MINUS_LABELS,
    PREDICTIONS_FILE,
    RECORD_FILE,
    RECORD_SCHEMA,
    Record,
    RecordError,
    digest_of,
    read_json,
    read_packed_record,
    read_record,
)

PARTS = ("runs", "sweeps", "labels", "unfinished", "claims", "damaged", "tracking", "slurm")


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

    def holds_results(self) -> bool:
        """Whether it is a results folder at all."""
        parts = (self.runs, self.sweeps, self.root / "claims")
        return any(part.is_dir() for part in parts) or (self.root / PACKED_FILE).is_file()

    def unfinished(self, run_id: str) -> Path:
        """Where a run keeps its checkpoint until its record is written."""
        return self.root / "unfinished" / run_id

    def claim(self, run_id: str) -> Path:
        """The claim of the process that is at a run (see `fracpool.records.run_claim`)."""
        return self.root / "claims" / run_id

    def find(self, run_id: str) -> Record | None:
        """The record of a run, or None if there is none that can be used. Looking changes nothing."""
        try:
            if os.path.lexists(self.folder(run_id)):
                return read_record(self.folder(run_id), verify_files=True)
            packed = self.packed()
            if packed is not None and packed.holds(run_id):
                return read_packed_record(packed, run_id, self.runs, verify_files=True)
        except (RecordError, PackedError):
            pass
        return None

    def packed(self) -> PackedRuns | None:
        """The runs that are packed in one file; a run that also has its folder is read from there, which is newer."""
        return read_packed(self.root)

    def has(self, run_id: str) -> bool:
        """Whether there is something in the place of a run, be it usable or not."""
        try:
            packed = self.packed()
        except PackedError:
            packed = None
        return self.folder(run_id).is_dir() or (packed is not None and packed.holds(run_id))

    def set_aside(self, run_id: str) -> None:
        """Moves what stands in a run's place, and is no record that can be used, to damaged/; nothing is deleted."""
        folder, damaged = self.folder(run_id), self.root / "damaged"
        if not os.path.lexists(folder) or self.find(run_id):
            return
        aside = damaged / f"{folder.name}-{os.getpid()}-{len(self.entries('damaged'))}"
        try:
            refuse_links(self.root, damaged)
            damaged.mkdir(parents=True, exist_ok=True)
            os.replace(folder, aside)
        except FileNotFoundError:
            pass  # another process did it just before
        except OSError as error:
            raise StorageError.about(aside, error) from error

    def links(self) -> list[Path]:
        """The parts of the folder that lead out of it."""
        return [self.root / name for name in PARTS if (self.root / name).is_symlink()]

    def entries(self, part: str) -> list[Path]:
        """What lies in a part of the folder, sorted by name; nothing where it leads out of the folder."""
        try:
            return list_inside(self.root, self.root / part)
        except OSError:
            return []

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
        self.set_aside(run_id)
        try:
            for place in (unfinished, self.runs):
                refuse_links(self.root, place)
            for left in (new, old):  # by a process of this number that was killed
                shutil.rmtree(left, ignore_errors=True)
            new.mkdir(parents=True)
            files = {}
            if history:
                files[HISTORY_FILE] = write_durably(new / HISTORY_FILE, history_csv(history))
            if predictions is not None:
                files[PREDICTIONS_FILE] = write_durably(new / PREDICTIONS_FILE, self._pack(predictions))
            whole = {"schema": RECORD_SCHEMA, **data, "files": files}
            write_durably(new / RECORD_FILE, json_bytes(whole))
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
            return compressed(predictions)
        name = digest_of(labels)
        target = self.labels / f"{name}.npz"
        if target.is_symlink() or not target.is_file():
            write_inside(self.root, target, compressed({"labels": labels}))
        apart = {name + MINUS_LABELS: array - labels for name, array in predictions.items() if name != "labels"}
        return compressed({**apart, LABELS_DIGEST: np.array(name)})

    def forget_unfinished(self, run_id: str) -> None:
        """Throws away what a run needed until its record was there."""
        with contextlib.suppress(OSError):
            refuse_links(self.root, self.unfinished(run_id))
            shutil.rmtree(self.unfinished(run_id))

    def forget_leftovers(self) -> None:
        """Throws away checkpoints that are older than their run's record: a process was killed between the two."""
        for folder in self.entries("unfinished"):
            try:
                newest = max(file.lstat().st_mtime_ns for file in list_inside(self.root, folder) if file.is_file())
                over = self._record_file(folder.name).lstat().st_mtime_ns >= newest
            except (OSError, ValueError):  # no record, or nothing there
                continue
            if over:
                self.forget_unfinished(folder.name)

    def _record_file(self, run_id: str) -> Path:
        """The file that a run's record stands in."""
        own = self.folder(run_id) / RECORD_FILE
        return own if os.path.lexists(own) or not self.has(run_id) else self.root / PACKED_FILE

    def read(self) -> Reading:
        """Every usable record, sorted by id, and one line per folder that is none."""
        reading = Reading()
        for folder in self._listed(self.runs, reading.problems):
            if folder.name.startswith("."):
                continue
            try:
                reading.records.append(read_record(folder))
            except RecordError as error:
                reading.problems.append(str(error))
        self._read_packed(reading)
        reading.records.sort(key=lambda record: record.run_id)
        return reading

    def _read_packed(self, reading: Reading) -> None:
        there = {record.run_id for record in reading.records}
        try:
            packed = self.packed()
        except PackedError as error:
            reading.problems.append(str(error))
            return
        if packed is None:
            return
        for run_id in (run for run in packed.ids if run not in there):
            try:
                reading.records.append(read_packed_record(packed, run_id, self.runs))
            except RecordError as error:
                reading.problems.append(str(error))

    def write_sweep(self, experiment: str, sweep: Mapping[str, Any]) -> None:
        """Writes `sweeps/<experiment>.json`, replacing the file in one step."""
        target = self.sweeps / f"{experiment}.json"
        try:
            write_inside(self.root, target, json_bytes({"schema": RECORD_SCHEMA, **sweep}))
        except OSError as error:
            raise StorageError.about(target, error) from error

    def read_sweeps(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """All sweep files by experiment name, and one line per file that cannot be used."""
        sweeps: dict[str, dict[str, Any]] = {}
        problems: list[str] = []
        for path in self._listed(self.sweeps, problems):
            if path.suffix != ".json" or path.name.startswith("."):
                continue
            try:
                sweeps[path.stem] = _read_sweep(self.root, path)
            except RecordError as error:
                problems.append(str(error))
        return sweeps, problems

    def _listed(self, folder: Path, problems: list[str]) -> list[Path]:
        """The entries of a part of the folder; none, and a problem, where it cannot be listed or leads out of it."""
        try:
            return list_inside(self.root, folder)
        except OSError as error:
            problems.append(f"{folder}: {error.strerror}; a results folder holds its own, or is a link as a whole")
            return []


def _read_sweep(root: Path, path: Path) -> dict[str, Any]:
    """A sweep file, of which the runs that it names are checked: everything that goes on relies on them."""
    sweep = read_json(root, path)
    for name in ("runs", "older"):
        runs = sweep[name] = sweep.get(name) or []
        if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
            raise RecordError(f"{path}: {name} is no list of run ids; run the sweep again")
    return sweep
