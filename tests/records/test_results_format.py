"""docs/results-format.md describes the files as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import record_factory as factory
from conftest import TINY

from fracpool.findings.scores import METRICS
from fracpool.findings.verdicts import as_json, judge
from fracpool.records.record import HISTORY_COLUMNS
from fracpool.records.store import Store
from fracpool.sweep.sweep_file import NO_REPORT
from fracpool.table import results

DOCUMENT = Path(__file__).parents[2] / "docs" / "results-format.md"

pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="the wheel holds no documents")

TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "whole": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "whole or text": (int, str),
}


def described(heading: str) -> dict[str, str]:
    """Name → type of the table that follows a line which starts like `heading`."""
    after = DOCUMENT.read_text(encoding="utf-8").split(f"\n{heading}", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", after, flags=re.M)
    assert table is not None
    rows = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in table[0].splitlines()[2:]]
    return {row[0].strip("`"): row[1] for row in rows}


@pytest.fixture(scope="module")
def findings(quick: Path) -> dict[str, Any]:
    return json.loads((quick / "findings.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("heading", "file"), [("## runs.csv", "runs.csv"), ("## summary.csv", "summary.csv")])
def test_tables_have_the_columns_that_are_described(quick: Path, heading: str, file: str) -> None:
    read = pd.read_csv(quick / file)
    columns = described(heading)
    further = list(read.columns)[len(columns) :] if file == "runs.csv" else []
    assert list(read.columns) == [*columns, *further]
    known = r"(averaged_over|after_epoch)_\d+|(pool|model|optimizer|budget)\.\w+"
    assert all(re.fullmatch(known, name) for name in further)
    for name, type_ in columns.items():
        values = read[name].dropna()
        assert len(values) or "views" in name, name  # which these runs have none of
        assert not len(values) or pd.api.types.is_numeric_dtype(values) == (type_ != "text"), name
        assert type_ != "whole" or (values == values.round()).all(), name


def check(objects: Iterable[Mapping[str, Any]], fields: Mapping[str, str], optional: bool = False) -> None:
    """Every object has just these fields (with `optional`: no others), each seen at least once and of its type."""
    seen: set[str] = set()
    for given in objects:
        assert set(given) <= set(fields)
        assert optional or list(given) == list(fields)
        for name, value in given.items():
            assert value is None or isinstance(value, TYPES[fields[name]]), (name, value)
            seen.add(name)
    assert seen == set(fields)


def test_findings_have_the_fields_that_are_described(findings: dict[str, Any]) -> None:
    parts = [part for finding in findings["findings"] for part in finding["parts"]]
    compared = [p["numbers"] for p in parts if p["kind"] in ("gap", "comparable", "better") and p["numbers"]]
    check([findings], described("## findings.json"))
    check(findings["findings"], described("A finding:"))
    check(parts, described("A part:"))
    check(compared, described("`numbers` of `gap`"), optional=True)
    check([n["mcnemar"] for n in compared if n.get("mcnemar")], described("`mcnemar`:"))
    document = DOCUMENT.read_text(encoding="utf-8")
    for kind in ("final_size", "check"):
        sentence = re.search(rf"f `{kind}`: (.*?)[.(]", document, flags=re.S)
        assert sentence is not None
        names = set(re.findall(r"`(\w+)`", sentence[1]))
        assert {frozenset(p["numbers"]) for p in parts if p["kind"] == kind and p["numbers"]} == {frozenset(names)}


def test_histories_and_predictions_are_as_described(quick: Path) -> None:
    assert list(described("## history.csv")) == list(HISTORY_COLUMNS)
    record = next(r for r in Store(quick).read().records if "predictions.npz" in r.data["files"])
    arrays = set(described("## predictions.npz"))
    assert set(record.predictions()) == arrays - {"views", "even_views"}  # which not every record has
    assert arrays == {*METRICS.values(), "labels"}


def test_every_file_of_a_results_folder_is_described(quick: Path) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    for path in quick.iterdir():
        assert path.name in document


def test_records_and_sweeps_have_the_fields_that_are_described(train: Any, folder: Path) -> None:
    findings = "+experiment.findings.Q1={claim: c, parts: [{kind: check, metric: test_loss, limit: 9}]}"
    tested = ["views=flip", "consistency_shift=1"]
    result = train("-m", *TINY, "budget.epochs=1", *tested, "seed=0", NO_REPORT, "experiment.name=mine", findings)
    assert (result.code, result.err) == (0, "")
    root = folder / "results" / "mine"
    (record,) = Store(root).read().records
    check([record.data], described("## record.json"), optional=True)
    check([record.data["metrics"]], described("`metrics` of a completed"), optional=True)
    (sweep,) = Store(root).read_sweeps()[0].values()
    check([sweep], described("## sweeps/"), optional=True)


def test_every_kind_of_finding_has_its_numbers_described(tmp_path: Path) -> None:
    """Of a level, a ranking and a probability of improvement, which the quick profile has none of."""
    max_, fmp = {"pool.kind": "max"}, {"pool.kind": "fmp"}
    parts = [
        {"kind": "reaches", "variant": max_, "level": 0.9, "margin": 0.01},
        {"kind": "ranking", "first": max_},
        {"kind": "improvement", "a": max_, "b": fmp, "tasks": "dataset.name"},
    ]
    configs = [factory.config("max"), factory.config("fmp")]
    noise = {"Q1": {"claim": "c", "parts": parts}}
    factory.sweep(tmp_path, "mine", configs, range(4), lambda _, rng: {"accuracy": 0.9 + rng.normal(0, 0.01)}, noise)
    judged = as_json(judge(results.read(tmp_path)))["findings"][0]["parts"]
    text = DOCUMENT.read_text(encoding="utf-8").split("`numbers` of `reaches`, ")[1].split("## record.json")[0]
    common, _, own = text.partition("Beside these, ")
    for part in judged:
        sentence = re.search(rf"`{part['kind']}`:(.*?)(?:;|\n\n)", own, flags=re.S)
        assert sentence is not None
        told = set(re.findall(r"`(\w+)`", sentence[1])) | set(re.findall(r"`(\w+)`", common))
        assert set(part["numbers"]) <= told
        assert set(part["numbers"]) >= set(re.findall(r"`(\w+)`", sentence[1])) - {"a"}
    rows = next(part for part in judged if part["kind"] == "ranking")["numbers"]["ranking"]
    check(rows, described("`n`, `seeds`, `first`"))
