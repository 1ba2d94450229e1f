"""Spatial sizes of stacks of fractional max pools, forwards, backwards and inverted; numpy only.

    python -m fracpool.geometry 32 --ratio 1.4 --layers 6        sizes after each pool
    python -m fracpool.geometry 32 --layers 6 --target 4         the ratio that ends at 4
    python -m fracpool.geometry 32 --ratio 1.4 --target 4        the number of pools that ends at 4
    python -m fracpool.geometry --graham --ratio '2^(1/2)' --layers 6     Graham's input size

Sizes are floor(size / ratio) in float32, as TensorFlow's op computes them; convolutions are taken to keep the
size, except in Graham's chain.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from itertools import pairwise

from fracpool.command_line import Parser, show_what_can_be_shown
from fracpool.pooling.sizes import (
    FEW_PATTERNS,
    check_ratio,
    graham_chain,
    graham_input,
    layer_ratio,
    layers_for,
    output_size,
    pseudorandom_patterns,
    random_patterns,
    ratio_for,
    sizes,
    warnings,
)

__all__ = [
    "FEW_PATTERNS",
    "graham_chain",
    "graham_input",
    "layer_ratio",
    "layers_for",
    "output_size",
    "pseudorandom_patterns",
    "random_patterns",
    "ratio_for",
    "sizes",
    "warnings",
]  # the maths of `fracpool.pooling.sizes`, and below them the command

LARGEST_SIZE = 2**14  # more is a typing error


def table(in_size: int, ratio: float, layers: int) -> str:
    """The stack as text, one line per pool."""
    chain = sizes(in_size, ratio, layers)
    rows = [("pool", "in", "out", "in/out", "regions", "random", "pseudorandom")]
    notes = []
    for number, (size, out) in enumerate(pairwise(chain), start=1):
        small, rest = divmod(size, out)
        regions = " + ".join(f"{count}×{cells}" for count, cells in ((out - rest, small), (rest, small + 1)) if count)
        patterns = _count(random_patterns(size, out)), _count(pseudorandom_patterns(size, out))
        rows.append((str(number), str(size), str(out), f"{size / out:.3f}", regions, *patterns))
        notes += [f"pool {number}: {note}" for note in warnings(size, ratio)]
    lines = [f"{layers} pools of ratio {ratio:.6g} on {in_size}×{in_size} end at {chain[-1]}×{chain[-1]}", ""]
    lines += _aligned(rows)
    lines += ["", "regions: how many × cells along an axis; random, pseudorandom: its distinct patterns"]
    rounded = " ".join(map(str, _rounded(in_size, ratio, layers)))
    lines += [f"rounded to nearest instead, the sizes were {rounded}"]
    return "\n".join(lines + [f"warning: {note}" for note in notes])


def graham_table(ratio: float, layers: int) -> str:
    """Graham's network as text, one line per convolution and pool."""
    size = graham_input(ratio, layers)
    rows = [("layer", "convolution", "pool")]
    before = size
    for number, (pool_in, pool_out) in enumerate(graham_chain(ratio, layers), start=1):
        rows.append((str(number), f"{before} → {pool_in}", f"{pool_in} → {pool_out}"))
        before = pool_out
    rows.append(("last", f"{before} → 1", ""))
    head = f"Graham's network of {layers} 2×2 convolutions and pools of ratio {ratio:.6g} takes {size}×{size}"
    return "\n".join([head, "", *_aligned(rows)])


def _rounded(in_size: int, ratio: float, layers: int) -> list[int]:
    chain = [in_size]
    for _ in range(layers):
        chain.append(math.floor(chain[-1] / ratio + 0.5))
    return chain


def _count(number: int) -> str:
    return str(number) if number < 1_000_000 else f"10^{math.log10(number):.0f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _ratio(text: str) -> float:
    allowed = "must be a number ≥ 1 such as 1.4, or a root such as 2^(1/3)"
    root = re.fullmatch(r"(\d+(?:\.\d+)?)\^\(?(\d+)/(\d+)\)?", text)
    try:
        ratio = float(root[1]) ** (int(root[2]) / int(root[3])) if root else float(text)
        check_ratio(ratio)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r}: {allowed}") from None
    return ratio


def _whole(text: str) -> int:
    if not (re.fullmatch(r"\d{1,7}", text) and 1 <= int(text) <= LARGEST_SIZE):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from 1 to {LARGEST_SIZE}")
    return int(text)


def _parser() -> Parser:
    parser = Parser(
        "geometry",
        "Sizes of a stack of fractional max pools, layer by layer; nothing is trained or installed.\n\n"
        "Of --ratio, --layers and --target give two: the third is found. Sizes are floor(size / ratio) in\n"
        "float32, as TensorFlow computes them; convolutions are taken to keep the size. A warning says where\n"
        "a pool has hardly any regions to choose from, or where other arithmetic would end elsewhere.",
        "  python -m fracpool.geometry 32 --ratio 1.4 --layers 6        sizes after each pool: ends at 3\n"
        "  python -m fracpool.geometry 32 --layers 6 --target 4         the ratio that ends at 4\n"
        "  python -m fracpool.geometry 28 --ratio 1.47 --target 8       the number of pools that ends at 8\n"
        "  python -m fracpool.geometry --graham --ratio '2^(1/2)' --layers 6\n"
        "                                                               Graham's chain: takes 36×36",
    )
    parser.add_argument("size", nargs="?", type=_whole, help="side of the input in pixels, e.g. 32")
    parser.add_argument("--ratio", type=_ratio, help="input / output size of a pool, e.g. 1.4 or 2^(1/3)")
    parser.add_argument("--layers", type=_whole, help="number of pools")
    parser.add_argument("--target", type=_whole, help="side to end at")
    parser.add_argument("--graham", action="store_true", help="the input size that Graham's network needs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    show_what_can_be_shown()
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        print(_answer(given, parser))
    except ValueError as error:
        parser.error(str(error))
    return 0


def _answer(given: argparse.Namespace, parser: Parser) -> str:
    if given.graham:
        if given.ratio is None or given.layers is None or given.size is not None or given.target is not None:
            parser.error("--graham: takes --ratio and --layers only, e.g. --ratio 2^(1/2) --layers 6")
        return graham_table(given.ratio, given.layers)
    if given.size is None:
        parser.error("size: is missing; give the side of the input in pixels, e.g. 32")
    names = [name for name in ("ratio", "layers", "target") if getattr(given, name) is not None]
    if len(names) != 2:
        shown = ", ".join(f"--{name}" for name in names) or "none"
        parser.error(f"--ratio, --layers, --target: two of them must be given, got {shown}")
    ratio = ratio_for(given.size, given.target, given.layers) if given.ratio is None else given.ratio
    layers = layers_for(given.size, ratio, given.target) if given.layers is None else given.layers
    return table(given.size, ratio, layers)


if __name__ == "__main__":
    sys.exit(main())
