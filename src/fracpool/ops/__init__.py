"""The differentiable pool on the backend that Keras runs on."""

from __future__ import annotations

import keras

from fracpool.ops.windows import Regions, Windows

match keras.backend.backend():
    case "tensorflow":
        from fracpool.ops.tensorflow import pool
    case "jax":
        from fracpool.ops.jax import pool
    case "torch":
        from fracpool.ops.torch import pool
    case other:
        raise ImportError(f"fracpool runs on the Keras backends tensorflow, jax and torch, not on {other!r}")

__all__ = ["Regions", "Windows", "pool"]
