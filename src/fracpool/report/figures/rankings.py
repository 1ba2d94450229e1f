"""The rank diagram of poolings: which place each takes, and which places the seeds leave open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fracpool.findings.rules.part import Part
from fracpool.findings.verdicts import Finding
from fracpool.report.figures import style
from fracpool.report.figures.style import GREY, MOST_ROWS, MUTED, PALETTE, RULE, Figure
from fracpool.table.experiment import Experiment

MOST_PANELS = 4


def ranking_figure(experiment: Experiment, findings: Sequence[Finding]) -> Figure | None:
    """A panel for each ranking that counts in a finding of the experiment, or for each at all where none does."""
    ranked = [part for finding in findings for part in finding.parts if part.numbers.get("ranking")]
    shown = ([part for part in ranked if part.counts] or ranked)[:MOST_PANELS]
    if not shown:
        return None
    longest = min(MOST_ROWS, max(len(part.numbers["ranking"]) for part in shown))
    canvas = style.blank((0.75 + 0.24 * longest) * len(shown))
    panels = canvas.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, part in zip(panels, shown, strict=True):
        _draw(axes, part)
    canvas.supxlabel("place, by mean accuracy", fontsize=10.5, color=MUTED)
    cut = max(len(part.numbers["ranking"]) for part in shown) > MOST_ROWS
    caption = (
        "Each row is a pooling at its place by mean accuracy; its bar spans the places that the seeds leave open "
        f"({style.interval_words()}), so that poolings whose bars overlap cannot be told apart. Shaded: those that may "
        f"be the best. Diamond: the one that the claim names; n\u00a0=\u00a0"
        f"{style.span(sorted({part.numbers['n'] for part in shown}))}."
        + (f" The first {MOST_ROWS} are shown." if cut else "")
    )
    alt = "Rank diagram. " + " ".join(_words(part) for part in shown)
    return style.finish(canvas, f"{style.file_name(experiment)}-ranking", "Who takes which place", caption, alt)


def _draw(axes: Axes, part: Part) -> None:
    rows, first = part.numbers["ranking"][:MOST_ROWS], part.numbers["first"]
    names = _told_apart([row["variant"] for row in rows])
    for place, row in enumerate(rows, start=1):
        is_first = row["variant"] == first
        highest, lowest = row["places"]
        if highest == 1:
            axes.axhspan(place - 0.5, place + 0.5, color=RULE, alpha=0.45, linewidth=0)
        axes.plot([highest, lowest], [place, place], color=PALETTE[0] if is_first else GREY, linewidth=3)
        axes.plot([place], [place], "D" if is_first else "o", color=PALETTE[0] if is_first else GREY)
    labels = [f"{style.cut(name, 36)}  {100 * row['mean']:.2f} %" for name, row in zip(names, rows, strict=True)]
    axes.set_yticks(range(1, len(rows) + 1), labels)
    axes.set_ylim(len(rows) + 0.6, 0.4)
    axes.set_title(style.cut(part.title, 60), loc="right")
    axes.grid(axis="y", visible=False)
    axes.tick_params(labelbottom=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names without the words that all have."""
    words = [name.split(", ") for name in names]
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return [", ".join(word for word in own if word not in common) or ", ".join(own) for own in words]


def _words(part: Part) -> str:
    rows = [_place(number, row) for number, row in enumerate(part.numbers["ranking"][:MOST_ROWS], 1)]
    return f"{part.title}: {'; '.join(rows)}."


def _place(number: int, row: Mapping[str, Any]) -> str:
    highest, lowest = row["places"]
    places = f"place {highest}" if highest == lowest else f"place {highest} to {lowest}"
    return f"{number}. {row['variant']}, {100 * row['mean']:.2f} %, {places}"
