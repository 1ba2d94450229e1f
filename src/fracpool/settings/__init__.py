"""What a run is, as plain data: its fields, checks, poolings, data sets, network, id and names.

Imports of fracpool `pooling` and `records`; Keras or a backend only inside a function, when a layer or data are needed.
"""

from __future__ import annotations

import importlib
from typing import Any

# What users' own code names (docs/dataset.md), handed on when it is first asked for.
_HOME = {"DatasetSettings": "schema", "PoolSettings": "schema", "Settings": "schema", "SettingsError": "refusal"}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
