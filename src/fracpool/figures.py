"""The report's figures: aggregated data in, one SVG with caption and alternative text out.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which readers of all kinds of colour vision
tell apart; shapes repeat what colours say. The same data gives the same bytes. Text stays text, so that a page
can give it the colour of its theme (`INK`, `MUTED` and `RULE` stand for that page's own colours).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fracpool import estimates
from fracpool.answer import AHEAD, BEHIND, Contrast
from fracpool.estimates import Estimate
from fracpool.findings import points, scores
from fracpool.records import RecordError
from fracpool.table import Experiment, Results, Variant, network_names, size_text

INK, MUTED, RULE, PAPER = "#1c2127", "#5b6570", "#d5dbe1", "#fefefe"
GREY, PALETTE = "#7a7f87", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
NAMES = ("answer", "-budget", "-final-size", "-gap", "-map", "-sizes")  # how the files of figures end
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDTH = 7.2  # inches
ROW, STEP = 0.44, 1.9  # sizes figure: height of a row in inches, distance of two maps in rows
MOST_ROWS = 24
MOST_LINES = 8
MOST_PANELS = 6
MOST_MARKS = 150
LEAST_ERROR = 0.02  # per cent: where the budget figure's axis of accuracy ends

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a $
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Figure:
    """One figure: `name` is its file's name without .svg; `caption` says what to see in it."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str

    @property
    def inline(self) -> str:
        """The SVG for an HTML page: no prolog, colours of the page, and its alternative text."""
        body = self.svg[self.svg.index("<svg") :]
        for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (RULE, "--rule"), (PAPER, "--paper")):
            body = body.replace(colour, f"var({variable})")
        return body


def draw_all(results: Results, swaps: Sequence[Contrast]) -> dict[str, list[Figure]]:
    """All figures by the experiment they belong to; "answer" holds the one of the first screen."""
    kinds = (budget_figure, final_size_figure, map_figure, sizes_figure)
    by_experiment = {e.name: [c for c in swaps if c.experiment == e.name] for e in results.experiments}
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the layout's font lacks: the SVG keeps them as text
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, STYLE))
        figures: dict[str, list[Figure]] = {"answer": [swap_figure(swaps)] if swaps else []}
        for experiment in results.experiments:
            drawn = [gap_figure(results, experiment, by_experiment[experiment.name])]
            drawn += [draw(results, experiment) for draw in kinds]
            figures[experiment.name] = [figure for figure in drawn if figure is not None]
    return figures


# ---- the answer ----


def swap_figure(swaps: Sequence[Contrast]) -> Figure:
    """FMP minus max pooling in otherwise equal networks: one row each, with its interval."""
    shown = list(swaps)
    if len(shown) > MOST_ROWS:
        largest = sorted(swaps, key=lambda c: -abs(c.end.mean))[:MOST_ROWS]
        shown = [c for c in swaps if any(c is kept for kept in largest)]
    groups: dict[str, list[Contrast]] = {}
    for contrast in shown:
        groups.setdefault(contrast.experiment, []).append(contrast)
    canvas, axes = _canvas(0.75 + 0.25 * (len(shown) + 1.25 * len(groups)), width=6.0)
    labels, places, place = [], [], 0.0
    for name, group in groups.items():
        title, rows = _row_labels(name, group)
        place += 1.25
        axes.annotate(title, (0, place), xycoords=axes.get_yaxis_transform(), xytext=(-3, 0),
                      textcoords="offset points", ha="right", va="center", fontweight="bold")  # fmt: skip
        for row, label in zip(group, rows, strict=True):
            place += 1
            _swap_row(axes, row, place)
            labels.append(_cut(label, 40))
            places.append(place)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, labels)
    axes.set_ylim(place + 0.7, 0.5)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}".replace("-", "−") if x else "0"))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.15 * (high - low)), max(high, 0.15 * (high - low)))
    axes.set_xlabel("FMP minus max pooling, points of test accuracy")
    for words, side, shift in (("max pooling ahead", "right", -5), ("FMP ahead", "left", 5)):
        axes.annotate(words, (0, 1), xycoords=axes.get_xaxis_transform(), xytext=(shift, 2),
                      textcoords="offset points", ha=side, va="bottom", color=MUTED)  # fmt: skip
    n, ahead, behind = len(swaps), *(sum(c.outcome == o for c in swaps) for o in (AHEAD, BEHIND))
    some = "" if len(shown) == n else f" The {len(shown)} largest of {n} differences are shown."
    caption = (
        "Each row swaps 2×2 max pooling for FMP in one network and changes nothing else; accuracy at the end of the "
        f"budget, one test pass. Filled triangle: FMP ahead or behind at 5 % (Holm within the experiment); hollow: not "
        f"told apart. Bars: {_interval_words()}.{some}"
    )
    alt = f"FMP against 2×2 max pooling: ahead in {ahead}, behind in {behind} of {n} comparisons. " + " ".join(
        f"{c.network}, {c.a.pool}: {points(c.end.mean)}." for c in shown
    )
    return _finish(canvas, "answer", "FMP in place of 2×2 max pooling", caption, alt)


