"""Texts in figures: none is cut by the edge of the drawing, and none is printed over another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_factory as factory
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from fracpool.findings.answer import answer
from fracpool.findings.verdicts import judge
from fracpool.report.figures import draw_all, style
from fracpool.table.results import read

REFERENCE = Path(__file__).parents[2] / "results/reference"
SLACK = 1.5  # pixels of 100 to the inch
GAP = 2  # pixels between words on a line, without which they read as one


def boxes(canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Bbox]]:
    """The texts that a drawing shows, and where."""
    drawn: dict[int, Text] = {}
    draw = Text.draw

    def noted(text: Text, *arguments: Any, **more: Any) -> Any:
        drawn[id(text)] = text
        return draw(text, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", noted)
        FigureCanvasAgg(canvas).draw()
    shown = [text for text in drawn.values() if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent()) for text in shown]


def overlap(a: Bbox, b: Bbox) -> bool:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width > -GAP and height > 2 * SLACK


def faults(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with the texts of all figures of a results folder."""
    canvases: dict[str, Canvas] = {}
    finish = style.finish

    def collected(canvas: Canvas, name: str, *words: str) -> style.Figure:
        canvases[name] = canvas
        return finish(canvas, name, *words)

    monkeypatch.setattr(style, "finish", collected)
    results = read(root)
    draw_all(results, answer(results), judge(results))
    assert canvases
    found = []
    for name, canvas in canvases.items():
        texts = boxes(canvas, monkeypatch)
        edge = canvas.bbox.padded(SLACK)
        found += [f"{name}: {words!r} is cut" for words, box in texts if not _holds(edge, box)]
        found += [f"{name}: {a!r} over {b!r}" for (a, box), (b, other) in combinations(texts, 2) if overlap(box, other)]
    return found


def _holds(edge: Bbox, box: Bbox) -> bool:
    return bool(np.all(edge.min <= box.min) and np.all(box.max <= edge.max))


def test_texts_of_the_quick_profile_are_whole(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(quick, monkeypatch) == []


@pytest.mark.slow
def test_texts_of_the_reference_study_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(REFERENCE, monkeypatch) == []


def truth(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    return {"accuracy": 0.9 - (0.05 if config["pool"]["kind"] == "fmp" else 0) + rng.normal(0, 0.002)}


def test_texts_of_long_names_and_many_lines_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [factory.config("fmp", 2**0.5, pseudo_random=p, batch_norm=True, dropout=0.25) for p in (False, True)]
    for per in ("sample", "channel", "run"):
        many.append(factory.config("fmp", 2**0.5, pseudo_random=True, batch_norm=True, dropout=0.25))
        many[-1]["pool"] |= {"regions_per": per, "window": 2}
    many.append(factory.config("max", batch_norm=True, dropout=0.25))
    factory.sweep(tmp_path, "mnist_swap", many, range(3), truth, [])
    ranking = {"kind": "ranking", "title": "FMP among all", "variants": {}, "first": {"pool.kind": "max"}}
    finding = {"claim": "c", "source": "s", "comparison": "k", "parts": [ranking]}
    factory.sweep(tmp_path, "poolings", many, range(3), truth, {"P": finding})
    assert faults(tmp_path, monkeypatch) == []
