"""Rankings of poolings: a row for each, from the highest mean down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from fracpool.findings.rules.part import Part
from fracpool.findings.verdicts import Finding
from fracpool.report.figures import style
from fracpool.report.figures.style import GREY, MOST_ROWS, PALETTE, Figure
from fracpool.table.experiment import Experiment


def ranking_figures(experiment: Experiment, verdicts: Sequence[Finding]) -> list[Figure]:
    """One figure for each ranking that an experiment's findings hold."""
    own = [part for finding in verdicts if finding.experiment == experiment.name for part in finding.parts]
    ranked = [part for part in own if part.numbers.get("ranking")]
    return [_figure(f"{style.file_name(experiment)}-{number}-ranking", part) for number, part in enumerate(ranked, 1)]


def _figure(name: str, part: Part) -> Figure:
    rows, first = part.numbers["ranking"], part.numbers["first"]
    shown = rows[:MOST_ROWS]
    canvas, axes = style.canvas(0.6 + 0.22 * len(shown))
    for place, row in enumerate(shown):
        colour = PALETTE[0] if row["variant"] == first else GREY
        low, high = (row["mean"] if row[end] is None else row[end] for end in ("low", "high"))
        axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([100 * row["mean"]], [place], "D" if row["variant"] == first else "o", color=colour)
    axes.set_yticks(range(len(shown)), [style.cut(f"{i}. {row['variant']}", 60) for i, row in enumerate(shown, 1)])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("mean accuracy, %")
    some = "" if len(shown) == len(rows) else f" The first {len(shown)} of {len(rows)} are shown."
    caption = (
        f"{first} (diamond) among all, by mean accuracy. Bars: {style.interval_words()}, n\u00a0=\u00a0"
        f"{part.numbers['n']}; where they overlap, the order may be chance.{some}"
    )
    alt = f"Ranking, {part.title}: " + "; ".join(_words(place, row) for place, row in enumerate(shown, 1))
    return style.finish(canvas, name, f"Ranking: {part.title}", caption, alt)


def _words(place: int, row: Mapping[str, Any]) -> str:
    highest, lowest = row["places"]
    places = f"place {highest}" if highest == lowest else f"place {highest} to {lowest}"
    return f"{place}. {row['variant']}, {100 * row['mean']:.2f} %, {places}"
