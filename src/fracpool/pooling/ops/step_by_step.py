"""Max pooling over given windows where each operation runs by itself, as PyTorch's do; no gradients here.

What is fast there differs from what is fast in a compiled expression (`windows`). Maxima are taken along one axis
after the other, the last first, which keeps the first maximum in row-major order the winner. Layouts are kept: what
lies in memory by planes of channels, as PyTorch's own pools want it, is pooled there. A few images are computed at a
time, so that what lies in between stays in the cache. What is remembered of a window is its code: how many cells the
winner lies behind the first cell, mostly one byte. From codes come the indices that the gradient is scattered by.

Shapes: x (N, *sizes, C), in any order in memory; for each axis boundaries or starts (B, n) or (B, 1 or C, n), B being
1 or N.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import torch

from fracpool.pooling.ops.windows import Regions, Windows, spans

Tensor = Any
PIECE = 2**19  # cells that a thread computes at a time: fewer cost more calls, more leave its cache (measured)
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def largest(x: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The largest value of each window; NaN where a window holds one. (N, *windows, C)"""
    return _reduced(x, regions, windows, with_codes=False)[0]


def largest_and_codes(x: Tensor, regions: Regions, windows: Windows) -> tuple[Tensor, Tensor]:
    """The largest values and the codes of their cells: of the first one, or of the first NaN."""
    values, codes = _reduced(x, regions, windows, with_codes=True)
    return values, codes[0]


def indices(code: Tensor, regions: Regions, windows: Windows, sizes: Sequence[int]) -> Tensor:
    """Where in its map, of these sizes, stands what `code` names: row · width + column, int32, shape as `code`."""
    planes = _by_planes(code, regions)
    first = reduce(operator.add, _first_cells(regions, windows, sizes, planes)).int()
    index = (code.movedim(-1, 1) if planes else code) + first
    return index.movedim(1, -1) if planes else index


def spread(y: Tensor, code: Tensor, regions: Regions, windows: Windows, sizes: Sequence[int]) -> Tensor:
    """Each window's value of y at the place that `code` names, 0 elsewhere, overlaps added: the gradient.

    Overlaps are added in the order of the windows, the same at each call on each device. Shape (N, *sizes, C).
    """
    planes, channels = _by_planes(y, regions), y.shape[-1]
    maps = y.movedim(-1, 1).flatten(2) if planes else y.flatten(1)
    spread = y.new_zeros(*maps.shape[:-1], math.prod(sizes) * (1 if planes else channels))
    for piece, index in _winners(code, regions, windows, sizes, planes):
        if windows.cover == (1,) * len(sizes):
            spread[piece].scatter_(-1, index, maps[piece])
        elif y.device.type == "cpu":
            spread[piece].scatter_add_(-1, index, maps[piece])  # one thread to a map
        else:
            rows = torch.arange(index[..., 0].numel(), device=y.device)[:, None]
            places = rows.expand(-1, index.shape[-1]), index.flatten(0, -2)
            # It sorts first, where a scatter_add_ would race.
            spread.flatten(0, -2).index_put_(places, maps.flatten(0, -2), accumulate=True)
    return spread.unflatten(-1, sizes).movedim(1, -1) if planes else spread.unflatten(-1, (*sizes, channels))


def pick(x: Tensor, code: Tensor, regions: Regions, windows: Windows) -> Tensor:
    """The values of x at the places that `code` names: the transpose of `spread`."""
    planes, shape = _by_planes(x, regions), code.shape[1:]
    maps = x.movedim(-1, 1).flatten(2) if planes else x.flatten(1)
    picked = torch.cat(
        [maps[piece].gather(-1, index) for piece, index in _winners(code, regions, windows, x.shape[1:-1], planes)]
    )
    return picked.unflatten(-1, shape[:-1]).movedim(1, -1) if planes else picked.unflatten(-1, shape)


def _reduced(x: Tensor, regions: Regions, windows: Windows, with_codes: bool) -> tuple[Tensor, list[Tensor]]:
    """The largest values and, as a list of one, their codes if asked for."""
    sizes, planes = x.shape[1:-1], _by_planes(x, regions)
    x = x.movedim(-1, 1) if planes else x
    axes = [_cells_of_windows(places, windows, axis, sizes[axis]) for axis, places in enumerate(regions)]
    farthest = sum((len(places) - 1) * weight for places, weight in zip(axes, _weights(sizes), strict=True))
    dtype = _narrowest(farthest) if with_codes else None
    pieces = []
    for piece in _pieces(x):
        state = [x[piece]]
        for axis, weight in reversed(list(enumerate(_weights(sizes)))):
            places = [_of(piece, cell) for cell in axes[axis]]
            state = _along(state, axis + 1 + planes, places, weight, dtype)
        pieces.append(state)
    values, *codes = (torch.cat(each) if len(each) > 1 else each[0] for each in zip(*pieces, strict=True))
    return (values.movedim(1, -1), [code.movedim(1, -1) for code in codes]) if planes else (values, codes)


