"""The report of a study that has a question of its own: title, headline and main figure are about that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import record_factory as factory

from fracpool.report import make_report

QUESTION = "Do windows that share cells beat those that do not?"
MAX, AVERAGE, FMP = ({"pool.kind": kind} for kind in ("max", "average", "fmp"))
BETTER = {"kind": "better", "a": AVERAGE, "b": MAX, "margin": 0.005, "title": "Average above max"}


def truth(config: Any, rng: Any) -> dict[str, Any]:
    """Average pooling is two points above max pooling, and FMP one."""
    return {"accuracy": {"max": 0.90, "average": 0.92, "fmp": 0.91}[config["pool"]["kind"]] + rng.normal(0, 0.0005)}


def swept(root: Path, kinds: tuple[str, ...], *parts: dict[str, Any]) -> None:
    about = {"claim": "Average pooling is the better one.", "source": "s", "comparison": "c"}
    findings = {"Q1": {**about, "parts": [*parts]}}
    configs = [factory.config(kind) for kind in kinds]
    factory.sweep(root, "mine", configs, range(4), truth, findings, question=QUESTION)


def test_a_study_without_fmp_is_about_its_findings(tmp_path: Path) -> None:
    swept(tmp_path, ("max", "average"), BETTER)
    report = make_report(tmp_path)
    assert report.answer.startswith("Average pooling is the better one: reproduced (3 epochs, one pass; +2.0 points [")
    page = (tmp_path / "report.md").read_text()
    assert page.startswith(f"# {QUESTION}\n")
    assert "fractional" not in page.partition("## How to repeat")[0].lower()
    assert "FMP" not in page
    figure = (tmp_path / "figures" / "answer.svg").read_text()
    assert "average pool minus max pool, points" in figure
    assert "Average above max: +2.0" in page
    assert f"<h1>{QUESTION}</h1>" in (tmp_path / "report.html").read_text()


def test_a_part_that_is_marked_is_what_the_page_is_about(tmp_path: Path) -> None:
    """Though FMP and max pooling are compared as well, and counted."""
    swap = {**BETTER, "a": FMP, "title": "FMP above max"}
    swept(tmp_path, ("max", "average", "fmp"), {**BETTER, "headline": True}, swap)
    page_of = make_report(tmp_path)
    assert page_of.answer.startswith("Average pooling is the better one: reproduced (")
    assert "average pool minus max pool" in (tmp_path / "figures" / "answer.svg").read_text()
    page = (tmp_path / "report.md").read_text()
    assert page.startswith(f"# {QUESTION}\n")
    assert "FMP above max" in page  # it stands in its place below


def test_chapters_are_those_that_experiments_name_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    finding = {"claim": "c", "source": "s", "comparison": "c", "parts": [BETTER]}
    named = {"a": "10 Means", "b": "2. Maxima", "c": "10 Means", "d": "", "e": "3-layer networks"}
    for number, (name, chapter) in enumerate(named.items()):
        configs = [factory.config(kind) for kind in ("max", "average")]
        factory.sweep(tmp_path, name, configs, range(4), truth, {f"Q{number}": finding}, chapter=chapter)
    make_report(tmp_path)
    findings = (tmp_path / "report.md").read_text().partition("\n## Findings\n")[2].partition("\n## ")[0]
    titles = [line.split(":")[0] for line in findings.splitlines() if line.startswith("###")]
    assert titles == [
        "### Maxima", "#### Q1", "### 3-layer networks", "#### Q4", "### Means", "#### Q0", "#### Q2",
        "### More findings", "#### Q3",
    ]  # fmt: skip


def test_without_a_mark_a_comparison_of_fmp_and_max_pooling_is_the_studys(tmp_path: Path) -> None:
    swept(tmp_path, ("max", "average", "fmp"), BETTER, {**BETTER, "a": FMP, "title": "FMP above max"})
    assert make_report(tmp_path).answer.startswith("Yes: put in its place, FMP beats 2×2 max pooling")


def test_several_pairs_of_several_poolings_are_told_one_by_one(tmp_path: Path) -> None:
    other = {**BETTER, "a": MAX, "b": AVERAGE, "title": "Max above average"}
    swept(tmp_path, ("max", "average"), BETTER, other)
    page = (make_report(tmp_path).path.parent / "report.md").read_text()
    assert "Of 2 comparisons the first is ahead in 1 and behind in 1; 0 are undecided." in page
    assert "the first minus the second, points" in (tmp_path / "figures" / "answer.svg").read_text()


def test_a_study_without_pairs_is_answered_by_its_verdicts(tmp_path: Path) -> None:
    swept(tmp_path, ("max", "average"), {"kind": "ranking", "first": AVERAGE, "title": "Average first"})
    assert make_report(tmp_path).answer.startswith(
        "Average pooling is the better one: reproduced (3 epochs, one pass; place 1 of 2"
    )
    assert not (tmp_path / "figures" / "answer.svg").exists()