def _row_labels(experiment: str, group: Sequence[Contrast]) -> tuple[str, list[str]]:
    """A title for the rows of an experiment, and for each row what the title does not say yet."""
    title = experiment or "single runs"
    networks, pools = {c.network for c in group}, {c.a.pool for c in group}
    if len(pools) == 1:
        return _cut(f"{title}, {group[0].a.pool}", 40), [c.network for c in group]
    short = [c.a.pool.removeprefix("FMP ") for c in group]
    if len(networks) == 1:
        return _cut(f"{title}, {group[0].network}", 40), [f"FMP {pool}" for pool in short]
    return _cut(f"{title}, FMP", 40), [f"{c.network}, {pool}" for c, pool in zip(group, short, strict=True)]


def _swap_row(axes: Axes, row: Contrast, place: float) -> None:
    colour = {AHEAD: PALETTE[2], BEHIND: PALETTE[1]}.get(row.outcome, GREY)
    mean, low, high = _percent(row.end)
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    filled = row.outcome in (AHEAD, BEHIND)
    axes.plot([mean], [place], {AHEAD: "^", BEHIND: "v"}.get(row.outcome, "o"), color=colour, markersize=6.5,
              markerfacecolor=colour if filled else PAPER)  # fmt: skip


# ---- one experiment ----


