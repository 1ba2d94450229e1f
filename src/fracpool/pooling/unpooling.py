"""Max unpooling: what a pool with `return_indices` gave, put back where it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keras import ops

from fracpool.pooling import arguments
from fracpool.pooling.axis import Tensor
from fracpool.pooling.ops import concrete
from fracpool.pooling.ops.runtime import as_number


def max_unpool_regions(value: Tensor, indices: Tensor, output_shape: Sequence[int]) -> Tensor:
    """Each value at the place in its map that its index names, 0 elsewhere, as `torch.nn.MaxUnpool2d`; with gradients.

    Args:
        value: Tensor (N, *windows, C) of one to three axes, such as the maxima of a pool with `return_indices=True`.
        indices: Integers of the same shape: row · width + column of each in its map.
        output_shape: Of the maps to be filled: their sizes, (height, width) in two axes, or the whole shape
            (N, height, width, C).

    Returns:
        Tensor (N, *sizes, C) of the dtype of `value`. Where several indices name one cell, as overlapping regions can
        share their maximum, it gets one of their values, which then are equal.

    Raises:
        ValueError: shapes or dtypes do not fit, or an index that can be seen lies outside of its map.
    """
    value, indices = ops.convert_to_tensor(value), ops.convert_to_tensor(indices)
    rank = len(value.shape) - 2
    if rank not in arguments.AXES:
        raise ValueError(f"value has shape {tuple(value.shape)}: must be of rank 3, 4 or 5, (batch, …, channels)")
    arguments.batch(value, "value", arguments.AXES[rank])
    arguments.indices_form(indices, value)
    sizes = arguments.unpooled_sizes([as_number(size) for size in output_shape], value)
    arguments.indices_within(concrete(indices), math.prod(sizes))
    count, channels = ops.shape(value)[0], ops.shape(value)[-1]
    cells = math.prod(sizes)
    # Maps lie one after the other, in the order of samples and channels.
    sample = ops.reshape(ops.arange(count, dtype="int32"), (-1, *[1] * (rank + 1)))
    place = (sample * cells + ops.cast(indices, "int32")) * channels + ops.arange(channels, dtype="int32")
    empty = ops.zeros((count * cells * channels,), dtype=value.dtype)
    flat = ops.scatter_update(empty, ops.reshape(place, (-1, 1)), ops.reshape(value, (-1,)))
    return ops.reshape(flat, (count, *sizes, channels))
