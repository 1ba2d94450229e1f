"""How far FMP is behind max pooling against the budget, over all experiments, and what each cause takes away of it.

A panel is a network and a ratio, whatever the budget; a line is a way to draw regions, or to test, that takes one
cause away: new regions at each step, their random order, the chance in a single test pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from fracpool.findings import statistics
from fracpool.findings.contrasts import Contrast
from fracpool.findings.scores import WORDS, NotJudged, histories, scores, select_one
from fracpool.findings.sighting import epochs_of
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count, points
from fracpool.report.figures import style
from fracpool.report.figures.curves import evenly
from fracpool.report.figures.style import INK, MARKERS, MOST_LINES, MUTED, PALETTE, PAPER, Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, network_key, network_names

BUDGET = ("budget.train_examples", "budget.epochs")
MOST_PANELS = 4
CAUSES = (
    "The solid line of random regions is TensorFlow's default; every other line takes a cause of its deficit away: the "
    "random order, new regions at each step or one set for a whole batch, or (dashed, dotted) the chance in a single "
    "test pass. "
)
# How a trained network is tested, and the line that shows it; the latter two take away the chance in one pass.
TESTS: dict[str, Any] = {"test_accuracy": "-", "averaged_accuracy": "--", "deterministic_accuracy": ":"}


@dataclass
class Panel:
    """One network with FMP of one ratio; `lines` hold, by pooling and test, the gap by training images seen."""

    example: Variant
    lines: dict[tuple[str, str], dict[float, Estimate]] = field(default_factory=dict)
    claimed: tuple[float, float] | None = None

    @property
    def data(self) -> Any:
        return self.example.settings.get("dataset.name")

    @property
    def budgets(self) -> set[float]:
        return {seen for line in self.lines.values() for seen in line}

    def add(self, line: tuple[str, str], seen: float, gap: Estimate) -> None:
        """Keeps the point of more seeds where two experiments have the same one."""
        known = self.lines.setdefault(line, {}).get(seen)
        if known is None or gap.n > known.n:
            self.lines[line][seen] = gap


def gap_figure(results: Results, swaps: Sequence[Contrast]) -> Figure | None:
    """FMP minus max pooling against budget: a panel per network, a line per way to draw regions or to test."""
    panels = [panel for panel in _panels(results, swaps).values() if len(panel.budgets) > 1]
    shown = _chosen(panels)
    if not shown:
        return None
    lines = _lines(shown)
    looks = _looks(lines[:MOST_LINES])
    titles = _titles(shown)
    canvas, axes = style.panels(titles, height=3.0)
    for place, panel in zip(axes, shown, strict=True):
        _draw(place, panel, looks)
    style.budget_axes(axes)
    axes[0].set_ylim(max(axes[0].get_ylim()[0], -100), min(axes[0].get_ylim()[1], 100))  # shared by all panels
    style.label_axes(canvas, axes, "training images seen (images × epochs)", "FMP minus max pooling, points")
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            linestyle=TESTS[test],
            markerfacecolor=colour if test == "test_accuracy" else PAPER,
            label=f"{pool}{WORDS[test]}",
        )
        for (pool, test), (colour, marker) in looks.items()
    ]
    style.above(canvas, handles)
    n = sorted({gap.n for panel in shown for line in panel.lines.values() for gap in line.values()})
    left_out = len(panels) - len(shown)
    caption = (
        "How far FMP is behind (below 0) or ahead of 2×2 max pooling in the same network. "
        + (CAUSES if any(_is_default(swap.a) for swap in swaps) else "")
        + f"Bars: {style.interval_words()}, paired; n = {style.span(n)}."
        + (" Hatched: the range that the finding claims." if any(panel.claimed for panel in shown) else "")
        + (f" Left out: {count(left_out, 'more network')}, of other data or fewer budgets." if left_out else "")
        + (f" The first {len(looks)} of {len(lines)} lines are shown." if len(lines) > len(looks) else "")
    )
    alt = "Difference against training budget. " + " ".join(map(_words, titles, shown))
    return style.finish(canvas, "budget-gap", "What the gap is made of, and when", caption, alt)


def _chosen(panels: Sequence[Panel]) -> list[Panel]:
    """Those of the most budgets and tests, on the data of the first, as far as their lines can be told apart."""
    chosen: list[Panel] = []
    in_order = sorted(panels, key=lambda panel: -sum(map(len, panel.lines.values())))
    for panel in (panel for panel in in_order if panel.data == in_order[0].data):
        if not chosen or len(_lines([*chosen, panel])) <= MOST_LINES:
            chosen.append(panel)
    return chosen[:MOST_PANELS]


def _lines(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(line for panel in panels for line in panel.lines))


def _titles(panels: Sequence[Panel]) -> list[str]:
    """What tells these panels apart."""
    names = network_names([panel.example for panel in panels], without=BUDGET)
    ratios = [f", ratio {panel.example.ratio:.4g}" if panel.example.ratio else "" for panel in panels]
    return [f"{names[panel.example.id]}{ratio}" for panel, ratio in zip(panels, ratios, strict=True)]


def _draw(axes: Axes, panel: Panel, looks: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    shown = [line for line in looks if line in panel.lines]
    for line in shown:
        colour, marker = looks[line]
        seen = np.array(sorted(panel.lines[line]))
        mean, low, high = np.array([style.percent(panel.lines[line][x]) for x in seen]).T
        axes.plot(seen, mean, TESTS[line[1]], color=colour, marker=marker, markersize=4.5, linewidth=1.5,
                  markerfacecolor=colour if line[1] == "test_accuracy" else PAPER)  # fmt: skip
        axes.vlines(seen, low, high, color=colour, linewidth=1.1, alpha=0.75)
    axes.axhline(0, color=INK, linewidth=1)
    axes.yaxis.set_major_formatter(FuncFormatter(style.signed))
    axes.tick_params(labelleft=True)
    if panel.claimed:
        axes.axhspan(*panel.claimed, facecolor="none", edgecolor=MUTED, hatch="///", linewidth=0, alpha=0.45)
        axes.text(0.995, panel.claimed[0], "claimed ", transform=axes.get_yaxis_transform(), ha="right", va="bottom")


def _looks(lines: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Colour and marker of each line: those of its pooling."""
    pools = list(dict.fromkeys(pool for pool, _ in lines))
    places = {line: pools.index(line[0]) for line in lines}
    return {line: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for line, i in places.items()}