def sizes_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Maps layer by layer as squares drawn to scale."""
    rows = _size_rows(experiment)
    if not rows:
        return None
    shown = rows[:MOST_ROWS]
    largest = max(max(size) for row in shown for size in row.sizes)
    end = STEP * max(len(row.sizes) for row in shown)
    labels = [_cut(row.label, 44) for row in shown]
    canvas, axes = _canvas(0.2 + ROW * len(shown), width=0.5 + 0.1 * max(map(len, labels)) + ROW * end)
    for place, row in enumerate(shown):
        _draw_sizes(axes, row, place, largest)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, end - 0.3)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    some = "" if len(shown) == len(rows) else f" {len(rows) - len(shown)} more networks are in the table."
    caption = (
        "The map after the input and after every pool, drawn to scale. Bold: where a network ends, which is what its "
        f"dense layers see. Grey: max pooling; blue: other poolings.{some}"
    )
    alt = "Map sizes layer by layer. " + " ".join(
        f"{row.label}: {', '.join(size_text(s) for s in row.sizes)}." for row in shown
    )
    return _finish(canvas, f"{_file(experiment)}-sizes", "Sizes layer by layer", caption, alt)


@dataclass
class SizeRow:
    """Networks of one pooling, the shallower being beginnings of the deepest; `finals`: where each ends."""

    pool: str
    ratio: float
    is_max: bool
    sizes: list[tuple[int, int]]
    depths: set[int] = field(default_factory=set)
    finals: set[int] = field(default_factory=set)

    @property
    def label(self) -> str:
        return f"{', '.join(map(str, sorted(self.depths)))} conv, {self.pool}"


def _size_rows(experiment: Experiment) -> list[SizeRow]:
    rows: list[SizeRow] = []
    for variant in sorted(experiment.variants, key=lambda v: -len(v.sizes)):
        found = variant.sizes
        if len(found) < 2:
            continue
        pool = _short_pool(variant)
        pools = variant.settings.get("model.pools")
        if isinstance(pools, int) and pools != variant.depth:
            pool = f"{pools} × {pool}"
        row = next((r for r in rows if r.pool == pool and r.sizes[: len(found)] == found), None)
        if row is None:
            row = SizeRow(pool, variant.ratio or 2.0, variant.is_max, found)
            rows.append(row)
        row.depths.add(variant.depth)
        row.finals.add(len(found) - 1)
    return sorted(rows, key=lambda row: (row.ratio, row.pool, sorted(row.depths)))


def _draw_sizes(axes: Axes, row: SizeRow, place: int, largest: int) -> None:
    for step, (height, width) in enumerate(row.sizes):
        final = step in row.finals
        colour = GREY if row.is_max else PALETTE[0]
        _rectangle(axes, STEP * step, place, width / largest, height / largest, colour, final)
        axes.text(STEP * step + 0.54, place, size_text((height, width)), ha="left", va="center", fontsize=8,
                  fontweight="bold" if final else "normal")  # fmt: skip


def _rectangle(axes: Axes, x: float, y: float, width: float, height: float, colour: str, last: bool) -> None:
    """A map as a rectangle around (x, y), the largest 0.9 high."""
    corner = (x - 0.45 * width, y - 0.45 * height)
    axes.add_patch(Rectangle(corner, 0.9 * width, 0.9 * height, facecolor=colour, alpha=1.0 if last else 0.45))


def budget_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Accuracy against training images seen: a panel per network, a line per pooling."""
    names = network_names(experiment.variants)
    panels: dict[str, list[Variant]] = {}
    for variant in experiment.variants:
        if results.records_of(experiment, variant):
            panels.setdefault(names[variant.id], []).append(variant)
    candidates = [variant for variants in list(panels.values())[:MOST_PANELS] for variant in variants[:MOST_LINES]]
    curves = {v.id: curve for v in candidates if len(curve := _curve(results, experiment, v)) > 1}
    shown = [(name, [v for v in variants if v.id in curves]) for name, variants in panels.items()]
    shown = [(name, variants) for name, variants in shown if variants]
    if not shown:
        return None
    looks = _looks(v for _, variants in shown for v in variants)
    columns = min(len(shown), 2 if len(shown) == 4 or max(len(name) for name, _ in shown) > 24 else 3)
    lines = -(-len(shown) // columns)
    canvas = _blank(0.75 + 2.45 * lines)
    grid = canvas.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (name, variants) in zip(grid.flat, shown, strict=False):
        for variant in variants:
            _line(axes, curves[variant.id], looks[variant.pool])
        axes.set_title(_cut(name, 44 if columns > 1 else 90))
        _budget_axes(axes)
    canvas.supxlabel("training images seen (images × epochs)", fontsize=9.5, color=MUTED)
    grid[0][0].invert_yaxis()  # shared by all panels
    for axes in grid[:, 0]:
        axes.set_ylabel("test accuracy, %")
    _legend(canvas, looks)
    some = "" if len(shown) == len(panels) else f" {len(panels) - len(shown)} more networks are in the table."
    n = sorted({e.n for curve in curves.values() for _, e in curve})
    caption = (
        "Test accuracy (one pass) as training goes on, each network in its own panel; lines that end together say that "
        f"the pooling makes no difference there. Bands: {_interval_words()}; n = {_span(n)}.{some}"
    )
    alt = "Accuracy against training budget. " + " ".join(
        f"{v.name}: {100 * curves[v.id][0][1].mean:.1f} % after the first epoch, "
        f"{100 * curves[v.id][-1][1].mean:.1f} % at the end."
        for _, variants in shown
        for v in variants
    )
    return _finish(canvas, f"{_file(experiment)}-budget", "Accuracy against budget", caption, alt)


def _line(axes: Axes, curve: Sequence[tuple[float, Estimate]], look: Look) -> None:
    """Draws the error, whose axis is labelled by accuracy: 97 % and 98 % are then as far apart as 60 and 73 %."""
    seen = [x for x, _ in curve]
    mean, low, high = np.clip(100 - np.array([_percent(e) for _, e in curve]).T, LEAST_ERROR, 100)
    axes.fill_between(seen, low, high, color=look.colour, alpha=0.18, linewidth=0)
    axes.plot(seen, mean, color=look.colour, marker=look.marker, markersize=4)


def _budget_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, words in ((axes.xaxis, _thousands), (axes.yaxis, lambda error, _: f"{100 - error:.4g}")):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(words))
    axes.tick_params(labelbottom=True)


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _curve(results: Results, experiment: Experiment, variant: Variant) -> list[tuple[float, Estimate]]:
    """(training images seen, accuracy over seeds) after every epoch that all completed runs have."""
    points_: list[tuple[float, Estimate]] = []
    for rows in zip(*_histories(results, experiment, variant).values(), strict=False):
        values = [accuracy for _, accuracy in rows if 0 <= accuracy <= 1]
        if values and rows[0][0] > 0:
            points_.append((rows[0][0], estimates.estimate(values)))
    return points_


