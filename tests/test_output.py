"""Commands on outputs that cannot show every character: they say what they say, with what there is."""

import io
import sys
from collections.abc import Callable

import pytest
import record_factory as factory

from fracpool import geometry, report, status, train
from fracpool.command_line import NEAREST

ENCODINGS = pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])


def said(monkeypatch: pytest.MonkeyPatch, encoding: str, command: Callable[..., int], *arguments: str) -> str:
    """What a command writes to an output of this encoding, which by itself knows no other way out than to fail."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        command(list(arguments))
    for stream in streams:
        stream.flush()
    return "".join(stream.buffer.getvalue().decode(encoding) for stream in streams)


@ENCODINGS
def test_help_and_plans(monkeypatch, folder, encoding):
    assert "Usage: python -m fracpool.train [-m] [GROUP=OPTION]" in said(monkeypatch, encoding, train.main, "--help")
    plan = said(monkeypatch, encoding, train.main, "-m", "dataset=mnist5k", "pool=max", "model.pools=1", "plan=true")
    assert ("1 x max pool" if encoding == "ascii" else "1 × max pool") in plan


@ENCODINGS
def test_geometry_and_status(monkeypatch, folder, encoding):
    sizes = said(monkeypatch, encoding, geometry.main, "32", "--ratio", "1.4", "--layers", "6")
    assert ("32x32" if encoding == "ascii" else "32×32") in sizes
    factory.write_run(folder / "mine", factory.config("max"), 0, 0.9, label="größer × 2", status="failed")
    assert "mine: 1 failed" in said(monkeypatch, encoding, status.main, "mine")


def test_what_a_report_says(monkeypatch, folder):
    factory.write_run(folder / "mine", factory.config("max"), 0, 0.9)
    report_says = said(monkeypatch, "ascii", report.main, "mine")
    assert report_says.startswith("Not answered yet: no two finished runs differ by FMP against 2x2 max pooling alone.")


@ENCODINGS
def test_a_name_of_a_file_that_is_no_text(monkeypatch, folder, encoding):
    assert "a?b: no such folder" in said(monkeypatch, encoding, report.main, "a\udcffb")


@pytest.mark.parametrize("character", NEAREST)
def test_each_character_has_its_own_nearest(character):
    assert NEAREST[character].isascii()
    assert list(NEAREST.values()).count(NEAREST[character]) == 1 or character in "−–—"
