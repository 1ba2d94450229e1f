"""Finished runs in one file: read like their folders, given back byte for byte, and never lost on the way."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import record_factory as factory
from conftest import TINY

from fracpool import pack
from fracpool.records import packed as packed_module
from fracpool.records import packing
from fracpool.records.packed import PACKED_FILE
from fracpool.records.store import Store
from fracpool.report import write_report
from fracpool.table import results as tables


def level(settings: Any, rng: np.random.Generator) -> dict[str, Any]:
    return {"accuracy": 0.9, "averaged": 0.91}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Five seeds of two networks, with a sweep file."""
    root = tmp_path / "study"
    factory.sweep(root, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(5), level)
    return root


def files(root: Path, *left_out: str) -> dict[str, bytes]:
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    names = {str(path.relative_to(root)): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(left_out)}


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = pack.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_it_comes_back_byte_for_byte(study, capsys):
    before = files(study)
    assert said(capsys, study) == (0, f"10 runs packed, 10 in {PACKED_FILE}\n", "")
    assert not list((study / "runs").iterdir())
    assert said(capsys, study) == (0, f"0 runs packed, 10 in {PACKED_FILE}\n", "")
    assert said(capsys, study, "--unpack") == (0, "10 runs unpacked\n", "")
    assert files(study) == before


def test_everything_reads_it_like_the_folders(study, capsys):
    from fracpool import status

    write_report(study)
    before, seen = files(study, "runs", PACKED_FILE), str(status.read(study))
    curves = [(record.run_id, record.history()) for record in Store(study).read().records]
    predicted = [record.predictions() for record in Store(study).read().records]
    said(capsys, study)
    store = Store(study)
    assert [(record.run_id, record.history()) for record in store.read().records] == curves
    for record, arrays in zip(store.read().records, predicted, strict=True):
        again = record.predictions()
        assert {name: array.tolist() for name, array in again.items()} == {k: v.tolist() for k, v in arrays.items()}
    assert all(store.find(run).run_id == run and store.has(run) for run, _ in curves)
    assert str(status.read(study)) == seen
    write_report(study)
    assert files(study, "runs", PACKED_FILE) == before


def test_new_runs_stand_beside_packed_ones_and_a_folder_is_newer(study, capsys):
    said(capsys, study)
    factory.write_run(study, factory.config("max"), 7, 0.5)
    factory.write_run(study, factory.config("max"), 0, 0.25)
    kind = {record.run_id: record.data["config"]["pool"]["kind"] for record in Store(study).read().records}
    records = {r.data["seed"]: r for r in Store(study).read().records if kind[r.run_id] == "max"}
    assert records[0].data["metrics"]["test_accuracy"] == 0.25
    assert sorted(records) == [0, 1, 2, 3, 4, 7]
    assert said(capsys, study)[1] == f"2 runs packed, 11 in {PACKED_FILE}\n"
    assert Store(study).find(records[0].run_id).data["metrics"]["test_accuracy"] == 0.25


def test_a_run_that_cannot_be_used_stays_where_it_is(study, capsys):
    (damaged, *_) = sorted((study / "runs").iterdir())
    (damaged / "history.csv").write_text("nothing")
    code, out, _ = said(capsys, study)
    assert (code, out.splitlines()[0]) == (0, f"9 runs packed, 9 in {PACKED_FILE}")
    assert "left as it is" in out
    assert "differs from the checksum" in out
    assert [folder.name for folder in (study / "runs").iterdir()] == [damaged.name]


@pytest.mark.parametrize("place", ["before the folders go", "while they go", "while it is unpacked"])
def test_a_stop_on_the_way_loses_nothing(study, capsys, monkeypatch, place):
    before = files(study, "unfinished")
    if place == "while it is unpacked":
        said(capsys, study)
    calls = []

    def stopped(*arguments, **options):
        calls.append(arguments)
        if len(calls) > (place != "before the folders go") * 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    name = "_write_folder" if place == "while it is unpacked" else "_compare"
    owner = packing
    if place == "while they go":
        owner, name = packing.shutil, "rmtree"
    original = getattr(owner, name)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            said(capsys, study, *(["--unpack"] if place == "while it is unpacked" else []))
    assert len(Store(study).read().records) == 10
    said(capsys, study)
    said(capsys, study, "--unpack")
    assert files(study, "unfinished") == before


def test_a_packed_run_is_skipped(train, folder):
    run = [*TINY, "pool=max", "budget.epochs=1"]
    assert train(*run).code == 0
    assert pack.main([str(folder / "results" / "mine")]) == 0
    assert "skipped, its record is there" in train(*run).out
    assert "1 skipped because" in train("-m", *run, "seed=0", "~hydra.callbacks.report").out


# ---- what comes from somebody else ----


def rows(study: Path) -> list[dict]:
    return pyarrow.parquet.read_table(study / PACKED_FILE).to_pylist()


def write(study: Path, table: pyarrow.Table, **options) -> None:
    pyarrow.parquet.write_table(table, study / PACKED_FILE, **options)


