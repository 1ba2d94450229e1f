"""The run record: whole or not at all, and read with suspicion."""

import contextlib
import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracpool.records import plain_json
from fracpool.records import record as record_module
from fracpool.records.files import StorageError
from fracpool.records.record import HISTORY_COLUMNS, RecordError, digest
from fracpool.records.store import Store

DATA = {
    "run_id": "a-1",
    "status": "completed",
    "config": {},
    "geometry": {},
    "metrics": {"test_accuracy": 0.5},
    "seed": 0,
    "variant_id": "v",
}


def row(epoch: int) -> dict[str, float]:
    return {name: float("nan") if name == "test_loss" else epoch for name in HISTORY_COLUMNS}


def predictions() -> dict[str, np.ndarray]:
    return {"one_pass": np.eye(4, dtype=np.float16), "labels": np.arange(4, dtype=np.uint8)}


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    store.write(DATA, [row(1), row(2)], predictions())
    return store


def test_what_is_written_is_read(store):
    record = store.find("a-1")
    assert record.data["metrics"] == {"test_accuracy": 0.5}
    assert [r["epoch"] for r in record.history()] == [1, 2]
    assert np.isnan(record.history()[0]["test_loss"])
    assert np.array_equal(record.predictions()["one_pass"], predictions()["one_pass"])
    assert store.find("a-2") is None


def test_classes_are_read_as_they_were_and_pack_into_a_few_hundred_bytes(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000, dtype=np.uint8)
    wrong = rng.random(10_000) < 0.01
    chosen = np.where(wrong, rng.integers(0, 10, 10_000, dtype=np.uint8), labels)
    record = Store(tmp_path).write(DATA, predictions={"one_pass": chosen, "averaged": labels, "labels": labels})
    assert {name: list(array) for name, array in record.predictions().items()} == {
        "one_pass": list(chosen),
        "averaged": list(labels),
        "labels": list(labels),
    }
    with zipfile.ZipFile(record.folder / "predictions.npz") as archive:
        sizes = {member.filename: member.compress_size for member in archive.infolist()}
    assert max(sizes.values()) < 500, sizes


def test_runs_that_keep_classes_share_their_labels(tmp_path):
    store, labels = Store(tmp_path), np.arange(100, dtype=np.uint8)
    for run in ("a-1", "a-2"):
        store.write(DATA | {"run_id": run}, predictions={"one_pass": labels, "labels": labels})
    (file,) = (tmp_path / "labels").iterdir()
    first, second = store.read().records
    assert np.array_equal(first.predictions()["labels"], labels)
    np.savez_compressed(file, labels=labels[::-1])
    with pytest.raises(RecordError, match=r"labels/.*: not the labels that its name stands for"):
        second.predictions()
    file.unlink()
    with pytest.raises(RecordError, match=r"labels/.*: missing"):
        second.predictions()
    store.write(DATA | {"run_id": "a-3"}, predictions={"one_pass": labels, "labels": labels})
    assert np.array_equal(second.predictions()["labels"], labels)


def test_labels_come_from_the_folder_itself(tmp_path):
    labels = np.zeros(4, np.uint8)
    record = Store(tmp_path / "own").write(DATA, predictions={"one_pass": labels, "labels": labels})
    os.rename(tmp_path / "own" / "labels", tmp_path / "elsewhere")
    (tmp_path / "own" / "labels").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="labels: a link, which is not followed"):
        record.predictions()
    assert Store(tmp_path / "own").links() == [tmp_path / "own" / "labels"]


def damage_truncate(folder):
    (folder / "record.json").write_bytes((folder / "record.json").read_bytes()[:-20])


def damage_edit(folder):
    data = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(data | {"run_id": "b-2"}))


def damage_nan(folder):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace("0.5", "NaN"))


def damage_schema(folder):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"schema": 1', '"schema": 99'))


def damage_status(folder):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"completed"', '"splendid"'))


def damage_list(folder):
    (folder / "record.json").write_text("[]")


def damage_depth(folder):
    (folder / "record.json").write_text("[" * 100_000)


def damage_binary(folder):
    (folder / "record.json").write_bytes(bytes(range(256)))


