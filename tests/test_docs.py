"""The pages on adding a pooling, an experiment and a data set: their code, file by file and line by line."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml
from conftest import hears_ctrl_c
from documents import ROOT, blocks, commands, run, write_files

from fracpool.records.store import Store

SMALL = "budget.epochs=2 budget.train_examples=200 model.filters=[4,8] model.dense=[16] repeats=2"


@pytest.fixture(params=["pooling", "experiment", "dataset", "own-study"])
def carried_out(request, tmp_path):
    """A page's name and the folder in which its files were written and its commands run, at a small budget."""
    page = f"docs/{request.param}.md"
    assert write_files(page, tmp_path)
    for command in commands(page):
        small = f" {SMALL}" if "fracpool.train" in command else ""
        done = run(command + small, tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
    return request.param, tmp_path


@pytest.mark.slow
def test_a_page_does_what_it_says(carried_out):
    page, folder = carried_out
    root = folder / "results" / "mine"
    records = Store(root).read().records
    assert {record.status for record in records} == {"completed"}
    CHECKS[page](root, records)


def check_pooling(root, records):
    pools = {record.data["config"]["pool"]["kind"] for record in records}
    assert pools == {"max", "fmp", "dropout", "lp"}
    rates = {r.data["config"]["pool"]["arguments"]["rate"] for r in records if "dropout" in r.run_id}
    assert rates == {0.1, 0.2, 0.3}
    dropout = next(record for record in records if "dropout" in record.run_id)
    assert dropout.data["metrics"]["repeats"] == 2
    assert dropout.data["geometry"]["final_height"] == 7
    repeated = run(f"{shlex.join(shlex.split(dropout.data['command']))} plan=true", root.parents[1])
    assert f"{dropout.run_id}: has its record" in repeated.stdout, repeated.stderr


def check_experiment(root, records):
    assert len(records) == 15  # 2 + 1 networks, 5 seeds
    (finding,) = json.loads((root / "findings.json").read_text())["findings"]
    assert finding["id"] == "O1"
    assert [part["kind"] for part in finding["parts"]] == ["better", "final_size", "comparable"]
    assert [part["numbers"].get("n") for part in finding["parts"]] == [5, None, 5]
    assert finding["parts"][1]["verdict"] == "reproduced"


def check_dataset(root, records):
    assert len(records) == 6
    about = records[0].data["data"]
    assert (about["name"], about["source"], about["test_examples"]) == ("stripes", "stripes.load", 200)
    assert max(record.data["metrics"]["test_accuracy"] for record in records) > 0.6


def check_own_study(root, records):
    kinds = Counter(record.data["config"]["pool"]["kind"] for record in records)
    assert kinds == {"soft": 10, "max": 8, "average": 8}  # eight seeds each, and two learning rates on held-out images
    findings = json.loads((root / "findings.json").read_text())["findings"]
    numbers = {part["kind"]: part["numbers"] for finding in findings for part in finding["parts"]}
    assert (numbers["better"]["n"], numbers["ranking"]["n"], numbers["comparable"]["at"]) == (8, 8, 1)
    assert numbers["final_size"]["final_height"] == 7
    page = (root / "report.md").read_text()
    assert page.startswith("# Does a learned mean beat the maximum?\n")
    assert "Soft pooling is more accurate than max pooling" in page.partition("\n## ")[0]  # the first screen
    assert "soft minus max pool, points" in (root / "figures" / "answer.svg").read_text()
    assert (root.parents[1] / "soft.svg").stat().st_size > 1000
    for record in records:  # its weights are counted, and its operations as it declares
        pools = [layer for layer in record.data["geometry"]["layers"] if layer["kind"] == "pool"]
        if "soft" in record.run_id:
            assert [layer["parameters"] for layer in pools] == [4, 8]
            assert pools[0]["macs"] == 3 * 28 * 28 * 4


CHECKS = {
    "pooling": check_pooling,
    "experiment": check_experiment,
    "dataset": check_dataset,
    "own-study": check_own_study,
}


def test_a_study_takes_forty_lines_of_the_users():
    """A layer, its name, an experiment with findings of more than two kinds, and a test."""
    asked = ("soft_pooling.py", "my/pool/soft.yaml", "my/experiment/soft.yaml", "test_soft_pooling.py")
    code = dict(blocks("docs/own-study.md", "python") + blocks("docs/own-study.md", "yaml"))
    assert sum(bool(line.strip()) for name in asked for line in code[name].splitlines()) <= 40
    parts = yaml.safe_load(code["my/experiment/soft.yaml"])["experiment"]["findings"].values()
    assert len({part["kind"] for finding in parts for part in finding["parts"]}) >= 3


def test_the_names_that_are_taken_are_those_of_the_configs():
    text = (ROOT / "docs" / "own-study.md").read_text(encoding="utf-8")
    for group in ("pool", "dataset", "experiment"):
        row = re.search(rf"^\| `{group}` \| (.*) \|$", text, re.MULTILINE)
        assert row is not None
        taken = ", ".join(sorted(file.stem for file in (ROOT / "configs" / group).glob("*.yaml")))
        assert row[1] == taken, f"docs/own-study.md: the row of {group} must be {taken}"


@pytest.mark.slow
def test_the_study_that_is_interrupted_goes_on(tmp_path):
    """Ctrl-C in the middle of the experiment of docs/own-study.md, then the same command again."""
    write_files("docs/own-study.md", tmp_path)
    command = [sys.executable, *shlex.split(commands("docs/own-study.md")[2])[1:], *SMALL.split()]
    started = subprocess.Popen(command, cwd=tmp_path, preexec_fn=hears_ctrl_c, stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "results" / "mine" / "runs"
    while started.poll() is None and not (runs.is_dir() and any(runs.iterdir())):
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130, err
    done = run(shlex.join(command), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    skipped = re.search(r"(\d+) skipped because their records are there, (\d+) to do", done.stdout)
    assert int(skipped[1]) >= 1
    assert int(skipped[1]) + int(skipped[2]) == 15
    assert len(Store(runs.parent).read().records) == 15
