"""JSON that may come from a stranger: nesting that ends, numbers that fit, text that can be written again."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 32
LARGEST = 2**63  # whole numbers lie below, as those of a table do


def parse(content: bytes, finite: bool = True) -> Any:
    """The value that JSON in UTF-8 stands for; ValueError, in one line, if it is none or goes beyond the bounds.

    Unless they have to be `finite`, numbers may be NaN or infinite, as a loss may.
    """
    try:
        value = json.loads(content.decode(), parse_constant=_refuse if finite else None)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    _check(value, finite)
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no valid number")


def _check(value: Any, finite: bool) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                _check_text("".join(item))
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, float) and finite and not math.isfinite(item):
                raise ValueError("a number is too large")
            elif isinstance(item, int) and not -LARGEST < item < LARGEST:
                raise ValueError(f"a whole number has more than {len(str(LARGEST)) - 1} digits")
        if not inner:
            return
        level = inner
    raise ValueError(f"nested more than {DEEPEST} deep")


def _check_text(text: str) -> None:
    """Half of a pair of surrogates, which \\ud800 brings, is no character and cannot be written."""
    if not text.isascii():
        text.encode()
