"""Whom a training tells how far it is; this one says nothing."""

from __future__ import annotations


class Reporter:
    """Says nothing."""

    def epoch_done(self, row: dict[str, float]) -> None:
        """`row` is the epoch's row of history."""

    def note(self, text: str) -> None:
        """A line about the run that goes on."""
