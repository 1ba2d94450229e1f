"""Code blocks of the documentation, so that tests run exactly what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What make would set up first is what the tests run in.
MAKE = f"make --no-print-directory -C {ROOT} VENV={sys.prefix} -o {sys.prefix}/.ready -o {sys.prefix}/.ready-test"
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """(title, code) of the fenced blocks of a page in this language; the title may be empty."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(title, code) for kind, title, code in BLOCK.findall(text) if kind == language]


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks, without comments."""
    lines = [line.partition(" #")[0].strip() for _, code in blocks(page, "sh") for line in code.splitlines()]
    return [line for line in lines if line]


def write_files(page: str, folder: Path) -> list[Path]:
    """Writes the blocks that have a file's name as their title."""
    written = []
    for language in ("python", "yaml"):
        for title, code in blocks(page, language):
            if title:
                (folder / title).parent.mkdir(parents=True, exist_ok=True)
                (folder / title).write_text(code, encoding="utf-8")
                written.append(folder / title)
    return written


def run(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Carries out a line as a shell would whose `python` is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=560,
    )
