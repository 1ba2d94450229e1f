"""Arrays of an .npz file that may come from a stranger: what it would take is told before any of it is taken.

The list of the zip archive and the header of each array say how large it is, how it is packed and what it holds; only
then is it unpacked, and only as far as it said. No pickles, no structures, no dates, no compression but zip's usual.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import BinaryIO

import numpy as np

MOST_MEMBERS = 10_000
MAX_LIST_BYTES = 2**20  # the archive's own list of its members
# As numpy writes it: kind and size of the numbers (U: a text), order, shape.
HEADER = re.compile(
    rb"\{'descr': '([<>|][biufU]\d{1,4})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), \} *\n"
)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # encrypted
    EOFError,
    OSError,
    OverflowError,
    LookupError,
)


def read_arrays(file: BinaryIO, limit: int, wanted: Collection[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, or those that are `wanted` as far as they are there; not to be written to.

    Args:
        limit: Bytes that the arrays may take, all together.

    Raises:
        ValueError: in one line, for anything that is not as numpy writes arrays of numbers, or is larger.
    """
    try:
        _check_list(file)
        with zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if len(members) > MOST_MEMBERS:
                raise ValueError(f"has more than {MOST_MEMBERS} members")
            chosen = {name: member for name, member in members.items() if not wanted or name in wanted}
            if sum(member.file_size for member in chosen.values()) > limit:
                raise ValueError(f"unpacks to more than {limit} bytes")
            return {name: _read(archive, member) for name, member in chosen.items()}
    except _DAMAGED as error:
        raise ValueError(f"damaged: {error}" if str(error) else "damaged") from None


def _check_list(file: BinaryIO) -> None:
    """That reading the archive's list takes little: zipfile would read as much as the file's end says."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 22))
    end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 22:
        raise ValueError("no zip archive")
    if b"PK\6\7" in end[max(0, place - 20) : place] or struct.unpack("<L", end[place + 12 : place + 16])[0] > (
        MAX_LIST_BYTES
    ):
        raise ValueError("lists too many members")
    file.seek(0)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as packed:
        start = packed.read(10)
        header = packed.read(int.from_bytes(start[8:10], "little"))
        found = HEADER.fullmatch(header)
        if start[:8] != b"\x93NUMPY\1\0" or found is None:
            raise ValueError(f"{member.filename[:40]!r} is no array of numbers")
        dtype = np.dtype(found[1].decode())
        shape = tuple(int(side) for side in found[3].replace(b" ", b"").split(b",") if side)
        size = math.prod(shape) * dtype.itemsize
        if len(start) + len(header) + size != member.file_size:
            raise ValueError(f"{member.filename[:40]!r} does not have the size of its shape")
        content = packed.read(size)
    if len(content) != size:
        raise ValueError(f"{member.filename[:40]!r} ends too soon")
    return np.ndarray(shape, dtype, content, order="F" if found[2] == b"True" else "C")
