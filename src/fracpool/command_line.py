"""What the command lines share: help like documentation, bad input in one line, exit codes, output that any terminal
can show, and how they are stopped.

Ctrl-C and SIGTERM: the first stops at the end of the batch, a second Ctrl-C at once. Python hears of a signal between
two of its own steps, and a batch is one step to it, however long. So a thread listens as well, which hears at once;
nothing is damaged, since everything is written whole or not at all.
"""

from __future__ import annotations

import argparse
import codecs
import ctypes
import importlib.util
import io
import os
import signal
import sys
import threading
import unicodedata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# Exit codes: done, some runs failed, bad input, stopped, and whoever read the output has read enough.
DONE, SOME_FAILED, BAD_INPUT, STOPPED, READER_GONE = 0, 1, 2, 130, 141
SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it
# What stands for a character that the output's encoding does not have.
NEAREST = {
    "×": "x", "·": "|", "−": "-", "–": "-", "—": "-", "…": "...", "≥": ">=", "≤": "<=", "±": "+/-", "→": "->",
    "½": "1/2", "⅓": "1/3", "²": "^2", "³": "^3", "√": "sqrt ", "∛": "cbrt ", "α": "alpha", "σ": "sigma", "ω": "omega",
}  # fmt: skip
AT_ONCE = "Stopped at once; the same command goes on after the last finished epoch."


def show_what_can_be_shown() -> None:
    """From now on a character that the output cannot have (it is not UTF-8) is written as the nearest that it can."""
    codecs.register_error("fracpool.nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fracpool.nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_as_ascii, error.object[error.start : error.end])), error.end


def _as_ascii(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return NEAREST.get(character) or plain or "?"


def directory(path: str) -> Path:
    """For an argument that names a folder: ~ is the user's home, as `--results=~/x` leaves it to us."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{path}: there is no such home folder; write the whole path") from None


def listen() -> None:
    """From now on SIGINT (unless it is ignored) and SIGTERM, which clusters send first, raise KeyboardInterrupt."""
    listener, speaker = os.pipe()
    os.set_blocking(speaker, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _raise_again
    signal.set_wakeup_fd(speaker, warn_on_full_buffer=False)
    threading.Thread(target=_count, args=(listener,), daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _raise_again(ignored: UnraisableHookArgs) -> None:
    """Python drops what is raised in a callback of its garbage collector, as JAX has one: a signal that came just then
    is raised once more, a moment later."""
    if ignored.exc_type is KeyboardInterrupt:
        main = ctypes.c_ulong(threading.main_thread().ident or 0)
        again = (main, ctypes.py_object(KeyboardInterrupt))
        threading.Timer(0.01, ctypes.pythonapi.PyThreadState_SetAsyncExc, again).start()
    else:
        sys.__unraisablehook__(ignored)


def _count(listener: int) -> None:
    heard = 0
    with open(listener, "rb", buffering=0) as signals:
        while number := signals.read(1):
            heard += number[0] in (signal.SIGINT, signal.SIGTERM)
            if heard > 1 and number[0] == signal.SIGINT:
                os.write(2, f"{SHOW_CURSOR if sys.stderr.isatty() else ''}{AT_ONCE}\n".encode())
                os._exit(STOPPED)


STUDY = ("hydra", "omegaconf", "pandas", "pyarrow", "matplotlib", "scipy", "statsmodels", "jinja2", "rich")


def need_study(command: str) -> None:
    """Ends the process, with one line, where the packages of the harness are missing: `pip install fracpool` brings
    the layer alone. To be called before they are imported."""
    missing = [package for package in STUDY if importlib.util.find_spec(package) is None]
    if missing:
        print(
            f"python -m fracpool.{command}: needs the harness, whose package {missing[0]} is missing; "
            'pip install "fracpool[study]"',
            file=sys.stderr,
        )
        sys.exit(BAD_INPUT)


class Parser(argparse.ArgumentParser):
    """A parser whose description and examples are printed as they are written, and whose errors are one line."""

    def __init__(self, module: str, description: str, examples: str) -> None:
        super().__init__(
            prog=f"python -m fracpool.{module}",
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see --help", file=sys.stderr)
        sys.exit(BAD_INPUT)
