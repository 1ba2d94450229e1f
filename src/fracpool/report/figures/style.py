"""How the figures look: colours, sizes, legends, and the SVG that a drawing becomes.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which readers of all kinds of colour vision
tell apart, the two lightest darkened until they stand out 3 : 1 from white; shapes repeat what colours say. The
same data gives the same bytes. Text stays text, so that a page can give it the colour of its theme (`INK`, `MUTED`,
`RULE` and `PAPER` stand for that page's own colours).
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from fracpool.findings import statistics
from fracpool.findings.statistics import Estimate
from fracpool.table.experiment import Experiment
from fracpool.table.variant import Variant

INK, MUTED, RULE, PAPER = "#1c2127", "#5b6570", "#d5dbe1", "#fefefe"
GREY, PALETTE = "#7a7f87", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c18500", "#3a97d4")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
FONT = "DejaVu Sans"
WIDTH = 5.6  # inches: 9 pixels a letter on a telephone of 375
LEGEND_LINE = 0.21
MOST_ROWS = 24
MOST_LINES = 8
MOST_PANELS = 6
MOST_MARKS = 150
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a $
    "font.family": FONT,
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@contextmanager
def applied() -> Iterator[None]:
    """Within it, matplotlib draws in this style whatever the user's own settings are."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the layout's font lacks: the SVG keeps them as text
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, STYLE))
        yield


@dataclass(frozen=True)
class Figure:
    """One figure: `name` is its file's name without .svg; `caption` says what to see in it."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str

    @property
    def inline(self) -> str:
        """The SVG for an HTML page: no prolog, colours of the page, and its alternative text."""
        body = self.svg[self.svg.index("<svg") :]
        for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (RULE, "--rule"), (PAPER, "--paper")):
            body = body.replace(colour, f"var({variable})")
        return body


@dataclass(frozen=True)
class Look:
    colour: str
    marker: str


def looks(variants: Iterable[Variant]) -> dict[str, Look]:
    """A colour and a marker for each pooling; max pooling is always grey."""
    pools = {variant.pool: variant.is_max for variant in variants}
    others = [pool for pool, is_max in pools.items() if not is_max]
    found = {pool: Look(GREY, "o") for pool, is_max in pools.items() if is_max}
    for i, pool in enumerate(others):
        found[pool] = Look(PALETTE[i % len(PALETTE)], MARKERS[(i + 1) % len(MARKERS)])
    return found


def legend(canvas: Canvas, known: Mapping[str, Look]) -> None:
    """Names the looks above the drawing."""
    above(canvas, [Line2D([], [], color=look.colour, marker=look.marker, label=name) for name, look in known.items()])


def above(canvas: Canvas, handles: Sequence[Line2D]) -> None:
    """A legend above the drawing, in as many columns as its labels leave room for."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(4, int(canvas.get_figwidth() / (0.6 + 0.09 * longest)), len(handles)))
    lines = -(-len(handles) // columns)
    canvas.set_figheight(canvas.get_figheight() + LEGEND_LINE * (lines - 1))  # which the drawing below keeps
    canvas.legend(handles=handles, loc="outside upper left", ncols=columns)


def percent(mean: Estimate) -> tuple[float, float, float]:
    low = mean.mean if mean.low is None else mean.low
    high = mean.mean if mean.high is None else mean.high
    return 100 * mean.mean, 100 * low, 100 * high


def interval_words() -> str:
    return f"{statistics.LEVEL:.0%} interval over seeds".replace("%", " %")


def span(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def cut(words: str, longest: int) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def panels(titles: Sequence[str], height: float = 2.45, same_y: bool = True) -> tuple[Canvas, list[Axes]]:
    """Axes side by side, one below each title, in as many columns as their titles leave room for."""
    columns = min(len(titles), 2)
    lines = -(-len(titles) // columns)
    canvas = blank(0.75 + height * lines)
    grid = canvas.subplots(lines, columns, sharex=True, sharey=same_y, squeeze=False)
    for axes, title in zip(grid.flat, titles, strict=False):
        axes.set_title(textwrap.fill(cut(title, 100), 28 if columns > 1 else 70))
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(titles) :]:
        axes.set_axis_off()
    return canvas, list(grid.flat[: len(titles)])


def label_axes(canvas: Canvas, shown: Sequence[Axes], x: str, y: str) -> None:
    """Names the axes of panels once: x below all of them, y at the left of each line."""
    canvas.supxlabel(x, fontsize=10.5, color=MUTED)
    for axes in shown:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(y)


def budget_axes(shown: Sequence[Axes]) -> None:
    """Axes of training images seen: logarithmic, as a tenth of a budget is another question than nine tenths."""
    for axes in shown:
        axes.set_xscale("log")
    low, high = shown[0].get_xlim()  # shared by all
    span = high / low
    subs = (1, 2, 5) if span < 50 else (1, 3) if span < 200 else (1,)
    for axes in shown:
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def accuracy_axes(shown: Sequence[Axes]) -> None:
    """Axes of error (per cent, logarithmic, most below, all alike) labelled by accuracy: 97 % and 98 % are then as far
    apart as 60 % and 73 %."""
    for axes in shown:
        axes.set_yscale("log")
    low, high = (choose(end for axes in shown for end in axes.get_ylim()) for choose in (min, max))
    for axes in shown:
        axes.set_ylim(high, low)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 8 * low else (1, 1.5, 2, 3, 4, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:.4g}"))


def signed(value: float, _: int = 0) -> str:
    """A tick of an axis of differences: +5, −5, 0."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def file_name(experiment: Experiment) -> str:
    """The experiment's name as a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", experiment.name)[:80] or "single-runs"


def blank(height: float, width: float = WIDTH) -> Canvas:
    return Canvas(figsize=(width, height), layout="constrained")


def canvas(height: float, width: float = WIDTH) -> tuple[Canvas, Axes]:
    whole = blank(height, width)
    return whole, whole.subplots()


def finish(canvas: Canvas, name: str, title: str, caption: str, alt: str) -> Figure:
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        FigureCanvasSVG(canvas).print_svg(out, metadata=nothing)
    caption = caption.replace("n = ", "n\u00a0=\u00a0")  # one word: no line ends within it
    return Figure(name, title, caption, alt, _slim(out.getvalue()))


def _slim(svg: str) -> str:
    """What a reader sees, in less than half the bytes: places to a tenth of a point, the font once, nothing idle."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r' (d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d)\d+", r"\1", found[0]), svg)
    svg = re.sub(r' d="[^"]*"', lambda found: re.sub(r"\s+", " ", found[0]), svg)
    svg = re.sub(r' style="[^"]*"', lambda found: re.sub(r"font-family: '[^']*'; |(?<=[:;]) ", "", found[0]), svg)
    svg = svg.replace("<svg ", f"<svg font-family=\"'{FONT}', sans-serif\" ", 1)
    svg = re.sub(r'<g id="[^"]*"/>', "", svg)
    return re.sub(r"\n\s*", "\n", svg)
