"""Ctrl-C and SIGTERM: the first stops at the end of the batch, a second Ctrl-C at once.

Python hears of a signal between two of its own steps, and a batch is one step to it, however long. So a thread
listens as well, which hears at once; nothing is damaged, since everything is written whole or not at all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

STOPPED = 130  # the exit code
SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it
AT_ONCE = "Stopped at once; the same command goes on after the last finished epoch."


def listen() -> None:
    """From now on SIGINT (unless it is ignored) and SIGTERM, which clusters send first, raise KeyboardInterrupt."""
    listener, speaker = os.pipe()
    os.set_blocking(speaker, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    signal.set_wakeup_fd(speaker, warn_on_full_buffer=False)
    threading.Thread(target=_count, args=(listener,), daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _count(listener: int) -> None:
    heard = 0
    with open(listener, "rb", buffering=0) as signals:
        while number := signals.read(1):
            heard += number[0] in (signal.SIGINT, signal.SIGTERM)
            if heard > 1 and number[0] == signal.SIGINT:
                os.write(2, f"{SHOW_CURSOR if sys.stderr.isatty() else ''}{AT_ONCE}\n".encode())
                os._exit(STOPPED)
