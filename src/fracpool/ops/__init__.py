"""The differentiable pool, and the draw of its regions, on the backend that Keras runs on."""

from __future__ import annotations

import keras

from fracpool.ops.windows import Regions, Windows

match keras.backend.backend():
    case "tensorflow":
        from fracpool.ops.tensorflow import concrete, draw, long, pool
    case "jax":
        from fracpool.ops.jax import concrete, draw, long, pool
    case "torch":
        from fracpool.ops.torch import concrete, draw, long, pool
    case other:
        raise ImportError(f"fracpool runs on the Keras backends tensorflow, jax and torch, not on {other!r}")

__all__ = ["Regions", "Windows", "concrete", "draw", "long", "pool"]