def damage_link(folder):
    (folder / "record.json").unlink()
    (folder / "record.json").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_truncate, "not valid JSON"),
        (damage_edit, "moved or edited"),
        (damage_nan, "NaN"),
        (damage_schema, "schema 99"),
        (damage_status, "splendid"),
        (damage_list, "no JSON object"),
        (damage_depth, "not valid JSON"),
        (damage_binary, "not valid JSON"),
        (damage_link, "a link, which is not followed"),
    ],
)
def test_a_damaged_record_is_named_and_set_aside(store, damage, said):
    store.write(DATA | {"run_id": "c-3"})
    damage(store.folder("a-1"))
    reading = store.read()
    assert [r.run_id for r in reading.records] == ["c-3"]
    (problem,) = reading.problems
    assert said in problem
    assert str(store.folder("a-1") / "record.json") in problem
    assert "\n" not in problem
    assert store.find("a-1") is None
    assert not (store.root / "damaged").exists()  # looking moves nothing
    store.set_aside("a-1")
    (aside,) = (store.root / "damaged").iterdir()
    assert (aside / "predictions.npz").is_file()


def test_a_folder_without_its_record_is_set_aside_and_not_deleted(store):
    (store.folder("a-1") / "record.json").unlink()
    assert store.find("a-1") is None
    store.write(DATA)
    (aside,) = (store.root / "damaged").iterdir()
    assert (aside / "predictions.npz").is_file()
    assert store.find("a-1").status == "completed"


@pytest.mark.parametrize("part", ["runs", "sweeps"])
def test_a_part_that_leads_out_of_the_folder_is_not_followed(store, tmp_path_factory, part):
    store.write_sweep("mine", {"runs": ["a-1"]})
    elsewhere = tmp_path_factory.mktemp("elsewhere") / part
    (store.root / part).rename(elsewhere)
    (store.root / part).symlink_to(elsewhere)
    records, sweeps, problems = store.read().records, *store.read_sweeps()
    assert (len(records), len(sweeps)) == ((0, 1) if part == "runs" else (1, 0))
    (problem,) = [*store.read().problems, *problems]
    assert "a link, which is not followed" in problem


