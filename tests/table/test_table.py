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
from fracpool.table.variant_names import COLUMNS as WORDS

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
    forms = ["averaged_accuracy", "even_accuracy"]
    assert list(from_csv.columns) == list(from_parquet.columns) == [*DESIGN_COLUMNS, *forms, *WORDS]
    row = from_parquet.iloc[0]
    assert list(row[list(WORDS)]) == ["2 conv", "FMP 1.47 random", "mnist5k", "3 epochs"]
    assert row["run_id"] == run
    assert (row["ratio"], row["conv_layers"], row["final_height"], row["seed"]) == (1.47, 2, 12, 3)
    assert row["test_accuracy"] == pytest.approx(0.9)
    assert ",2,12,12," in (tmp_path / "runs.csv").read_text()  # whole numbers stay whole


def test_every_test_form_has_a_column(tmp_path: Path) -> None:
    run = factory.write_run(tmp_path, factory.config("fmp"), 0, 0.9)
    kept = {"1": 0.9, "2": 0.91, "4": 0.92, "6": 0.925, "8": 0.93, "3": 0.5, "16": "high", "32": 7}
    forms = {"repeats": 8, "averaged_accuracy": 0.93, "deterministic_accuracy": 0.88, "accuracy_by_repeats": kept}
    forms |= {"views_accuracy": 0.94, "even_views_accuracy": 0.945}
    edit(tmp_path, run, **{f"metrics__{name}": value for name, value in forms.items()})
    factory.write_run(tmp_path, factory.config("max"), 0, 0.95)
    write(results.read(tmp_path))
    fmp, maximum = pd.read_csv(tmp_path / "runs.csv").sort_values("pool").to_dict("records")
    assert (fmp["averaged_accuracy"], fmp["even_accuracy"]) == (0.93, 0.88)
    assert (fmp["averaged_over_2"], fmp["averaged_over_4"]) == (0.91, 0.92)
    assert (fmp["views_accuracy"], fmp["even_views_accuracy"]) == (0.94, 0.945)
    assert {name for name in fmp if name.startswith("averaged_over")} == {f"averaged_over_{n}" for n in (2, 4, 6)}
    assert pd.isna(maximum["averaged_over_2"])


def test_every_setting_that_differs_has_a_column_of_its_name(tmp_path: Path) -> None:
    def rate(value: float, **model: Any) -> dict[str, Any]:
        made = factory.config("max", **model)
        return {**made, "optimizer": {**made["optimizer"], "learning_rate": value}}

    own = {"layer": "mine.Pool", "code": "0", "stochastic": True}
    configs = [rate(0.1), rate(0.01, pad_to=64, dense=[7]), rate(0.1, batch_norm=True)]
    soft = [{"kind": "soft", **own, "arguments": {"beta": beta}} for beta in (1, 2)]
    configs += [{**factory.config("max"), "pool": pool} for pool in soft]
    configs += [factory.config("fmp", pseudo_random=True), factory.config("fmp")]
    moved = {"augmentation": {"shift": 2}, "precision": "mixed_bfloat16"}  # which a record has only where it is unusual
    configs += [{**factory.config("max"), **moved}]
    for config in configs:
        factory.write_run(tmp_path, config, 0, 0.9)
    write(results.read(tmp_path))
    table = pd.read_csv(tmp_path / "runs.csv")
    further = list(table.columns[table.columns.get_loc("budget") + 1 :])
    assert further == [
        "pool.pseudo_random", "model.pad_to", "model.batch_norm", "model.dense",
        "optimizer.learning_rate", "augmentation.shift", "precision", "pool.arguments.beta",
    ]  # fmt: skip
    assert sorted(table["pool.arguments.beta"].dropna()) == [1, 2]
    assert set(table["model.dense"]) == {"[128]", "[7]"}
    assert sorted(table["optimizer.learning_rate"].unique()) == [0.001, 0.01, 0.1]
    assert set(table.loc[table["pool"] == "fmp", "pool.pseudo_random"].astype(str).str.lower()) == {"true", "false"}
    assert table["model.pad_to"].dropna().tolist() == [64]
    parquet = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(parquet.columns) == list(table.columns)
    assert pd.api.types.is_integer_dtype(parquet["pool.arguments.beta"])


def test_every_accuracy_that_a_finding_quotes_is_a_mean_of_a_column(quick: Path) -> None:
    """In the table of runs, by the experiment's name and the variant's, for the seeds that the finding names."""
    table = pd.read_csv(quick / "runs.csv")
    columns = {"test_accuracy": "test_accuracy", "averaged_accuracy": "averaged_accuracy",
               "deterministic_accuracy": "even_accuracy"}  # fmt: skip
    quoted = 0
    for finding in json.loads((quick / "findings.json").read_text())["findings"]:
        of_experiment = table[[finding["experiment"] in names.split(";") for names in table["experiment"]]]
        for numbers in (part["numbers"] for part in finding["parts"] if "mean_a" in part["numbers"]):
            for side in "ab":
                metric = numbers["metric"] if side == "a" else numbers.get("metric_b", numbers["metric"])
                column = columns[metric] if numbers["at"] == "end" else f"after_epoch_{numbers['at']}"
                runs = of_experiment[of_experiment["variant"] == numbers[side]]
                found = runs[runs["seed"].isin(numbers["seeds"])][column]
                assert found.mean() == pytest.approx(numbers[f"mean_{side}"], abs=1e-12), (finding["id"], numbers)
                quoted += 1
    assert quoted > 20


@pytest.mark.parametrize("value", [2**62, float("1e200"), [[1], {"a": 2}], "=1+1", {"a": {"b": 1}}, True])
def test_whatever_a_setting_holds_the_table_is_written(tmp_path: Path, value: Any) -> None:
    runs = [factory.write_run(tmp_path, factory.config("max"), seed, 0.9) for seed in (0, 1)]
    edit(tmp_path, runs[0], config__model={**factory.config("max")["model"], "dropout": value})
    write(results.read(tmp_path))
    assert pd.read_parquet(tmp_path / "runs.parquet")["seed"].tolist() == [0, 1]


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


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("results_dir=/home/me/results", "results_dir=…/results"),
        ("No such file: '/home/me/my data.npz'", "No such file: '…/my data.npz'"),
        (
            'File "/home/me/.venv/lib/python3.11/site-packages/keras/src/layer.py", line 3',
            'File "…/keras/src/layer.py", line 3',
        ),
        ('File "/usr/lib/python3.11/csv.py", line 3', 'File "…/csv.py", line 3'),
        ('File "/srv/x/src/fracpool/training/run.py", line 3', 'File "…/fracpool/training/run.py", line 3'),
        (
            "pool.ratio=1.4 hydra/launcher=joblib 3/4 https://example.org/a/b ../x/y",
            "pool.ratio=1.4 hydra/launcher=joblib 3/4 https://example.org/a/b ../x/y",
        ),
    ],
)
def test_text_that_is_published_names_no_folder_of_the_machine(words: str, shown: str) -> None:
    assert plain_text.without_folders(words) == shown


def test_text_loses_control_and_direction_marks() -> None:
    assert plain_text.text("a\x1b[31mb\u202ec\nd\x00") == "a[31mbc d"
    assert len(plain_text.text("x" * 10_000)) == plain_text.LONGEST_TEXT
    assert plain_text.text("分数最大池化") == "分数最大池化"
