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

import numpy as np

from fracpool.command_line import Parser

FEW_PATTERNS = 4  # so few orders of regions that a pseudorandom pool hardly regularises
LARGEST_SIZE = 2**14  # more is a typing error


def output_size(in_size: int, ratio: float) -> int:
    """floor(in_size / ratio) in float32 arithmetic (the shape function of `tf.nn.fractional_max_pool`).

    Float64 can disagree: 36 / 1.44 is 24 here and 25 there. The result is 0 if the ratio is above the size.

    Raises:
        ValueError: in_size is below 1, or the ratio is below 1 or not finite.
    """
    if in_size < 1:
        raise ValueError(f"in_size={in_size}: must be at least 1")
    _check_ratio(ratio)
    return math.floor(np.float32(in_size) / np.float32(ratio))


def sizes(in_size: int, ratio: float, layers: int) -> list[int]:
    """The size before and after each of `layers` pools: [in_size, …], layers + 1 values.

    Raises:
        ValueError: an argument is out of its range, or a map gets smaller than the ratio.
    """
    if layers < 0:
        raise ValueError(f"layers={layers}: must be at least 0")
    chain = [in_size]
    for layer in range(1, layers + 1):
        size = output_size(chain[-1], ratio)
        if size < 1:
            raise ValueError(
                f"layers={layers}: pool {layer} would get a map of {chain[-1]}, below the ratio {ratio:g}; "
                f"use at most {layer - 1} layers or a smaller ratio"
            )
        chain.append(size)
    return chain


def layer_ratio(in_size: int, out_size: int) -> float:
    """A ratio that takes one pool from in_size to exactly out_size: in_size / (out_size + ½), or 1 if equal.

    Raises:
        ValueError: out_size is not from 1 to in_size.
    """
    if not 1 <= out_size <= in_size:
        raise ValueError(f"out_size={out_size}: must be from 1 to in_size={in_size}")
    return max(in_size / (out_size + 0.5), 1.0)


def ratio_for(in_size: int, target: int, layers: int) -> float:
    """The ratio with the fewest decimals that takes `layers` equal pools from in_size to exactly `target`.

    Raises:
        ValueError: an argument is out of its range, or no ratio hits the target: then use one ratio per layer
            (`layer_ratio`) or another depth.
    """
    if layers < 1:
        raise ValueError(f"layers={layers}: must be at least 1")
    if not 1 <= target <= in_size:
        raise ValueError(f"target={target}: must be from 1 to the input size, {in_size}")
    low = 1.0 if target == in_size else _largest_ratio(in_size, target + 1, layers)
    high = _largest_ratio(in_size, target, layers)
    for digits in range(17):
        step = 10.0**-digits
        middle = (low + high) / 2
        for candidate in (round(middle, digits), round(math.floor(high / step) * step, digits)):
            if low <= candidate <= high and _final(in_size, candidate, layers) == target:
                return candidate
    reached = sorted({_final(in_size, low, layers), _final(in_size, math.nextafter(high, 99), layers)})
    raise ValueError(
        f"target={target}: no ratio takes {layers} equal pools from {in_size} there (nearest: "
        f"{', '.join(map(str, reached))}); use another number of layers or one ratio per layer"
    )


def layers_for(in_size: int, ratio: float, target: int) -> int:
    """How many pools of this ratio take in_size to exactly `target`.

    Raises:
        ValueError: an argument is out of its range, or the chain of sizes passes the target by.
    """
    if not 1 <= target <= in_size:
        raise ValueError(f"target={target}: must be from 1 to the input size, {in_size}")
    chain = [in_size]
    while chain[-1] > target and (size := output_size(chain[-1], ratio)) not in (0, chain[-1]):
        chain.append(size)
    if chain[-1] != target:
        shown = " ".join(map(str, chain))
        raise ValueError(f"target={target}: ratio {ratio:g} misses it ({shown}); use another of the two")
    return len(chain) - 1


def graham_chain(ratio: float, layers: int, filter_size: int = 2) -> list[tuple[int, int]]:
    """Sizes before and after each pool of Graham's network, in order, computed back from a 1×1 output.

    A pool with output o has input int(o · ratio + ½), or o + 1 if that is o; each convolution adds
    filter_size − 1 (SparseConvNet). The network's input is `graham_input`.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check_ratio(ratio)
    if layers < 0:
        raise ValueError(f"layers={layers}: must be at least 0")
    if filter_size < 2:
        raise ValueError(f"filter_size={filter_size}: must be at least 2, so that the map grows backwards")
    chain: list[tuple[int, int]] = []
    for _ in range(layers):
        out = (chain[-1][0] if chain else 1) + filter_size - 1
        chain.append((max(int(out * ratio + 0.5), out + 1), out))
    return chain[::-1]


def graham_input(ratio: float, layers: int, filter_size: int = 2) -> int:
    """Side of the input of Graham's network: 36 for √2 and 6 layers (MNIST), 94 for 2^⅓ and 12 (CIFAR-10)."""
    chain = graham_chain(ratio, layers, filter_size)
    return (chain[0][0] if chain else 1) + filter_size - 1


def random_patterns(in_size: int, out_size: int) -> int:
    """How many different boundaries the random sequence has: C(out_size, in_size mod out_size)."""
    return math.comb(out_size, in_size % out_size)


def pseudorandom_patterns(in_size: int, out_size: int) -> int:
    """How many different boundaries the pseudorandom sequence has.

    Its boundaries are (in_size · i + s) // out_size for whole shifts s, see `regions`. They change whenever s
    passes a multiple of gcd(in_size, out_size), but where that is 1, not at s = out_size.
    """
    if out_size == 1:
        return 1
    rest, common = in_size % out_size, math.gcd(in_size, out_size)
    shifts = min(2 * out_size - rest, out_size + rest)
    return shifts // common - (common == 1 and shifts > out_size)


def warnings(in_size: int, ratio: float) -> list[str]:
    """What a pool of this size and ratio silently does, as sentences; usually none."""
    out = output_size(in_size, ratio)
    if out < 1:
        return []
    found = []
    if in_size % out == 0:
        whole = in_size // out
        found.append(f"{in_size} / {out} is exactly {whole}: all regions are alike, as in {whole}×{whole} max pooling")
    elif (patterns := pseudorandom_patterns(in_size, out)) <= FEW_PATTERNS:
        found.append(f"only {patterns} pseudorandom patterns along an axis from {in_size} to {out}")
    exact = math.floor(in_size / ratio)
    if exact != out:
        found.append(f"float64 arithmetic would give {exact} instead of {out}; TensorFlow's float32 counts")
    return found


def _final(in_size: int, ratio: float, layers: int) -> int:
    """Size after the pools, 0 if they do not fit. Never grows with the ratio."""
    for _ in range(layers):
        in_size = output_size(in_size, ratio) if in_size else 0
    return in_size


def _largest_ratio(in_size: int, target: int, layers: int) -> float:
    """The largest ratio that still ends at `target` or above."""
    low, high = 1.0, float(in_size + 1)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _final(in_size, middle, layers) >= target else (low, middle)
    return low


def _check_ratio(ratio: float) -> None:
    if not (math.isfinite(ratio) and ratio >= 1):
        raise ValueError(f"ratio={ratio}: must be finite and at least 1")


# The command


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
        _check_ratio(ratio)
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
