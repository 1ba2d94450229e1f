"""Where fracpool keeps what it can make again: the user's cache folder, which may be emptied at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """XDG_CACHE_HOME/fracpool or ~/.cache/fracpool, which may not be there yet; None where the user has no home."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return home / "fracpool" if home.is_absolute() else None
