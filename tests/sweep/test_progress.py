"""What is seen while runs go on: plain lines when piped, on a terminal a bar that fits any width."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from fracpool.sweep.outcome import Outcome
from fracpool.sweep.progress import LiveReporter, Reached

LABEL = "6 conv, FMP 1.4 pseudorandom overlapping, batch norm"


def sweep(console: Console) -> None:
    """Three runs of two epochs each."""
    reporter = LiveReporter("分数最大池化 of a very long name", 3, 6.0, console)
    for seed, accuracy in enumerate((0.9, 0.95, None)):
        reporter.run_begins(LABEL, seed, 2, 2.0)
        for epoch in (1, 2):
            reporter.epoch_done({"epoch": epoch, "test_accuracy": 0.5 + epoch / 10})
            if reporter.view:
                reporter.view.live.refresh()
        status = "diverged" if accuracy is None else "completed"
        reporter.run_ends(Outcome("id", LABEL, seed, status, False, accuracy, 1.5), 2.0)
    reporter.close()


def test_piped_output_is_one_plain_line_for_each_run() -> None:
    stream = io.StringIO()
    sweep(Console(file=stream, width=40))
    lines = stream.getvalue().splitlines()
    assert [line.split(" · ")[:3] for line in lines] == [
        [f"[{seed + 1}/3] {LABEL}", f"seed {seed}", result]
        for seed, result in enumerate(("0.9000", "0.9500", "diverged"))
    ]
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_view_fits_the_terminal(width: int) -> None:
    stream = io.StringIO()
    sweep(Console(file=stream, width=width, force_terminal=True, color_system=None))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    rows = re.split(r"[\r\n]+", shown)
    view = [row for row in rows if "━" in row or row.startswith("  ")]
    assert len(view) > 6
    assert max(map(cell_len, view)) <= width
    assert any("epoch 2/2" in row for row in view)
    if width >= 40:
        assert any("1/3" in row and "left" in row for row in view)
        assert any("0.7000" in row for row in view)


@pytest.mark.parametrize("width", [40, 120])
def test_runs_of_other_processes_have_a_line_each(width: int) -> None:
    stream = io.StringIO()
    reporter = LiveReporter("study", 4, 8.0, Console(file=stream, width=width, force_terminal=True, color_system=None))
    reporter.run_ends(Outcome("id", LABEL, 0, "completed", False, 0.9, 1.5), 2.0)
    reporter.runs_go_on([Reached(LABEL, 1, 3, 10, 0.7, 2.0), Reached(LABEL, 2, 0, 10, None, 2.0)])
    assert reporter.view is not None
    reporter.view.live.refresh()
    assert reporter.view.bars.tasks[0].completed == pytest.approx(2.0 + 0.3 * 2.0)
    reporter.close()
    rows = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()))
    assert any(row.startswith("  epoch 3/10 · 0.7000 · 6 conv") for row in rows)
    assert any(row.startswith("  epoch 0/10 · 6 conv") for row in rows)
    assert max(cell_len(row) for row in rows if row.startswith("  ")) <= width