def _histories(results: Results, experiment: Experiment, variant: Variant) -> dict[int, list[tuple[float, float]]]:
    """By seed, of the completed runs: (training images seen, test accuracy) after each epoch."""
    found: dict[int, list[tuple[float, float]]] = {}
    for record in results.records_of(experiment, variant):
        if record.status == "completed":
            try:
                found[record.data["seed"]] = [(row["examples"], row["test_accuracy"]) for row in record.history()]
            except RecordError:
                continue
    return found


def gap_figure(results: Results, experiment: Experiment, swaps: Sequence[Contrast]) -> Figure | None:
    """FMP minus max pooling against budget, a line per swap, with the range that a finding claims."""
    if not 1 <= len(swaps) <= MOST_LINES:
        return None
    labels = _row_labels(experiment.name, swaps)[1]
    drawn = {name: _gap_curve(results, experiment, c.a, c.b) for name, c in zip(labels, swaps, strict=True)}
    curves = {name: curve for name, curve in drawn.items() if len(curve) > 1}
    if not curves:
        return None
    canvas, axes = _canvas(3.4)
    for i, (name, curve) in enumerate(curves.items()):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        seen = [x for x, _ in curve]
        mean, low, high = np.array([_percent(e) for _, e in curve]).T
        axes.fill_between(seen, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(seen, mean, color=colour, marker=marker, markersize=4, label=_cut(name, 40))
    axes.axhline(0, color=INK, linewidth=1)
    claimed = _claimed_range(experiment)
    if claimed:
        axes.axhspan(*claimed, facecolor="none", edgecolor=MUTED, hatch="///", linewidth=0, alpha=0.45)
        axes.text(0.995, claimed[0], "claimed ", transform=axes.get_yaxis_transform(), ha="right", va="bottom")
    axes.set_ylim(max(axes.get_ylim()[0], -100), min(axes.get_ylim()[1], 100))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_xlabel("training images seen (images × epochs)")
    axes.set_ylabel("FMP minus max pooling, points")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    n = sorted({e.n for curve in curves.values() for _, e in curve})
    hatched = " Hatched: the range that the finding claims." if claimed else ""
    caption = (
        "How far FMP is behind (below 0) or ahead of 2×2 max pooling in the same network, as training goes on. "
        f"Bands: {_interval_words()}, paired; n = {_span(n)}.{hatched}"
    )
    alt = "Difference against training budget. " + " ".join(
        f"{name}: {points(curve[0][1].mean)} points after the first epoch, {points(curve[-1][1].mean)} at the end."
        for name, curve in curves.items()
    )
    return _finish(canvas, f"{_file(experiment)}-gap", "The difference against budget", caption, alt)


def _gap_curve(results: Results, experiment: Experiment, a: Variant, b: Variant) -> list[tuple[float, Estimate]]:
    """(training images seen, a minus b over the seeds that both have) after every epoch."""
    of_a, of_b = _histories(results, experiment, a), _histories(results, experiment, b)
    seeds = sorted(of_a.keys() & of_b.keys())
    curve = []
    for rows in zip(*(zip(of_a[seed], of_b[seed], strict=False) for seed in seeds), strict=False):
        differences = [p - q for (_, p), (_, q) in rows if 0 <= p <= 1 and 0 <= q <= 1]
        if differences and rows[0][0][0] > 0:
            curve.append((rows[0][0][0], estimates.estimate(np.round(differences, 12))))
    return curve


def _claimed_range(experiment: Experiment) -> tuple[float, float] | None:
    """The range of the first gap that counts, in points."""
    for finding in experiment.findings:
        parts = finding.get("parts")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, Mapping) and part.get("kind") == "gap" and part.get("counts", True):
                try:
                    low, high = sorted(100 * float(bound) for bound in part["range"])
                except (KeyError, TypeError, ValueError):
                    continue
                if -100 <= low < high <= 100:
                    return low, high
    return None


