"""The main figure: FMP in place of 2×2 max pooling, a row for each network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fracpool.findings.answer import Sides
from fracpool.findings.contrasts import AHEAD, BEHIND, Contrast
from fracpool.records.plain_text import points
from fracpool.report.figures import style
from fracpool.report.figures.style import GREY, INK, MOST_ROWS, MUTED, PALETTE, PAPER, Figure

LABEL = 52  # characters
LINEAR = 0.3  # points
TICKS = (-100, -10, -1, 0, 1, 10, 100)
MORE_TICKS = (*TICKS, -3, -0.3, 0.3, 3)  # where they have room, up to 20 points


def swap_figure(swaps: Sequence[Contrast], averaged: Sequence[Contrast], sides: Sides) -> Figure:
    """The first minus the second of each pair, FMP minus max pooling in otherwise equal networks: a row with interval.

    `averaged` are the swaps once more, with FMP's test passes averaged.
    """
    groups = _evenly(swaps)
    shown = list(chain(*groups.values()))
    rings = {(c.experiment, c.a.id, c.b.id): c for c in averaged}
    canvas, axes = style.canvas(0.75 + 0.25 * (len(shown) + 1.25 * len(groups)), width=7.0)
    labels, places, place = [], [], 0.0
    for name, group in groups.items():
        title, rows = _row_labels(name, group)
        place += 1.25
        axes.annotate(title, (0, place), xycoords=axes.get_yaxis_transform(), xytext=(-3, 0),
                      textcoords="offset points", ha="right", va="center", fontweight="bold")  # fmt: skip
        for row, label in zip(group, rows, strict=True):
            place += 1
            _swap_row(axes, row, rings.get((row.experiment, row.a.id, row.b.id)), place)
            labels.append(style.cut(label, LABEL))
            places.append(place)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, labels)
    axes.set_ylim(place + 0.7, 0.5)
    axes.grid(axis="y", visible=False)
    low, high = axes.get_xlim()
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.5)  # one run's gap is fifty times another's
    axes.xaxis.set_major_locator(FixedLocator(MORE_TICKS if max(-low, high) < 20 else TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(style.signed))
    axes.tick_params(axis="x", labelsize=8.5)
    axes.set_xlim(min(1.1 * low, -2 * LINEAR), max(1.1 * high, 2 * LINEAR))
    axes.set_xlabel(f"{sides.a} minus {sides.b}, points")
    for words, side, shift in ((f"{sides.b} ahead", "right", -5), (f"{sides.a} ahead", "left", 5)):
        axes.annotate(words, (0, 1), xycoords=axes.get_xaxis_transform(), xytext=(shift, 2),
                      textcoords="offset points", ha=side, va="bottom", color=MUTED)  # fmt: skip
    n, ahead, behind = len(swaps), *(sum(c.outcome == o for c in swaps) for o in (AHEAD, BEHIND))
    some = "" if len(shown) == n else f" {len(shown)} of {n} comparisons are shown, about as many of each experiment."
    ring = " Ring: the same with FMP's test passes averaged, against one pass of max pooling." if rings else ""
    each = (
        f"Each row swaps {sides.b_whole} for {sides.a} in one network and changes nothing else; accuracy at the end of "
        "the budget, one test pass"
        if sides.swapped
        else "Each row is a pair that a finding compares; accuracy at the end of the budget"
    )
    caption = (
        f"{each}. Filled triangle: {sides.a} ahead or behind at 5 % (Holm within the experiment); hollow: "
        f"undecided. Bars: {style.interval_words()}.{ring} The axis is logarithmic beyond ±{LINEAR}.{some}"
    )
    title = f"{sides.a} {'in place of' if sides.swapped else 'against'} {sides.b_whole}"
    alt = f"{sides.a} against {sides.b_whole}: ahead in {ahead}, behind in {behind} of {n} comparisons. " + " ".join(
        f"{c.network}, {c.a.pool}: {points(c.end.mean)}." for c in shown
    )
    return style.finish(canvas, "answer", title[0].upper() + title[1:], caption, alt)


def _evenly(swaps: Sequence[Contrast]) -> dict[str, list[Contrast]]:
    """By experiment: all, or where they are too many as many of each as there is room for, whatever they came to."""
    groups: dict[str, list[Contrast]] = {}
    for contrast in swaps:
        groups.setdefault(contrast.experiment, []).append(contrast)
    in_turn = [c for turn in zip_longest(*groups.values()) for c in turn if c is not None]
    kept = {id(c) for c in in_turn[:MOST_ROWS]}
    chosen = {name: [c for c in group if id(c) in kept] for name, group in groups.items()}
    return {name: group for name, group in chosen.items() if group}


def _row_labels(experiment: str, group: Sequence[Contrast]) -> tuple[str, list[str]]:
    """A title for the rows of an experiment, with what is common to them, and for each row the rest."""
    rows = [[*c.network.split(", "), c.a.pool] for c in group]
    common = [part for part in rows[0] if all(part in row for row in rows)] if len(rows) > 1 else rows[0][-1:]
    labels = [", ".join(part for part in row if part not in common) or ", ".join(row) for row in rows]
    return style.cut(", ".join([experiment or "single runs", *common]), LABEL), labels


def _swap_row(axes: Axes, row: Contrast, averaged: Contrast | None, place: float) -> None:
    colour = {AHEAD: PALETTE[2], BEHIND: PALETTE[1]}.get(row.outcome, GREY)
    mean, low, high = style.percent(row.end)
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    filled = row.outcome in (AHEAD, BEHIND)
    axes.plot([mean], [place], {AHEAD: "^", BEHIND: "v"}.get(row.outcome, "o"), color=colour, markersize=6.5,
              markerfacecolor=colour if filled else PAPER)  # fmt: skip
    if averaged:
        axes.plot([style.percent(averaged.end)[0]], [place], "o", color=INK, markersize=4, markerfacecolor="none")
