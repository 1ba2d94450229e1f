"""Records → tables: what stands in runs.csv, and what happens to records that cannot be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import record_factory as factory

from fracpool.records import plain_text
from fracpool.settings.names import distinct_names, flatten
from fracpool.table import results
from fracpool.table.files import as_csv, write
from fracpool.table.results import read

DESIGN_COLUMNS = [
    "experiment", "variant", "dataset", "pool", "ratio", "conv_layers", "final_height", "final_width",
    "parameters", "macs", "train_examples", "epochs", "seed", "test_accuracy", "test_error", "repeats",
    "train_seconds", "status", "run_id",
]  # fmt: skip


def edit(root: Path, run: str, **changes: Any) -> None:
    """Changes fields of a record, by dotted key, as a stranger could."""
    path = root / "runs" / run / "record.json"
    data = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(data))


def test_runs_csv_and_parquet_hold_the_documented_columns(tmp_path: Path) -> None:
    run = factory.write_run(tmp_path, factory.config("fmp", 1.47, conv_layers=2), 3, 0.9)
    write(results.read(tmp_path))

    from_csv = pd.read_csv(tmp_path / "runs.csv")
    from_parquet = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(from_csv.columns) == list(from_parquet.columns) == DESIGN_COLUMNS
    row = from_parquet.iloc[0]
    assert row["run_id"] == run
    assert (row["ratio"], row["conv_layers"], row["final_height"], row["seed"]) == (1.47, 2, 12, 3)
    assert row["test_accuracy"] == pytest.approx(0.9)
    assert ",2,12,12," in (tmp_path / "runs.csv").read_text()  # whole numbers stay whole


def test_a_run_of_two_experiments_is_one_row_that_names_both(tmp_path: Path) -> None:
    config = factory.config("max")
    run = factory.write_run(tmp_path, config, 0, 0.9)
    for name in ("mnist_swap", "depth_ratio"):
        factory.write_sweep(tmp_path, name, [config], [run])
    runs = results.read(tmp_path).runs
    assert runs["experiment"].tolist() == ["depth_ratio;mnist_swap"]


def test_runs_of_no_experiment_are_kept(tmp_path: Path) -> None:
    factory.write_run(tmp_path, factory.config("max"), 0, 0.9)
    results = read(tmp_path)
    assert results.runs["experiment"].tolist() == [""]
    assert [len(e.variants) for e in results.experiments] == [1]


def test_diverged_and_missing_runs_are_told_apart(tmp_path: Path) -> None:
    config = factory.config("max")
    runs = [factory.write_run(tmp_path, config, seed, 0.9) for seed in (0, 1)]
    factory.write_run(tmp_path, config, 1, 0.9, status="diverged")
    factory.write_sweep(tmp_path, "mnist_swap", [config], [*runs, "planned-only"])
    results = read(tmp_path)
    assert sorted(results.runs["status"]) == ["completed", "diverged"]
    assert results.missing(results.experiments[0]) == ["planned-only"]


def test_variants_of_one_label_are_named_by_what_differs() -> None:
    configs = [factory.config("max", batch_norm=norm) for norm in (False, True)]
    labelled = [(factory.label(c), flatten(c)) for c in configs]
    assert distinct_names(labelled) == ["2 conv, max pool, no batch norm", "2 conv, max pool, batch norm"]


def test_what_is_off_in_one_and_unknown_to_another_tells_nothing() -> None:
    """A record from before a setting was there, and a newer one that leaves it alone."""
    known = [{"model.average": average, "budget.epochs": epochs} for average, epochs in ((None, 1), (0.99, 1))]
    labelled = [("max pool", settings) for settings in [{"budget.epochs": 2}, *known]]
    names = ["max pool, 2 epochs", "max pool, 1 epoch, no average", "max pool, 1 epoch, average 0.99"]
    assert distinct_names(labelled) == names
    assert distinct_names(labelled[:2]) == ["max pool, 2 epochs", "max pool, 1 epoch"]


def test_runs_of_two_versions_are_two_variants_that_say_so(tmp_path: Path) -> None:
    """A raised RESULTS_VERSION gives other ids; the same name for both would mix them in silence."""
    for version in (1, 2):
        changes = {"results_version": version, "variant_id": f"v{version}", "run_id": f"run-of-{version}"}
        factory.write_run(tmp_path, factory.config("max"), 0, 0.9, **changes)
    results = read(tmp_path)
    names = ["2 conv, max pool, results version 1", "2 conv, max pool, results version 2"]
    assert sorted(results.runs["variant"]) == names
    (loose,) = results.experiments
    assert sorted(variant.name for variant in loose.variants) == names


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_starts_like_a_formula_is_disarmed_in_csv(start: str) -> None:
    hostile = pd.DataFrame({"variant": [f"{start}cmd|' /C calc'!A0"], "ratio": [-1.5]})
    _, line = as_csv(hostile).split("\n", 1)
    assert line.lstrip('"').startswith("'")
    assert line.rstrip().endswith("-1.5")  # numbers stay numbers


HOSTILE = [
    {"seed": "zero"},
    {"seed": True},
    {"seed": 1.5},
    {"seed": None},
    {"config": []},
    {"files": "predictions.npz"},
    {"files": None},
    {"config__pool": None},
    {"config__pool": {"kind": ["max"]}},
    {"config__model": "plain"},
    {"config__budget__epochs": 10**400},
    {"metrics": None},
    {"metrics__test_accuracy": None},
    {"metrics__test_accuracy": "0.99"},
    {"metrics__test_accuracy": 7.0},
    {"metrics__averaged_accuracy": -0.1},
    {"geometry": "big"},
    {"geometry__layers": "conv"},
    {"geometry__layers": [1]},
    {"geometry__layers": [{"kind": "conv", "height": -3, "width": 3}]},
    {"geometry__layers": [{"height": 3, "width": 3}]},
    {"geometry__parameters": "many"},
    {"geometry__macs": 2**70},
    {"data": "here"},
    {"timings": [1]},
    {"timings__train_seconds": "long"},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda c: f"{next(iter(c))}={str(next(iter(c.values())))[:20]}")
def test_a_record_with_a_wrong_field_is_set_aside_in_one_line(tmp_path: Path, changes: dict[str, Any]) -> None:
    good = factory.write_run(tmp_path, factory.config("max"), 0, 0.9)
    bad = factory.write_run(tmp_path, factory.config("max"), 1, 0.9)
    edit(tmp_path, bad, **changes)
    results = read(tmp_path)
    assert results.runs["run_id"].tolist() == [good]
    (problem,) = results.problems
    assert bad in problem
    assert "\n" not in problem
    assert str(tmp_path) not in problem  # a report is the same wherever the folder lies


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": 99}', b"\xff\xfe", b'{"a":' * 5000, b'{"schema": 1, "run_id": NaN}']
)
def test_a_file_that_is_no_record_is_set_aside_in_one_line(tmp_path: Path, content: bytes) -> None:
    bad = factory.write_run(tmp_path, factory.config("max"), 1, 0.9)
    (tmp_path / "runs" / bad / "record.json").write_bytes(content)
    results = read(tmp_path)
    assert results.runs.empty
    assert len(results.problems) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": 3},
        {"variants": [{"label": "no id"}]},
        {"variants": [{"variant_id": "v", "label": "l", "config": {}, "geometry": {"layers": 3}}]},
        {"findings": [3]},
        {"findings": {"F1": 3}},
        {"impossible": [{}]},
        {"runs": 5},
    ],
    ids=str,
)
def test_a_wrong_sweep_file_is_set_aside_and_its_runs_are_kept(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = factory.config("max")
    run = factory.write_run(tmp_path, config, 0, 0.9)
    factory.write_sweep(tmp_path, "mnist_swap", [config], [run], **changes)
    results = read(tmp_path)
    assert results.runs["run_id"].tolist() == [run]
    assert len(results.problems) == 1
    assert "mnist_swap" in results.problems[0]


def test_text_loses_control_and_direction_marks() -> None:
    assert plain_text.text("a\x1b[31mb\u202ec\nd\x00") == "a[31mbc d"
    assert len(plain_text.text("x" * 10_000)) == plain_text.LONGEST_TEXT
    assert plain_text.text("分数最大池化") == "分数最大池化"