def final_size_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Accuracy at the end against the size of the last map."""
    found = [(v, e) for v, e in ending(results, experiment) if v.sizes]
    if len({v.sizes[-1] for v, _ in found}) < 3 or len(found) > MOST_MARKS:  # the table is read better then
        return None
    looks = _looks(v for v, _ in found)
    depths = sorted({v.depth for v, _ in found})
    shapes = {depth: MARKERS[i % len(MARKERS)] for i, depth in enumerate(depths)}
    canvas, axes = _canvas(3.6)
    for variant, mean in found:
        centre, low, high = _percent(mean)
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
        f"Bars: {_interval_words()}."
    )
    alt = "Accuracy against final size. " + " ".join(
        f"{v.name} ends at {size_text(v.sizes[-1])} with {100 * e.mean:.1f} %." for v, e in found[:60]
    )
    return _finish(canvas, f"{_file(experiment)}-final-size", "Accuracy against final size", caption, alt)


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
    canvas, axes = _canvas(0.9 + 0.52 * len(depths), width=min(WIDTH, 2.2 + 1.0 * len(ratios)))
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
    return _finish(canvas, f"{_file(experiment)}-map", "Depth × ratio", caption, alt)


def ending(results: Results, experiment: Experiment) -> list[tuple[Variant, Estimate]]:
    """The variants with finished runs, and their accuracy at the end over seeds."""
    found = []
    for variant in experiment.variants:
        if variant.settings.get("task") == "gradient":
            continue
        by_seed, _ = scores(results, experiment, variant)
        if by_seed:
            found.append((variant, estimates.estimate([by_seed[seed] for seed in sorted(by_seed)])))
    return found


# ---- looks ----


@dataclass(frozen=True)
class Look:
    colour: str
    marker: str


def _looks(variants: Iterable[Variant]) -> dict[str, Look]:
    """A colour and a marker for each pooling; max pooling is always grey."""
    pools = {variant.pool: variant.is_max for variant in variants}
    others = [pool for pool, is_max in pools.items() if not is_max]
    looks = {pool: Look(GREY, "o") for pool, is_max in pools.items() if is_max}
    for i, pool in enumerate(others):
        looks[pool] = Look(PALETTE[i % len(PALETTE)], MARKERS[(i + 1) % len(MARKERS)])
    return looks


def _legend(canvas: Canvas, looks: Mapping[str, Look]) -> None:
    shown = list(looks.items())[:MOST_LINES]
    handles = [Line2D([], [], color=look.colour, marker=look.marker, label=name) for name, look in shown]
    canvas.legend(handles=handles, loc="outside upper left", ncols=min(4, len(shown)))


def _short_pool(variant: Variant) -> str:
    """The pooling as far as it changes sizes: "max pool", "FMP 1.47"."""
    return f"FMP {variant.ratio:.4g}" if variant.is_fmp and variant.ratio else variant.pool


def _percent(mean: Estimate) -> tuple[float, float, float]:
    low = mean.mean if mean.low is None else mean.low
    high = mean.mean if mean.high is None else mean.high
    return 100 * mean.mean, 100 * low, 100 * high


def _interval_words() -> str:
    return f"{estimates.LEVEL:.0%} interval over seeds".replace("%", " %")


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _cut(words: str, longest: int) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _file(experiment: Experiment) -> str:
    """The experiment's name as a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", experiment.name)[:80] or "single-runs"


# ---- matplotlib ----


def _blank(height: float, width: float = WIDTH) -> Canvas:
    return Canvas(figsize=(width, height), layout="constrained")


def _canvas(height: float, width: float = WIDTH) -> tuple[Canvas, Axes]:
    canvas = _blank(height, width)
    return canvas, canvas.subplots()


def _finish(canvas: Canvas, name: str, title: str, caption: str, alt: str) -> Figure:
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        canvas.savefig(out, format="svg", metadata=nothing)
    return Figure(name, title, caption, alt, out.getvalue())
