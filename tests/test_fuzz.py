"""Random damage to a small results folder: whatever is done to a file of it, looking at it ends soon, with lines in
place of tracebacks, and touches nothing outside.

`FRACPOOL_MUTATIONS=5000 pytest -m "" --timeout=0 tests/test_fuzz.py` does it 5,000 times.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_factory as factory

from fracpool import status
from fracpool.findings.answer import answer
from fracpool.findings.verdicts import judge
from fracpool.records import run_claim, unfinished
from fracpool.records.files import StorageError
from fracpool.records.packing import pack_runs
from fracpool.records.record import HISTORY_COLUMNS
from fracpool.records.store import Store
from fracpool.report import ReportError, write_report
from fracpool.sweep import forecast
from fracpool.table import results

MUTATIONS = int(os.environ.get("FRACPOOL_MUTATIONS", "1000"))
QUICK = 60
SECONDS, MEGABYTES = 20, 500  # a look takes a fiftieth of a second
REPORT_EACH = 50  # mutations, a whole report
BETTER = {"kind": "better", "title": "b", "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.005}
VALUES = (None, True, -1, 0, 1.5, 2**62, 1e300, "x", "", "\x1b[31m", "../../x", [], [[]], {}, {"a": 1}, ["x"] * 3)
RAW = (
    "1" + "0" * 400,
    "1e999",
    "NaN",
    "-Infinity",
    "[" * 5000 + "]" * 5000,
    '"\\ud800"',
    '{"a": ' * 40 + "1" + "}" * 40,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four runs of two networks, one of them packed, one that failed and one that is not finished, and a sweep."""
    root = tmp_path / "results" / "mine"
    configs = [factory.config("max"), factory.config("fmp")]
    findings = [{"id": "F", "claim": "c", "parts": [BETTER, BETTER | {"at": [1, "end"]}]}]
    runs = factory.sweep(root, "mnist_swap", configs, range(3), lambda c, rng: {"accuracy": 0.9}, findings)
    store = Store(root)
    for run in runs:
        record = store.find(run)
        kept = {n: a if a.ndim == 1 else a.argmax(axis=1).astype(np.uint8) for n, a in record.predictions().items()}
        store.write({k: v for k, v in record.data.items() if k not in ("files", "schema")}, record.history(), kept)
    pack_runs(store)
    for seed in (0, 1):
        factory.write_run(root, configs[0], seed, 0.9)
    factory.write_run(root, configs[1], 9, 0.1, status="failed")
    begun = store.unfinished("begun")
    rows = [dict.fromkeys(HISTORY_COLUMNS, 1.0)]
    unfinished.save(begun, [np.arange(100.0), np.ones((3, 3))], {}, rows)
    (root / "claims").mkdir()
    owner = {"token": "t", "machine": "m", "process": 1, "started": "1"}
    (root / "claims" / "begun").write_text(json.dumps(owner))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return root


# ---- damage: each changes one file, or what stands in its place ----


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 10))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def grow(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    place = rng.randrange(len(content))
    path.write_bytes(content[:place] + rng.choice((rng.randbytes(10), bytes(1000), content[:200])) + content[place:])


def far_too_large(path: Path, rng: random.Random) -> None:
    os.truncate(path, 10 * 2**30)  # sparse: it takes no room


def link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(rng.choice(("/dev/zero", "/proc/self/mem", path.name, "../../../../outside/secret", "/etc/passwd")))


def pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def link_above(path: Path, rng: random.Random) -> None:
    """Its folder becomes a link, to one outside that holds the same."""
    elsewhere = next(up for up in path.parents if up.name == "results") / "aside"
    if elsewhere.exists() or path.parent.parent == elsewhere.parent:
        return
    os.rename(path.parent, elsewhere)
    path.parent.symlink_to(elsewhere)


def other_value(path: Path, rng: random.Random) -> None:
    """Some value of a JSON file becomes one of another type, or a text that JSON readers trip over."""
    if path.suffix != ".json":
        return flip(path, rng)
    data = json.loads(path.read_text())
    places = list(_places(data))
    holder, key = rng.choice(places)
    if rng.random() < 0.2:
        holder[key] = "PLACE"
        path.write_text(json.dumps(data).replace('"PLACE"', rng.choice(RAW), 1))
        return None
    if rng.random() < 0.1 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = rng.choice(VALUES)
    path.write_text(json.dumps(data))
    return None


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])


