"""Findings in further forms of test: over even regions and in averaged passes, beside the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory

from fracpool.findings import verdicts
from fracpool.findings.verdicts import Finding, judge
from fracpool.report import make_report
from fracpool.table import results

FMP, MAX = {"pool.kind": "fmp"}, {"pool.kind": "max"}
BETTER = {"kind": "better", "title": "FMP better", "a": FMP, "b": MAX, "margin": 0.01}
SIZE = {"kind": "final_size", "title": "Ends at 7×7", "variant": MAX, "size": 7}
BOTH = {"even": "deterministic_accuracy", "averaged": "averaged_accuracy"}


def swept(root: Path, parts: list[dict[str, Any]], **finding: Any) -> None:
    """FMP is behind in one drawn pass, level over even regions, and ahead in averaged passes."""

    def truth(config: Mapping[str, Any], rng: Any) -> dict[str, Any]:
        gaps = (-0.05, 0.0, 0.05) if config["pool"]["kind"] == "fmp" else (0, 0, 0)
        names = ("accuracy", "even", "averaged")
        return {name: 0.7 + gap + 0.001 * rng.normal() for name, gap in zip(names, gaps, strict=True)}

    configs = [factory.config(kind, epochs=3) for kind in ("max", "fmp")]
    factory.sweep(root, "e", configs, range(5), truth, {"F": {"claim": "c", "parts": parts, **finding}})


def judged(root: Path, parts: list[dict[str, Any]], **finding: Any) -> Finding:
    swept(root, parts, **finding)
    (found,) = judge(results.read(root))
    return found


def told(finding: Finding) -> list[tuple[str, str, str]]:
    return [(part.form, part.title, part.verdict) for part in finding.parts if part.form]


def test_each_comparison_of_one_pass_stands_in_each_form_beside_the_verdict(tmp_path: Path) -> None:
    finding = judged(tmp_path, [SIZE, BETTER], forms=["even", "averaged"])
    assert told(finding) == [
        ("even", "FMP better, even regions", "not reproduced"),
        ("averaged", "FMP better, averaged passes", "reproduced"),
    ]
    assert [part.title for part in finding.counted] == ["Ends at 7×7", "FMP better"]
    assert finding.verdict == "not reproduced"
    assert "It does hold for FMP better, averaged passes" in finding.reason
    assert {part.form: part.numbers["metric"] for part in finding.parts if part.form} == BOTH
    assert {part.numbers["margin"] for part in finding.parts if part.kind == "better"} == {0.01}


def test_what_stands_there_in_that_form_is_not_repeated(tmp_path: Path) -> None:
    averaged = {**BETTER, "title": "FMP better, averaged", "counts": False, "metric": "averaged_accuracy"}
    finding = judged(tmp_path, [BETTER, averaged], forms=["averaged"])
    assert told(finding) == []
    assert judged(tmp_path, [averaged], forms=["even"]).parts[0].title == "FMP better, averaged"


def test_only_the_end_of_the_budget_is_tested_in_other_forms(tmp_path: Path) -> None:
    assert told(judged(tmp_path / "before", [{**BETTER, "at": [1, 2]}], forms=["even"])) == []
    at_end = judged(tmp_path / "at end", [{**BETTER, "at": [1, "end"]}], forms=["even"])
    assert [part.numbers["at"] for part in at_end.parts] == [1, "end", "end"]


def test_each_form_is_corrected_by_itself(tmp_path: Path) -> None:
    finding = judged(tmp_path, [BETTER, {**BETTER, "a": MAX, "b": FMP}], forms=["even", "averaged"])
    assert {part.numbers["family"] for part in finding.parts} == {2}


def test_older_records_without_a_form_cost_that_form_alone(tmp_path: Path) -> None:
    swept(tmp_path, [BETTER], forms=["even", "averaged"])
    for file in tmp_path.glob("runs/*/record.json"):
        record = json.loads(file.read_text())
        del record["metrics"]["deterministic_accuracy"]
        file.write_text(json.dumps(record))
    make_report(tmp_path)
    own, even, averaged = json.loads((tmp_path / "findings.json").read_text())["findings"][0]["parts"]
    assert (own["verdict"], even["verdict"], averaged["verdict"]) == ("not reproduced", "not run", "reproduced")
    assert even["reason"].count("5 records without deterministic_accuracy, a form in which they were not tested") == 2
    assert "\n" not in even["reason"]
    assert "a form in which they were not tested" in (tmp_path / "report.md").read_text().replace("\\", "")


@pytest.mark.parametrize("forms", ["even", ["odd", ["even"]], {"even": 1}, 7, None])
def test_forms_that_a_strangers_sweep_file_makes_up_add_nothing(tmp_path: Path, forms: Any) -> None:
    finding = judged(tmp_path, [BETTER, {"kind": ["better"]}, "a part"], forms=forms)
    assert told(finding) == []
    assert finding.parts[0].verdict == "not reproduced"


def test_forms_take_the_room_that_other_findings_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "MOST_PARTS", 2)
    swept(tmp_path, [BETTER, BETTER], forms=["even"])
    read = results.read(tmp_path)
    (finding,) = judge(read)
    assert [part.form for part in finding.parts] == ["", ""]
    assert "e: finding F in other forms of test are left out" in read.beyond[0]
