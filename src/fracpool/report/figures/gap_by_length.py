"""The first screen's figure: FMP minus max pooling against the length of training, in each form of test.

A column is a pair of networks; above all lengths, below the same close to 0. A ring is where a line of means crosses 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from fracpool.findings import statistics
from fracpool.findings.headline import gap, name_of
from fracpool.findings.scores import scores
from fracpool.findings.sighting import Sighting, form, listed, networks
from fracpool.findings.statistics import Estimate
from fracpool.findings.tracks import Track
from fracpool.report.figures import style
from fracpool.report.figures.style import INK, MARKERS, MUTED, PALETTE, Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results

WIDTH, HEIGHT = 4.35, 3.75  # inches: on a telephone the page shows it at about its own size
MOST_PAIRS, TITLE = 2, 21  # TITLE: characters in a line
METRICS = ("test_accuracy", "deterministic_accuracy", "averaged_accuracy")
Line = Mapping[float, Estimate]  # by length of training


@dataclass(frozen=True)
class Column:
    """A pair of networks, and by form of test the difference after each length of training."""

    network: str
    regions: str
    lines: Mapping[str, Line]

    @property
    def name(self) -> str:
        return f"{self.network}, {self.regions}"

    @property
    def lengths(self) -> list[float]:
        return sorted({length for line in self.lines.values() for length in line})


def gap_by_length(results: Results, tracks: Sequence[Track]) -> Figure | None:
    """Of the designated pairs that were trained for several lengths, those of the most; None where there are none."""
    chosen = _chosen(tracks)
    columns = [column for column in (_column(results, track) for track in chosen) if len(column.lengths) > 1]
    if not columns:
        return None
    canvas = style.blank(HEIGHT, WIDTH)
    grid = canvas.subplots(2, len(columns), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2))
    forms = list(dict.fromkeys(name for column in columns for name in column.lines))
    crossings = []
    for (whole, close), column in zip(grid.T, columns, strict=True):
        whole.set_title("\n".join(wrap(f"{column.name[0].upper()}{column.name[1:]}", TITLE)), fontsize=9)
        for axes in (whole, close):
            _draw(axes, column, forms)
        crossed = list(_mark_crossings(close, column, forms))
        crossings += [f"with {column.network} after {listed(crossed)} {_unit(chosen)}"] if crossed else []
    _axes(grid, columns)
    grid[0, 0].set_ylabel("FMP − max, points", fontsize=9)
    grid[1, 0].set_ylabel("close to 0", fontsize=9)
    canvas.supxlabel(f"{_unit(chosen)} of training (logarithmic axis)", fontsize=9, color=MUTED)
    handles = [_handle(number, name) for number, name in enumerate(forms)]
    canvas.legend(handles=handles, loc="outside upper left", ncols=len(handles), fontsize=8.5, columnspacing=0.8,
                  handlelength=1.4, handletextpad=0.4)  # fmt: skip
    n = sorted({seen.n for column in columns for line in column.lines.values() for seen in line.values()})
    caption = (
        f"On {name_of(chosen[0].data)}. A drawn pass tests over regions by chance, an even one over regular regions; "
        f"averaged are several drawn passes. Bars: {style.interval_words()}, n = {style.span(n)}. "
        + (
            f"Rings: where the mean comes above 0, {'; '.join(crossings)}."
            if crossings
            else "No mean comes above 0 to stay."
        )
    )
    alt = "FMP minus max pooling. " + " ".join(_words(column) for column in columns)
    return style.finish(canvas, "gap-by-length", "The gap against the length of training", caption, alt)


def _chosen(tracks: Sequence[Track]) -> list[Track]:
    """One track of each pair, of the data set with the most lengths."""
    of_pair: dict[tuple[str, ...], Track] = {}
    for track in (t for t in tracks if t.is_long):
        known = of_pair.get(track.pair)
        if known is None or len(track.sightings) > len(known.sightings):
            of_pair[track.pair] = track
    longest = sorted(of_pair.values(), key=lambda track: -len(track.sightings))
    return [track for track in longest if track.data == longest[0].data][:MOST_PAIRS]


def _column(results: Results, track: Track) -> Column:
    lines: dict[str, dict[float, Estimate]] = {}
    for seen in track.sightings:
        length = seen.images / _per_epoch(track)
        for name, found in _forms(results, seen):
            lines.setdefault(name, {})[length] = found
    kind = "pseudorandom" if track.last.a.settings.get("pool.pseudo_random") else "random"
    return Column(networks(track.last).removeprefix("with "), f"{kind} regions", lines)


def _forms(results: Results, seen: Sighting) -> Iterator[tuple[str, Estimate]]:
    """The difference in each form of test: all are known at the end of a budget, and what was seen before it."""
    experiment = _experiment_of(results, seen)
    if experiment is None or seen.epochs != seen.a.settings.get("budget.epochs"):
        yield seen.form, seen.gap
        return
    for metric in METRICS:
        of_a, of_b = (scores(results, experiment, v, "end", metric)[0] for v in (seen.a, seen.b))
        of_b = of_b or scores(results, experiment, seen.b, "end")[0]
        both = sorted(of_a.keys() & of_b.keys())
        if both:
            yield form(seen.a, metric), statistics.difference(np.round([of_a[s] - of_b[s] for s in both], 12))


def _experiment_of(results: Results, seen: Sighting) -> Experiment | None:
    wanted = {seen.a.id, seen.b.id}
    having = (e for e in results.experiments if wanted <= {variant.id for variant in e.variants})
    return next(having, None)


def _per_epoch(track: Track) -> float:
    """Images of an epoch where all lengths have as many, else of a thousand."""
    found = {seen.images // seen.epochs for seen in track.sightings if seen.epochs}
    return float(found.pop()) if len(found) == 1 else 1000.0


def _unit(tracks: Sequence[Track]) -> str:
    return "thousands of images" if any(_per_epoch(track) == 1000.0 for track in tracks) else "epochs"


# ---- drawing ----


def _look(number: int) -> tuple[str, str]:
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def _handle(number: int, name: str) -> Line2D:
    colour, marker = _look(number)
    return Line2D([], [], color=colour, marker=marker, label=name, markersize=4.5)


def _draw(axes: Axes, column: Column, forms: Sequence[str]) -> None:
    axes.axhline(0, color=INK, linewidth=1)
    for number, name in enumerate(forms):
        line = column.lines.get(name, {})
        lengths = sorted(line)
        if lengths:
            colour, marker = _look(number)
            mean, low, high = np.array([style.percent(line[length]) for length in lengths]).T
            axes.plot(lengths, mean, color=colour, marker=marker, markersize=4.5, linewidth=1.5)
            axes.vlines(lengths, low, high, color=colour, linewidth=1.2, alpha=0.7)


def _axes(grid: np.ndarray, columns: Sequence[Column]) -> None:
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(column.lengths))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    near = _near(columns)
    grid[1, 0].set_ylim(-near, near)
    for axes in grid.flat:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.signed(round(value, 6))))


def _near(columns: Sequence[Column]) -> float:
    """How far from 0 the lower panels reach: as far as the two longest trainings do."""
    ends = [
        abs(bound)
        for column in columns
        for line in column.lines.values()
        for length in sorted(line)[-2:]
        for bound in style.percent(line[length])
    ]
    return 1.1 * max(ends, default=1.0) or 1.0


def _mark_crossings(axes: Axes, column: Column, forms: Sequence[str]) -> Iterator[str]:
    """Marks where each line of means comes above 0 to stay, on the straight line between two lengths; tells it."""
    for number, name in enumerate(forms):
        place = _crossing(column.lines.get(name, {}))
        if place is not None:
            axes.plot([place], [0], "o", color=_look(number)[0], markersize=10, markerfacecolor="none", zorder=3)
            yield f"{place:.2g} ({name})"


def _crossing(line: Line) -> float | None:
    lengths = sorted(line)
    means = [line[length].mean for length in lengths]
    below = [number for number, mean in enumerate(means) if mean < 0]
    if not below or below[-1] == len(means) - 1:
        return None
    i = below[-1]
    share = -means[i] / (means[i + 1] - means[i])
    return float(np.exp(np.log(lengths[i]) + share * (np.log(lengths[i + 1]) - np.log(lengths[i]))))


def _words(column: Column) -> str:
    ends = [f"{name} {gap(line[max(line)], interval=False)}" for name, line in column.lines.items() if line]
    starts = [f"{name} {gap(line[min(line)], interval=False)}" for name, line in column.lines.items() if line]
    first, last = column.lengths[0], column.lengths[-1]
    return f"{column.name}: after {first:.3g}, {', '.join(starts)}; after {last:.3g}, {', '.join(ends)}."
