"""The report as a reader, a spreadsheet and a stranger's results folder meet it."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import record_factory as factory
from matplotlib.figure import Figure

from fracpool import report
from fracpool.findings.answer import answer
from fracpool.report import ReportError, write_report
from fracpool.report.citation import OP, PAPER
from fracpool.table import results

WRITTEN = ("report.html", "report.md", "summary.md", "runs.csv", "runs.parquet", "summary.csv", "findings.json")
SOURCE = Path(report.__file__).parents[2]


class Page(HTMLParser):
    """Collects what the tests ask about a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(quick: Path) -> Page:
    return Page((quick / "report.html").read_text())


def files_of(root: Path) -> dict[str, bytes]:
    paths = [root / name for name in WRITTEN] + sorted((root / "figures").glob("*"))
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, since what a process imports and how it hashes is part of what is tested."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        timeout=120,
    )


# ---- what it says ----


def test_the_first_screen_answers_the_question_from_the_data(quick: Path, page: Page) -> None:
    """In the synthetic runs FMP loses in equal networks, and a third layer mends it."""
    before_findings = page.text[: page.text.index("Networks and accuracies Every")]
    assert "Does fractional max pooling beat 2×2 max pooling, and when?" in before_findings
    assert (
        "On 5,000 MNIST digits, after 10 epochs and tested in one drawn pass, FMP is behind with two convolutions"
        in before_findings
    )
    assert re.search(r"the difference goes from −1\d\.\d points after 1 epoch to −1\.\d \[", before_findings)
    assert re.search(
        r"smaller than claimed after 10 epochs, one drawn pass; reproduced after \d epochs?", before_findings
    )
    assert "A quick look: make reproduce PROFILE=full runs the full study." in before_findings
    assert "1 run ended badly and is left out." in before_findings


def test_without_a_designated_comparison_all_pairs_answer(tmp_path: Path) -> None:
    """In the synthetic runs FMP loses wherever it is decided in equal networks."""
    pools = [factory.config(kind, conv_layers=depth) for depth in (2, 3) for kind in ("max", "fmp")]

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        accuracy = (0.93 if config["pool"]["kind"] == "fmp" else 0.95) + rng.normal(0, 0.002)
        return {"accuracy": accuracy, "early": accuracy - 0.2, "averaged": accuracy + 0.006}

    factory.sweep(tmp_path, "mnist_swap", pools, range(4), truth, [])
    text = Page(write_report(tmp_path).read_text()).text
    assert "No: put in its place, FMP does not beat 2×2 max pooling" in text
    assert "FMP ended ahead in 0 of 2 comparisons" in text
    assert "Averaging 8 test passes puts FMP 0.6 points above a single pass" in text
    assert len(answer(results.read(tmp_path)).sentences) == 3


def test_the_answer_turns_with_the_data(tmp_path: Path) -> None:
    """The same runs with the sign turned: FMP wins."""

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        return {"accuracy": (0.95 if config["pool"]["kind"] == "fmp" else 0.90) + rng.normal(0, 0.002)}

    factory.sweep(tmp_path, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(4), truth, [])
    page = Page(write_report(tmp_path).read_text())
    assert "Yes: put in its place, FMP beats 2×2 max pooling" in page.text
    assert re.search(r"it was ahead with 2 conv, FMP 1\.47 random \(\+[45]\.\d points, n = 4\)", page.text)


def test_what_averaged_passes_win_is_said(tmp_path: Path) -> None:
    """FMP loses in one pass and wins in eight."""

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        fmp, noise = config["pool"]["kind"] == "fmp", rng.normal(0, 0.002)
        return {"accuracy": (0.85 if fmp else 0.90) + noise, "averaged": (0.95 if fmp else 0.90) + noise}

    factory.sweep(tmp_path, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(4), truth, [])
    page = Page(write_report(tmp_path).read_text())
    assert "FMP does not beat 2×2 max pooling; with averaged test passes it can." in page.text
    assert "ahead of a single pass of 2×2 max pooling in 1 of 1 comparison and behind in 0" in page.text


