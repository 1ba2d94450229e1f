"""The file that holds an unfinished run: arrays, and about them its run, its maker and its learning curve."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

FILE = "checkpoint.npz"


def history(folder: Path) -> list[dict[str, float]]:
    """The learning curve so far, without the model; [] when there is no checkpoint."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return list(json.loads(arrays["about"].tobytes())["history"])
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, OSError, EOFError):
        return []
