"""What runs chose for each test image: read once, kept while there is room, and no more than a report can take."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from fracpool.records.record import Record, RecordError

MOST_IMAGES = 200_000
MOST_BYTES = 2**30  # unpacked, for one report
MOST_KEPT_BYTES = 2**28
Chosen = tuple[np.ndarray, np.ndarray]  # the labels of the test images, and the classes chosen


class Predictions:
    """The predictions of a results folder. `left_out` says what was not read any more."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], Chosen | None] = OrderedDict()
        self._kept_bytes = 0
        self._labels: np.ndarray | None = None

    def of(self, record: Record, form: str) -> Chosen | None:
        """Labels and chosen classes of a run in a test form; None where they were not kept or cannot be used."""
        key = (record.run_id, form)
        if key not in self._kept:
            self._keep(key, self._read(record, form))
        self._kept.move_to_end(key)
        return self._kept[key]

    def _read(self, record: Record, form: str) -> Chosen | None:
        if self._bytes > MOST_BYTES:
            self._say(f"predictions: what is beyond {MOST_BYTES} bytes, unpacked, is left out")
            return None
        try:
            arrays = record.predictions(form)
            labels, kept = arrays["labels"], arrays[form]
        except (RecordError, KeyError):
            return None
        self._bytes += labels.nbytes + kept.nbytes
        if len(labels) > MOST_IMAGES:
            self._say(f"{record.run_id}: its predictions for more than {MOST_IMAGES} images are left out")
            return None
        if self._labels is None or not np.array_equal(self._labels, labels):
            self._labels = labels  # else those of the run before, which are mostly the same
        chosen = kept.argmax(axis=1).astype(np.min_scalar_type(kept.shape[1])) if kept.ndim == 2 else kept
        return self._labels, chosen

    def _keep(self, key: tuple[str, str], found: Chosen | None) -> None:
        self._kept[key] = found
        self._kept_bytes += _size(found)
        while self._kept_bytes > MOST_KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= _size(self._kept.popitem(last=False)[1])

    def _say(self, line: str) -> None:
        if line not in self.left_out and len(self.left_out) < 20:
            self.left_out.append(line)


def _size(found: Chosen | None) -> int:
    return 0 if found is None else found[0].nbytes + found[1].nbytes
