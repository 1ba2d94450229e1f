"""The committed reference study: its report follows from its records, byte for byte."""

import shutil
from pathlib import Path

import pytest

from fracpool.records.packed import PACKED_FILE
from fracpool.records.store import Store
from fracpool.report import write_report

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference"
GROWS = ("unfinished", "claims", "damaged")

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the wheel holds no reference study")


def files(root: Path) -> dict[str, bytes]:
    paths = (p for p in root.rglob("*") if p.is_file() and p.relative_to(root).parts[0] not in GROWS)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_the_report_regenerates_from_its_records_byte_for_byte(tmp_path):
    copy = tmp_path / "reference"
    for part in ("labels", "sweeps"):
        shutil.copytree(REFERENCE / part, copy / part)
    shutil.copy(REFERENCE / PACKED_FILE, copy)
    write_report(copy)
    assert files(copy) == files(REFERENCE)


def test_its_records_are_whole_and_small(tmp_path):
    reading = Store(REFERENCE).read()
    assert reading.problems == []
    assert all(Store(REFERENCE).find(record.run_id) for record in reading.records)
    assert all(r.predictions() for r in reading.records if "predictions.npz" in r.data["files"])
    assert sum(len(content) for content in files(REFERENCE).values()) <= 25 * 10**6
    assert len(files(REFERENCE)) < 150
    assert (REFERENCE / "report.html").stat().st_size <= 3 * 10**6