def vouched_for(path: Path, rng: random.Random) -> None:
    """Damage that the record's checksum agrees to."""
    rng.choice((flip, flip, cut, grow))(path, rng)
    record = path.parent / "record.json"
    if record != path and record.is_file() and not record.is_symlink() and record.stat().st_size < 10**8:
        data = json.loads(record.read_text())
        data["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        record.write_text(json.dumps(data))


DAMAGE: tuple[Callable[[Path, random.Random], None], ...] = (
    flip, flip, cut, grow, far_too_large, link, pipe, folder, link_above, other_value, other_value, other_value,
    other_value, vouched_for, vouched_for, vouched_for,
)  # fmt: skip


# ---- looking ----


@contextmanager
def within_the_bounds(taken: list[tuple[float, float]]) -> Iterator[None]:
    """Stops what is late, by the clock; notes its seconds of CPU and by the clock."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    cpu, clock = time.process_time(), time.monotonic()
    try:
        yield
    finally:
        signal.alarm(0)
        taken.append((time.process_time() - cpu, time.monotonic() - clock))
        signal.signal(signal.SIGALRM, before)


def look(root: Path) -> None:
    """What status, resuming, planning and the report read, without what they print and draw."""
    str(status.read(root))
    store = Store(root)
    read = results.read(root)
    judge(read)
    answer(read)
    forecast.measured(store.read().records)
    for run in (*store.entries("runs"), *store.entries("unfinished")):
        store.find(run.name)
        unfinished.read(store.unfinished(run.name), {}, 10**6)
        run_claim.is_free(store.claim(run.name))
    assert all("\n" not in line and "\x1b" not in line for line in read.problems)


def report(root: Path) -> None:
    with suppress(ReportError):
        write_report(root)


def resume(root: Path) -> None:
    """A run that ends: its record is written, and its checkpoint goes."""
    store = Store(root)
    with suppress(StorageError), run_claim.claim(store.claim("begun")):
        factory.write_run(root, factory.config("max"), 1, 0.9)
        unfinished.save(store.unfinished("begun"), [np.arange(3.0)], {}, [])
        store.forget_leftovers()


def outside(root: Path) -> dict[str, Any]:
    """All that lies beside the results folder, by path: when it changed, and its kind and size."""
    others = (path for path in root.parents[1].rglob("*") if not path.is_relative_to(root))
    return {str(path): (found.st_mtime_ns, found.st_mode, found.st_size) for path in others if (found := path.lstat())}


def damage_and_look(root: Path, mutations: int, seed: int) -> None:
    rng = random.Random(seed)
    pristine, work = root.parents[1] / "pristine", root
    shutil.copytree(root, pristine)
    names = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken: list[tuple[float, float]] = []
    for number in range(mutations):
        shutil.rmtree(work.parent)
        shutil.copytree(pristine, work)
        name, kinds = rng.choice(names), [rng.choice(DAMAGE) for _ in range(rng.choice((1, 1, 1, 2)))]
        done = []
        for damage in kinds:
            path = work / name
            if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size < 10**8:
                with suppress(ValueError, RecursionError):  # JSON that was damaged before
                    damage(path, rng)
                done.append(damage.__name__)
                name = rng.choice(names)
        before = outside(work)
        try:
            with within_the_bounds(taken):
                look(work)
                if number % REPORT_EACH == REPORT_EACH - 1:
                    report(work)
                if number % 5 == 4:
                    resume(work)
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutation {number}: {', '.join(done)} of {name}") from error
        assert outside(work) == before, f"seed {seed}, mutation {number}: {', '.join(done)}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (peak - began) / 1024
    print(f"{mutations} mutations, memory grew by {grown:.0f} MB to {peak / 1024:.0f} MB at most")
    cpu, clock = zip(*taken, strict=True)
    print(f"{sum(cpu):.0f} s of CPU, {sum(clock):.0f} s by the clock; longest {max(cpu):.2f} s and {max(clock):.2f} s")
    assert grown < MEGABYTES


def test_damage_costs_what_it_damages(root: Path) -> None:
    damage_and_look(root, QUICK, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_much_damage_costs_what_it_damages(root: Path) -> None:
    damage_and_look(root, MUTATIONS, seed=MUTATIONS)
