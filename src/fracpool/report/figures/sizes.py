"""Map sizes layer by layer, as squares drawn to scale."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fracpool.report.figures import style
from fracpool.report.figures.style import GREY, MOST_ROWS, PALETTE, Figure
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results
from fracpool.table.variant import Variant, size_text

MOST_MAPS = 60  # of a network
ROW, STEP = 0.44, 1.9  # height of a row in inches, distance of two maps in rows


def sizes_figure(results: Results, experiment: Experiment) -> Figure | None:
    """Maps layer by layer as squares drawn to scale."""
    rows = _size_rows(experiment)
    if not rows:
        return None
    shown = rows[:MOST_ROWS]
    largest = max(max(size) for row in shown for size in row.sizes)
    end = STEP * max(len(row.sizes) for row in shown)
    labels = [style.cut(row.label, 44) for row in shown]
    canvas, axes = style.canvas(0.2 + ROW * len(shown), width=0.5 + 0.1 * max(map(len, labels)) + ROW * end)
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
    return style.finish(canvas, f"{style.file_name(experiment)}-sizes", "Sizes layer by layer", caption, alt)


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
        if not 2 <= len(found) <= MOST_MAPS:
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


def _short_pool(variant: Variant) -> str:
    """The pooling as far as it changes sizes: "max pool", "FMP 1.47"."""
    return f"FMP {variant.ratio:.4g}" if variant.is_fmp and variant.ratio else variant.pool
