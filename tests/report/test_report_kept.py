"""A report that would be the same is left as it is; whatever it is made of, a change makes it anew."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import record_factory as factory

from fracpool.report import kept, latest_report, make_report

VARIANTS = [factory.config("max"), factory.config("fmp")]
SAID = {"answer": "Not settled.", "verdicts": {"F1": "inconclusive"}, "remarks": []}


def sweep(root: Path, seeds: int = 2, **changes) -> None:
    factory.sweep(root, "alike", VARIANTS, range(seeds), lambda *_: {"accuracy": 0.9}, {}, **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("results") / "mine"
    sweep(root)
    make_report(root)
    return root


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fracpool" / "reports"


@pytest.fixture
def root(written, cache, tmp_path) -> Path:
    """A results folder with a report that is noted to have said SAID."""
    root = tmp_path / "mine"
    shutil.copytree(written, root)
    kept.note(root, kept.made_of(root), SAID)
    assert kept.unchanged(root) == SAID
    return root


def record_of(root: Path) -> Path:
    return sorted((root / "runs").iterdir())[0]


def change_a_record(root: Path) -> None:
    file = record_of(root) / "record.json"
    record = json.loads(file.read_text())
    record["metrics"]["test_accuracy"] = 0.5
    file.write_text(json.dumps(record))


def change_the_sweep(root: Path) -> None:
    file = root / "sweeps" / "alike.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "question": "Which one?"}))


CHANGES = {
    "a record": change_a_record,
    "a record that is gone": lambda root: shutil.rmtree(record_of(root)),
    "a run more": lambda root: sweep(root, seeds=3),
    "a learning curve": lambda root: (record_of(root) / "history.csv").write_text(""),
    "predictions that are gone": lambda root: next(root.glob("runs/*/predictions.npz")).unlink(),
    "packed runs": lambda root: (root / "records.parquet").write_bytes(b"PAR1"),
    "a sweep": change_the_sweep,
    "a sweep that is gone": lambda root: (root / "sweeps" / "alike.json").unlink(),
    "a sweep that is none": lambda root: (root / "sweeps" / "other.json").write_text('{"source": 1}'),
    "a part that is a link": lambda root: (root / "labels").symlink_to(root / "runs"),
    "a page that is gone": lambda root: (root / "report.html").unlink(),
    "a page that was edited": lambda root: (root / "report.md").write_text("mine"),
    "a table that was edited": lambda root: (root / "runs.parquet").write_bytes(b""),
    "a figure that is gone": lambda root: (root / "figures" / "alike-budget.svg").unlink(),
    "a figure that was edited": lambda root: (root / "figures" / "alike-budget.svg").write_text("<svg/>"),
    "a folder in a file's place": lambda root: [(root / "runs.csv").unlink(), (root / "runs.csv").mkdir()],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(root, change):
    CHANGES[change](root)
    assert kept.unchanged(root) is None


def test_the_time_of_a_file_says_nothing(root):
    for file in (root / "report.html", record_of(root) / "record.json"):
        os.utime(file, (1e9, 1e9))
    assert kept.unchanged(root) == SAID


def test_other_code_and_other_libraries_are_seen(root, tmp_path, monkeypatch):
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(kept, "__file__", str(package / "report" / "kept.py"))
    for change in (
        lambda: None,  # another package already
        lambda: (package / "code.py").write_text("x = 1"),
        lambda: (package / "code.py").write_text("x = 2"),
        lambda: (package / "page.html.j2").write_text("page"),
        lambda: (site / "matplotlib-99.0.dist-info").mkdir(),
    ):
        change()
        assert kept.unchanged(root) is None
        kept.note(root, kept.made_of(root), SAID)
        assert kept.unchanged(root) == SAID


def test_a_folder_from_elsewhere_cannot_say_that_its_report_is_ours(root, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    assert kept.unchanged(moved) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"written": 1, "made_of": 2}'])
def test_a_note_that_says_nothing_is_none(root, cache, content):
    (note,) = cache.iterdir()
    note.write_text(content)
    assert kept.unchanged(root) is None


def test_notes_of_folders_that_are_gone_go_too(root, cache, tmp_path):
    root.rename(tmp_path / "moved")
    kept.note(tmp_path / "moved", "hash", SAID)
    assert len(list(cache.iterdir())) == 1


def test_without_a_cache_there_is_no_note_and_no_complaint(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    kept.note(root, kept.made_of(root), SAID)
    assert kept.unchanged(root) is None


def test_the_latest_report_is_the_one_that_would_be_written(root, folder, monkeypatch):
    (folder / "alike.yaml").write_text("as it was swept")
    sweep(root, source={"file": "alike.yaml", "digest": factory.digest("as it was swept")})
    first = latest_report(root)
    assert first.remarks == ()
    page = first.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fracpool.report.page", None)  # importing it fails: nothing is drawn
        assert latest_report(root) == first
    change_a_record(root)
    (folder / "alike.yaml").write_text("as it is now")
    (remark,) = latest_report(root).remarks
    assert "alike.yaml was edited" in remark
    assert first.path.read_bytes() != page
    assert latest_report(root).remarks == (remark,)
