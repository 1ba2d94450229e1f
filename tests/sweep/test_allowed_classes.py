"""Configs cannot have arbitrary classes made: payloads that Hydra by itself would run are refused and do not run."""

import contextlib
import logging
import pickle
import sys

import pytest

from fracpool.sweep import allowed_classes

PAYLOAD = """
from logging import NullHandler
from pathlib import Path

Path({ran!r}).touch()  # importing it is enough


class Handler(NullHandler):
    pass


def call(*arguments, **options):
    Path({ran!r}).touch()
"""
LOGGING = "# @package _global_\nhydra: {job_logging: {root: {handlers: [x]}, handlers: {x: %s}}}\n"

# name of the config in the folder own/payload, its text, what the line must say
HOSTILE = {
    "callback": (
        "# @package _global_\nhydra: {callbacks: {x: {_target_: payload.call}}}\n",
        "hydra.callbacks.x._target_=payload.call: no class",
    ),
    "made_up": (
        "# @package _global_\nhydra: {callbacks: \"${oc.create:'{x: {_target_: payload.call}}'}\"}\n",
        "hydra.callbacks: Unsupported interpolation type oc.create",
    ),
    "elsewhere": (
        "# @package _global_\nexperiment: {findings: {x: {_target_: payload.call}}}\n"
        "hydra: {callbacks: '${experiment.findings}'}\n",
        "hydra.callbacks.x._target_=payload.call: no class",
    ),
    "handler": (LOGGING % "{class: payload.Handler}", "handlers.x.class=payload.Handler: must be one of"),
    "factory": (LOGGING % "{(): payload.Handler}", "handlers.x.()=payload.Handler: no class"),
    "stream": (
        LOGGING % "{class: logging.StreamHandler, stream: 'ext://payload.call'}",
        "handlers.x.stream=ext://payload.call: must be ext://sys.stdout",
    ),
    "late": (
        LOGGING % "'${oc.select:${hydra.runtime.output_dir}}'",
        "cannot be told before the run",
    ),
}


@pytest.fixture
def ran(folder, monkeypatch):
    """The file that appears when the payload runs. Beside it: `own`, a config folder with the group `payload`."""
    ran = folder / "ran"
    (folder / "modules").mkdir()
    (folder / "modules" / "payload.py").write_text(PAYLOAD.format(ran=str(ran)))
    (folder / "own" / "payload").mkdir(parents=True)
    for name, (text, _) in HOSTILE.items():
        (folder / "own" / "payload" / f"{name}.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(folder / "modules"))
    monkeypatch.delitem(sys.modules, "payload", raising=False)
    before = logging.getLogger().handlers[:]
    yield ran
    logging.getLogger().handlers[:] = before


@pytest.fixture(autouse=True)
def handlers_stay_open(monkeypatch):
    """Configuring logging closes every handler there is: that of absl, which TensorFlow brings, would close the
    standard error of the tests."""
    monkeypatch.setattr(logging, "shutdown", lambda *handlers: None)


def arguments(name: str, *mode: str) -> list[str]:
    return ["--config-dir", "own", *mode, f"+payload={name}", "dataset=mnist5k", "pool=max"]


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "sweep"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_payload_is_refused_in_one_line_before_it_runs(train, folder, ran, name, mode):
    result = train(*arguments(name, *mode))
    assert result.code == 2
    assert HOSTILE[name][1] in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not ran.exists()
    assert "payload" not in sys.modules
    assert not (folder / "results").exists()


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "late"])
def test_hydra_by_itself_would_run_them(train, ran, name, monkeypatch):
    """Else the test above shows nothing. (`late` needs a folder of a suitable name beside.)"""
    monkeypatch.setattr(allowed_classes, "registered_only", lambda arguments: contextlib.nullcontext())
    train(*arguments(name), "plan=true")
    assert ran.exists()


def test_a_payload_at_one_point_of_a_sweep_is_refused(train, folder, ran):
    (folder / "own" / "payload" / "harmless.yaml").write_text("# @package _global_\nseed: 1\n")
    result = train("--config-dir", "own", "-m", "+payload=harmless,handler", "dataset=mnist5k", "pool=max")
    assert (result.code, ran.exists()) == (2, False)
    assert "payload.Handler" in result.err


def test_no_config_is_unpickled(train, folder):
    class Payload:
        def __reduce__(self):
            return (folder / "ran").touch, ()

    (folder / "config.pickle").write_bytes(pickle.dumps(Payload()))
    for option in ("--experimental-rerun", "--exp"):  # argparse takes a beginning for the whole
        result = train(option, "config.pickle")
        assert result.code == 2
        assert "unpickle" in result.err
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("group", ["hydra/job_logging", "hydra/hydra_logging"])
@pytest.mark.parametrize("option", ["default", "disabled", "none"])
def test_the_logging_that_hydra_ships_may_be_chosen(train, group, option):
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    try:
        result = train(f"{group}={option}", "dataset=mnist5k", "plan=true")
    finally:
        for handler in set(logger.handlers) - set(before):
            handler.close()
        logger.handlers[:] = before
        logger.setLevel(level)
    assert (result.code, result.err) == (0, "")


def test_logging_stays_as_it_is_unless_asked(train):
    logger, handler = logging.getLogger("a library"), logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        train("dataset=mnist5k", "plan=true")
        assert handler in logging.getLogger().handlers
        assert not logger.disabled
    finally:
        logging.getLogger().removeHandler(handler)


def test_launchers_that_are_installed_are_in_the_registry():
    """Hydra ships and installs no launcher that cannot be chosen."""
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher

    kinds = [kind for kind in Plugins.instance().discover(Launcher) if not kind.__subclasses__()]
    installed = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    assert installed <= set(allowed_classes.LAUNCHERS.values())
