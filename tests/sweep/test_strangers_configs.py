"""A stranger's config (`--config-dir`): it runs no code, writes nowhere else, tells no secret and ends soon."""

import logging
import os
import sys
import time

import pytest

CODE = "from pathlib import Path\nPath({ran!r}).touch()\n\n\nclass Layer:\n    pass\n"
GLOBAL = "# @package _global_\n"
HANDLER = GLOBAL + "hydra: {job_logging: {version: 1, root: {handlers: [x]}, handlers: {x: %s}}}\n"
FILE = "{class: logging.FileHandler, filename: %s}"
SELECT = "'${oc.select:\"experiment.findings.n${oc.select:hydra.job.num,x}\",logging.NullHandler}'"
FINDINGS = "experiment: {findings: {n0: evilmod.Layer}}\n"
MULTIPLY, TAKEN = [*"abcdefgh"], "'${experiment.findings.a%s}'"

# The text of own/payload/NAME.yaml, and what the line says.
HOSTILE = {
    "chdir": (
        GLOBAL + "pool: {kind: x, layer: evilmod.Layer}\nhydra: {job: {chdir: true}, run: {dir: own}}\n",
        "hydra.job.chdir=True: must be false",
    ),
    "layer nearby": (GLOBAL + "pool: {kind: x, layer: evilmod.Layer}\n", "must be module.name of a module"),
    "class by number of job": (
        HANDLER % f"{{class: {SELECT}}}" + FINDINGS,
        "handlers.x.class=logging.NullHandler: must",
    ),
    "handler by number of job": (HANDLER % SELECT + FINDINGS, "cannot be told before the run"),
    "formatter": (HANDLER % "{class: logging.NullHandler, formatter: '${seed}'}", "cannot be told before the run"),
    "log file": (HANDLER % (FILE % "../precious.log"), "filename=../precious.log: must be a file inside"),
    "log file by another name": (HANDLER % (FILE % "results/mine/runs.csv"), "whose name ends in .log"),
    "log file that is taken": (HANDLER % (FILE % "'${experiment.title}'"), "cannot be told before the run"),
    "log file anew": (HANDLER % (FILE % "results/mine/x.log, mode: w"), "mode=w: must be a"),
    "output": (GLOBAL + "hydra: {output_subdir: /tmp/outside}\n", "hydra.output_subdir=/tmp/outside: must be"),
    "run folder": (GLOBAL + "hydra: {run: {dir: ../outside}}\n", "hydra.run.dir=../outside: must be"),
    "sweep folder": (GLOBAL + "hydra: {sweep: {dir: ../outside}}\n", "hydra.sweep.dir=../outside: must be"),
    "sweep subfolder": (GLOBAL + "hydra: {sweep: {subdir: ../../../x}}\n", "hydra.sweep.subdir=../../../x: must be"),
    "name of the job": (GLOBAL + "hydra: {job: {name: ../x}}\n", "hydra.job.name=../x: must be"),
    "results": (GLOBAL + "results_dir: ../outside\n", "results_dir=../outside: must be inside"),
    "experiment": (GLOBAL + "experiment: {name: ../../../outside}\n", "experiment.name='../../../outside': must be"),
    "model": (GLOBAL + "model: {name: ../../../outside}\n", "model.name='../../../outside': must be"),
    "environment": (
        GLOBAL + "experiment: {title: '${oc.env:SECRET}'}\n",
        "experiment.title: no config can ask for a variable of the environment",
    ),
    "environment by parts": (
        GLOBAL + "experiment: {question: oc.env, title: '${${experiment.question}:SECRET}'}\n",
        "experiment.title: no config can ask for a variable of the environment",
    ),
    "environment, copied": (
        GLOBAL + "experiment: {title: '${hydra.job.env_set.SECRET}'}\nhydra: {job: {env_copy: [SECRET]}}\n",
        "hydra.job.env_set.SECRET: would change",
    ),
    "folder": (GLOBAL + "experiment: {title: '${hydra.runtime.cwd}'}\n", "experiment.title: "),
    "grid of Hydra": (
        GLOBAL + "hydra: {sweeper: {params: {hydra.searchpath: '[pkg://evilmod]'}}}\n",
        "hydra.sweeper.params.hydra.searchpath: a grid",
    ),
    "anchors": (
        GLOBAL
        + "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 8)),
        "anchors written out",
    ),
    "itself": (GLOBAL + "experiment: &x {findings: {x: *x}}\n", "anchors written out"),
    "depth": (GLOBAL + "experiment: {findings: {x: " + "[" * 50 + "]" * 50 + "}}\n", "anchors written out"),
    "more depth": (GLOBAL + "experiment: {findings: {x: " + "[" * 5000 + "]" * 5000 + "}}\n", "x.yaml: "),
    "no YAML": (GLOBAL + "experiment: {\n", "x.yaml: cannot be read as YAML"),
    "no text": (GLOBAL + "experiment: {title: \udcff}\n", "x.yaml: cannot be read as YAML"),
    "object": (GLOBAL + "experiment: {title: !!python/name:os.system x}\n", "x.yaml: cannot be read as YAML"),
    "number": (GLOBAL + "seed: " + "9" * 5000 + "\n", "x.yaml: cannot be read as YAML"),
    "size": (GLOBAL + "experiment: {title: " + "x" * 2**20 + "}\n", "a config is a file of at most"),
    "texts": (
        GLOBAL
        + "experiment: {findings: {a0: '"
        + "x" * 10
        + "', "
        + ", ".join(f"a{n}: '{f'${{experiment.findings.a{n - 1}}}' * 10}'" for n in range(1, 9))
        + "}}\n",
        "needs more than 100 other values",
    ),
    "groups": (
        GLOBAL
        + "experiment: {findings: {a0: {x: 1}, "
        + ", ".join(f"a{n}: {{" + ", ".join(f"{k}: {TAKEN % (n - 1)}" for k in MULTIPLY) + "}" for n in range(1, 8))
        + "}}\n",
        "holds more than 20000 values, or 2000 by interpolation",
    ),
}
SWEEPS_ONLY = {
    "points": (GLOBAL + "hydra: {sweeper: {params: {seed: 'range(0, 1000000000)'}}}\n", "more than 100000"),
    "points of several": (
        GLOBAL + "hydra: {sweeper: {params: {seed: 'range(0, 2000)', repeats: 'range(1, 1000)'}}}\n",
        "more than 100000",
    ),
}


