"""The pages on adding a pooling, an experiment and a data set: their code, file by file and line by line."""

import json
import shlex

import pytest
from documents import commands, run, write_files

from fracpool.records.store import Store

SMALL = "budget.epochs=2 budget.train_examples=200 model.filters=[4,8] model.dense=[16] repeats=2"


@pytest.fixture(params=["pooling", "experiment", "dataset"])
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


CHECKS = {"pooling": check_pooling, "experiment": check_experiment, "dataset": check_dataset}
