"""What a pooling does to a digit: its regions drawn over one, and one taken through every pooling layer.

These are drawn from definitions, with the ratios and sizes of the study; nothing in them was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fracpool.pooling import regions
from fracpool.report.figures import pixels, style
from fracpool.report.figures.style import INK, MUTED, PALETTE, Figure
from fracpool.settings import mnist5k
from fracpool.settings.names import pool_name
from fracpool.table.results import Results
from fracpool.table.variant import Variant, size_text

DIGIT = (2, 1)  # class, and number within it
SEED = 2
U = 0.4  # of pseudorandom regions: where in its range they start
MOST_CHAINS = 6
GAP = 4  # cells between two maps
CELL = 0.066  # inches, of the layers figure
Windows = list[tuple[int, int]]  # (first cell, behind the last) of each region along one axis


def regions_figure(results: Results) -> Figure | None:
    """The regions of each dialect over a digit, and the map that the digit becomes."""
    image, sizes = _digit(), Counter(v.sizes[1] for v in _fmp_variants(results) if v.sizes[1] < v.sizes[0])
    if image is None or not sizes:
        return None
    (out, _), _ = sizes.most_common(1)[0]
    side = len(image)
    if 2 * out <= side:  # the dialects differ for ratios below 2
        return None
    canvas = style.blank(7.5, width=7.2)
    grid = canvas.subplots(3, 2)
    kinds: tuple[dict[str, Any], ...] = ({}, {"overlapping": True}, {"window": 2})
    titles = ("disjoint", "overlapping", "fixed 2×2 windows")
    for line, kind, words in zip(grid, kinds, titles, strict=True):
        for axes, pseudo_random in zip(line, (False, True), strict=True):
            rng = np.random.default_rng(SEED)
            rows, columns = (windows(side, out, {**kind, "pseudo_random": pseudo_random}, rng) for _ in range(2))
            _draw_regions(axes, image, rows, columns)
            axes.set_title(f"{'pseudorandom' if pseudo_random else 'random'}, {words}")
    ratio = f"{side / out:.3g}"
    caption = (
        f"Regions over a digit of MNIST, {side}×{side} → {out}×{out} (ratio {ratio}), and the map that takes the "
        "largest value of each. Blue: where regions start. Shaded: rows and columns that two regions share. Orange: "
        "one region and its output. Random steps of one and two cells come in any order and bend the digit anew at "
        "each draw; pseudorandom ones spread evenly. Disjoint and overlapping as TensorFlow has them; fixed windows "
        "as Graham's code and PyTorch."
    )
    alt = (
        f"The digit {DIGIT[0]} under six grids of {out} by {out} pooling regions: random and pseudorandom, each "
        "disjoint, overlapping and with fixed windows. Random grids have clusters of narrow and of wide regions and "
        "distort the pooled digit; pseudorandom grids are even and keep its shape."
    )
    return style.finish(canvas, "pooling-regions", "How fractional max pooling draws its regions", caption, alt)


def layers_figure(results: Results) -> Figure | None:
    """One digit through the pooling layers of the study's networks, one row per pooling."""
    image, chains = _digit(), _chains(results)
    if image is None or len(chains) < 2:
        return None
    shown = dict(list(chains.items())[:MOST_CHAINS])
    width = max(sum(GAP + across for _, across in [image.shape, *chain]) for _, chain in shown.values())
    pitch = len(image) + 10
    canvas, axes = style.canvas(CELL * pitch * len(shown), width=CELL * (width + 1))
    for place, (name, (pool, chain)) in enumerate(shown.items()):
        axes.text(0, pitch * place + 2.5, name, ha="left", va="bottom", fontweight="bold")
        _draw_chain(axes, image, pool, chain, pitch * place + 3.5)
    pixels.bare(axes, width, pitch * len(shown))
    left_out = f" {len(chains) - len(shown)} more poolings are left out." if len(chains) > len(shown) else ""
    caption = (
        "The digit after every pooling layer, to scale, without the convolutions between: what each pooling alone "
        "keeps of place and shape. The last map is what the dense layers see. FMP's regions are one draw of "
        f"many.{left_out}"
    )
    alt = f"The digit {DIGIT[0]} after every pooling layer. " + " ".join(
        f"{name}: {', '.join(size_text(size) for size in [image.shape, *chain])}." for name, (_, chain) in shown.items()
    )
    return style.finish(canvas, "pooling-layers", "One digit through every pooling layer", caption, alt)


# ---- regions ----


def windows(size: int, out: int, pool: Mapping[str, Any], rng: np.random.Generator) -> Windows:
    """The regions along one axis, as the pooling of a config draws them."""
    if pool.get("kind") == "max":
        return [(2 * i, 2 * i + 2) for i in range(out)]
    width = pool.get("window")
    if width:
        if pool.get("pseudo_random"):
            starts = regions.fixed_starts(size, out, width, U)
        else:
            starts = regions.random_boundaries(size - width, out - 1, rng)
        return [(start, start + width) for start in starts.tolist()]
    if pool.get("pseudo_random"):
        edges = regions.pseudorandom_boundaries(size, out, U * regions.largest_u(size, out)).tolist()
    else:
        edges = regions.random_boundaries(size, out, rng).tolist()
    shared = 1 if pool.get("overlapping") else 0
    return [(a, min(b + shared, size)) for a, b in pairwise(edges)]


