"""Results folders side by side: what agrees within intervals, what differs, what only one has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import record_factory as factory

from fracpool import report
from fracpool.findings import agreement, statistics
from fracpool.findings.compared_findings import OTHER_DATA, OTHER_RULE
from fracpool.findings.compared_line import AGREE, APART, NOT_TOLD
from fracpool.findings.other_budgets import OTHER_BUDGET
from fracpool.report.comparison import COLUMNS, _tidy, write

MAX, FMP, DEEP = factory.config("max"), factory.config("fmp"), factory.config("fmp", conv_layers=3)
FINDING = {
    "F2": {
        "claim": "FMP is 15 to 20 % worse.",
        "parts": [
            {"kind": "gap", "title": "the gap", "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"},
             "range": [-0.2, -0.15], "margin": 0.05},
            {"kind": "final_size", "title": "the size", "variant": {"pool.kind": "fmp"}, "size": 12},
        ],
    }
}  # fmt: skip


def folder(root: Path, gap: float, variants: list[dict[str, Any]], noise: int, seeds: int = 5) -> Path:
    """Max pooling at 90 %, FMP `gap` above it, with a spread over seeds that `noise` draws."""

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        spread = np.random.default_rng([noise, int(1e6 * rng.random())]).normal(0, 0.003)
        return {"accuracy": 0.9 + spread + (gap if config["pool"]["kind"] == "fmp" else 0)}

    factory.sweep(root, "mnist_swap", variants, range(seeds), truth, FINDING)
    return root


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    """The same two networks in two folders: max pooling alike, FMP 20 points apart; a deeper one in the first."""
    return [
        folder(tmp_path / "mine", -0.17, [MAX, FMP, DEEP], 1),
        folder(tmp_path / "reference", 0.03, [MAX, FMP], 2),
    ]


def by_name(compared: agreement.Comparison) -> dict[str, str]:
    return {line.name: line.verdict for line in compared.variants}


def test_variants_agree_or_differ_within_their_intervals(pair: list[Path]) -> None:
    compared = agreement.compare(pair)
    assert by_name(compared) == {"2 conv, max pool": AGREE, "2 conv, FMP 1.47 random": APART}
    fmp = next(line for line in compared.variants if line.verdict == APART)
    difference = fmp.differences[1]
    assert fmp.differences[0] is None
    assert difference.mean == pytest.approx(0.2, abs=0.01)
    assert difference.low < difference.mean < difference.high
    assert [value.n for value in fmp.values] == [5, 5]
    assert compared.headline.startswith("2 variants in several folders: 1 agree, 1 differ")


def test_findings_are_held_side_by_side_part_by_part(pair: list[Path]) -> None:
    shutil.rmtree(pair[0])
    folder(pair[0], -0.17, [MAX, FMP], 1)
    (finding,) = agreement.compare(pair).findings
    assert (finding.verdicts, finding.verdict) == (("reproduced", "not reproduced"), APART)
    gap, size = finding.parts
    assert (gap.verdict, size.verdict) == (APART, AGREE)
    assert gap.values[0].mean == pytest.approx(-0.17, abs=0.01)
    assert size.shown == ("28×28 → 19×19 → 12×12",) * 2


def test_what_only_one_folder_has_is_listed(pair: list[Path]) -> None:
    (pair[1] / "sweeps" / "mnist_swap.json").unlink()
    only = dict(agreement.compare(pair).only)
    assert any(line.startswith("finding F2 (mnist_swap): ") for line in only["mine"])
    assert any(line.startswith("3 conv, FMP 1.47 random: ") for line in only["mine"])
    assert "reference" not in only


def test_a_folder_agrees_with_its_copy_to_the_last_bit(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", -0.17, [MAX, FMP], 1)
    shutil.copytree(one, tmp_path / "two")
    compared = agreement.compare([one, tmp_path / "two"])
    assert (compared.repeated, compared.identical) == (10, 10)
    assert {line.verdict for line in [*compared.variants, *compared.findings]} == {AGREE}
    assert compared.versions == []


def test_one_seed_is_not_told_unless_it_is_equal(tmp_path: Path) -> None:
    for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.9)):
        factory.write_run(tmp_path / name, MAX, 0, accuracy)
    assert by_name(agreement.compare([tmp_path / "a", tmp_path / "b"])) == {"2 conv, max pool": NOT_TOLD}
    assert by_name(agreement.compare([tmp_path / "a", tmp_path / "c"])) == {"2 conv, max pool": AGREE}


def test_three_folders_are_held_against_the_first_that_has_the_value(pair: list[Path], tmp_path: Path) -> None:
    third = folder(tmp_path / "third", -0.17, [FMP, DEEP], 3)
    compared = agreement.compare([pair[1], pair[0], third])
    deep = next(line for line in compared.variants if line.name.startswith("3 conv"))
    assert [value is None for value in deep.values] == [True, False, False]
    assert [difference is None for difference in deep.differences] == [True, True, False]
    assert deep.verdict == AGREE
    table = _tidy(compared)
    row = table[(table["name"] == deep.name) & (table["folder"] == "third")].iloc[0]
    assert row["against"] == "mine"


def test_the_interval_of_a_difference_covers_it() -> None:
    rng = np.random.default_rng(0)
    pairs = [[statistics.estimate(rng.normal(0, spread, 5)) for spread in (1.0, 2.0)] for _ in range(300)]
    differences = [statistics.apart(a, b) for a, b in pairs]
    covered = np.mean([d.low <= 0 <= d.high for d in differences])
    assert 0.92 <= covered <= 1.0
    assert statistics.apart(*reversed(pairs[0])).high == pytest.approx(-differences[0].low)


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_pages_say_the_same(pair: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out" / "deep"
    before = {path: path.read_bytes() for folder in pair for path in folder.rglob("*") if path.is_file()}
    done = report.main([*map(str, pair), "--output", str(output)])
    assert done == 0
    assert {path: path.read_bytes() for folder in pair for path in folder.rglob("*") if path.is_file()} == before
    page = Page((output / "comparison.html").read_text())
    row = next(row for row in page.rows if row[0] == "2 conv, FMP 1.47 random")
    assert row[-1] == APART
    assert "script" not in page.tags
    assert page.links == []
    markdown = (output / "comparison.md").read_text().replace("\u00a0", " ")
    line = next(line for line in markdown.splitlines() if line.startswith("| 2 conv, FMP 1.47 random |"))
    assert [cell.strip() for cell in line.replace("\\", "").strip("|").split("|")] == [
        cell.replace("\u00a0", " ") for cell in row
    ]
    for block in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):  # every table is one: a head, a rule, rows
        lines = block.splitlines()
        assert re.fullmatch(r"[|:-]+", lines[1]), block
        assert len({line.count("|") for line in lines}) == 1
    table = pd.read_csv(output / "comparison.csv")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["verdict"]) == {AGREE, APART}


def test_the_same_records_give_the_same_pages_without_tensorflow(pair: list[Path], tmp_path: Path) -> None:
    code = "import sys; from fracpool import report; report.main(sys.argv[1:]); sys.exit('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code, *map(str, pair), "--output", str(tmp_path / "a")]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"Open {tmp_path / 'a' / 'comparison.html'}"
    write(pair, tmp_path / "b")  # with another seed of the hashes
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == files
    assert set(files) == {"comparison.html", "comparison.md", "comparison.csv"}


def test_problems_get_a_line_each_and_the_rest_stands(pair: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    damaged = next((pair[0] / "runs").iterdir())
    (damaged / "record.json").write_text("{")
    assert report.main([*map(str, pair), "--output", str(pair[0].parent / "out")]) == 0
    out = capsys.readouterr().out
    assert sum(line.startswith("set aside in mine: ") for line in out.splitlines()) == 1
    assert damaged.name in out
    assert "2 variants in several folders" in out


def test_nothing_in_common_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    factory.write_run(tmp_path / "a", MAX, 0, 0.9)
    factory.write_run(tmp_path / "b", FMP, 0, 0.9)
    assert report.main([str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "out")]) == 0
    assert "Nothing to compare" in capsys.readouterr().out


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    for name in ("a", "b"):
        factory.write_run(tmp_path / name, MAX, 0, 0.9, label="<script>alert(1)</script>|x")
    write([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert "<script>" not in (tmp_path / "out" / "comparison.html").read_text()
    assert "<script>" not in (tmp_path / "out" / "comparison.md").read_text()


@pytest.mark.parametrize("case", ["missing", "twice", "unwritable", "one"])
def test_bad_input_is_one_line_and_exit_code_2(
    pair: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    output, folders = tmp_path / "out", [*pair]
    if case == "missing":
        folders[1] = tmp_path / "nowhere"
    elif case == "twice":
        folders[1] = tmp_path / "reference" / ".." / "mine"
    elif case == "unwritable":
        output.write_text("")
    else:
        folders = pair[:1]
    assert report.main([*map(str, folders), "--output", str(output)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    said = {"missing": "nowhere", "twice": "named twice", "unwritable": "--output", "one": "two or more"}
    assert said[case] in line


def with_epochs(root: Path, epochs: int, kinds: tuple[str, ...] = ("max", "fmp"), **changes: Any) -> Path:
    configs = [factory.config(kind, epochs=epochs, **changes) for kind in kinds]
    return folder(root, -0.17, configs, epochs)


def test_the_same_network_on_another_budget_stands_beside_and_is_marked(tmp_path: Path) -> None:
    pair = [with_epochs(tmp_path / "a", 3), with_epochs(tmp_path / "b", 4, ("max",))]
    compared = agreement.compare(pair)
    assert compared.variants == []
    (line,) = compared.beside
    assert line.name == "2 conv, max pool"
    assert [list(found) for found in line.found] == [
        ["3 epochs of all images, batches of 100"],
        ["4 epochs of all images, batches of 100"],
    ]
    assert "1 network beside each other (other budget)" in compared.headline
    write(pair, tmp_path / "out")
    for name in ("comparison.md", "comparison.html"):
        page = (tmp_path / "out" / name).read_text()
        assert "The same network on another budget" in page
        assert "same data set, network, pooling, optimizer and budget" in page
    rows = pd.read_csv(tmp_path / "out" / "comparison.csv")
    beside = rows[rows["verdict"] == "other budget"]
    assert beside["folder"].tolist().count("a") >= 1
    assert beside["difference"].isna().all()


@pytest.mark.parametrize(("changes", "other"), [({"epochs": 4}, OTHER_BUDGET), ({"dataset": "mnist"}, OTHER_DATA)])
def test_a_finding_on_other_data_or_budget_is_marked_and_not_held_against(
    tmp_path: Path, changes: dict[str, Any], other: str
) -> None:
    pair = [with_epochs(tmp_path / "a", 3), with_epochs(tmp_path / "b", **{"epochs": 3, **changes})]
    (finding,) = agreement.compare(pair).findings
    assert finding.verdict == other
    assert {part.verdict for part in finding.parts} == {other}
    assert all(difference is None for part in finding.parts for difference in part.differences)
    assert all("points" in shown for shown in finding.parts[0].shown)


def test_a_finding_with_another_rule_is_marked(tmp_path: Path) -> None:
    pair = [with_epochs(tmp_path / name, 3) for name in ("a", "b")]
    for path in (pair[1] / "sweeps").iterdir():
        path.write_text(path.read_text().replace('"margin": 0.05', '"margin": 0.06'))
    (finding,) = agreement.compare(pair).findings
    assert finding.verdict == OTHER_RULE
    assert finding.parts[0].verdict == AGREE  # the difference itself is the same thing
