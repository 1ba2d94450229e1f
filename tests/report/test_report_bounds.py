"""A report over what asks for too much, or cannot be used: it costs itself and a line, and the rest stands."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_factory as factory

from fracpool.findings import contrasts, verdicts
from fracpool.report import write_report
from fracpool.report.figures import curves
from fracpool.table import limits, predictions, results

BETTER = {"kind": "better", "title": "b", "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.005}
POOLS = [factory.config("max"), factory.config("fmp")]


def truth(config: Any, rng: np.random.Generator) -> dict[str, Any]:
    return {"accuracy": (0.85 if config["pool"]["kind"] == "fmp" else 0.9) + rng.normal(0, 0.002)}


def swept(root: Path, seeds: int = 3, findings: Any = (), variants: Any = POOLS) -> list[str]:
    return factory.sweep(root, "mnist_swap", variants, range(seeds), truth, list(findings))


def replace(root: Path, run: str, name: str, content: bytes) -> None:
    """A file of a record that its record vouches for, as a stranger would make it."""
    record = root / "runs" / run / "record.json"
    (record.parent / name).write_bytes(content)
    data = json.loads(record.read_text())
    data["files"][name] = hashlib.sha256(content).hexdigest()
    record.write_text(json.dumps(data))


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def report(root: Path) -> str:
    return write_report(root).with_name("report.md").read_text()


@pytest.mark.parametrize("kind", ["other labels", "NaN labels", "no predictions file"])
def test_two_networks_whose_predictions_cannot_be_compared_are_compared_without(tmp_path: Path, kind: str) -> None:
    for number, run in enumerate(swept(tmp_path, findings=[{"id": "F", "claim": "c", "parts": [BETTER]}])):
        labels = (np.arange(200) + number) % 10
        made = {
            "other labels": npz(one_pass=labels.astype(np.uint8), labels=labels.astype(np.uint8)),
            "NaN labels": npz(one_pass=labels.astype(np.uint8), labels=np.full(200, np.nan)),
            "no predictions file": b"x",
        }
        replace(tmp_path, run, "predictions.npz", made[kind])
    assert "### F: opposite" in report(tmp_path)
    assert "McNemar" not in report(tmp_path)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e400"])
def test_a_number_that_no_computer_holds_costs_its_file(tmp_path: Path, number: str) -> None:
    swept(tmp_path)
    path = tmp_path / "sweeps" / "mnist_swap.json"
    path.write_text(path.read_text().replace('"ratio": 1.47', f'"ratio": {number}', 1))
    assert "sweeps/mnist\\_swap.json: not valid JSON" in report(tmp_path)


def test_an_endless_curve_costs_its_record_alone(tmp_path: Path) -> None:
    run = swept(tmp_path)[0]
    history = tmp_path / "runs" / run / "history.csv"
    replace(tmp_path, run, "history.csv", history.read_bytes().replace(b"4000", b"inf"))
    assert "ended behind" not in report(tmp_path)
    assert (tmp_path / "figures" / "mnist_swap-budget.svg").is_file()


def test_a_folder_in_the_place_of_a_figure_costs_the_file_alone(tmp_path: Path) -> None:
    swept(tmp_path)
    for name in ("mnist_swap-budget", "gone-budget"):
        (tmp_path / "figures" / f"{name}.svg").mkdir(parents=True)
    assert "figures/mnist\\_swap-budget.svg: a folder" in report(tmp_path)
    assert "Accuracy against budget" in (tmp_path / "report.html").read_text()


def test_what_is_more_than_a_report_takes_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking = {"kind": "ranking", "variants": {}, "first": {"pool.kind": "max"}, "at": ["end"] * 50}
    better = BETTER | {"a": {"pool.kind": "fmp", "pool.ratio": 1.47}}
    findings = [{"id": "F", "claim": "c", "parts": [better, ranking]}, {"id": "G", "claim": "c", "parts": [BETTER]}]
    swept(tmp_path, seeds=5, findings=findings, variants=[*POOLS, factory.config("fmp", 1.3)])
    for name in ("asker", "depth_ratio"):
        factory.write_sweep(tmp_path, name, POOLS, [], [])
    before = report(tmp_path)
    assert "50 parts" not in before
    assert f"a folder has room for {verdicts.MOST_PARTS}" in before or "rankings and improvements" in before
    for module, name, value in (
        (limits, "MOST_EXPERIMENTS", 2),
        (limits, "MOST_FINDINGS", 1),
        (limits, "MOST_SEEDS", 4),
        (contrasts, "MOST_PAIRS", 1),
        (predictions, "MOST_IMAGES", 100),
    ):
        monkeypatch.setattr(module, name, value)
    said = report(tmp_path)
    for words in (
        "left out, beyond 2 experiments",
        "1 of 2 findings are left out",
        "4 of 5 runs are compared",
        "pairs of networks beyond 1 are left out",
        "its predictions for more than 100 images are left out",
    ):
        assert words in said, words
    assert len(results.read(tmp_path).runs) == 15  # the table of runs holds them all


def test_a_finding_some_of_whose_parts_are_left_out_is_not_reproduced_by_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = BETTER | {"a": BETTER["b"], "b": BETTER["a"]}
    swept(tmp_path, findings=[{"id": "F", "claim": "c", "parts": [worse, worse]}])
    assert verdicts.judge(results.read(tmp_path))[0].verdict == "reproduced"
    monkeypatch.setattr(verdicts, "MOST_PARTS", 1)
    assert verdicts.judge(results.read(tmp_path))[0].verdict == "inconclusive"


def test_settings_of_unusual_size_cost_their_record(tmp_path: Path) -> None:
    swept(tmp_path)
    factory.write_run(tmp_path, factory.config("max", x=["y" * 50] * 1000), 7, 0.9)
    assert "config holds more than 20000 characters" in report(tmp_path)


def test_points_of_a_curve_are_thinned_evenly() -> None:
    assert curves.evenly([1, 2, 3], 3) == [1, 2, 3]
    thinned = curves.evenly(range(10_000), 100)
    assert (len(thinned), thinned[0], thinned[-1]) == (100, 0, 9999)
    assert sorted(set(thinned)) == list(thinned)
