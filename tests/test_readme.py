"""Every command and every example of the README is carried out; long ones at a small budget."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents import MAKE, ROOT, blocks, commands, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
INLINE = list(dict.fromkeys(re.findall(r"(?<!`)`((?:python -m fracpool|make)[^`<>…]*)`(?!`)", README)))
SMALL = "budget.epochs=1 budget.train_examples=200 model.filters=[4,8] model.dense=[16] repeats=2"


def at_a_small_budget(command: str) -> str | None:
    """The command as it is carried out here; None for one that this test does not know."""
    words = shlex.split(command)
    if command.startswith("python -m fracpool.train ") and {"--help", "plan=true"}.isdisjoint(words):
        return f"{command} {SMALL}"
    if words[0] == "make":  # hours, these tests, or what test_reproduce.py carries out: it is said, and exists
        return f"{MAKE} --dry-run {shlex.join(words[1:])}"
    if command.startswith("eval ") and "fracpool-train" in command:
        return f"bash -c {shlex.quote(f'{command} && complete -p fracpool-train')}"
    if command.startswith(("pip install -e .", "pip install .")):
        return f"cd {ROOT} && python -m {command} --dry-run --no-deps --no-build-isolation"
    if command.startswith("python -m fracpool"):
        return command
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are carried out one after another, as a reader does; the reference study lies there."""
    place = tmp_path_factory.mktemp("readme")
    (place / "results").mkdir()
    (place / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("README.md"))
def test_a_command_of_a_shell_block_does_its_work(folder: Path, command: str) -> None:
    small = at_a_small_budget(command)
    assert small, f"{command}: the README has a command that no test runs; add it to at_a_small_budget"
    done = run(small, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_the_text_does_its_work(folder: Path, command: str) -> None:
    small = at_a_small_budget(f"{command} --help" if command == "python -m fracpool.train" else command)
    assert small, f"{command}: the README has a command that no test runs; add it to at_a_small_budget"
    done = run(small, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for _, code in blocks("README.md", "python")])
def test_a_python_example_prints_what_its_comment_says(tmp_path: Path, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^print\(.*\)\s+# (\([\d, ]+\)|[\d.]+)", code, re.MULTILINE)
    assert said
    assert done.stdout.split("\n")[: len(said)] == said


def test_the_readme_has_commands_and_its_links_lead_somewhere() -> None:
    assert len(commands("README.md")) >= 8
    assert INLINE
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
