"""Where networks end: accuracy over depth and ratio."""

from __future__ import annotations

import numpy as np

from fracpool.findings.scores import ending
from fracpool.report.figures import style
from fracpool.report.figures.style import MOST_MARKS, PAPER, WIDTH, Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, size_text


def map_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Depth × ratio: mean accuracy in each cell, with max pooling as the column of ratio 2."""
    cells: dict[tuple[int, float], tuple[Variant, float]] = {}
    for variant, mean in ending(results, experiment):
        ratio = variant.ratio
        if ratio is None or (variant.depth, ratio) in cells:
            continue  # the map shows the first of several variants in a cell; the table shows all
        cells[variant.depth, ratio] = (variant, mean.mean)
    depths, ratios = sorted({d for d, _ in cells}), sorted({r for _, r in cells})
    if len(depths) < 2 or len(ratios) < 2 or not 6 <= len(cells) <= MOST_MARKS:  # the table is read better then
        return None
    values = np.full((len(depths), len(ratios)), np.nan)
    for (depth, ratio), (_, mean_) in cells.items():
        values[depths.index(depth), ratios.index(ratio)] = 100 * mean_
    canvas, axes = style.canvas(0.9 + 0.52 * len(depths), width=min(WIDTH, 2.2 + 1.0 * len(ratios)))
    low, high = np.nanmin(values), np.nanmax(values)
    mesh = np.ma.masked_invalid(values)
    axes.pcolormesh(mesh, cmap="cividis", vmin=low, vmax=max(high, low + 0.1), edgecolors=PAPER, linewidth=2)
    axes.invert_yaxis()
    for (depth, ratio), (variant, mean_) in cells.items():
        row, column = depths.index(depth), ratios.index(ratio)
        colour = "#000000" if (100 * mean_ - low) / max(high - low, 0.1) > 0.55 else "#ffffff"
        words = f"{100 * mean_:.1f} %\n{size_text(variant.sizes[-1]) if variant.sizes else ''}"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=8.5, color=colour)
    has_max = any(v.is_max for v, _ in cells.values())
    words_of = ["2 (max pool)" if ratio == 2.0 and has_max else f"{ratio:.4g}" for ratio in ratios]
    axes.set_xticks(np.arange(len(ratios)) + 0.5, words_of)
    axes.set_yticks(np.arange(len(depths)) + 0.5, [str(d) for d in depths])
    axes.set_xlabel("pooling ratio")
    axes.set_ylabel("convolutions")
    axes.grid(visible=False)
    caption = (
        "Mean test accuracy at the end of the budget, and the final size below it. Down a column the network gets "
        "deeper; empty cells are networks that the map is too small for, or that have no finished run."
    )
    alt = "Depth by ratio. " + " ".join(
        f"{depth} conv, ratio {ratio:.4g}: {100 * mean_:.1f} %." for (depth, ratio), (_, mean_) in sorted(cells.items())
    )
    return style.finish(canvas, f"{style.file_name(experiment)}-map", "Depth × ratio", caption, alt)
