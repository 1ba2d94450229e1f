"""Spatial sizes of stacks of fractional max pools."""

from __future__ import annotations

import math

import numpy as np


def output_size(in_size: int, ratio: float) -> int:
    """floor(in_size / ratio) in float32 arithmetic, as TensorFlow's op computes it."""
    return math.floor(np.float32(in_size) / np.float32(ratio))