def _along(state: list[Tensor], dim: int, places: list[Tensor], weight: int, dtype: torch.dtype | None) -> list[Tensor]:
    """The largest values along one axis and, with a dtype, their codes; state is the same of the axes behind.

    Choices are arithmetic: `torch.where` takes ten times as long.
    """
    first, *others = (_index(state[0].shape, place, dim) for place in places)
    best, *best_code = (_take(each, first, dim) for each in state)
    for number, index in enumerate(others, start=1):
        value, *code = (_take(each, index, dim) for each in state)
        if dtype is not None:
            later = _beats(value, best).to(dtype)
            if code:
                best_code[0].add_(later.mul_(code[0].add_(number * weight).sub_(best_code[0])))
            elif best_code:
                torch.maximum(later.mul_(number * weight), best_code[0], out=best_code[0])
            else:
                best_code = [later.mul_(weight)]
        torch.maximum(value, best, out=best)
    if dtype is not None and not best_code:
        best_code = [torch.zeros_like(best, dtype=dtype)]
    return [best, *best_code]


def _beats(value: Tensor, best: Tensor) -> Tensor:
    """Whether a cell beats all before it in its window, being larger or the first NaN: 0 or 1 in one byte.

    Of a comparison only the form with a result of its operands' type is vectorised.
    """
    if not value.dtype.is_floating_point:
        return (value > best).view(torch.uint8)
    no_nan_before = torch.eq(best, best, out=torch.empty_like(best))
    later = no_nan_before.sub_(torch.le(value, best, out=torch.empty_like(best)))
    return later.view(INTEGERS[later.itemsize]).bool().view(torch.uint8)


def _index(shape: Sequence[int], places: Tensor, dim: int) -> Tensor:
    """What `_take` takes by at places (B, n), or of a shape (N, C, …) at (B, 1 or C, n), along an axis of a shape."""
    before, count = shape[:dim], places.shape[-1]
    places = places.reshape(*places.shape[:-1], *[1] * (dim + 1 - places.ndim), count)
    if dim == len(shape) - 1:
        return places.expand(*before, count)
    rows = torch.arange(0, math.prod(before) * shape[dim], shape[dim], device=places.device)
    return places + rows.view(*before, 1)


def _take(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """x at places along an axis, of which there is an `_index`; never a stray read."""
    if dim == x.ndim - 1:
        return x.gather(dim, index)
    return x.flatten(0, dim).index_select(0, index.view(-1)).view(*index.shape, *x.shape[dim + 1 :])


def _cells_of_windows(places: Tensor, windows: Windows, axis: int, size: int) -> list[Tensor]:
    """Each window's first cell along an axis, its second, …; after its last cell that again, which never wins."""
    starts, lasts = spans(places, windows, size)
    known = windows.longest[axis]
    longest = int((lasts - starts).max()) + 1 if known is None else known
    return [torch.minimum(starts + number, lasts).long() for number in range(longest)]


def _winners(
    code: Tensor, regions: Regions, windows: Windows, sizes: Sequence[int], planes: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Some images after the other, and where each of their windows' winners stands among the values of its map, or by
    images of its image.

    In the order of memory: int64 (images, C, windows), or (images, windows · C).
    """
    channels = 1 if planes else code.shape[-1]
    dtype = torch.int32 if math.prod(sizes) * channels < 2**31 else torch.int64
    parts = [cell.to(dtype) * channels for cell in _first_cells(regions, windows, sizes, planes)]
    parts += [] if planes else [torch.arange(channels, dtype=dtype, device=code.device)[None]]
    code = code.movedim(-1, 1) if planes else code
    for piece in _pieces(code):
        index = code[piece].to(dtype)
        index = index.mul_(channels) if channels > 1 else index
        index.add_(reduce(operator.add, (_of(piece, part) for part in parts)))
        yield piece, index.long().flatten(2 if planes else 1)


def _first_cells(regions: Regions, windows: Windows, sizes: Sequence[int], planes: bool) -> Iterator[Tensor]:
    """What each axis adds to the cell of its map that a window begins at: int64, in shapes that broadcast, with the
    channels behind the images, or last."""
    for axis, (places, weight) in enumerate(zip(regions, _weights(sizes), strict=True)):
        starts = spans(places, windows, sizes[axis])[0].long() * weight
        starts = starts[:, None] if planes and starts.ndim == 2 else starts
        starts = starts.reshape(*starts.shape[:-1], *[1] * axis, -1, *[1] * (len(sizes) - 1 - axis))
        yield starts if planes else starts[..., None]


def _pieces(x: Tensor) -> list[slice]:
    """Images to be computed together: on a CPU a few for each thread, elsewhere all."""
    images = max(1, len(x))
    room = PIECE * torch.get_num_threads()
    count = max(1, room // max(1, math.prod(x.shape[1:]))) if x.device.type == "cpu" else images
    return [slice(first, first + count) for first in range(0, images, count)]


def _of(piece: slice, places: Tensor) -> Tensor:
    """What these images have of what each has, or all have in common."""
    return places if len(places) == 1 else places[piece]


def _by_planes(x: Tensor, regions: Regions) -> bool:
    """Whether to compute on (N, C, *sizes): x lies so in memory, or channels have regions of their own."""
    return any(places.ndim == 3 for places in regions) or x.movedim(-1, 1).is_contiguous()


def _weights(sizes: Sequence[int]) -> list[int]:
    """How many cells away the next cell along each axis is."""
    return [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]


def _narrowest(greatest: int) -> torch.dtype:
    return next(dtype for dtype in (torch.uint8, torch.int16, torch.int32) if greatest <= torch.iinfo(dtype).max)
