"""A data set as TFDS keeps it, looked at without TFDS: files of records and what dataset_info.json says of them.

A copy that broke off, another form of records or a file that is gone would otherwise be met inside each run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORM = "tfrecord"
FRAME = 16  # bytes around each record of a TFRecord file: its length and two checksums


def fault(folder: Path, name: str, examples: Mapping[str, int]) -> str | None:
    """What keeps the folder of a data set from being read, in words; None if nothing does.

    Args:
        folder: <folder of TFDS>/<name>/<version>, which is there.
        name: Of the data set.
        examples: How many images each part of it has.
    """
    try:
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        form, parts = info.get("fileFormat") or FORM, {part["name"]: part for part in info["splits"]}
        if form != FORM:
            return f"its records are in the form {form}, not {FORM}"
        faults = (_fault_of_part(folder, name, part, parts.get(part), count) for part, count in examples.items())
        return next((found for found in faults if found), None)
    except OSError as error:
        return f"dataset_info.json: {error.strerror}"
    except (ValueError, TypeError, LookupError, AttributeError):
        return "dataset_info.json is damaged"


def _fault_of_part(folder: Path, name: str, part: str, known: dict[str, Any] | None, count: int) -> str | None:
    lengths = [int(length) for length in known["shardLengths"]] if known else []
    if known is None or sum(lengths) != count:
        return f"it has {sum(lengths):,} {part} images, not {count:,}"
    files = [folder / f"{name}-{part}.{FORM}-{n:05d}-of-{len(lengths):05d}" for n in range(len(lengths))]
    gone = [file.name for file in files if not file.is_file()]
    if gone:
        return f"{gone[0]} is missing"
    size, whole = sum(file.stat().st_size for file in files), int(known.get("numBytes") or 0) + FRAME * count
    return f"the {part} records are cut off: {size:,} bytes of {whole:,}" if size < whole else None
