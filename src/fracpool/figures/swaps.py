"""The main figure: FMP in place of 2×2 max pooling, a row for each network."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fracpool.answer import AHEAD, BEHIND, Contrast
from fracpool.figures import style
from fracpool.figures.style import GREY, INK, MOST_ROWS, MUTED, PALETTE, PAPER, Figure
from fracpool.findings import points


def swap_figure(swaps: Sequence[Contrast]) -> Figure:
    """FMP minus max pooling in otherwise equal networks: one row each, with its interval."""
    shown = list(swaps)
    if len(shown) > MOST_ROWS:
        largest = sorted(swaps, key=lambda c: -abs(c.end.mean))[:MOST_ROWS]
        shown = [c for c in swaps if any(c is kept for kept in largest)]
    groups: dict[str, list[Contrast]] = {}
    for contrast in shown:
        groups.setdefault(contrast.experiment, []).append(contrast)
    canvas, axes = style.canvas(0.75 + 0.25 * (len(shown) + 1.25 * len(groups)), width=6.0)
    labels, places, place = [], [], 0.0
    for name, group in groups.items():
        title, rows = _row_labels(name, group)
        place += 1.25
        axes.annotate(title, (0, place), xycoords=axes.get_yaxis_transform(), xytext=(-3, 0),
                      textcoords="offset points", ha="right", va="center", fontweight="bold")  # fmt: skip
        for row, label in zip(group, rows, strict=True):
            place += 1
            _swap_row(axes, row, place)
            labels.append(style.cut(label, 40))
            places.append(place)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, labels)
    axes.set_ylim(place + 0.7, 0.5)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(FuncFormatter(style.signed))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
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
        f"told apart. Bars: {style.interval_words()}.{some}"
    )
    alt = f"FMP against 2×2 max pooling: ahead in {ahead}, behind in {behind} of {n} comparisons. " + " ".join(
        f"{c.network}, {c.a.pool}: {points(c.end.mean)}." for c in shown
    )
    return style.finish(canvas, "answer", "FMP in place of 2×2 max pooling", caption, alt)


def _row_labels(experiment: str, group: Sequence[Contrast]) -> tuple[str, list[str]]:
    """A title for the rows of an experiment, and for each row what the title does not say yet."""
    title = experiment or "single runs"
    networks, pools = {c.network for c in group}, {c.a.pool for c in group}
    if len(pools) == 1:
        return style.cut(f"{title}, {group[0].a.pool}", 40), [c.network for c in group]
    short = [c.a.pool.removeprefix("FMP ") for c in group]
    if len(networks) == 1:
        return style.cut(f"{title}, {group[0].network}", 40), [f"FMP {pool}" for pool in short]
    return style.cut(f"{title}, FMP", 40), [f"{c.network}, {pool}" for c, pool in zip(group, short, strict=True)]


def _swap_row(axes: Axes, row: Contrast, place: float) -> None:
    colour = {AHEAD: PALETTE[2], BEHIND: PALETTE[1]}.get(row.outcome, GREY)
    mean, low, high = style.percent(row.end)
    axes.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
    filled = row.outcome in (AHEAD, BEHIND)
    axes.plot([mean], [place], {AHEAD: "^", BEHIND: "v"}.get(row.outcome, "o"), color=colour, markersize=6.5,
              markerfacecolor=colour if filled else PAPER)  # fmt: skip
