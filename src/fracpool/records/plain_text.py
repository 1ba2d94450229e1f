"""Numbers of things in words, and text from a record as it may be shown: a results folder may come from a stranger."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

MOST_LISTED = 50
LONGEST_TEXT = 300


def count(number: int, what: str) -> str:
    """A number of things: 1 run, 2,000 runs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def points(fraction: float, digits: int = 1) -> str:
    """A difference of accuracies in percentage points, signed: −2.3."""
    shown = f"{100 * fraction:+.{digits}f}"
    return "0" if float(shown) == 0 else shown.replace("-", "−")


def text(value: Any, longest: int = LONGEST_TEXT) -> str:
    """One line without control or direction marks, cut at `longest` characters."""
    shown = "".join(
        " " if c.isspace() else "" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn") else c
        for c in str(value)[: 2 * longest]
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


_FOLDERS = re.compile(r"(?<![\w.~:/…-])/(?:[^\s/'\",;:()\[\]{}=<>|]+/)+")
_TOLD = re.compile(r".*/(?:site-packages|lib/python3\.\d+|(?=fracpool/))(.*)")  # of a folder of Python, what follows


def without_folders(words: str) -> str:
    """Text without the folders of the machine that wrote it, since records get published: /home/me/x is …/x."""

    def shown(found: re.Match[str]) -> str:
        told = _TOLD.search(found[0])
        return "…/" + (told[1].lstrip("/") if told else "")

    return _FOLDERS.sub(shown, words)


def cut(lines: Sequence[str], most: int = MOST_LISTED) -> list[str]:
    """The first lines, and how many more there are."""
    more = [f"… and {len(lines) - most} more"] if len(lines) > most else []
    return [*lines[:most], *more]


def duration(seconds: float) -> str:
    """A time as people say it: 45 s, 12 min, 3 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
