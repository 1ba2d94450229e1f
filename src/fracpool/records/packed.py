"""Finished runs in one file: `records.parquet`, a row for each run, which holds the bytes of the files of its folder.

A study of hundreds of runs is thousands of small files, whose records say nearly the same: packed they take a third.
The store reads a packed run as it reads a folder, checksums and bounds included. The file may come from a stranger.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracpool.records.files import read_inside
from fracpool.records.parquet_pages import unpacked_bytes
from fracpool.records.plain_text import text

if TYPE_CHECKING:
    import pyarrow

PACKED_FILE = "records.parquet"
ID, FILES = "run_id", ("record.json", "history.csv", "predictions.npz")  # the columns
SCHEMA, SCHEMA_KEY = b"1", b"fracpool.packed"
ROWS_OF_A_GROUP = 64  # which are unpacked together
MAX_PACKED_BYTES = 256 * 2**20
MAX_FOOTER_BYTES = 16 * 2**20  # which a reader turns into some hundred times as much; 100,000 runs have 10 MB
MAX_UNPACKED_BYTES = 2**30
MAX_GROUP_BYTES = 2**28  # of a column and a row group, which are held at once
MOST_RUNS = 100_000
_LEVEL = 15  # of zstd: a tenth smaller than the default, in a second for a thousand runs


class PackedError(ValueError):
    """A packed file that cannot be used; the text names it and the remedy."""


class PackedRuns:
    """The runs of a packed file: their ids in order, and the bytes of their files."""

    def __init__(self, path: Path, content: bytes) -> None:
        import pyarrow.parquet

        self.path = path
        try:
            if int.from_bytes(content[-8:-4], "little") > MAX_FOOTER_BYTES:
                raise ValueError(f"its metadata are more than {MAX_FOOTER_BYTES} bytes")
            self._file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
            self._check(self._file.metadata, content)
            self.ids = [str(run) for run in self._column(ID)]
            self._row = {run: number for number, run in enumerate(self.ids)}
            self._group: tuple[str, int, list[Any]] = ("", -1, [])
        except (pyarrow.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
            raise self._unusable(error) from None
        run, times = next(iter(Counter(self.ids).most_common(1)), ("", 1))
        if times > 1:
            raise self._unusable(f"holds run {run} {times} times")

    def holds(self, run_id: str) -> bool:
        return run_id in self._row

    def file(self, run_id: str, name: str) -> bytes | None:
        """A file of a run that is packed; None where the run has none of that name."""
        import pyarrow

        group, place = divmod(self._row[run_id], ROWS_OF_A_GROUP)
        if self._group[:2] != (name, group):
            try:
                values = self._file.read_row_group(group, columns=[name]).column(0).to_pylist()
                if len(values) != min(ROWS_OF_A_GROUP, len(self.ids) - group * ROWS_OF_A_GROUP):
                    raise ValueError("a column has fewer rows than there are runs")
                self._group = (name, group, values)
            except (pyarrow.ArrowException, OSError, ValueError, IndexError) as error:
                raise self._unusable(error) from None
        found = self._group[2][place]
        return None if found is None else bytes(found)

    def _check(self, metadata: Any, content: bytes) -> None:
        """What it would take is told before any of it is taken."""
        found = (metadata.metadata or {}).get(SCHEMA_KEY)
        if found != SCHEMA:
            known = "none" if found is None else text(found.decode("utf-8", "replace"), 20)
            raise ValueError(f"packed schema {known}, this fracpool reads {SCHEMA.decode()}")
        if self._file.schema_arrow.remove_metadata() != _schema().remove_metadata():
            raise ValueError(f"has other columns than {', '.join((ID, *FILES))}")
        if metadata.num_rows > MOST_RUNS:
            raise ValueError(f"holds more than {MOST_RUNS} runs")
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        rows = [group.num_rows for group in groups]
        if sum(rows) != metadata.num_rows or any(number != ROWS_OF_A_GROUP for number in rows[:-1]):
            raise ValueError(f"has row groups of other sizes than {ROWS_OF_A_GROUP}")
        columns = [(group.column(number), group.num_rows) for group in groups for number in range(len(FILES) + 1)]
        sizes = [unpacked_bytes(content, column, number) for column, number in columns]
        if any(size > MAX_GROUP_BYTES for size in sizes) or sum(sizes) > MAX_UNPACKED_BYTES:
            raise ValueError(f"unpacks to more than {MAX_UNPACKED_BYTES} bytes, or {MAX_GROUP_BYTES} at once")

    def _column(self, name: str) -> list[Any]:
        return list(self._file.read(columns=[name]).column(0).to_pylist())

    def _unusable(self, reason: object) -> PackedError:
        return PackedError(
            f"{self.path}: not a file of packed runs ({text(reason, 120)}); take it from where it was made, or set it "
            "aside and run the experiments again"
        )


def read_packed(root: Path) -> PackedRuns | None:
    """The packed runs of a results folder, or None where nothing is packed.

    Raises:
        PackedError: there is such a file, but it cannot be used.
    """
    path = root / PACKED_FILE
    if not os.path.lexists(path):
        return None
    try:
        found = path.lstat()
        return _read_known(root, path, (found.st_ino, found.st_size, found.st_mtime_ns))
    except OSError as error:
        raise PackedError(f"{path}: {error.strerror}; a results folder holds its own, as a regular file") from None


@lru_cache(maxsize=2)
def _read_known(root: Path, path: Path, version: tuple[int, int, int]) -> PackedRuns:
    return PackedRuns(path, read_inside(root, path, MAX_PACKED_BYTES))


def pack(runs: Iterable[tuple[str, Mapping[str, bytes]]]) -> bytes:
    """The content of a packed file: of each run its id and its files by name."""
    import pyarrow
    import pyarrow.parquet

    rows = [{ID: run_id, **{name: files.get(name) for name in FILES}} for run_id, files in sorted(runs)]
    out = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows, schema=_schema())
    pyarrow.parquet.write_table(
        table, out, row_group_size=ROWS_OF_A_GROUP, compression="zstd", compression_level=_LEVEL, use_dictionary=False
    )
    return out.getvalue()


def _schema() -> pyarrow.Schema:
    import pyarrow

    columns = [pyarrow.field(ID, pyarrow.string(), nullable=False)]
    columns += [pyarrow.field(name, pyarrow.binary()) for name in FILES]
    return pyarrow.schema(columns, metadata={SCHEMA_KEY: SCHEMA})
