"""The Keras layers and functions of fractional pooling, their regions and their sizes; usable alone.

Imports keras and numpy (in `ops/` also the backend that runs), and nothing else of fracpool.
"""

from __future__ import annotations

import importlib
from typing import Any

# Handed on when they are first asked for: regions and sizes need no Keras, and importing them loads none.
_HOME = {
    **{f"FractionalAveragePooling{rank}D": "fractional_average" for rank in (1, 2, 3)},
    **{f"FractionalMaxPooling{rank}D": "fractional_max" for rank in (1, 2, 3)},
    "average_predictions": "averaging",
    "fractional_max_pool": "functions",
    "max_pool_regions": "functions",
    "max_unpool_regions": "unpooling",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