def test_an_interval_that_reaches_0_beside_a_verdict_is_called_weak(tmp_path: Path) -> None:
    """The test looks to one side at 5 %, the interval of 95 % to both."""
    gains = iter([0.002, 0.024, 0.012, -0.003, 0.022])
    better = {"kind": "better", "title": "b", "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.005}
    finding = {"id": "F", "claim": "c", "source": "s", "comparison": "k", "parts": [better]}

    def truth(config: Any, rng: Any) -> dict[str, Any]:
        return {"accuracy": 0.9 + (next(gains) if config["pool"]["kind"] == "fmp" else 0)}

    factory.sweep(tmp_path, "e", [factory.config("max"), factory.config("fmp")], range(5), truth, [finding])
    write_report(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "### F: reproduced" in report
    assert re.search(r"\+1\.1 points \\\[−0\.\d, \+2\.\d\\\], n = 5", report)
    assert "weak: the interval, which looks to both sides, reaches 0" in report


def test_verdicts_stand_in_html_markdown_and_json_alike(quick: Path, page: Page) -> None:
    findings = json.loads((quick / "findings.json").read_text())["findings"]
    markdown = (quick / "report.md").read_text()
    for finding in findings:
        assert f"{finding['id']} {finding['word']}" in page.text
        assert f"### {finding['id']}: {finding['word']}" in markdown
    assert {f["id"]: f["verdict"] for f in findings}["F4"] == "not reproduced"


def test_the_part_without_data_says_why(page: Page) -> None:
    assert "Accuracy not run: CIFAR-10 is not here, and TFDS has no network to fetch it" in page.text


def test_diverged_missing_and_impossible_runs_are_listed(quick: Path, page: Page) -> None:
    left_out = page.text[page.text.index("What does not count") :]
    assert "the training loss was nan in epoch 2" in left_out
    assert "mnist5k-fmp-s5-0000000000000000" in left_out
    assert "6 conv, FMP 1.59 random: its map is 1×1, too small to pool" in left_out


def test_damaged_records_are_named_and_the_rest_stands(tmp_path: Path) -> None:
    configs = [factory.config("max"), factory.config("fmp")]
    runs = factory.sweep(tmp_path, "mnist_swap", configs, range(4), lambda c, rng: {"accuracy": 0.9})
    (tmp_path / "runs" / runs[0] / "record.json").write_text("{")
    text = Page(write_report(tmp_path).read_text()).text
    assert f"runs/{runs[0]}/record.json: not valid JSON" in text
    assert "F2" in text
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 7


def test_the_summary_has_a_row_per_variant_with_all_that_is_asked_for(quick: Path) -> None:
    summary = pd.read_csv(quick / "summary.csv")
    row = summary[(summary["experiment"] == "mnist_swap") & (summary["variant"] == "2 conv, FMP 1.47 random")].iloc[0]
    assert row["sizes"] == "28 → 19 → 12"
    assert (row["conv_layers"], row["final_height"], row["n"]) == (2, 12, 5)
    assert row["accuracy_low"] < row["accuracy_mean"] < row["accuracy_high"]
    assert row["parameters"] == factory.geometry(factory.config("fmp"))["parameters"]
    assert row["macs"] == factory.geometry(factory.config("fmp"))["macs"]
    assert row["seconds_per_epoch"] == pytest.approx(1.5)


def test_the_summary_page_tells_scope_method_results_ease_pains_and_cost(quick: Path) -> None:
    page = (quick / "summary.md").read_text()
    parts = re.findall(r"^\*\*(.*?)\.\*\*", page, flags=re.M)
    assert parts == ["Scope", "Method", "Results", "What was easy", "What was hard", "Cost"]
    runs = pd.read_csv(quick / "runs.csv")
    completed = (runs["status"] == "completed").sum()
    assert f"{completed} of {len(runs)} runs ended well" in page
    assert "1 run did not end well" in page
    findings = json.loads((quick / "findings.json").read_text())["findings"]
    table = page.partition("| Findings |")[2].partition("**What was easy")[0]
    assert sum(map(int, re.findall(r" (\d+) \|", table))) == len(findings)
    assert len(page.split()) < 600  # one printed page


def test_how_to_repeat_names_command_versions_and_fingerprints(page: Page) -> None:
    for words in ("+experiment=mnist_swap profile=quick", "2.21.0", "d" * 16, "c" * 16, "0123456789ab"):
        assert words in page.text


# ---- how it is made ----


IMPORTED = """
import sys
from fracpool.report import main
code = main([sys.argv[1]])
print(sorted({name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras", "jax", "torch", "hydra"}))
sys.exit(code)
"""


def test_the_same_records_give_the_same_bytes_anywhere_and_without_tensorflow(quick: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for name in ("runs", "sweeps"):
        shutil.copytree(quick / name, copy / name)
    result = python("-c", IMPORTED, str(copy), PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", MPLBACKEND="pdf")
    assert result.returncode == 0, result.stderr
    answer, verdicts, *rest = result.stdout.splitlines()
    assert answer.startswith(
        "On 5,000 MNIST digits, after 10 epochs and tested in one drawn pass, FMP is behind with two convolutions"
    )
    expected = (
        "F1 reproduced; F2 smaller than claimed (10 epochs, one drawn pass); F3 reproduced (10 epochs, one drawn pass);"
    )
    assert verdicts.startswith(f"{expected} F4 smaller than claimed")
    assert rest == [f"Open {copy / 'report.html'}", "[]"]
    assert files_of(copy) == files_of(quick)


def test_a_second_report_replaces_the_first_and_stale_figures_go(tmp_path: Path) -> None:
    configs = [factory.config("max"), factory.config("fmp")]
    factory.sweep(tmp_path, "mnist_swap", configs, range(3), lambda c, rng: {"accuracy": 0.9})
    write_report(tmp_path)
    first = files_of(tmp_path)
    (tmp_path / "figures" / "gone-budget.svg").write_text("<svg/>")
    (tmp_path / "figures" / "mine.svg").write_text("<svg/>")
    write_report(tmp_path)
    kept = files_of(tmp_path)
    assert kept.pop("figures/mine.svg") == b"<svg/>"
    assert kept == first


AGAIN_AND_AGAIN = """
import os, sys, time
import fracpool.report.page
from fracpool.report import write_report
write_report(sys.argv[1])
start = time.monotonic()
write_report(sys.argv[1])
print(time.monotonic() - start, flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        write_report(sys.argv[1])
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until the kill is sent, the child's number stays its own, ended or not
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
def test_a_report_that_is_killed_leaves_whole_files_and_the_next_one_mends_the_rest(
    quick: Path, tmp_path: Path
) -> None:
    """The records change each time, so that a kill finds old files that are being replaced by new ones."""
    root = shutil.copytree(quick, tmp_path / "killed")
    runs = len(pd.read_csv(root / "runs.csv"))
    rng = random.Random(0)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, "-c", AGAIN_AND_AGAIN, str(root)], **pipes)
    try:
        took = float(server.stdout.readline())
        for kill in range(8):
            factory.write_run(root, factory.config("max", conv_layers=2), 100 + kill, 0.9)
            server.stdin.write("again\n")
            server.stdin.flush()
            child = int(server.stdout.readline())
            time.sleep(rng.uniform(0, took))
            os.kill(child, signal.SIGKILL)
            server.stdin.write("killed\n")
            server.stdin.flush()
            assert server.stdout.readline() == "ended\n"
            assert (root / "report.html").read_text().rstrip().endswith("</html>")
            for table in (pd.read_csv(root / "runs.csv"), pd.read_parquet(root / "runs.parquet")):
                assert runs <= len(table) <= runs + kill + 1
            json.loads((root / "findings.json").read_text())
            for figure in (root / "figures").glob("*.svg"):
                ElementTree.parse(figure)
    finally:
        server.kill()
        server.communicate()
    left = root / ".report.html.1"
    left.write_text("half")
    os.utime(left, (0, 0))
    write_report(root)
    assert not left.exists()
    alone = tmp_path / "alone"
    for name in ("runs", "sweeps"):
        shutil.copytree(root / name, alone / name)
    write_report(alone)
    assert files_of(root) == files_of(alone)


def test_the_page_is_one_file_that_asks_for_nothing(quick: Path, page: Page) -> None:
    html = (quick / "report.html").read_text()
    assert len(html) < 3 * 2**20
    addresses = {PAPER, OP}  # that a reader may follow
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "image")
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name)
            is_address = tag == "a" and name == "href" and value in addresses
            assert value is None or value.startswith("#") or is_address, (tag, value)
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_figures_are_valid_svg_with_text_alternatives(quick: Path, page: Page) -> None:
    drawn = sorted((quick / "figures").glob("*.svg"))
    names = {path.stem for path in drawn}
    assert {"gap-by-length", "budget-gap", "pooling-regions", "pooling-layers", "mnist_swap-budget"} <= names
    assert {name for name in names if name.startswith("depth_ratio")} == {"depth_ratio-map"}  # one each
    for path in drawn:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "base64" not in path.read_text()  # all vector
    images = [a for tag, a in page.tags if a.get("role") == "img"]
    assert len(images) >= len(drawn)
    assert all(len(image.get("aria-label") or "") > 10 for image in images)


def test_headings_are_in_order_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    anchored = ("h2", "section", "table", "input", "span", "main", "details", "tr")
    anchors = [a["id"] for tag, a in page.tags if "id" in a and tag in anchored]
    assert len(anchors) == len(set(anchors))
    assert {a["href"] for a in page.all("a")} - {PAPER, OP} <= {f"#{anchor}" for anchor in anchors}


@pytest.mark.slow
def test_the_quick_report_takes_no_longer_than_fourteen_plain_figures(quick: Path, tmp_path: Path) -> None:
    """120 runs and 23 figures: 2.7 s on a quiet machine. A ratio, as machines differ, of the quickest of three."""
    copy = shutil.copytree(quick, tmp_path / "copy")

    def plain_figure() -> None:
        figure = Figure(layout="constrained")
        for axes in figure.subplots(2, 3).flat:
            axes.plot([1, 2, 3], [1, 3, 2])
            axes.set(title="accuracy", xlabel="epoch")
        figure.savefig(tmp_path / "plain.svg")

    report_seconds = plain_seconds = math.inf
    for _ in range(3):
        report_seconds = min(report_seconds, seconds(write_report, copy))
        plain_seconds = min(plain_seconds, *(seconds(plain_figure) for _ in range(3)))
        if report_seconds <= 14 * plain_seconds:
            return
    pytest.fail(f"{report_seconds:.1f} s for the report, {plain_seconds:.2f} s for a plain figure")


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """CPU seconds, which other programs disturb less than those of the clock."""
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


# ---- small, odd and hostile folders ----


def test_one_run_is_a_readable_report(tmp_path: Path) -> None:
    factory.write_run(tmp_path, factory.config("fmp"), 0, 0.9)
    page = Page(write_report(tmp_path).read_text())
    assert "Not answered yet: no two finished runs differ by FMP against 2×2 max pooling alone" in page.text
    assert "2 conv, FMP 1.47 random" in page.text
    assert "These runs belong to no experiment that tests a finding" in page.text


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_shown_and_not_decided(tmp_path: Path, seeds: int) -> None:
    configs = [factory.config("max"), factory.config("fmp")]
    factory.sweep(tmp_path, "mnist_swap", configs, range(seeds), lambda c, rng: {"accuracy": 0.9})
    text = Page(write_report(tmp_path).read_text()).text
    assert f"{seeds} common seed{'s' * (seeds > 1)}; at least 3 are needed" in text
    assert (
        f"On 5,000 MNIST digits nothing is decided after 3 epochs: {seeds} seed{'s' * (seeds > 1)} of at least 3"
        in text
    )


def test_runs_that_all_failed_leave_a_report(tmp_path: Path) -> None:
    config = factory.config("fmp")
    error = {"type": "ResourceExhausted", "message": "out of memory"}
    run = factory.write_run(tmp_path, config, 0, 0.9, status="failed", error=error)
    factory.write_sweep(tmp_path, "mnist_swap", [config], [run])
    assert "out of memory" in Page(write_report(tmp_path).read_text()).text


def test_a_thousand_variants_stay_one_readable_page(tmp_path: Path) -> None:
    configs = [factory.config("fmp", 1 + i / 1000, epochs=1) for i in range(1, 1000)]
    configs.append(factory.config("max", epochs=1))
    runs = [factory.write_run(tmp_path, configs[i], 0, 0.9) for i in (0, 500, -1)]
    factory.write_sweep(tmp_path, "mnist_swap", configs, runs, [])
    html = write_report(tmp_path).read_text()
    assert "800 more variants are in summary.csv" in html
    assert len(html) < 3 * 2**20
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 1000


MARK = "<script>alert(1)</script><img src=x onerror=alert(1)>"
NASTY = f"=1+1 $\\frac$ {MARK} \x1b[31m \u202e | `rm` [a](javascript:alert(1)) {{{{ 7*7 }}}} 名前 " + "长" * 200


def test_hostile_text_is_shown_as_text_everywhere(tmp_path: Path) -> None:
    """Names, labels, errors, commands, findings: nothing in them becomes HTML, Markdown, a formula or a template."""
    finding = {"id": NASTY, "claim": NASTY, "source": NASTY, "comparison": NASTY, "parts": [
        {"kind": "better", "title": NASTY, "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.01},
        {"kind": NASTY, "title": NASTY},
        {"kind": "final_size", "variant": {NASTY: NASTY}, "size": 3},
    ]}  # fmt: skip
    configs = [factory.config("max", name=NASTY), factory.config("fmp", name=NASTY), factory.config("fmp", name=NASTY)]
    configs[2]["pool"]["kind"] = NASTY
    runs = [
        factory.write_run(tmp_path, c, seed, 0.9 - 0.01 * i, label=NASTY, command=NASTY)
        for i, c in enumerate(configs)
        for seed in range(3)
    ]
    runs.append(factory.write_run(tmp_path, configs[0], 9, 0.9, status="failed", error={"message": NASTY}))
    factory.write_sweep(
        tmp_path, "mnist_swap", configs, runs, [finding], title=NASTY, question=NASTY, command=NASTY,
        impossible=[{"label": NASTY, "reason": NASTY}], older=[NASTY],
        variants=[{"variant_id": factory.digest(c), "label": NASTY, "config": c, "geometry": factory.geometry(c)}
                  for c in configs],
    )  # fmt: skip
    page = Page(write_report(tmp_path).read_text())
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    markdown = (tmp_path / "report.md").read_text()
    outside_code = re.sub(r"```.*?```", "", markdown, flags=re.S)
    assert "<script" not in outside_code
    assert "<img" not in outside_code
    assert not re.search(r"(?<!\\)\]\(javascript", outside_code)
    assert "&#60;script&#62;alert(1)" in outside_code
    assert markdown.count("```") == 4  # the commands, and how to cite
    for name in ("report.md", "report.html", "summary.md", "runs.csv", "summary.csv", "findings.json"):
        content = (tmp_path / name).read_text()
        assert "\x1b" not in content
        assert "\u202e" not in content
    for name in ("runs.csv", "summary.csv"):
        cells = pd.read_csv(tmp_path / name)["variant"]
        assert cells.str.startswith("'=").any()
        assert not cells.str.startswith("=").any()
    for path in (tmp_path / "figures").glob("*.svg"):
        assert not [e for e in ElementTree.parse(path).iter() if e.tag.endswith("script")]


def test_names_cannot_lead_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "inner" / "results"
    config = factory.config("max")
    run = factory.write_run(root, config, 0, 0.9)
    factory.write_sweep(root, "mnist_swap", [config, factory.config("fmp")], [run])
    (root / "sweeps" / "mnist_swap.json").rename(root / "sweeps" / "..%2f..\\..$(x) \u202e.json")
    outside = tmp_path / "target"
    outside.write_text("kept")
    (root / "runs.csv").symlink_to(outside)
    (root / "report.html").symlink_to(outside)
    write_report(root)
    assert outside.read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"inner", "target"}
    assert {path.name for path in (tmp_path / "inner").iterdir()} == {"results"}


def test_a_link_in_place_of_the_figures_folder_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "results", tmp_path / "outside"
    outside.mkdir()
    factory.write_run(root, factory.config("max"), 0, 0.9)
    (root / "figures").symlink_to(outside)
    with pytest.raises(ReportError, match="is a link"):
        write_report(root)
    assert not list(outside.iterdir())


# ---- command line ----


def test_the_command_ends_with_the_path_to_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    factory.write_run(tmp_path, factory.config("max"), 0, 0.9)
    assert report.main([str(tmp_path)]) == 0
    answer = "Not answered yet: no two finished runs differ by FMP against 2×2 max pooling alone."
    assert capsys.readouterr().out.splitlines() == [answer, f"Open {tmp_path / 'report.html'}"]


def test_without_arguments_it_takes_the_quick_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.write_run(tmp_path / "results" / "quick", factory.config("max"), 0, 0.9)
    monkeypatch.chdir(tmp_path)
    assert report.main([]) == 0
    assert (tmp_path / "results" / "quick" / "report.html").is_file()


@pytest.mark.parametrize("case", ["missing", "empty", "file", "unwritable"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    folder = tmp_path / "results"
    if case == "empty":
        folder.mkdir()
    elif case == "file":
        folder.write_text("")
    elif case == "unwritable":
        factory.write_run(folder, factory.config("max"), 0, 0.9)
        (folder / "report.md").mkdir()
    assert report.main([str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(folder) in line
    assert not list(tmp_path.glob("**/.report*"))  # nothing half-written stays


# ---- any edit at all ----

ODD = [None, "", "x", -1, 1.5, 10**30, True, [], {}, [[]], ["a"], {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in inside for found in [(*path, key), *places(child, (*path, key))]]


def edited(content: str, rng: random.Random) -> str:
    """A JSON text in which one value is an odd one, or infinite, or gone."""
    whole = json.loads(content)
    *parents, last = rng.choice(places(whole))
    parent = whole
    for key in parents:
        parent = parent[key]
    odd = rng.choice([*ODD, "1e999", "gone"])
    if odd == "gone":
        del parent[last]
    else:
        parent[last] = odd
    return json.dumps(whole).replace('"1e999"', "1e999")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_a_report_survives_any_edit_of_its_records(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    configs = [factory.config(pool, conv_layers=depth) for pool in ("max", "fmp") for depth in (2, 3)]
    factory.sweep(tmp_path, "mnist_swap", configs, range(3), lambda c, _: {"accuracy": 0.9})
    files = sorted(tmp_path.rglob("*.json"))
    for _ in range(3):
        file = rng.choice([rng.choice(files), tmp_path / "sweeps" / "mnist_swap.json"])
        file.write_text(edited(file.read_text(), rng))
    page = Page(write_report(tmp_path).read_text())
    assert "Does fractional max pooling beat 2×2 max pooling, and when?" in page.text
    json.loads((tmp_path / "findings.json").read_text(), parse_constant=lambda name: pytest.fail(name))
