"""Accuracy as a curve: against the training budget, and against the number of averaged test passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from fracpool.findings import statistics
from fracpool.findings.scores import histories
from fracpool.findings.statistics import Estimate
from fracpool.records.plain_text import count
from fracpool.records.record import Record
from fracpool.report.figures import style
from fracpool.report.figures.style import MOST_PANELS, PALETTE, Canvas, Figure, Look
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, network_names

MOST_POINTS, MOST_PASSES = 200, 24  # of a curve
MOST_POOLINGS = len(PALETTE) + 1  # each in its colour, max pooling in grey
LEAST_ERROR = 0.02  # per cent: where the axis of accuracy ends
Curve = Sequence[tuple[float, Estimate]]  # (training images seen, or test passes; accuracy over seeds)


def budget_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Accuracy against training images seen: a panel per network, a line per pooling."""
    drawn = _Drawn(results, experiment, _learning_curve)
    if max(map(len, drawn.panels.values()), default=0) < 2:
        return None  # nothing stands beside anything
    canvas, axes = drawn.draw("training images seen (images × epochs)")
    style.budget_axes(axes)
    caption = (
        "Test accuracy (one pass) as training goes on, a panel for each network; both axes are logarithmic, in images "
        f"and in the error. Bands: {style.interval_words()}; n = {drawn.seeds}.{drawn.left_out}"
    )
    each = all(variant.settings.get("budget.test_every", 1) == 1 for variant in drawn.variants)
    first = "after the first epoch" if each else "at the first test"
    alt = "Accuracy against training budget. " + drawn.words(first, "at the end")
    return style.finish(canvas, f"{style.file_name(experiment)}-budget", "Accuracy against budget", caption, alt)