def test_a_run_that_is_a_link_is_no_record(store, tmp_path_factory):
    """Neither for a report nor for a sweep, which would else skip what no report shows."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a-1"
    store.folder("a-1").rename(elsewhere)
    store.folder("a-1").symlink_to(elsewhere)
    assert (len(store.read().records), len(store.read().problems)) == (0, 1)
    assert store.find("a-1") is None
    assert (elsewhere / "record.json").is_file()


@pytest.mark.parametrize("place", ["unfinished/a-2", "unfinished", "runs", "labels", "damaged", "sweeps"])
def test_nothing_is_written_through_a_link(store, tmp_path_factory, place):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = store.root / place
    if path.exists():
        path.rename(store.root / "before")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(elsewhere)
    labels = np.arange(4, dtype=np.uint8)
    (store.folder("a-2")).mkdir(parents=True, exist_ok=True)  # no record: it would be set aside
    for write in (
        lambda: store.write(DATA | {"run_id": "a-2"}, predictions={"one_pass": labels, "labels": labels}),
        lambda: store.write_sweep("mine", {"runs": []}),
        lambda: store.set_aside("a-2"),
    ):
        with contextlib.suppress(StorageError):
            write()
    assert [entry for entry in elsewhere.iterdir() if entry.name != "a-2"] == []
    if place != "runs":
        assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["record.json", "history.csv", "predictions.npz"])
def test_what_is_no_file_is_refused_at_once(store, name, kind):
    path = store.folder("a-1") / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    reading = store.read()
    if name == "record.json":
        assert str(path) in reading.problems[0]
        return
    with pytest.raises(RecordError, match=name):
        reading.records[0].history() if name == "history.csv" else reading.records[0].predictions()


def test_what_a_killed_process_left_goes_unless_it_is_newer_than_the_record(store):
    for name, run in (("over", "a-1"), ("tried again", "b-2"), ("begun", "c-3")):
        checkpoint = store.unfinished(run) / "checkpoint.npz"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"x")
        if name != "begun":
            store.write(DATA | {"run_id": run})
            checkpoint.parent.mkdir()
            checkpoint.write_bytes(b"x")
        if name == "over":
            os.utime(checkpoint, (0, 0))
    store.forget_leftovers()
    assert [folder.name for folder in store.entries("unfinished")] == ["b-2", "c-3"]


def test_a_record_that_replaces_another_is_never_half_there(store, monkeypatch):
    """Whatever moment the process is killed at, a reader finds the old record, none, or the new one."""
    seen = []

    def watch(before):
        def call(*arguments, **options):
            seen.append(("before", Store(store.root).read()))
            before(*arguments, **options)
            seen.append(("after", Store(store.root).read()))

        return call

    for name in ("rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, watch(getattr(os, name)))
    store.write(DATA | {"status": "failed"}, [row(1)])
    assert len(seen) >= 4
    assert all(reading.problems == [] for _, reading in seen)
    statuses = [[record.status for record in reading.records] for _, reading in seen]
    assert {tuple(status) for status in statuses} == {("completed",), (), ("failed",)}


def test_a_file_that_differs_from_its_checksum_is_refused(store):
    folder = store.folder("a-1")
    (folder / "history.csv").write_text((folder / "history.csv").read_text().replace("2,", "3,"))
    with pytest.raises(RecordError, match="checksum"):
        store.read().records[0].history()


@pytest.mark.parametrize("name", ["record.json", "history.csv", "predictions.npz"])
def test_a_file_of_ten_gigabytes_is_refused_unread(store, name):
    os.truncate(store.folder("a-1") / name, 10 * 2**30)  # sparse: it takes no room
    reading = store.read()
    if name == "record.json":
        assert "larger than" in reading.problems[0]
        return
    (record,) = reading.records
    with pytest.raises(RecordError, match="larger than"):
        record.history() if name == "history.csv" else record.predictions()


def test_a_zip_bomb_is_refused(store, monkeypatch):
    path = store.folder("a-1") / "predictions.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one_pass.npy", bytes(2**22))
    monkeypatch.setattr(record_module, "MAX_PREDICTIONS_BYTES", 2**20)
    record = store.read().records[0]
    record.data["files"]["predictions.npz"] = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(RecordError, match="unpacks to more"):
        record.predictions()


def rewrite(store, name: str, content: bytes):
    """The record, with another file in place of its own, as a stranger would make it."""
    path = store.folder("a-1") / name
    path.write_bytes(content)
    record = store.read().records[0]
    record.data["files"][name] = hashlib.sha256(content).hexdigest()
    return record


def npz(**arrays) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def header(text: bytes, content: bytes = b"") -> bytes:
    """A predictions file of one array with this header."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        start = b"\x93NUMPY\1\0" + (len(text) + 1).to_bytes(2, "little")
        archive.writestr("one_pass.npy", start + text + b"\n" + content)
    return out.getvalue()


def packed_by(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("one_pass.npy", bytes(1000))
    return out.getvalue()


def flagged(content: bytes, flags: int) -> bytes:
    """A file whose members say of themselves that they are encrypted, say."""
    changed = bytearray(content)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = changed.find(mark)
        while at >= 0:
            changed[at + place] |= flags
            at = changed.find(mark, at + 1)
    return bytes(changed)


LABELS = np.arange(4, dtype=np.uint8)
CHOSEN = {"one_pass": LABELS, "labels": LABELS}
NO_PREDICTIONS = {
    "pickle": npz(one_pass=np.array([{"a": 1}], dtype=object)),
    "text": npz(**CHOSEN | {"one_pass": np.array(list("abcd"))}),
    "bytes": npz(**CHOSEN | {"one_pass": np.array([b"a"] * 4)}),
    "raw": npz(**CHOSEN | {"one_pass": np.zeros(4, "V3")}),
    "dates": npz(**CHOSEN | {"one_pass": np.zeros(4, "M8[s]")}),
    "structure": npz(**CHOSEN | {"one_pass": np.zeros(4, [("a", "f4")])}),
    "complex": npz(**CHOSEN | {"one_pass": np.zeros((4, 2), "c8")}),
    "too few": npz(**CHOSEN | {"one_pass": LABELS[:3]}),
    "three axes": npz(**CHOSEN | {"one_pass": np.zeros((4, 2, 2), np.float16)}),
    "no classes": npz(**CHOSEN | {"one_pass": np.zeros((4, 0), np.float16)}),
    "NaN labels": npz(**CHOSEN | {"labels": np.full(4, np.nan)}),
    "no labels": npz(one_pass=LABELS),
    "shape of 10^11": header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000000,), }"),
    "shape that is less": header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", bytes(100)),
    "unfinished header": header(b"{'descr': '|u1', 'fortran_order'"),
    "code for a header": header(b"__import__('os').abort()"),
    "nested header": header(b"(" * 5000),
    "unknown compression": packed_by(zipfile.ZIP_LZMA)[:-200],
    "encrypted": flagged(npz(**CHOSEN), 1),
    "cut": npz(**CHOSEN)[:-10],
    "empty": b"",
    "its end alone": b"PK\5\6" + bytes(18),
    "a list of gigabytes": b"PK\5\6" + bytes(8) + b"\xff\xff\xff\x7f" + bytes(6),
}


