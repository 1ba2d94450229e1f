"""A digit drawn as squares: vector, small, and in the page's own ink, so that it is right in dark mode too."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from fracpool.report.figures.style import INK, RULE

LEVELS = 5  # of grey


def draw_digit(axes: Axes, image: np.ndarray, x: float = 0, y: float = 0, side: float = 1) -> None:
    """Draws an image (height, width) of 0 to 255 with its upper left corner at (x, y) and cells `side` wide.

    The axes' y has to grow downwards.
    """
    levels = np.ceil(image / 255 * LEVELS).astype(int)
    for level in range(1, LEVELS + 1):
        runs = [
            rectangle(x + side * left, y + side * row, side * (right - left), side)
            for row in range(len(levels))
            for left, right in _runs(levels[row] == level)
        ]
        if runs:
            add(axes, runs, facecolor=INK, alpha=level / LEVELS, antialiased=False)
    height, width = image.shape
    add(axes, [rectangle(x, y, side * width, side * height)], fill=False, edgecolor=RULE, linewidth=0.8)


def add(axes: Axes, parts: list[Path], **look: Any) -> None:
    """Draws parts that look the same as one path, which the layout of the figure need not measure."""
    axes.add_patch(PathPatch(Path.make_compound_path(*parts), in_layout=False, **{"linewidth": 0, **look}))


def bare(axes: Axes, width: float, height: float) -> None:
    """Axes for cells: from (0, 0) down to (width, height), equal on both sides, with nothing around."""
    axes.set_xlim(-0.2, width + 0.2)
    axes.set_ylim(height + 0.2, -0.2)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _runs(row: np.ndarray) -> list[tuple[int, int]]:
    """(first, behind the last) of each stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def rectangle(x: float, y: float, width: float, height: float) -> Path:
    """A rectangle by its corner of least x and y."""
    return Path([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)], closed=True)
