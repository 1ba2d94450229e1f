"""The report of a results folder: read its records, judge its findings, draw, and write it all down.

    python -m fracpool.report                    the report of results/quick
    python -m fracpool.report results/mine       of another folder
    python -m fracpool.report results/a results/b

A report is made from the records alone: the same records give the same bytes, on any day and any machine.
TensorFlow is not needed and not imported; pandas, scipy and matplotlib only once there is something to write.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fracpool import stopping

DEFAULT = Path("results/quick")


class ReportError(Exception):
    """A report that cannot be written; the text is one line that says why and what to do."""


@dataclass(frozen=True)
class Report:
    """A written report: where it lies, and what it says in short."""

    path: Path
    answer: str
    verdicts: dict[str, str]  # by the finding's id

    def __str__(self) -> str:
        verdicts = ", ".join(f"{finding} {verdict}" for finding, verdict in self.verdicts.items())
        return "\n".join([self.answer, *([verdicts] if verdicts else []), f"Open {self.path.resolve()}"])


def write_report(results_dir: str | os.PathLike[str]) -> Path:
    """Writes the report of a results folder and returns the path of report.html (see `make_report`)."""
    return make_report(results_dir).path


def make_report(results_dir: str | os.PathLike[str]) -> Report:
    """Writes report.html, report.md, runs.csv, runs.parquet, summary.csv, findings.json and figures/*.svg.

    Raises:
        ReportError: there is nothing to report on, or the folder cannot be written to.
    """
    root = Path(results_dir)
    try:
        if not any((root / part).is_dir() for part in ("runs", "sweeps")):
            state = "holds no runs" if root.is_dir() else "no such folder"
            raise ReportError(f"{root}: {state}; run `make reproduce`, or name a folder that holds runs/")
        from fracpool import pages, table

        page = pages.write(table.read(root))
        return Report(root / "report.html", page.answer.headline, {f.id: f.verdict for f in page.findings})
    except OSError as error:
        raise ReportError(f"{error.filename or root}: cannot be read or written ({error.strerror})") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 written, 2 bad input, 130 stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m fracpool.report",
        description="Write the report of one or more results folders from their run records.",
        epilog="examples:\n  python -m fracpool.report\n  python -m fracpool.report results/mine results/reference",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help=f"results folders (default: {DEFAULT})")
    folders = parser.parse_args(arguments).folders or [DEFAULT]
    try:
        for folder in folders:
            print(make_report(folder))
    except ReportError as error:
        print(f"fracpool.report: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fracpool.report: stopped; the same command writes it anew", file=sys.stderr)
        return stopping.STOPPED
    return 0


if __name__ == "__main__":
    stopping.listen()
    sys.exit(main())
