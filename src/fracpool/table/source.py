"""The file that an experiment was swept from, and whether it says something else by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fracpool.records.plain_text import text
from fracpool.records.record import digest

MOST_BYTES = 10**6  # of an experiment's file


@dataclass(frozen=True)
class Source:
    """The experiment's file, relative to where it was swept, and the hash of its text then."""

    file: str
    digest: str

    def is_edited(self) -> bool:
        """Whether the file is in the working directory and says something else now."""
        here = Path.cwd()
        try:
            file = (here / self.file).resolve()
            if not file.is_relative_to(here) or not file.is_file() or file.stat().st_size > MOST_BYTES:
                return False
            return digest(file.read_text("utf-8")) != self.digest
        except (OSError, ValueError):
            return False


def source_of(sweep: Mapping[str, Any]) -> Source | None:
    """That of a sweep file; raises KeyError or TypeError where it is none."""
    given = sweep.get("source")
    return Source(text(given["file"]), text(given["digest"])) if given else None
