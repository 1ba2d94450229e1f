"""A line of a comparison of results folders: one estimate in each, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fracpool.findings import statistics
from fracpool.findings.statistics import Estimate, interval_text

AGREE, APART, NOT_TOLD, ONLY_ONE = "agree", "differ", "not told", "only in one"


@dataclass(frozen=True)
class Line:
    """One thing that the folders may have: its value in each (None where it is missing), and whether they agree.

    Attributes:
        shown: The values in words, one for each folder.
        differences: To the first folder that has it; None for that one and where there is none.
    """

    name: str
    values: tuple[Estimate | None, ...]
    shown: tuple[str, ...]
    differences: tuple[Estimate | None, ...]
    verdict: str

    @property
    def differences_shown(self) -> list[str]:
        return ["" if d is None else "equal" if d.mean == 0 else interval_text(d, 2) for d in self.differences]

    @property
    def first(self) -> int:
        """The folder that the others are held against."""
        return next((i for i, value in enumerate(self.values) if value is not None), 0)


def compared(name: str, values: Sequence[Estimate | None], words: Callable[[Estimate], str]) -> Line:
    first = next((value for value in values if value is not None), None)
    differences = [
        None if value is None or value is first or first is None else statistics.apart(first, value) for value in values
    ]
    verdict = _agreement([difference for difference in differences if difference is not None])
    shown = tuple("–" if value is None else words(value) for value in values)
    return Line(name, tuple(values), shown, tuple(differences), verdict)


def _agreement(differences: Sequence[Estimate]) -> str:
    if not differences:
        return ONLY_ONE
    told = [_contains_zero(difference) for difference in differences]
    if False in told:
        return APART
    return NOT_TOLD if None in told else AGREE


def _contains_zero(difference: Estimate) -> bool | None:
    if difference.mean == 0:
        return True
    if difference.low is None or difference.high is None:
        return None
    return difference.low <= 0 <= difference.high
