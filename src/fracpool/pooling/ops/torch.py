"""The pool with its gradients on PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fracpool.pooling import regions as drawing
from fracpool.pooling.ops import windows as cells
from fracpool.pooling.ops.windows import Regions, Windows

Tensor = Any
draw = drawing.draw


def compiled(function: Any) -> Any:
    """The function as it is: what calls it is compiled, if anything is."""
    return function


def pool(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window, with first and higher gradients with respect to x."""
    return _Pool.apply(x, regions, windows)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, regions: Regions, windows: Windows) -> Tensor:
        code = cells.codes(x, regions, windows)
        ctx.save_for_backward(code, *regions)
        ctx.windows, ctx.size = windows, tuple(x.shape[1:-1])
        return cells.largest(x, regions, windows)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        code, *regions = ctx.saved_tensors
        return _Spread.apply(dy, code, tuple(regions), ctx.windows, ctx.size), None, None


class _Spread(torch.autograd.Function):
    """Linear in y; its gradient is `_Pick`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, code: Tensor, regions: Regions, windows: Windows, size: Any) -> Tensor:
        ctx.save_for_backward(code, *regions)
        ctx.windows = windows
        return cells.spread(y, code, regions, windows, size)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Any:
        code, *regions = ctx.saved_tensors
        return _Pick.apply(dx, code, tuple(regions), ctx.windows), None, None, None, None


class _Pick(torch.autograd.Function):
    """Linear in x; its gradient is `_Spread`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
        ctx.save_for_backward(code, *regions)
        ctx.windows, ctx.size = windows, tuple(x.shape[1:-1])
        return cells.pick(x, code, regions, windows)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        code, *regions = ctx.saved_tensors
        return _Spread.apply(dy, code, tuple(regions), ctx.windows, ctx.size), None, None, None


def concrete(value: Any) -> np.ndarray | None:
    """The values of an array-like."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def long(values: Tensor) -> Tensor:
    return values.long()