def _words(title: str, panel: Panel) -> str:
    lines = [
        f"{pool}{WORDS[test]} {', '.join(f'{points(line[x].mean)} after {x:,.0f} images' for x in sorted(line))}"
        for (pool, test), line in panel.lines.items()
    ]
    return f"{title}: {'; '.join(lines)}."


# ---- from runs to lines ----


def _panels(results: Results, swaps: Sequence[Contrast]) -> dict[tuple[str, float | None], Panel]:
    experiments = {experiment.name: experiment for experiment in results.experiments}
    claims = _claims(results)
    panels: dict[tuple[str, float | None], Panel] = {}
    for swap in (swap for swap in swaps if not _of_few_images(swap.a)):
        panel = panels.setdefault(_key(swap.a), Panel(swap.a, claimed=claims.get(_key(swap.a))))
        for test, seen, gap in _gaps(results, experiments[swap.experiment], swap.a, swap.b):
            if test == "test_accuracy" or _is_default(swap.a):  # the other tests of other poolings: one too many
                panel.add((_without_ratio(swap.a), test), seen, gap)
    return panels


def _of_few_images(variant: Variant) -> bool:
    """Whether it saw a part of the images several times over, which asks something else than the length of training."""
    return variant.settings.get("budget.train_examples") is not None and epochs_of(variant, "end") > 1


def _key(variant: Variant) -> tuple[str, float | None]:
    return network_key(variant, BUDGET), variant.ratio


def _without_ratio(variant: Variant) -> str:
    """What the pooling is called without its ratio, which its panel says: "FMP random"."""
    return variant.pool.replace(f" {variant.ratio:.4g}", "", 1) if variant.ratio else variant.pool


def _gaps(results: Results, experiment: Experiment, a: Variant, b: Variant) -> Iterator[tuple[str, float, Estimate]]:
    """(test, training images seen, a minus b over the seeds that both have): each epoch, and the end by each test."""
    of_a, of_b = histories(results, experiment, a), histories(results, experiment, b)
    seeds = sorted(seed for seed in of_a.keys() & of_b.keys() if of_a[seed] and of_b[seed])
    if not seeds:
        return
    epochs = []
    for rows in zip(*(zip(of_a[seed], of_b[seed], strict=False) for seed in seeds), strict=False):
        differences = [p - q for (_, p), (_, q) in rows if 0 <= p <= 1 and 0 <= q <= 1]
        if differences and rows[0][0][0] > 0:
            epochs.append((rows[0][0][0], differences))
    for seen, differences in evenly(epochs):
        yield "test_accuracy", seen, statistics.difference(np.round(differences, 12))
    end = of_a[seeds[0]][-1][0]
    for test in ("averaged_accuracy", "deterministic_accuracy"):
        (tested_a, _), (tested_b, _) = (scores(results, experiment, v, "end", test) for v in (a, b))
        both = sorted(tested_a.keys() & tested_b.keys())
        if both:
            yield test, end, statistics.difference(np.round([tested_a[s] - tested_b[s] for s in both], 12))


def _is_default(variant: Variant) -> bool:
    """Whether regions are drawn as TensorFlow does it by default."""
    pool = {key: variant.settings.get(f"pool.{key}") for key in ("pseudo_random", "overlapping", "window")}
    return not any(pool.values()) and variant.settings.get("pool.regions_per") == "batch"


def _claims(results: Results) -> dict[tuple[str, float | None], tuple[float, float]]:
    """By network and ratio: the range, in points, of the first gap that counts and is claimed of it."""
    found: dict[tuple[str, float | None], tuple[float, float]] = {}
    for experiment in results.experiments:
        for finding in experiment.findings:
            parts = finding.get("parts")
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, Mapping) and part.get("kind") == "gap" and part.get("counts", True):
                    try:
                        low, high = sorted(100 * float(bound) for bound in part["range"])
                        key = _key(select_one(experiment, part["a"]))
                    except (KeyError, NotJudged, TypeError, ValueError):
                        continue
                    if -100 <= low < high <= 100:
                        found.setdefault(key, (low, high))
    return found