@pytest.mark.parametrize("content", NO_PREDICTIONS.values(), ids=NO_PREDICTIONS)
def test_what_is_no_predictions_file_costs_the_predictions(store, content):
    with pytest.raises(RecordError, match="not a predictions file"):
        rewrite(store, "predictions.npz", content).predictions()


def test_damaged_compression_costs_the_predictions(store):
    whole = npz(**CHOSEN)
    for place in range(len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        with contextlib.suppress(RecordError):  # some bytes say nothing of importance
            rewrite(store, "predictions.npz", damaged).predictions()


COLUMNS = ",".join(HISTORY_COLUMNS).encode() + b"\n"
NO_HISTORY = {
    "no text": COLUMNS + b"\xff,1,1,1,1,1,1,1\n",
    "a long cell": COLUMNS + b"1,1,1,1,1,1,1," + b"1" * 140_000 + b"\n",
    "a bare carriage return": COLUMNS + b"1,1,1\r2,1,1,1,1,1\n",
    "infinite": COLUMNS + b"1,1,inf,1,1,1,1,1\n",
    "too large": COLUMNS + b"1,1,1e400,1,1,1,1,1\n",
    "before the first": COLUMNS + b"-1,1,1,1,1,1,1,1\n",
    "words": COLUMNS + b"one,1,1,1,1,1,1,1\n",
    "no count": COLUMNS + b"nan,1,1,1,1,1,1,1\n",
    "too few": COLUMNS + b"1,1\n",
    "no columns": b"1,1,1\n2,2,2\n",
}


@pytest.mark.parametrize("content", NO_HISTORY.values(), ids=NO_HISTORY)
def test_what_is_no_learning_curve_costs_the_learning_curve(store, content):
    with pytest.raises(RecordError, match="not a history file") as found:
        rewrite(store, "history.csv", content).history()
    assert len(str(found.value)) < 600


@pytest.mark.parametrize(
    ("field", "value"),
    [("timings", {"train_seconds": "x"}), ("timings", {"train_seconds": 1e300}), ("data", [1]), ("seed", True)],
)
def test_a_field_that_a_sweep_relies_on_is_checked_as_well(store, field, value):
    path = store.folder("a-1") / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    assert store.find("a-1") is None
    assert field in store.read().problems[0]


@pytest.mark.parametrize(
    "text", ['{"a": 1%s}' % ("0" * 400), '{"a": 1e999}', "[" * 40 + "]" * 40, '["\\ud800"]', '{"\\udfff": 1}', "\xff"]
)
def test_json_beyond_the_bounds_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"number|digits|nested|surrogates|decode") as found:
        plain_json.parse(text.encode("latin-1"))
    assert "\n" not in str(found.value)


def test_a_failed_record_is_replaced(store):
    store.write(DATA | {"status": "failed"})
    assert store.find("a-1").status == "failed"
    assert [p.name for p in store.runs.iterdir()] == ["a-1"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(), json_values))
def test_a_digest_ignores_the_order_of_keys_only(value):
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest(value) != digest(value | {"more": 1}) or "more" in value
