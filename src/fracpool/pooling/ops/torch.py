"""The pool with its gradients on PyTorch: backward and forward, of any order, and under `torch.func`.

`torch.compile` calls the pool as it is: it has the bits of eager, and no compiler is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch._C import _functorch as functorch
from torch._subclasses import FakeTensor
from torch.autograd import forward_ad

from fracpool.pooling.ops import reductions as cells
from fracpool.pooling.ops import step_by_step as steps
from fracpool.pooling.ops.runtime import traced_by_torch
from fracpool.pooling.ops.windows import Regions, Windows

Tensor = Any


def compiled(function: Any) -> Any:
    """The function as it is: what calls it is compiled, if anything is."""
    return function


def untransformed(function: Any) -> Any:
    """The function, which draws, below whatever `torch.func` does: once for a call, as on JAX, and with a stream that
    moves on.

    `vmap(randomness="different")` gives each of its calls draws of its own.
    """

    @torch.compiler.disable
    def call(*given: Any) -> Any:
        if not functorch.get_interpreter_stack() or _differs():
            return function(*given)
        with torch._C._DisableFuncTorch():
            return function(*given)

    return call


def _differs() -> bool:
    """Whether a `vmap` around this asks for other random numbers in each of its calls."""
    maps = [one for one in functorch.get_interpreter_stack() if one.key() == functorch.TransformType.Vmap]
    kinds = [functorch.CVmapInterpreterPtr(one).randomness() for one in maps]
    return functorch.RandomnessType.Different in kinds


@torch.compiler.disable
def pool(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window, with first and higher gradients with respect to x."""
    if traced_by_torch():  # for a runtime that knows plain expressions alone
        return cells.largest(x, regions, windows)
    if _followed(x):
        return _Pool.apply(x, windows, *regions)[0]
    return steps.largest(x, regions, windows)


@torch.compiler.disable
def pool_with_indices(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """The pool, and where in its map each window's largest value stands: row · width + column, int32."""
    if traced_by_torch():
        code = cells.codes(x, regions, windows, "int32")
        return cells.largest(x, regions, windows), cells.indices(code, regions, windows, x.shape[1:-1])
    forward = _Pool.apply if _followed(x) else _Pool.forward
    values, code = forward(x, windows, *regions)
    return values, steps.indices(code, regions, windows, x.shape[1:-1])


def _followed(x: Tensor) -> bool:
    """Whether a gradient, backward or forward, or a function transform may want to know the winners."""
    transformed = torch._C._are_functorch_transforms_active()
    backward = x.requires_grad and torch.is_grad_enabled()
    return transformed or backward or forward_ad.unpack_dual(x).tangent is not None


class _OverImages(torch.autograd.Function):
    """A function of tensors whose first axis is the images, or 1 for all of them: mapping it adds images."""

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, *given: Any) -> Any:
        mapped = info.batch_size
        images = given[0].shape[0 if in_dims[0] is None else 1 if in_dims[0] == 0 else 0]

        def lifted(value: Any, dim: int | None) -> Any:
            if not isinstance(value, torch.Tensor) or (dim is None and value.shape[0] != images):
                return value
            value = value.expand(mapped, *value.shape) if dim is None else value.movedim(dim, 0)
            return value.expand(mapped, images, *value.shape[2:]).reshape(mapped * images, *value.shape[2:])

        result = cls.apply(*map(lifted, given, in_dims))
        each = result if isinstance(result, tuple) else (result,)
        whole = tuple(tensor.reshape(mapped, images, *tensor.shape[1:]) for tensor in each)
        return (whole, (0,) * len(whole)) if isinstance(result, tuple) else (whole[0], 0)


class _Pool(_OverImages):
    """Maxima, and the places of the winners."""

    @staticmethod
    def forward(x: Tensor, windows: Windows, *regions: Tensor) -> Any:
        return steps.largest_and_codes(x, regions, windows)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.windows, *regions = inputs
        ctx.size = tuple(x.shape[1:-1])
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *regions)
        ctx.save_for_forward(output[1], *regions)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Any) -> Any:
        code, *regions = ctx.saved_tensors
        return _Spread.apply(dy, code, ctx.windows, ctx.size, *regions), None, *[None] * len(regions)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: Any) -> Any:
        code, *regions = ctx.saved_tensors
        return _Pick.apply(dx, code, ctx.windows, *regions), None


class _Spread(_OverImages):
    """Each window's value at the winner's place, 0 elsewhere, overlaps added: linear in y; its transpose is `_Pick`."""

    @staticmethod
    def forward(y: Tensor, code: Tensor, windows: Windows, size: Any, *regions: Tensor) -> Tensor:
        return steps.spread(y, code, regions, windows, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, code, ctx.windows, ctx.size, *regions = inputs
        ctx.save_for_backward(code, *regions)
        ctx.save_for_forward(code, *regions)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> Any:
        code, *regions = ctx.saved_tensors
        return _Pick.apply(dx, code, ctx.windows, *regions), None, None, None, *[None] * len(regions)

    @staticmethod
    def jvp(ctx: Any, dy: Tensor, *_: Any) -> Any:
        code, *regions = ctx.saved_tensors
        return _Spread.apply(dy, code, ctx.windows, ctx.size, *regions)


class _Pick(_OverImages):
    """The values of x at the places of the winners: linear in x; its transpose is `_Spread`."""

    @staticmethod
    def forward(x: Tensor, code: Tensor, windows: Windows, *regions: Tensor) -> Tensor:
        return steps.pick(x, code, regions, windows)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, code, ctx.windows, *regions = inputs
        ctx.size = tuple(x.shape[1:-1])
        ctx.save_for_backward(code, *regions)
        ctx.save_for_forward(code, *regions)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        code, *regions = ctx.saved_tensors
        return _Spread.apply(dy, code, ctx.windows, ctx.size, *regions), None, None, *[None] * len(regions)

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: Any) -> Any:
        code, *regions = ctx.saved_tensors
        return _Pick.apply(dx, code, ctx.windows, *regions)


def concrete(value: Any) -> np.ndarray | None:
    """The values of an array-like, or None where `vmap` gives each of its calls others or `torch.export` has none."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    while functorch.is_gradtrackingtensor(value):
        value = functorch.get_unwrapped(value)
    return None if functorch.is_batchedtensor(value) or isinstance(value, FakeTensor) else value.detach().cpu().numpy()


def long(values: Tensor) -> Tensor:
    return values.long()
