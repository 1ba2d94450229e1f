"""Where the two networks of a pair class the same test images differently: by class, by confusion, by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from fracpool.findings import statistics
from fracpool.findings.answer import Sides
from fracpool.findings.contrasts import Contrast
from fracpool.findings.scores import predicted
from fracpool.records.plain_text import points
from fracpool.report.figures import pixels, style
from fracpool.report.figures.style import INK, MOST_LINES, MOST_PANELS, MUTED, PALETTE, Figure
from fracpool.settings import mnist5k
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results

MOST_CLASSES = 20
MOST_CHOICES = 2_000_000  # seeds × images of a pair
SHADES = 6  # of a colour, in the figure of confusions
DIGITS, COLUMNS = 12, 6  # of the figure of single images


@dataclass(frozen=True)
class Pair:
    """What both networks of a pair chose: labels (images,), and classes (seeds, images) of its first and second."""

    swap: Contrast
    labels: np.ndarray
    a: np.ndarray
    b: np.ndarray
    sides: Sides

    @property
    def seeds(self) -> int:
        return len(self.a)

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def confusions(self, chosen: np.ndarray) -> np.ndarray:
        """Images of class i taken for j, as the mean over seeds."""
        table = np.zeros((self.classes, self.classes))
        for of_seed in chosen:
            np.add.at(table, (self.labels, of_seed), 1)
        return table / len(chosen)


def class_figures(results: Results, experiment: Experiment, swaps: Sequence[Contrast], sides: Sides) -> list[Figure]:
    """The figures that the predictions of an experiment's runs allow; none where they were not kept."""
    networks = list(dict.fromkeys(swap.network for swap in swaps))[:MOST_PANELS]
    by_network = {
        network: [
            pair
            for swap in [s for s in swaps if s.network == network][:MOST_LINES]
            if (pair := _pair(results, experiment, swap, sides)) is not None
        ]
        for network in networks
    }
    by_network = {network: pairs for network, pairs in by_network.items() if pairs}
    if not by_network:
        return []
    first = next(iter(by_network.values()))[0]
    images = _test_images(results, experiment, first)
    drawn = [_by_class(experiment, by_network), _confusion(experiment, first, images is not None)]
    if images is not None:
        drawn.append(_disagreements(experiment, first, images))
    return drawn


