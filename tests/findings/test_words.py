"""Verdicts in the words that people read: how a claim was missed, after which training, in which form of test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import record_factory as factory

from fracpool.findings.verdicts import Finding, judge
from fracpool.findings.words import LARGER, OPPOSITE, SMALLER, TOO_SHORT, UNDECIDED
from fracpool.report import make_report
from fracpool.table import results

FMP, MAX = {"pool.kind": "fmp"}, {"pool.kind": "max"}
GAP = {"kind": "gap", "range": [-0.20, -0.15], "margin": 0.05}
RISE = {"kind": "gap", "range": [0.05, 0.06], "margin": 0.01}
LEVEL = {"kind": "comparable", "margin": 0.01}
BETTER = {"kind": "better", "margin": 0.01}
REACHES = {"kind": "reaches", "variant": FMP, "level": 0.9, "margin": 0.005}


def swept(root: Path, gap: float, part: dict[str, Any], seeds: int = 5, spread: float = 0.002) -> None:
    def truth(config: Any, rng: Any) -> dict[str, Any]:
        is_fmp = config["pool"]["kind"] == "fmp"
        return {"accuracy": 0.7 + (gap if is_fmp else 0) + spread * rng.normal(), "averaged": 0.7}

    pair = {} if part["kind"] == "reaches" else {"a": FMP, "b": MAX}
    configs = [factory.config(kind, epochs=10) for kind in ("max", "fmp")]
    factory.sweep(root, "e", configs, range(seeds), truth, {"F": {"claim": "c", "parts": [{**pair, **part}]}})


def judged(root: Path, *args: Any, **kwargs: Any) -> Finding:
    swept(root, *args, **kwargs)
    (finding,) = judge(results.read(root))
    return finding


@pytest.mark.parametrize(
    ("gap", "part", "word"),
    [
        (-0.17, GAP, "reproduced"),
        (-0.01, GAP, SMALLER),
        (-0.40, GAP, LARGER),
        (0.05, GAP, OPPOSITE),
        (0.01, RISE, SMALLER),
        (0.20, RISE, LARGER),
        (-0.20, RISE, OPPOSITE),
        (0.05, LEVEL, LARGER),
        (-0.05, LEVEL, OPPOSITE),
        (-0.05, BETTER, OPPOSITE),
        (0.0, BETTER, SMALLER),
        (0.05, REACHES, SMALLER),
    ],
)
def test_a_missed_claim_says_how(tmp_path: Path, gap: float, part: dict[str, Any], word: str) -> None:
    assert judged(tmp_path, gap, part).word == word


def test_a_level_network_that_ends_ahead_is_more_than_was_claimed(tmp_path: Path) -> None:
    part = {"kind": "since", "along": "budget.epochs", "relation": "level", "margin": 0.002, "a": FMP, "b": MAX}

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        gap = {1: -0.05, 10: 0.02}[config["budget"]["epochs"]] if config["pool"]["kind"] == "fmp" else 0
        return {"accuracy": 0.9 + gap + 0.001 * rng.normal()}

    configs = [factory.config(kind, epochs=epochs) for kind in ("max", "fmp") for epochs in (1, 10)]
    factory.sweep(tmp_path, "e", configs, range(5), truth, {"F": {"claim": "c", "parts": [part]}})
    (finding,) = judge(results.read(tmp_path))
    assert (finding.verdict, finding.word, finding.scope) == ("not reproduced", LARGER, "10 epochs, one drawn pass")


def test_what_seeds_leave_open_says_at_how_many(tmp_path: Path) -> None:
    finding = judged(tmp_path, -0.02, LEVEL, seeds=3, spread=0.03)
    assert (finding.word, finding.told) == (UNDECIDED, "undecided at n\u00a0=\u00a03")


def test_a_claim_about_a_longer_training_is_not_refuted_by_a_shorter_one(tmp_path: Path) -> None:
    assert judged(tmp_path / "short", -0.05, {**BETTER, "claimed_epochs": 410}).word == TOO_SHORT
    assert judged(tmp_path / "as long", -0.05, {**BETTER, "claimed_epochs": 10}).word == OPPOSITE
    assert judged(tmp_path / "held", 0.05, {**BETTER, "claimed_epochs": 410}).word == "reproduced"


def test_a_verdict_names_budget_and_form_of_test_wherever_it_is_read(tmp_path: Path) -> None:
    swept(tmp_path, -0.05, {**BETTER, "metric": "averaged_accuracy", "metric_b": "test_accuracy"})
    report = make_report(tmp_path)
    scope = "10 epochs, 8 averaged passes against one pass"
    shown = json.loads((tmp_path / "findings.json").read_text())["findings"][0]
    assert (shown["scope"], shown["parts"][0]["scope"]) == (scope, scope)
    for read in (str(report), (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()):
        assert scope in read
        assert "not reproduced" not in read
        assert "inconclusive" not in read


def test_averaged_passes_against_the_one_of_a_network_without_chance_are_told_as_that(tmp_path: Path) -> None:
    part = {**BETTER, "metric": "averaged_accuracy"}
    assert judged(tmp_path, -0.05, part).scope == "10 epochs, 8 averaged passes against one pass"
    turned = {**part, "a": MAX, "b": FMP}
    assert judged(tmp_path / "turned", -0.05, turned).scope == "10 epochs, 8 averaged passes against one pass"


def test_last_of_a_set_is_not_undecided_on_account_of_its_neighbour(tmp_path: Path) -> None:
    """Though none of the others, each by itself, is shown to be ahead of it."""
    first, others = [0.880, 0.881, 0.880, 0.881], [[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]
    swings = [[sign * side for side in other] for other in others for sign in (1, -1)]
    accuracies = iter([*first, *(0.892 + 0.02 * side for swing in swings for side in swing)])
    configs = [factory.config("fmp", 1.2 + 0.05 * step) for step in range(7)]
    part = {"kind": "ranking", "first": {"pool.ratio": 1.2}}
    truth = lambda config, rng: {"accuracy": next(accuracies)}  # noqa: E731
    factory.sweep(tmp_path, "e", configs, range(4), truth, {"F": {"claim": "c", "parts": [part]}})
    (finding,) = judge(results.read(tmp_path))
    assert finding.word == OPPOSITE
