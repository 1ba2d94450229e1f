"""A linear map along rows and columns, which several poolings are."""

from __future__ import annotations

from typing import Any

from keras import ops

from fracpool.pooling.window_pooling import Tensor


def along_both(x: Tensor, rows: Any, cols: Any) -> Tensor:
    """x (N, H, W, C) through matrices along its rows (B, out, H) and its columns (B, out, W), B being 1 or N."""
    rows, cols = (ops.cast(matrix, x.dtype) for matrix in (rows, cols))
    _, height, width, channels = ops.shape(x)
    x = ops.matmul(rows, ops.reshape(x, (-1, height, width * channels)))
    x = ops.reshape(x, (-1, ops.shape(rows)[1], width, channels))
    return ops.matmul(cols[:, None], x)