def _pair(results: Results, experiment: Experiment, swap: Contrast, sides: Sides) -> Pair | None:
    of_a, of_b = (predicted(results, experiment, variant) for variant in (swap.a, swap.b))
    both = sorted(of_a.keys() & of_b.keys())
    if not both:
        return None
    labels = of_a[both[0]][0]
    if labels.ndim != 1 or labels.size == 0 or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        return None
    same = [s for s in both if all(np.array_equal(labels, of[s][0]) for of in (of_a, of_b))]
    same = same[: max(1, MOST_CHOICES // labels.size)]
    if not same:
        return None
    a, b = (np.array([of[seed][1] for seed in same]) for of in (of_a, of_b))
    if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) > labels.max():
        return None
    return Pair(swap, labels.astype(int), a, b, sides)


# ---- by class ----


def _by_class(experiment: Experiment, by_network: dict[str, list[Pair]]) -> Figure:
    """The first minus the second for each class: a panel per network, a mark per pooling."""
    pairs = [pair for found in by_network.values() for pair in found]
    sides = pairs[0].sides
    looks = style.looks(pair.swap.a for pair in pairs)
    gaps = {pair.swap.a.id: _class_gaps(pair) for pair in pairs}
    canvas, axes = style.panels(list(by_network), height=2.6)
    for place, found in zip(axes, by_network.values(), strict=True):
        for i, pair in enumerate(found):
            look = looks[pair.swap.a.pool]
            at = np.arange(pair.classes) + 0.7 * ((i + 0.5) / len(found) - 0.5)  # beside one another
            mean, low, high = np.array([style.percent(gap) for gap in gaps[pair.swap.a.id]]).T
            place.vlines(at, low, high, color=look.colour, linewidth=1.2, alpha=0.7)
            place.plot(at, mean, look.marker, color=look.colour, markersize=4)
        place.axhline(0, color=INK, linewidth=1)
        place.set_xticks(range(found[0].classes))
        place.yaxis.set_major_formatter(FuncFormatter(style.signed))
        place.grid(axis="x", visible=False)
    style.label_axes(canvas, axes, "class", f"{sides.a} minus {sides.b_short}, points")
    style.legend(canvas, looks)
    same = " in the same network" if sides.swapped else ""
    caption = (
        f"{sides.a} minus {sides.b_whole}{same}, for each class of test images on its own (one test pass). "
        f"Bars: {style.interval_words()}, paired; n = {style.span(sorted({pair.seeds for pair in pairs}))}."
    )
    alt = "Difference by class. " + " ".join(
        f"{pair.swap.network}, {pair.swap.a.pool}: "
        + ", ".join(f"{label} {points(gap.mean)}" for label, gap in enumerate(gaps[pair.swap.a.id]))
        + "."
        for pair in pairs[:MOST_LINES]
    )
    return style.finish(canvas, f"{style.file_name(experiment)}-classes", "The difference by class", caption, alt)


def _class_gaps(pair: Pair) -> list[statistics.Estimate]:
    right = (pair.a == pair.labels).astype(float) - (pair.b == pair.labels)
    groups = [right[:, pair.labels == label] for label in range(pair.classes)]
    nothing = np.full(pair.seeds, np.nan)  # of a class without test images
    return [statistics.difference(group.mean(axis=1).round(12) if group.size else nothing) for group in groups]


# ---- by confusion ----


def _confusion(experiment: Experiment, pair: Pair, with_images: bool) -> Figure:
    """How many images more the first takes for another class, for each pair of classes."""
    table = pair.confusions(pair.a) - pair.confusions(pair.b)
    np.fill_diagonal(table, 0)
    largest = max(float(np.abs(table).max()), 1e-9)
    digits = 0 if largest >= 10 else 1
    canvas, axes = style.canvas(0.7 + 0.31 * pair.classes, width=1.2 + 0.44 * pair.classes)
    _shade(axes, table)
    _write(axes, table, digits)
    axes.set_xlim(-0.5, pair.classes - 0.5)
    axes.set_ylim(pair.classes - 0.5, -0.5)
    axes.set_xticks(range(pair.classes))
    axes.set_yticks(range(pair.classes))
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    axes.grid(visible=False)
    differ = 100 * float((pair.a != pair.b).mean())
    shown = "" if with_images else " The test images are not part of fracpool, so the images themselves are not shown."
    seeds = f"{pair.seeds} seed{'s' if pair.seeds > 1 else ''}"
    caption = (
        f"{pair.swap.a.name} against {pair.swap.b.name}: of {len(pair.labels):,} test images, how many more (orange) "
        f"or fewer (blue) {pair.sides.a} takes for another class, mean of {seeds}. "
        f"The two choose different classes for {differ:.1f} % of the images.{shown}"
    )
    worst = sorted(np.ndenumerate(table), key=lambda item: -abs(item[1]))[:10]
    alt = "Difference of confusions. " + " ".join(
        f"{row} taken for {column}: {value:+.{digits}f}." for (row, column), value in worst if value
    )
    return style.finish(canvas, f"{style.file_name(experiment)}-confusion", "What is taken for what", caption, alt)


def _shade(axes: Axes, table: np.ndarray) -> None:
    """Colours the cells by sign and size, never so strongly that a number could not be read on it."""
    strengths = np.ceil(SHADES * np.abs(table) / max(float(np.abs(table).max()), 1e-9)).astype(int)
    for colour, chosen in ((PALETTE[1], table > 0), (PALETTE[0], table < 0)):
        for strength in range(1, SHADES + 1):
            cells = np.argwhere(chosen & (strengths == strength)).tolist()
            if cells:
                squares = [pixels.rectangle(column - 0.5, row - 0.5, 1, 1) for row, column in cells]
                pixels.add(axes, squares, facecolor=colour, alpha=0.55 * strength / SHADES)


def _write(axes: Axes, table: np.ndarray, digits: int) -> None:
    for (row, column), value in np.ndenumerate(table):
        if round(value, digits):
            words = f"{value:+.{digits}f}".replace("-", "−")
            axes.text(column, row, words, ha="center", va="center", fontsize=8, in_layout=False)


# ---- by image ----


def _test_images(results: Results, experiment: Experiment, pair: Pair) -> np.ndarray | None:
    """The test images that the runs were tested on, if they are those of the sample that fracpool can read."""
    records = results.records_of(experiment, pair.swap.a)
    data = records[0].data.get("data") if records else None
    path = mnist5k.file()
    if path is None or not isinstance(data, dict) or data.get("fingerprint") != mnist5k.fingerprint(path):
        return None
    _, _, images, labels = mnist5k.load(path)
    return images[..., 0] if np.array_equal(labels, pair.labels) else None


def _disagreements(experiment: Experiment, pair: Pair, images: np.ndarray) -> Figure:
    """The images on which the two networks differ most."""
    right_a, right_b = (chosen == pair.labels for chosen in (pair.a, pair.b))
    gap = right_a.mean(axis=0) - right_b.mean(axis=0)
    place_in_class = np.arange(len(gap)) - np.searchsorted(pair.labels, pair.labels)  # so that ties are of all classes
    chosen = [i for i in np.lexsort((place_in_class, -np.abs(gap)))[:DIGITS].tolist() if gap[i]]
    side, pitch = mnist5k.SIDE, (mnist5k.SIDE + 10, mnist5k.SIDE + 22)
    lines = max(1, -(-len(chosen) // COLUMNS))
    canvas, axes = style.canvas(style.WIDTH * pitch[1] * lines / (pitch[0] * COLUMNS))
    told = []
    for place, image in enumerate(chosen):
        x, y = pitch[0] * (place % COLUMNS), pitch[1] * (place // COLUMNS) + 8
        label, wrong = pair.labels[image], _usual_mistake(pair, image)
        counts = tuple(
            f"{side} {right[:, image].sum()} of {pair.seeds}"
            for side, right in ((pair.sides.a, right_a), (pair.sides.b_short, right_b))
        )
        pixels.draw_digit(axes, images[image], x, y)
        axes.text(x, y - 1.5, f"{label}, not {wrong}", ha="left", va="bottom", fontsize=9, fontweight="bold")
        axes.text(x, y + side + 1, "\n".join(counts), ha="left", va="top", fontsize=8, color=MUTED, in_layout=False)
        told.append(f"A {label} taken for {wrong}: {counts[0]} right, {counts[1]} right.")
    pixels.bare(axes, pitch[0] * COLUMNS - 10, pitch[1] * lines)
    caption = (
        f"The test images that {pair.swap.a.name} and {pair.swap.b.name} class most differently. Above: what it is, "
        "and what it is mostly taken for. Below: how many of the seeds are right with each pooling."
    )
    alt = "Images on which the networks disagree. " + " ".join(told or ["There are none."])
    return style.finish(canvas, f"{style.file_name(experiment)}-digits", "Where they disagree", caption, alt)


def _usual_mistake(pair: Pair, image: int) -> int:
    chosen = [*pair.a[:, image].tolist(), *pair.b[:, image].tolist()]
    wrong = Counter(value for value in chosen if value != pair.labels[image])
    return min(wrong, key=lambda value: (-wrong[value], value))
