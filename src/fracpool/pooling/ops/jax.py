"""The pool with its gradients on JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from fracpool.pooling.ops import reductions as cells
from fracpool.pooling.ops.windows import Regions, Windows

Tensor = Any


def compiled(function: Any) -> Any:
    """The function as it is: what calls it is compiled, if anything is."""
    return function


def untransformed(function: Any) -> Any:
    """The function as it is: transforms leave streams of chance to Keras."""
    return function


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def pool(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window, with first and higher derivatives by x, forward and backward."""
    return _largest(x, regions, windows)


@pool.defjvp
def _pool_and_derivative(windows: Windows, given: Any, moved: Any) -> Any:
    x, regions = given
    code = _codes(jax.lax.stop_gradient(x), regions, windows)
    return pool(x, regions, windows), _pick.bind(moved[0], code, *regions, windows=windows, maps=())


# `pick` and `spread` at a given code: linear in their first argument, and each the other's transpose. They are
# primitives, since a function with a gradient of its own (`jax.custom_vjp`) has no forward mode. `maps` tells for each
# `jax.vmap` around them, the innermost first, which of the regions are mapped; the other arguments are.


def _pick_over(x: Tensor, code: Tensor, *regions: Tensor, windows: Windows, maps: Any) -> Tensor:
    return _over(maps, lambda x, code, *regions: cells.pick(x, code, regions, windows))(x, code, *regions)


def _spread_over(
    y: Tensor, code: Tensor, *regions: Tensor, windows: Windows, sizes: tuple[int, ...], maps: Any
) -> Tensor:
    return _over(maps, lambda y, code, *regions: cells.spread(y, code, regions, windows, sizes))(y, code, *regions)


def _over(maps: tuple[tuple[bool, ...], ...], function: Any) -> Any:
    for mapped in maps:
        function = jax.vmap(function, in_axes=(0, 0, *[0 if one else None for one in mapped]))
    return function


def _pick_transposed(dy: Any, x: Any, code: Tensor, *regions: Tensor, windows: Windows, maps: Any) -> list[Any]:
    if isinstance(dy, ad.Zero):
        return [ad.Zero(x.aval), None, *[None] * len(regions)]
    sizes = x.aval.shape[len(maps) + 1 : -1]
    dx = _spread.bind(dy, code, *regions, windows=windows, sizes=sizes, maps=maps)
    return [dx, None, *[None] * len(regions)]


def _spread_transposed(
    dx: Any, y: Any, code: Tensor, *regions: Tensor, windows: Windows, sizes: Any, maps: Any
) -> list[Any]:
    if isinstance(dx, ad.Zero):
        return [ad.Zero(y.aval), None, *[None] * len(regions)]
    return [_pick.bind(dx, code, *regions, windows=windows, maps=maps), None, *[None] * len(regions)]


def _linear(name: str, function: Any, transposed: Any, static: tuple[str, ...]) -> Primitive:
    """A primitive, linear in its first argument, of a function over maps."""
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(function, static_argnames=static))

    def shape(*given: Any, **options: Any) -> Any:
        result = jax.eval_shape(partial(function, **options), *given)
        return jax.core.ShapedArray(result.shape, result.dtype)

    def moved(given: Any, tangents: Any, **options: Any) -> Any:
        y = primitive.bind(*given, **options)
        if isinstance(tangents[0], ad.Zero):
            return y, ad.Zero(jax.typeof(y).to_tangent_aval())
        return y, primitive.bind(tangents[0], *given[1:], **options)

    def mapped(given: Any, axes: Any, *, maps: Any, **options: Any) -> Any:
        count = next(one.shape[axis] for one, axis in zip(given, axes, strict=True) if axis is not None)
        value, code = (batching.bdim_at_front(one, axis, count) for one, axis in zip(given[:2], axes[:2], strict=True))
        regions = [
            one if axis is None else jax.numpy.moveaxis(one, axis, 0)
            for one, axis in zip(given[2:], axes[2:], strict=True)
        ]
        flags = tuple(axis is not None for axis in axes[2:])
        return primitive.bind(value, code, *regions, maps=(*maps, flags), **options), 0

    primitive.def_abstract_eval(shape)
    ad.primitive_jvps[primitive] = moved
    ad.primitive_transposes[primitive] = transposed
    batching.primitive_batchers[primitive] = mapped
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


_pick = _linear("fractional_pick", _pick_over, _pick_transposed, ("windows", "maps"))
_spread = _linear("fractional_spread", _spread_over, _spread_transposed, ("windows", "sizes", "maps"))


@partial(jax.jit, static_argnums=2)
def _largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    return cells.largest(x, regions, windows)


@partial(jax.jit, static_argnums=2)
def _codes(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    # Without the barrier XLA shares the gathers with `_largest` by keeping all of them in memory.
    return cells.codes(jax.lax.optimization_barrier(x), regions, windows)


_indices = jax.jit(cells.indices, static_argnums=(2, 3))


def pool_with_indices(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """The pool, and where in its map each window's largest value stands: row · width + column, int32."""
    code = _codes(jax.lax.stop_gradient(x), regions, windows)
    return pool(x, regions, windows), _indices(code, regions, windows, x.shape[1:-1])


def concrete(value: Any) -> np.ndarray | None:
    """The values of an array-like, or None inside a function that is being traced."""
    return None if isinstance(value, jax.core.Tracer) else np.asarray(value)


def long(values: Tensor) -> Tensor:
    """As int64 where JAX has it switched on."""
    return values.astype(jax.dtypes.canonicalize_dtype("int64"))
