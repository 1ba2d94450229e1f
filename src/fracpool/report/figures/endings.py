"""Where networks end: accuracy against the final size, and over depth and ratio."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from fracpool.findings.scores import ending
from fracpool.report.figures import style
from fracpool.report.figures.style import INK, MARKERS, MOST_MARKS, PAPER, WIDTH, Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, size_text


def final_size_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Accuracy at the end against the size of the last map."""
    found = [(v, e) for v, e in ending(results, experiment) if v.sizes]
    several_data = len({v.settings.get("dataset.name") for v, _ in found}) > 1
    if len({v.sizes[-1] for v, _ in found}) < 3 or len(found) > MOST_MARKS or several_data:
        return None  # the table is read better then
    looks = style.looks(v for v, _ in found)
    depths = sorted({v.depth for v, _ in found})
    shapes = {depth: MARKERS[i % len(MARKERS)] for i, depth in enumerate(depths)}
    canvas, axes = style.canvas(3.6)
    for variant, mean in found:
        centre, low, high = style.percent(mean)
        x, look = variant.sizes[-1][0], looks[variant.pool]
        axes.plot([x, x], [low, high], color=look.colour, linewidth=1.2, alpha=0.6)
        axes.plot([x], [centre], shapes[variant.depth], color=look.colour, markersize=7)
    axes.set_xlabel("side of the map before the dense layers, cells")
    axes.set_ylabel("test accuracy at the end, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = [axes.plot([], [], "o", color=look.colour, label=name)[0] for name, look in looks.items()]
    handles += [axes.plot([], [], shapes[d], color=INK, fillstyle="none", label=f"{d} conv")[0] for d in depths]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption = (
        "Each mark is a variant at the end of its budget: colour tells the pooling, shape the number of convolutions. "
        "Marks above one another end at the same size. "
        f"Bars: {style.interval_words()}."
    )
    alt = "Accuracy against final size. " + " ".join(
        f"{v.name} ends at {size_text(v.sizes[-1])} with {100 * e.mean:.1f} %." for v, e in found[:60]
    )
    return style.finish(
        canvas, f"{style.file_name(experiment)}-final-size", "Accuracy against final size", caption, alt
    )


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
