"""Importing what needs TensorFlow, without the remarks that its libraries print as they load."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import sys
import tempfile
from types import ModuleType


def load(module: str) -> ModuleType:
    """Imports a module. What its libraries say on standard error is kept back unless it cannot be imported.

    What it loads stays: taken out of the garbage collector's sight, it does not slow down each collection (a quarter
    of a second, whenever a program is forgotten).
    """
    if module in sys.modules:
        return sys.modules[module]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a sweep builds many programs, which is no warning
    sys.stderr.flush()
    with tempfile.TemporaryFile() as remarks:
        stderr = os.dup(2)
        os.dup2(remarks.fileno(), 2)
        gc.disable()
        try:
            return importlib.import_module(module)
        except BaseException:
            remarks.seek(0)
            os.write(stderr, remarks.read())
            raise
        finally:
            gc.freeze()
            gc.enable()
            os.dup2(stderr, 2)
            os.close(stderr)
