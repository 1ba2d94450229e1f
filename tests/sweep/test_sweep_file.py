"""What a sweep file keeps: verdicts on each data set, and how the rules of findings changed once runs were known."""

import json

import pytest
import yaml
from conftest import TINY

from fracpool.report import make_report, write_report
from fracpool.sweep.sweep_file import NO_REPORT
from fracpool.table.source import Source

MAX, AVERAGE = {"pool.kind": "max"}, {"pool.kind": "average"}
TINIER = [*TINY, "budget.epochs=1", "budget.train_examples=100", "repeats=1"]
STRIPES = """
import numpy as np
def load():
    labels = np.arange(60, dtype=np.uint8) % 2
    images = np.zeros((60, 16, 16, 1), np.uint8) + labels[:, None, None, None] * 200
    return images[:40], labels[:40], images[40:], labels[40:]
"""


@pytest.fixture
def swept(train, folder):
    """An experiment that is swept with these findings, by further arguments of the command line."""

    def sweep(findings, *arguments):
        file = folder / "my" / "experiment" / "mine.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        grid = {"pool": "max,average", "seed": "range(0,3)"}
        whole = {"experiment": {"name": "mine", "title": "Mine", "question": "q", "findings": findings}}
        text = yaml.safe_dump({**whole, "hydra": {"sweeper": {"params": grid}}})
        file.write_text(f"# @package _global_\n{text}")
        result = train("--config-dir", "my", "-m", "+experiment=mine", *TINIER, *arguments)
        assert (result.code, result.err) == (0, ""), result.err
        return result.out

    return sweep


def finding(margin=0.01, **more):
    parts = [{"kind": "comparable", "a": MAX, "b": AVERAGE, "margin": margin, "title": "alike"}]
    return {"Q1": {"claim": "They are alike.", "parts": parts}, **more}


def test_a_rule_that_is_changed_after_the_results_leaves_a_trace(swept, folder):
    root = folder / "results" / "mine"
    out = swept(finding())
    assert "rule changed" not in out
    retold = finding()
    retold["Q1"]["parts"][0]["title"] = "the same rule in other words"
    assert "rule changed" not in swept(retold)

    out = swept(finding(margin=0.9))
    assert "6 skipped" in out
    assert "Q1: rule changed after 6 runs were known (" in out
    added = {"Q2": finding()["Q1"]}
    out = swept(finding(margin=0.9, **added))
    assert "Q2: added after 6 runs were known (" in out

    history = json.loads((root / "sweeps" / "mine.json").read_text())["rules"]
    assert [(rule["known"], rule["parts"][0]["margin"]) for rule in history["Q1"]] == [(0, 0.01), (6, 0.9)]
    report = (root / "report.md").read_text()
    assert report.count("rule changed after 6 runs were known") == 1  # at the finding
    assert "rule changed after 6 runs were known" in (root / "report.html").read_text()
    judged = {f["id"]: f for f in json.loads((root / "findings.json").read_text())["findings"]}
    assert "after 6 runs" in judged["Q1"]["rule_changes"][0]

    swept({})  # without it, and back with a rule of its own: what was there before is not forgotten
    assert "Q1: rule changed after 6 runs were known" in swept(finding(margin=0.5))


@pytest.mark.slow
def test_what_is_added_beside_a_rule_is_told_and_no_change_of_it(swept, folder):
    root = folder / "results" / "mine"
    swept(finding())
    in_all_forms = finding()
    in_all_forms["Q1"]["forms"] = ["even", "averaged"]
    assert "rule changed" not in swept(in_all_forms)
    (judged,) = json.loads((root / "findings.json").read_text())["findings"]
    assert "rule_changes" not in judged
    assert judged["beside_changes"][0].startswith("some added after 6 runs were known (")
    assert "no part of the verdict | some added after 6 runs were known" in (root / "report.md").read_text()
    assert "no part of the verdict; some added after 6 runs were known" in (root / "report.html").read_text()

    in_all_forms["Q1"]["parts"][0]["margin"] = 0.9
    assert "Q1: rule changed after 6 runs were known" in swept(in_all_forms)
    in_all_forms["Q1"]["parts"].append({**in_all_forms["Q1"]["parts"][0], "margin": 0.5})  # which counts
    swept(in_all_forms)
    (judged,) = json.loads((root / "findings.json").read_text())["findings"]
    assert len(judged["rule_changes"]) == 2


@pytest.mark.slow
def test_the_report_alone_says_that_the_experiment_was_edited(swept, folder):
    swept(finding())
    root, file = folder / "results" / "mine", folder / "my" / "experiment" / "mine.yaml"
    sweep = (root / "sweeps" / "mine.json").read_bytes()
    swept(finding())
    assert (root / "sweeps" / "mine.json").read_bytes() == sweep  # nothing is new
    assert make_report(root).remarks == ()
    before = (root / "report.html").read_bytes()
    file.write_text(file.read_text().replace("0.01", "0.5"))
    (remark,) = make_report(root).remarks
    assert "my/experiment/mine.yaml was edited since mine was swept" in remark
    assert (root / "report.html").read_bytes() == before  # which follows from the records alone
    file.unlink()
    assert make_report(root).remarks == ()


@pytest.mark.parametrize("place", ["../outside.yaml", "/etc/hostname", "a\x00b", "."])
def test_a_strangers_sweep_file_has_no_file_elsewhere_read(folder, place):
    (folder.parent / "outside.yaml").write_text("x")
    assert not Source(place, "0").is_edited()


@pytest.mark.slow
def test_verdicts_are_kept_for_each_data_set(swept, folder):
    (folder / "stripes_of_mine.py").write_text(STRIPES)
    root = folder / "results" / "mine"
    swept(finding())
    stripes = ["dataset.name=stripes", "dataset.loader=stripes_of_mine.load", "budget.train_examples=null"]
    out = swept(finding(), *stripes)
    assert "another data set than before: its verdicts are kept beside the earlier ones, as mine-on-stripes" in out
    assert "Q1 (mine) " in out
    assert "Q1 (mine-on-stripes) " in out
    out = swept(finding(), "dataset.held_out=500")
    assert "as mine-on-mnist5k-held-out" in out
    names = sorted(path.stem for path in (root / "sweeps").iterdir())
    assert names == ["mine", "mine-on-mnist5k-held-out", "mine-on-stripes"]
    write_report(root)
    findings = json.loads((root / "findings.json").read_text())["findings"]
    assert {f["experiment"]: f["parts"][0]["numbers"]["n"] for f in findings} == dict.fromkeys(names, 3)
    assert "Mine, on stripes" in (root / "report.md").read_text()

    swept(finding(), "seed=range(0,4)", NO_REPORT)  # each goes on where it was
    swept(finding(), *stripes, "seed=range(0,4)", NO_REPORT)
    sweeps = {name: json.loads((root / "sweeps" / f"{name}.json").read_text()) for name in names}
    assert {name: len(sweep["runs"]) for name, sweep in sweeps.items()} == dict(zip(names, (8, 6, 8), strict=True))