def truncated(study):
    whole = (study / PACKED_FILE).read_bytes()
    (study / PACKED_FILE).write_bytes(whole[: len(whole) // 2])


def no_parquet(study):
    (study / PACKED_FILE).write_text("run_id\n")


def another_schema(study):
    table = pyarrow.parquet.read_table(study / PACKED_FILE)
    write(study, table.replace_schema_metadata({b"fracpool.packed": b"99"}))


def no_schema(study):
    write(study, pyarrow.parquet.read_table(study / PACKED_FILE).replace_schema_metadata({}))


def other_columns(study):
    table = pyarrow.parquet.read_table(study / PACKED_FILE)
    write(study, table.drop_columns(["history.csv"]))


def a_run_twice(study):
    whole = rows(study)
    write(study, pyarrow.Table.from_pylist([*whole, whole[0]], schema=packed_module._schema()), use_dictionary=False)


def a_dictionary(study):
    """A value of any size that stands there once, and is read as often as it is named."""
    write(study, pyarrow.parquet.read_table(study / PACKED_FILE), use_dictionary=True)


def values_that_repeat_what_came_before(study):
    table = pyarrow.parquet.read_table(study / PACKED_FILE)
    write(study, table, use_dictionary=False, column_encoding={"record.json": "DELTA_BYTE_ARRAY"})


def a_footer_of_any_size(study):
    whole = (study / PACKED_FILE).read_bytes()
    (study / PACKED_FILE).write_bytes(bytes(17 * 2**20) + (17 * 2**20).to_bytes(4, "little") + whole[-4:])


def small_groups(study):
    write(study, pyarrow.parquet.read_table(study / PACKED_FILE), row_group_size=3)


def a_link(study):
    shutil.move(study / PACKED_FILE, study.parent / "elsewhere")
    (study / PACKED_FILE).symlink_to(study.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "not a file of packed runs"),
        (no_parquet, "not a file of packed runs"),
        (another_schema, "packed schema 99, this fracpool reads 1"),
        (no_schema, "packed schema none"),
        (other_columns, "other columns"),
        (a_run_twice, "2 times"),
        (a_dictionary, "not plain ones"),
        (values_that_repeat_what_came_before, "pages of other than plain values"),
        (a_footer_of_any_size, "metadata are more than"),
        (small_groups, "row groups of other sizes"),
        (a_link, "link"),
    ],
)
def test_a_packed_file_that_cannot_be_used_gets_one_line_and_stays(study, capsys, damage, words):
    said(capsys, study)
    factory.write_run(study, factory.config("max"), 7, 0.5)
    damage(study)
    before = files(study)
    results = tables.read(study)
    assert len(results.records) == 1
    (problem,) = results.problems
    assert words in problem
    for arguments in ([study], [study, "--unpack"]):
        code, _, err = said(capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
    assert files(study) == before


@pytest.mark.parametrize("name", ["record.json", "history.csv", "predictions.npz"])
def test_a_damaged_run_in_it_costs_that_run(study, capsys, name):
    said(capsys, study)
    whole = rows(study)
    whole[3][name] = whole[3][name][:-9] + b"x" * 9
    (study / PACKED_FILE).write_bytes(packed_module.pack((row.pop("run_id"), row) for row in whole))
    store = Store(study)
    run = sorted(record.run_id for record in store.read().records)[3] if name != "record.json" else None
    assert len(store.read().records) == (9 if name == "record.json" else 10)
    assert len(store.read().problems) == (name == "record.json")
    if run:
        assert store.find(run) is None  # it is run again
    write_report(study)


def test_what_it_would_take_is_told_before_it_is_taken(study, capsys, monkeypatch):
    said(capsys, study)
    monkeypatch.setattr(packed_module, "MAX_UNPACKED_BYTES", 1000)
    packed_module._read_known.cache_clear()
    (problem,) = Store(study).read().problems
    assert "unpacks to more than 1000 bytes" in problem


def varint(number: int) -> bytes:
    """A number from 0 as Thrift's compact protocol has it: zigzag, seven bits a byte."""
    rest, found = 2 * number, []
    while rest > 127:
        found.append(128 | rest & 127)
        rest >>= 7
    return bytes([*found, rest])


def test_pages_are_as_large_as_their_headers_say_whatever_the_metadata_do(study, capsys, monkeypatch):
    said(capsys, study)
    whole = rows(study)
    for row in whole:
        row["history.csv"] = bytes(10**6)
    path = study / PACKED_FILE
    path.write_bytes(packed_module.pack((row.pop("run_id"), row) for row in whole))
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(2)
    true, told = varint(column.total_uncompressed_size), varint(2**21)
    assert len(true) == len(told)
    before, after = path.read_bytes().rsplit(true, 1)
    path.write_bytes(before + told + after)
    assert pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(2).total_uncompressed_size == 2**21

    monkeypatch.setattr(packed_module, "MAX_GROUP_BYTES", 2**22)
    packed_module._read_known.cache_clear()
    (problem,) = Store(study).read().problems
    assert "unpacks to more than" in problem


def test_a_record_under_another_name_is_refused(study, capsys):
    said(capsys, study)
    whole = rows(study)
    whole[0]["run_id"] = "another-run"
    (study / PACKED_FILE).write_bytes(packed_module.pack((row.pop("run_id"), row) for row in whole))
    (problem,) = Store(study).read().problems
    assert "not 'another-run'" in problem


def test_a_folder_without_runs_gets_one_line(tmp_path, capsys):
    code, _, err = said(capsys, tmp_path)
    assert code == 2
    assert "holds no runs" in err
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_what_any_reader_of_parquet_reads(study, capsys):
    said(capsys, study)
    (first, *_) = rows(study)
    assert json.loads(first["record.json"])["run_id"] == first["run_id"]
    assert pyarrow.parquet.ParquetFile(io.BytesIO((study / PACKED_FILE).read_bytes())).metadata.num_rows == 10


def test_flipped_bits_cost_runs_or_the_file_and_nothing_else(study, capsys):
    said(capsys, study)
    path, rng = study / PACKED_FILE, np.random.default_rng(1)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.choice((1, 10))):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        reading = Store(study).read()
        for record in reading.records:
            Store(study).find(record.run_id)
