"""The differentiable pool on the backend that Keras runs on.

Imports Keras, numpy and the backend that runs, and nothing else of fracpool.
"""

from __future__ import annotations

import keras

from fracpool.pooling.ops.windows import Regions, Windows

match keras.backend.backend():
    case "tensorflow":
        from fracpool.pooling.ops.tensorflow import (
            compiled,
            concrete,
            long,
            pool,
            pool_lazily,
            pool_with_indices,
            untransformed,
        )
    case "jax":
        from fracpool.pooling.ops.jax import compiled, concrete, long, pool, pool_with_indices, untransformed

        pool_lazily = pool
    case "torch":
        from fracpool.pooling.ops.torch import compiled, concrete, long, pool, pool_with_indices, untransformed

        pool_lazily = pool
    case other:
        raise ImportError(f"fracpool runs on the Keras backends tensorflow, jax and torch, not on {other!r}")


__all__ = [
    "Regions", "Windows", "compiled", "concrete", "long", "pool", "pool_lazily", "pool_with_indices", "untransformed",
]  # fmt: skip