def pooled(image: np.ndarray, rows: Windows, columns: Windows) -> np.ndarray:
    """The largest value of each region."""
    return np.array([[image[a:b, c:d].max() for c, d in columns] for a, b in rows])


def _draw_regions(axes: Axes, image: np.ndarray, rows: Windows, columns: Windows) -> None:
    side, out = len(image), len(rows)
    pixels.bare(axes, side + GAP + out, side)
    shared_columns = [pixels.rectangle(cell, 0, 1, side) for cell in _shared(columns, side)]
    shared_rows = [pixels.rectangle(0, cell, side, 1) for cell in _shared(rows, side)]
    for shared in (shared_columns, shared_rows):
        if shared:
            pixels.add(axes, shared, facecolor=PALETTE[0], alpha=0.16)
    pixels.draw_digit(axes, image)
    axes.vlines([start for start, _ in columns[1:]], 0, side, color=PALETTE[0], linewidth=0.55)
    axes.hlines([start for start, _ in rows[1:]], 0, side, color=PALETTE[0], linewidth=0.55)
    result = pooled(image, rows, columns)
    top = (side - out) / 2
    pixels.draw_digit(axes, result, side + GAP, top)
    row, column = _bright_middle(result)
    (a, b), (c, d) = rows[row], columns[column]
    marked = [pixels.rectangle(c, a, d - c, b - a), pixels.rectangle(side + GAP + column, top + row, 1, 1)]
    pixels.add(axes, marked, fill=False, edgecolor=PALETTE[1], linewidth=1.8, zorder=3)


def _shared(axis: Windows, size: int) -> list[int]:
    """The cells of an axis that lie in two regions."""
    count = np.zeros(size, int)
    for first, last in axis:
        count[first:last] += 1
    return np.flatnonzero(count > 1).tolist()


def _bright_middle(image: np.ndarray) -> tuple[int, int]:
    """The cell nearest to the middle among the brightest."""
    cells = np.argwhere(image >= 0.9 * image.max())
    row, column = cells[np.abs(cells - np.array(image.shape) / 2).sum(axis=1).argmin()]
    return int(row), int(column)


# ---- chains of layers ----


def _draw_chain(axes: Axes, image: np.ndarray, pool: Mapping[str, Any], chain: list[tuple[int, int]], y: float) -> None:
    rng = np.random.default_rng(SEED)
    x, largest = 0.0, len(image)
    for height, width in [image.shape, *chain]:
        if (height, width) != image.shape:
            rows, columns = windows(len(image), height, pool, rng), windows(image.shape[1], width, pool, rng)
            image = pooled(image, rows, columns)
        pixels.draw_digit(axes, image, x, y + (largest - height) / 2)
        last = (height, width) == chain[-1]
        axes.text(x + width / 2, y + (largest + height) / 2 + 0.6, size_text((height, width)), ha="center", va="top",
                  fontsize=8, color=INK if last else MUTED, fontweight="bold" if last else "normal")  # fmt: skip
        x += width + GAP


def _chains(results: Results) -> dict[str, tuple[Mapping[str, Any], list[tuple[int, int]]]]:
    """By the name of a pooling: its config, and the sizes after each pooling layer of its deepest network."""
    found: dict[str, tuple[Mapping[str, Any], list[tuple[int, int]]]] = {}
    for variant in _variants(results):
        if not (variant.is_fmp or variant.is_max):
            continue
        pool = {**variant.config["pool"], "regions_per": "batch"}  # the same picture for all
        name, chain = pool_name(pool), _pool_sizes(variant)
        if chain and len(chain) > len(found.get(name, (pool, []))[1]):
            found[name] = (pool, chain)
    return dict(sorted(found.items(), key=lambda item: item[1][0].get("kind") != "max"))


def _pool_sizes(variant: Variant) -> list[tuple[int, int]]:
    """The sizes after each pooling layer; none where something else changes them, or a size no pooling reaches."""
    chain: list[tuple[int, int]] = []
    before = variant.sizes[0]
    for layer in variant.geometry["layers"]:
        size = (layer["height"], layer["width"])
        if layer["kind"] == "flatten":
            break
        if layer["kind"] == "pool":
            pool = variant.config["pool"]
            if not all(_possible(pool, a, b) for a, b in zip(before, size, strict=True)):
                return []
            chain.append(size)
        elif size != before:
            return []
        before = size
    return chain


def _possible(pool: Mapping[str, Any], size: int, out: int) -> bool:
    window = pool.get("window")
    if pool.get("kind") == "max":
        return out == size // 2
    if window is not None and not (isinstance(window, int) and 1 <= window <= size and 1 < out <= size - window + 1):
        return False
    return 1 <= out < size


def _fmp_variants(results: Results) -> Iterator[Variant]:
    return (variant for variant in _variants(results) if variant.is_fmp)


def _variants(results: Results) -> Iterator[Variant]:
    """The variants whose networks pool maps as large as a digit."""
    for experiment in results.experiments:
        for variant in experiment.variants:
            if len(variant.sizes) > 1 and variant.sizes[0] == (mnist5k.SIDE, mnist5k.SIDE):
                yield variant


def _digit() -> np.ndarray | None:
    """The digit that is shown; None where the sample is not installed."""
    path = mnist5k.file()
    return None if path is None else mnist5k.digit(path, *DIGIT)
