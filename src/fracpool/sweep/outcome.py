"""What came of a run, and of a sweep that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fracpool.records.plain_text import text
from fracpool.records.record import Record

ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    `status` is that of the record, or `elsewhere` while another process holds the run; `skipped` says that the
    record was there before.
    """

    run_id: str
    label: str
    seed: int
    status: str
    skipped: bool
    accuracy: float | None
    seconds: float
    message: str = ""


def outcome_of(record: Record, skipped: bool, seconds: float) -> Outcome:
    data: dict[str, Any] = record.data
    error, accuracy = data.get("error"), data["metrics"].get("test_accuracy")
    message = f"{error.get('type')}: {record.error}" if isinstance(error, dict) else ""
    return Outcome(
        run_id=record.run_id,
        label=text(data.get("label", "")),
        seed=data["seed"],
        status=record.status,
        skipped=skipped,
        accuracy=accuracy if isinstance(accuracy, float) else None,
        seconds=seconds,
        message=text(message.partition("\n")[0]),
    )


class SweepFailed(Exception):
    """A run failed, or some of a sweep; the text is the summary."""
