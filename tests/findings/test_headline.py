"""The first screen's headline and claims: from designated comparisons alone, whatever else a folder compares."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory

from fracpool.report import make_report

FMP, MAX = {"pool.kind": "fmp"}, {"pool.kind": "max"}
LONG = {"kind": "since", "along": "budget.epochs", "relation": "ahead", "margin": 0.002, "a": FMP, "b": MAX}
DESIGNATED = {**LONG, "headline": True, "metric": "deterministic_accuracy", "title": "even"}
CLAIM = "FMP is 15 to 20 % less accurate"


def swept(
    root: Path, gap: Callable[[Any], float], *parts: Any, seeds: int = 5, spread: float = 0.0005, **kw: Any
) -> None:
    """FMP and max pooling after 1, 3 and 10 epochs; the forms without a draw are half as far from max pooling."""

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        ahead = gap(config["budget"]["epochs"]) if config["pool"]["kind"] == "fmp" else 0.0
        noise = spread * rng.normal()
        return {"accuracy": 0.9 + ahead + noise, "averaged": 0.9 + (ahead if ahead > 0 else ahead / 2) + noise}

    configs = [factory.config(kind, epochs=epochs) for kind in ("max", "fmp") for epochs in (1, 3, 10)]
    findings = {"B": {"claim": "FMP is ahead in the end", "parts": list(parts)}}
    factory.sweep(root, "e", configs, range(seeds), truth, findings, **kw)


def late(epochs: int) -> float:
    return {1: -0.05, 3: -0.01, 10: 0.02}[epochs]


def page(root: Path) -> str:
    make_report(root)
    return (root / "report.md").read_text().replace("\\", "").replace("\u00a0", " ").partition("## Findings")[0]


def test_the_headline_is_of_the_designated_comparison_with_its_budget_and_form(tmp_path: Path) -> None:
    swept(tmp_path, late, DESIGNATED, {**LONG, "counts": False, "title": "drawn"})
    report = make_report(tmp_path)
    lead = "On 5,000 MNIST digits FMP needs training: behind after 1 epoch, ahead after 10 "
    assert re.fullmatch(re.escape(lead) + r"\(\+2\.\d points, tested in one even pass\)\.", report.answer)
    told = page(tmp_path)
    assert "comparisons" not in told
    assert "Rests on 5,000 MNIST digits (4,000 training images; 1, 3 and 10 epochs; 5 seeds)." in told
    assert re.search(r"the difference goes from −2\.[45] points after 1 epoch to \+2\.\d \[", told)
    assert "30 runs, trained for " in told


@pytest.mark.parametrize(
    ("gap", "lead"),
    [
        (lambda _: 0.02, "FMP is ahead after 10 epochs (+2.1 points, tested in one even pass)."),
        (
            lambda _: -0.04,
            "FMP stays behind, after 1 epoch and after 10 epochs (−1.9 points, tested in one even pass).",
        ),
        (lambda e: -0.08 if e == 1 else 0.0, "FMP comes closer with training: behind after 1 epoch, level after 10"),
    ],
)
def test_it_turns_with_the_data(tmp_path: Path, gap: Callable[[int], float], lead: str) -> None:
    swept(tmp_path, gap, DESIGNATED)
    assert make_report(tmp_path).answer.startswith(f"On 5,000 MNIST digits {lead}")


def test_max_pooling_named_first_changes_no_sign(tmp_path: Path) -> None:
    better = {"kind": "better", "a": {**MAX, "budget.epochs": 1}, "b": {**FMP, "budget.epochs": 1}, "margin": 0.002}
    swept(tmp_path, late, {**better, "headline": True})
    assert "FMP is at −5.0 [" in page(tmp_path)
    assert "FMP is behind after 1 epoch (−5.0 points, tested in one drawn pass)." in make_report(tmp_path).answer


def test_the_figure_has_a_line_for_each_form_and_tells_where_it_crosses_0(tmp_path: Path) -> None:
    swept(tmp_path, late, DESIGNATED)
    told = page(tmp_path)
    drawing = (tmp_path / "figures" / "gap-by-length.svg").read_text()
    for words in ("one drawn pass", "one even pass", "8 averaged passes", "logarithmic axis", "close to 0"):
        assert words in drawing
    assert "Rings: where the mean comes above 0, with two convolutions after " in told
    assert not (tmp_path / "figures" / "answer.svg").exists()


def test_one_seed_decides_nothing_and_says_so(tmp_path: Path) -> None:
    part = {"kind": "better", "a": {**FMP, "budget.epochs": 10}, "b": {**MAX, "budget.epochs": 10}, "margin": 0.002}
    swept(tmp_path, late, {**part, "headline": True}, seeds=1)
    lead = "On 5,000 MNIST digits nothing is decided after 10 epochs: 1 seed of at least 3 (one drawn pass)."
    assert make_report(tmp_path).answer == lead


def test_what_came_out_alike_after_one_budget_is_told_in_the_same_clause(tmp_path: Path) -> None:
    few = [factory.config(kind, epochs=10) for kind in ("max", "fmp")]
    for config in few:
        config["budget"]["train_examples"] = 500
    at = {"budget.train_examples": 500}
    better = {"kind": "better", "a": {**FMP, **at}, "b": {**MAX, **at}, "margin": 0.002, "headline": True}
    for gap, alike in ((0.03, True), (-0.03, False)):
        root = tmp_path / str(alike)
        swept(root, late, DESIGNATED)

        def truth(config: Any, rng: Any, gap: float = gap) -> dict[str, Any]:
            return {"accuracy": 0.8 + (gap if config["pool"]["kind"] == "fmp" else 0) + 0.0001 * rng.normal()}

        factory.sweep(root, "few", few, range(5), truth, {"W": {"claim": "few", "parts": [better]}})
        lead = make_report(root).answer
        assert ("In a network that max pooling takes to" in lead) is not alike
        assert f"after 10 epochs of 500 images, FMP is at {'+' if alike else '−'}3.0 [" in page(root)


def compared(root: Path, *networks: tuple[int, int, float, float]) -> None:
    """For each (depth, images, accuracy of max pooling, gap) FMP and max pooling after 10 epochs of so many images."""
    for depth, images, ends, gap in networks:
        pair = [factory.config(kind, conv_layers=depth, epochs=10) for kind in ("max", "fmp")]
        for config in pair:
            config["budget"]["train_examples"] = images

        def truth(config: Any, rng: Any, ends: float = ends, gap: float = gap) -> dict[str, Any]:
            return {"accuracy": ends + (gap if config["pool"]["kind"] == "fmp" else 0) + 0.0001 * rng.normal()}

        name = f"of{depth}x{images}"
        part = {"kind": "better", "a": FMP, "b": MAX, "margin": 0.002, "headline": True}
        factory.sweep(root, name, pair, range(5), truth, {f"W{depth}-{images}": {"claim": "c", "parts": [part]}})


def test_the_lead_about_the_best_network_is_not_about_one_that_was_trained_on_less(tmp_path: Path) -> None:
    """The other one, where FMP is ahead, has a sentence of its own."""
    compared(tmp_path, (2, 500, 0.5, 0.03), (3, 4000, 0.9, -0.01))
    lead = make_report(tmp_path).answer
    assert lead.startswith(
        "In a network that max pooling takes to 90.0 % on 5,000 MNIST digits, FMP is behind after 10 "
    )
    assert "10 epochs of 4,000 images (−1.0 points" in lead
    assert "after 10 epochs of 500 images, FMP is at +3.0 [" in page(tmp_path)


def test_many_networks_after_one_budget_leave_room_for_those_after_another(tmp_path: Path) -> None:
    compared(tmp_path, (2, 500, 0.5, 0.03), *((depth, 4000, 0.8 + depth / 50, -0.01) for depth in (1, 2, 3, 4)))
    told = re.findall(
        r"Where max pooling reaches (.*?) % on 5,000 MNIST digits after 10 epochs of (.*?) images", page(tmp_path)
    )
    assert told == [("88.0", "4,000"), ("86.0", "4,000"), ("50.0", "500")]


def test_one_fmp_network_against_several_of_max_pooling_reads_plainly(tmp_path: Path) -> None:
    def truth(config: Any, rng: Any) -> dict[str, Any]:
        deep, fmp = config["model"]["conv_layers"] == 3, config["pool"]["kind"] == "fmp"
        ends = 0.9 if fmp else 0.92 if deep else 0.85
        return {"accuracy": ends - (0.1 if config["budget"]["epochs"] == 1 else 0) + 0.0005 * rng.normal()}

    nets = [("fmp", 3), ("max", 2), ("max", 3)]
    configs = [factory.config(kind, conv_layers=depth, epochs=e) for kind, depth in nets for e in (1, 10)]
    parts = [{**DESIGNATED, "metric": "test_accuracy", "b": {**MAX, "model.conv_layers": d}} for d in (2, 3)]
    factory.sweep(tmp_path, "e", configs, range(5), truth, {"B": {"claim": "c", "parts": parts}})
    told = (
        "FMP with three convolutions is ahead of max pooling with two (+5.0 points) and behind max pooling with three"
    )
    assert told in make_report(tmp_path).answer


def test_a_headline_without_its_form_of_test_or_its_runs_is_named_as_missing(tmp_path: Path) -> None:
    swept(tmp_path, late, {**DESIGNATED, "metric": "views_accuracy"})
    told = page(tmp_path)
    assert "Not told here, for want of runs: B." in told
    assert "Not answered yet" in told


def test_a_headline_run_that_diverged_is_left_out_and_told(tmp_path: Path) -> None:
    swept(tmp_path, late, DESIGNATED)
    factory.write_run(tmp_path, factory.config("fmp", epochs=10), 4, 0.5, status="diverged")
    told = page(tmp_path)
    assert "ahead after 10 (+2.0 points, tested in one even pass)" in told
    assert "1 run ended badly and is left out." in told
    assert "4 and 5 seeds" in told


def test_the_claim_stands_in_its_own_words_early_and_at_the_end(tmp_path: Path) -> None:
    gap = {"kind": "gap", "answer": CLAIM, "range": [-0.20, -0.15], "margin": 0.05}
    at = [
        {**gap, "a": {**FMP, "budget.epochs": e}, "b": {**MAX, "budget.epochs": e}, "counts": e == 10}
        for e in (1, 3, 10)
    ]
    swept(tmp_path, lambda e: {1: -0.4, 3: -0.17, 10: -0.02}[e], *at)
    (row,) = [line for line in page(tmp_path).splitlines() if line.startswith(f"| {CLAIM}")]
    _, _, early, end, verdict, runs, _ = (cell.strip() for cell in row.split("|"))
    assert re.match(r"−(39\.9|40\.0) \[.*; −1[67]\.\d \[", early)
    assert re.match(r"−(1\.9|2\.0) \[", end)
    assert verdict == "**smaller than claimed** after 10 epochs, one drawn pass; reproduced after 3 epochs"
    assert runs == "B"


def test_behind_and_undecided_says_both(tmp_path: Path) -> None:
    part = {"kind": "comparable", "answer": "It is level", "margin": 0.01}
    swept(
        tmp_path,
        lambda _: -0.012,
        {**part, "a": {**FMP, "budget.epochs": 10}, "b": {**MAX, "budget.epochs": 10}},
        spread=0.003,
    )
    verdict = "**undecided** at n = 5 whether within ± 1 point, after 10 epochs, one drawn pass; it is behind"
    assert verdict in page(tmp_path)


def test_an_advantage_that_is_not_seen_at_all_says_so(tmp_path: Path) -> None:
    better = {"kind": "better", "answer": "It is ahead", "margin": 0.02}
    ends = {side: {**pool, "budget.epochs": 10} for side, pool in (("a", FMP), ("b", MAX))}
    swept(tmp_path, lambda _: -0.001, {**better, **ends}, spread=0.004)
    assert "**smaller than claimed** after 10 epochs, one drawn pass; no difference is shown" in page(tmp_path)