def passes_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Accuracy against averaged test passes: a panel per network, a line per pooling; max pooling needs one pass."""
    drawn = _Drawn(results, experiment, _passes_curve)
    passes = sorted({x for curve in drawn.curves.values() for x, _ in curve})
    if not drawn.panels:
        return None
    canvas, axes = drawn.draw("test passes averaged")
    for panel in axes:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_locator(FixedLocator(passes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter("{x:g}")
    caption = (
        "Test accuracy of the same trained networks when the probabilities of several passes, each with new regions, "
        "are averaged; a pooling without chance has one pass only (dashed). "
        f"Bands: {style.interval_words()}; n = {drawn.seeds}.{drawn.left_out}"
    )
    alt = "Accuracy against test passes. " + drawn.words("with one pass", "with the most passes")
    return style.finish(canvas, f"{style.file_name(experiment)}-passes", "Accuracy against test passes", caption, alt)


class _Drawn:
    """The curves of an experiment, by network; a network without a curve of two points is left out."""

    def __init__(
        self, results: Results, experiment: Experiment, curve_of: Callable[[Results, Experiment, Variant], Curve]
    ) -> None:
        names = network_names(experiment.variants)
        run = [v for v in experiment.variants if results.records_of(experiment, v)]
        panels: dict[str, list[Variant]] = {}
        for variant in run:
            panels.setdefault(names[variant.id], []).append(variant)
        pools = list(dict.fromkeys(v.pool for v in _by_importance(run)))
        considered = [v for vs in list(panels.values())[:MOST_PANELS] for v in vs if v.pool in pools[:MOST_POOLINGS]]
        found = {v.id: curve_of(results, experiment, v) for v in considered}
        self.curves: Mapping[str, Curve] = {id_: curve for id_, curve in found.items() if curve}
        with_curves = {name: [v for v in vs if v.id in self.curves] for name, vs in panels.items()}
        self.panels = {n: vs for n, vs in with_curves.items() if any(len(self.curves[v.id]) > 1 for v in vs)}
        hidden = {"network": len(panels) - len(self.panels), "pooling": len(pools[MOST_POOLINGS:])}
        self.left_out = "".join(f" In the table only: {count(n, what)}." for what, n in hidden.items() if n)

    @property
    def variants(self) -> list[Variant]:
        return [variant for variants in self.panels.values() for variant in variants]

    @property
    def seeds(self) -> str:
        return style.span(sorted({e.n for v in self.variants for _, e in self.curves[v.id]}))

    def draw(self, x: str) -> tuple[Canvas, list[Axes]]:
        looks = style.looks(_by_importance(self.variants))
        data = [str(variants[0].settings.get("dataset.name")) for variants in self.panels.values()]
        canvas, shown = style.panels(list(self.panels), same_y=len(set(data)) == 1)
        for axes, variants in zip(shown, self.panels.values(), strict=True):
            for variant in variants:
                _line(axes, self.curves[variant.id], looks[variant.pool])
        for one in dict.fromkeys(data):  # on one axis with the errors of CIFAR-10 those of MNIST are all alike
            style.accuracy_axes([axes for axes, name in zip(shown, data, strict=True) if name == one])
        style.label_axes(canvas, shown, x, "test accuracy, %")
        style.legend(canvas, looks)
        return canvas, shown

    def words(self, first: str, last: str) -> str:
        return " ".join(
            f"{v.name}: {100 * curve[0][1].mean:.1f} % {first}, {100 * curve[-1][1].mean:.1f} % {last}."
            for v in self.variants
            if (curve := self.curves[v.id])
        )


def _by_importance(variants: Sequence[Variant]) -> list[Variant]:
    """Those that the question is about first: max pooling, then FMP, then the others, as they were run."""
    return sorted(variants, key=lambda v: 0 if v.is_max else 1 if v.settings.get("pool.kind") == "fmp" else 2)


def _line(axes: Axes, curve: Curve, look: Look) -> None:
    seen = [x for x, _ in curve]
    mean, low, high = np.clip(100 - np.array([style.percent(e) for _, e in curve]).T, LEAST_ERROR, 100)
    axes.plot(seen, mean, color=look.colour, marker=look.marker, markersize=4)
    if min(estimate.n for _, estimate in curve) < statistics.MIN_SEEDS:
        low = high = mean  # the interval of two seeds would reach over all that is possible
    if len(curve) > 1:
        axes.fill_between(seen, low, high, color=look.colour, alpha=0.18, linewidth=0)
    else:
        axes.axhspan(low[0], high[0], color=look.colour, alpha=0.18, linewidth=0)
        axes.axhline(mean[0], color=look.colour, linestyle="--", linewidth=1.4)


def _learning_curve(results: Results, experiment: Experiment, variant: Variant) -> Curve:
    """(training images seen, accuracy over seeds) after every epoch that all completed runs have, if it was tested."""
    epochs = []
    for rows in zip(*histories(results, experiment, variant).values(), strict=False):
        values = [accuracy for _, accuracy in rows if 0 <= accuracy <= 1]
        if values and rows[0][0] > 0:
            epochs.append((rows[0][0], values))
    points = [(seen, statistics.share(values)) for seen, values in evenly(epochs)]
    return points if len(points) > 1 else []


def _passes_curve(results: Results, experiment: Experiment, variant: Variant) -> Curve:
    """(averaged passes, accuracy over seeds) for the numbers of passes that all completed runs have."""
    runs = [r for r in results.records_of(experiment, variant) if r.status == "completed"]
    by_run = [found for run in runs if (found := _by_passes(run))]
    shared = sorted(set.intersection(*map(set, by_run))) if by_run else []
    return [(passes, statistics.share([run[passes] for run in by_run])) for passes in evenly(shared, MOST_PASSES)]


def evenly(items: Sequence[Any], most: int = MOST_POINTS) -> Sequence[Any]:
    """At most so many of them, the first and the last among these."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _by_passes(record: Record) -> dict[int, float]:
    """Accuracy by number of averaged passes, without what is no such thing: a record may come from a stranger."""
    given = record.data["metrics"].get("accuracy_by_repeats")
    if not isinstance(given, Mapping):
        return {}
    return {
        int(passes): value
        for passes, value in given.items()
        if passes.isdecimal() and 1 <= int(passes) <= 10**6 and isinstance(value, int | float) and 0 <= value <= 1
    }
