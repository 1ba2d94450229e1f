"""Sizes of maps that are pooled by a ratio: forwards, backwards (Graham's chains), and what they warn of."""

from __future__ import annotations

import math

import numpy as np

FEW_PATTERNS = 4  # so few orders of regions that a pseudorandom pool hardly regularises


def output_size(in_size: int, ratio: float) -> int:
    """floor(in_size / ratio) in float32 arithmetic (the shape function of `tf.nn.fractional_max_pool`).

    Float64 can disagree: 36 / 1.44 is 24 here and 25 there. The result is 0 if the ratio is above the size.

    Raises:
        ValueError: in_size is below 1, or the ratio is below 1 or not finite.
    """
    if in_size < 1:
        raise ValueError(f"in_size={in_size}: must be at least 1")
    check_ratio(ratio)
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
    check_ratio(ratio)
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


def check_ratio(ratio: float) -> None:
    if not (math.isfinite(ratio) and ratio >= 1):
        raise ValueError(f"ratio={ratio}: must be finite and at least 1")
