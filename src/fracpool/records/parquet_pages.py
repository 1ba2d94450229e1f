"""What the pages of a Parquet file take once they are unpacked, by their own headers.

The sizes in a file's metadata may be anything, if the file is a stranger's; a reader makes room for what stands at the
page. So each page is gone over before one is unpacked, and only plain values are let pass: those of a dictionary, or of
an encoding that repeats what came before, grow again when they are read.
"""

from __future__ import annotations

from typing import Any

DATA_PAGE, PLAIN = 0, 0
_TYPE, _UNPACKED, _PACKED, _DATA = 1, 2, 3, 5  # fields of a page's header
_VALUES, _ENCODING = 1, 2  # fields of what it says of its data
_DEEPEST = 3  # a header holds a data header, which holds statistics


def unpacked_bytes(content: bytes, column: Any, rows: int) -> int:
    """The bytes of a column of a row group, unpacked.

    Args:
        content: The whole file.
        column: Its pyarrow.parquet.ColumnChunkMetaData.
        rows: Of the row group.

    Raises:
        ValueError: the pages are not those of `rows` plain values.
    """
    at, end = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    if column.has_dictionary_page or column.num_values != rows or not 0 <= at <= end <= len(content):
        raise ValueError("its values are not plain ones, or not as many as its runs")
    unpacked = values = 0
    while at < end:
        header = _Header(content, at, end)
        found = header.struct()
        data = found[_DATA] if isinstance(found.get(_DATA), dict) else {}
        if found.get(_TYPE) != DATA_PAGE or data.get(_ENCODING) != PLAIN:
            raise ValueError("has pages of other than plain values")
        size, packed, number = (_size(value) for value in (found.get(_UNPACKED), found.get(_PACKED), data.get(_VALUES)))
        unpacked, at, values = unpacked + size, header.at + packed, values + number
    if at != end or values != rows:
        raise ValueError("its pages do not hold one value for each run")
    return unpacked


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("has a page of no size")
    return value


class _Header:
    """A page's header, in Thrift's compact protocol: as much of it as a header needs."""

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self.content, self.at, self.end = content, at, end

    def struct(self, depth: int = 1) -> dict[int, Any]:
        """The fields by number, which rise: none is there twice."""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = divmod(head, 16)
            if not step or depth > _DEEPEST:
                raise ValueError("has a page whose header is damaged")
            number += step
            found[number] = self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == 1
            case 4 | 5 | 6:
                whole = self._varint()
                return whole // 2 if whole % 2 == 0 else -(whole + 1) // 2
            case 8:
                length = self._varint()
                self.at += length
                return None
            case 12:
                return self.struct(depth + 1)
        raise ValueError("has a page whose header is damaged")

    def _varint(self) -> int:
        whole = shift = 0
        while True:
            byte = self._byte()
            whole |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return whole
            if shift > 63:
                raise ValueError("has a page whose header is damaged")

    def _byte(self) -> int:
        if self.at >= self.end:
            raise ValueError("has a page that ends before its header")
        self.at += 1
        return self.content[self.at - 1]
