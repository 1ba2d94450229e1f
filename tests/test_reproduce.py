"""`make reproduce`: from nothing to the report, and nothing twice."""

import json
import re
import time

import pytest
import yaml
from documents import MAKE, ROOT, run

from fracpool.records.environment import cores

SMALL = "budget.epochs=1 budget.train_examples=200 model.filters=[4,8] model.dense=[16] repeats=2 seed=0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quik"], ["profile=quik", "did you mean quick?"]),
        (["../../secret"], ["profile=../../secret", "full, quick"]),
        (["quick", "--only", "mnist_swp"], ["--only=mnist_swp", "did you mean mnist_swap?"]),
        (["quick", "--jobs", "0"], ["--jobs=0", "from 1"]),
        (["quick", "--only", "mnist_swap", "--override", "budget.epochs=0"], ["budget.epochs=0", "from 1"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_bad_input_gets_one_line(folder, capfd, arguments, said):
    from fracpool.reproduce import main

    assert main(arguments) == 2
    err = capfd.readouterr().err
    assert len(err.strip().splitlines()) == 1
    for words in said:
        assert words in err
    assert list(folder.iterdir()) == []


def test_the_full_profile_names_every_experiment():
    profile = yaml.safe_load((ROOT / "configs/profiles/full.yaml").read_text(encoding="utf-8"))
    assert sorted(profile) == sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


def test_what_is_another_backends_is_named_with_its_command(folder, capfd):
    from fracpool.reproduce import main

    assert main(["full", "--only", "graham_control", "--override", "dataset=mnist5k"]) == 0
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [
        f"0 experiments, 0 runs to do, {cores()} at a time",
        "left to another backend, best on a GPU (docs/scaling.md):",
        "  10 runs: KERAS_BACKEND=jax python -m fracpool.train -m +experiment=graham_control profile=full "
        "results_dir=results dataset=mnist5k",
    ]
    assert printed.err == ""
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_quick_profile_from_nothing_and_again(tmp_path):
    command = f"{MAKE} reproduce RESULTS=$PWD/results OVERRIDES='{SMALL}'"
    done = run(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    results = tmp_path / "results" / "quick"
    verdicts = {f["id"]: f["verdict"] for f in json.loads((results / "findings.json").read_text())["findings"]}
    assert set(verdicts) >= {"F1", "F2", "F3", "F4", "F6", "B1"}
    assert set(verdicts.values()) <= {"reproduced", "not reproduced", "inconclusive", "not run"}
    not_run = {name for name, verdict in verdicts.items() if verdict == "not run"}
    assert not_run <= {"F4-accuracy", "B2"}  # without CIFAR-10; and B2 names the widths that this test makes smaller
    assert verdicts["F1"] == "reproduced"
    for name in ("report.md", "report.html", "runs.csv", "summary.csv"):
        assert (results / name).stat().st_size > 500, name
    # Nothing of like size was measured here yet, so no time is told.
    begins = r"6 experiments, \d+ runs to do, \d+ at a time\nleft: gradient \d+, budget_mnist \d+, "
    assert re.match(begins, done.stdout), done.stdout
    assert done.stdout.strip().splitlines()[-1].endswith("report.html")
    first = {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}

    began = time.monotonic()
    again = run(command, tmp_path)
    assert again.returncode == 0
    assert "experiments, " not in again.stdout
    assert not re.search(r"^\[\d+/\d+\]", again.stdout, re.MULTILINE)  # no run is reported: none was made
    assert {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()} == first
    assert time.monotonic() - began < 30  # 10 s on a machine that does nothing else; measured by hand
