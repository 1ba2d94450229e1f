"""The command lines that Hydra does not read: help like documentation, bad input in one line."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

BAD_INPUT = 2


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
