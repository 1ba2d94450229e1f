"""The pool with its gradients on JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from fracpool.pooling.ops import windows as cells
from fracpool.pooling.ops.windows import Regions, Windows

Tensor = Any


def compiled(function: Any) -> Any:
    """The function as it is: what calls it is compiled, if anything is."""
    return function


def untransformed(function: Any) -> Any:
    """The function as it is: transforms leave streams of chance to Keras."""
    return function


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def pool(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window, with first and higher gradients with respect to x."""
    return _largest(x, regions, windows)


def _pool_forward(x: Tensor, regions: Regions, windows: Windows) -> Any:
    y = _largest(x, regions, windows)
    code = _codes(x, regions, windows)
    return y, (code, regions, _Size(x))


def _pool_backward(windows: Windows, saved: Any, dy: Tensor) -> Any:
    code, regions, size = saved
    return _spread(dy, code, regions, windows, size), None


pool.defvjp(_pool_forward, _pool_backward)


@jax.tree_util.register_static
class _Size(tuple):
    """The sizes of x between batch and channels, kept out of tracing."""

    def __new__(cls, x: Tensor) -> _Size:
        return super().__new__(cls, x.shape[1:-1])


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _pick(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
    return _compiled_pick(x, code, regions, windows)


def _pick_forward(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Any:
    return _pick(x, code, regions, windows), (code, regions, _Size(x))


def _pick_backward(windows: Windows, saved: Any, dy: Tensor) -> Any:
    code, regions, size = saved
    return _spread(dy, code, regions, windows, size), None, None


_pick.defvjp(_pick_forward, _pick_backward)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _spread(y: Tensor, code: Tensor, regions: Regions, windows: Windows, size: _Size) -> Tensor:
    return _compiled_spread(y, code, regions, windows, size)


def _spread_forward(y: Tensor, code: Tensor, regions: Regions, windows: Windows, size: _Size) -> Any:
    return _spread(y, code, regions, windows, size), (code, regions)


def _spread_backward(windows: Windows, size: _Size, saved: Any, dx: Tensor) -> Any:
    code, regions = saved
    return _pick(dx, code, regions, windows), None, None


_spread.defvjp(_spread_forward, _spread_backward)


@partial(jax.jit, static_argnums=2)
def _largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    return cells.largest(x, regions, windows)


@partial(jax.jit, static_argnums=2)
def _codes(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    # Without the barrier XLA shares the gathers with `_largest` by keeping all of them in memory.
    return cells.codes(jax.lax.optimization_barrier(x), regions, windows)


winners = jax.jit(cells.winners, static_argnums=2)
_compiled_pick = jax.jit(cells.pick, static_argnums=3)
_compiled_spread = jax.jit(cells.spread, static_argnums=(3, 4))


def concrete(value: Any) -> np.ndarray | None:
    """The values of an array-like, or None inside a function that is being traced."""
    return None if isinstance(value, jax.core.Tracer) else np.asarray(value)


def long(values: Tensor) -> Tensor:
    """As int64 where JAX has it switched on."""
    return values.astype(jax.dtypes.canonicalize_dtype("int64"))
