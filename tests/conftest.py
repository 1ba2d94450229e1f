"""Shared by all tests: command lines carried out in this process, in a folder of their own."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TINY = [
    "dataset=mnist5k",
    "budget.train_examples=300",
    "budget.epochs=2",
    "model.filters=[4,8]",
    "model.dense=[16]",
    "repeats=3",
]


@dataclass
class Result:
    code: int
    out: str
    err: str


def hears_ctrl_c() -> None:
    """For `preexec_fn`: tests that run in the background inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole quick profile with its report, only to be read."""
    import record_factory

    from fracpool.report import write_report

    root = record_factory.quick(tmp_path_factory.mktemp("results") / "quick")
    write_report(root)
    return root


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be downloaded, whether or not this machine has a network."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(folder: Path, capfd: pytest.CaptureFixture[str]):
    """`python -m fracpool.train ARGUMENTS` in this process."""
    from fracpool.train import main

    def call(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(list(arguments))
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call