@pytest.fixture
def own(folder, monkeypatch):
    """A stranger's config folder, with a module that tells when it runs."""
    work = folder / "work"
    (work / "own" / "payload").mkdir(parents=True)
    (work / "own" / "evilmod.py").write_text(CODE.format(ran=str(folder / "ran")))
    (folder / "precious.log").write_text("precious")
    monkeypatch.setenv("SECRET", "the secret")
    monkeypatch.chdir(work)
    monkeypatch.setattr(logging, "shutdown", lambda *handlers: None)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return work / "own"


def everything(folder) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "own" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def cases():
    yield from (pytest.param((), name, id=name) for name in HOSTILE)
    yield from (pytest.param(("-m",), name, id=f"{name} swept", marks=pytest.mark.slow) for name in HOSTILE)
    yield from (pytest.param(("-m",), name, id=name) for name in SWEEPS_ONLY)


@pytest.mark.parametrize(("mode", "name"), cases())
def test_it_is_refused_in_one_line_and_leaves_nothing(train, own, folder, mode, name):
    content, said = {**HOSTILE, **SWEEPS_ONLY}[name]
    (own / "payload" / "x.yaml").write_text(content, errors="surrogateescape")
    before, began = everything(folder), time.monotonic()
    result = train("--config-dir", "own", *mode, "+payload=x", "dataset=mnist5k", "pool=max", "plan=true")
    assert time.monotonic() - began < 30  # a second or two
    assert (result.code, len(result.err.strip().splitlines())) == (2, 1), result.err
    assert said in result.err
    assert "the secret" not in result.out + result.err
    assert everything(folder) == before
    assert "evilmod" not in sys.modules


def test_a_list_of_defaults_that_multiplies_is_refused(train, own):
    for level in range(1, 8):
        each = "".join(f"  - n{level - 1}@x{n}\n" for n in range(9))
        (own / "payload" / f"n{level}.yaml").write_text(f"defaults:\n{each}")
    (own / "payload" / "n0.yaml").write_text("a: 1\n")
    result = train("--config-dir", "own", "+payload=n7", "dataset=mnist5k", "pool=max", "plan=true")
    assert result.code == 2
    assert "bring more than 1000 files" in result.err


def test_a_config_of_its_own_searches_no_package(train, own, folder, monkeypatch):
    (folder / "modules").mkdir()
    (folder / "modules" / "evilmod.py").write_text((own / "evilmod.py").read_text())
    monkeypatch.syspath_prepend(str(folder / "modules"))
    (own / "evil.yaml").write_text("defaults: [train, _self_]\nhydra: {searchpath: ['pkg://evilmod']}\n")
    result = train("--config-dir", "own", "--config-name", "evil", "dataset=mnist5k", "pool=max", "plan=true")
    assert (result.code, (folder / "ran").exists()) == (2, False)
    assert "hydra.searchpath" in result.err


def test_a_pipe_in_place_of_a_config_is_no_config(train, own):
    os.mkfifo(own / "evil.yaml")
    result = train("--config-dir", "own", "--config-name", "evil", "plan=true")
    assert (result.code, len(result.err.strip().splitlines())) == (2, 1)


def test_what_a_config_usually_does_it_may_go_on_doing(train, own, folder):
    """Anchors, interpolations, a log file among the results, a results folder inside of the working directory."""
    (own / "payload" / "x.yaml").write_text(
        GLOBAL
        + "results_dir: elsewhere\nbudget: {epochs: &n 3, plain_epochs: 0}\nrepeats: *n\n"
        + "experiment: {name: mine, title: '${dataset.name} with ${pool.kind}', question: '${experiment.title}?'}\n"
        + "hydra: {job_logging: {version: 1, root: {handlers: [x]}, handlers: {x: %s}}}\n"
        % (FILE % "elsewhere/mine/x.log")
    )
    (folder / "work" / "elsewhere" / "mine").mkdir(parents=True)
    root = logging.getLogger()
    handlers = root.handlers[:]
    try:
        result = train("--config-dir", "own", "+payload=x", "dataset=mnist5k", "pool=max", "plan=true")
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
    assert (result.code, result.err) == (0, "")
    assert "results_dir" not in train("results_dir=../outside", "dataset=mnist5k", "pool=max", "plan=true").err
