"""The differentiable pool, and the draw of its regions, on the backend that Keras runs on.

Imports Keras, numpy and the backend that runs, and of fracpool the regions.
"""

from __future__ import annotations

import keras

from fracpool.pooling.ops.windows import Regions, Windows

match keras.backend.backend():
    case "tensorflow":
        from fracpool.pooling.ops.tensorflow import compiled, concrete, draw, long, pool
    case "jax":
        from fracpool.pooling.ops.jax import compiled, concrete, draw, long, pool
    case "torch":
        from fracpool.pooling.ops.torch import compiled, concrete, draw, long, pool
    case other:
        raise ImportError(f"fracpool runs on the Keras backends tensorflow, jax and torch, not on {other!r}")


__all__ = ["Regions", "Windows", "compiled", "concrete", "draw", "long", "pool"]
