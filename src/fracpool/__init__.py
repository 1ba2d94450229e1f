"""Fractional max pooling for Keras, and a study of when it beats 2×2 max pooling.

Importing the package is instant: TensorFlow and Keras load when a name that needs them is first used.
"""

from __future__ import annotations

import os
import sys

# A command (`python -m fracpool.report`) may be started in a stranger's folder, whose pandas.py is not pandas: Python
# puts that folder first, so it goes before anything is imported from there (os and sys are loaded by then). Modules of
# one's own that a config names are looked up in it nevertheless (`fracpool.settings.users_modules`).
if sys.argv[:1] == ["-m"] and sys.path[:1] == [os.getcwd()] and not __file__.startswith(os.path.join(sys.path[0], "")):
    del sys.path[0]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fracpool import geometry, regions
    from fracpool.pooling.averaging import average_predictions
    from fracpool.pooling.fractional_average import (
        FractionalAveragePooling1D,
        FractionalAveragePooling2D,
        FractionalAveragePooling3D,
    )
    from fracpool.pooling.fractional_max import FractionalMaxPooling1D, FractionalMaxPooling2D, FractionalMaxPooling3D
    from fracpool.pooling.functions import fractional_max_pool, max_pool_regions
    from fracpool.pooling.unpooling import max_unpool_regions

__version__ = "0.1.0"
__all__ = [
    "FractionalAveragePooling1D",
    "FractionalAveragePooling2D",
    "FractionalAveragePooling3D",
    "FractionalMaxPooling1D",
    "FractionalMaxPooling2D",
    "FractionalMaxPooling3D",
    "__version__",
    "average_predictions",
    "fractional_max_pool",
    "geometry",
    "max_pool_regions",
    "max_unpool_regions",
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
