"""Fractional max pooling for Keras, and a study of when it beats 2×2 max pooling.

Importing the package is instant: TensorFlow and Keras load when a name that needs them is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fracpool import geometry, regions
    from fracpool.pooling.fractional_average import (
        FractionalAveragePooling1D,
        FractionalAveragePooling2D,
        FractionalAveragePooling3D,
    )
    from fracpool.pooling.fractional_max import FractionalMaxPooling1D, FractionalMaxPooling2D, FractionalMaxPooling3D
    from fracpool.pooling.functions import fractional_max_pool, max_pool_regions

__version__ = "0.1.0"
__all__ = [
    "FractionalAveragePooling1D",
    "FractionalAveragePooling2D",
    "FractionalAveragePooling3D",
    "FractionalMaxPooling1D",
    "FractionalMaxPooling2D",
    "FractionalMaxPooling3D",
    "__version__",
    "fractional_max_pool",
    "geometry",
    "max_pool_regions",
    "regions",
]
_MODULES = {"geometry", "regions"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fracpool.{name}")
    if name in __all__:
        return getattr(importlib.import_module("fracpool.pooling"), name)
    raise AttributeError(f"module 'fracpool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
