"""Every command and every example of the README and of docs/using.md is carried out, long ones at a small budget; every
result that the README tells is computed from the committed records."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from documents import MAKE, ROOT, blocks, commands, run

from fracpool.findings.statistics import Estimate, difference

PAGES = ("README.md", "docs/using.md")
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
README = TEXTS["README.md"]
INLINE = list(
    dict.fromkeys(
        command
        for text in TEXTS.values()
        for command in re.findall(r"(?<!`)`((?:python -m fracpool|make)[^`<>…]*)`(?!`)", text)
    )
)
SMALL = "budget.epochs=1 budget.train_examples=200 model.filters=[4,8] model.dense=[16] repeats=2"


def at_a_small_budget(command: str) -> str | None:
    """The command as it is carried out here; None for one that this test does not know."""
    words = shlex.split(command)
    if command.startswith("python -m fracpool.train ") and {"--help", "plan=true"}.isdisjoint(words):
        return f"{command} {SMALL}"
    if words[0] == "make":  # hours, these tests, or what test_reproduce.py carries out: it is said, and exists
        return f"{MAKE} --dry-run {shlex.join(words[1:])}"
    if command.startswith("eval ") and "fracpool-train" in command:
        return f"bash -c {shlex.quote(f'{command} && complete -p fracpool-train')}"
    if command.startswith(("pip install -e .", "pip install .")):
        return f"cd {ROOT} && python -m {command} --dry-run --no-deps --no-build-isolation"
    if command.startswith("python -m fracpool"):
        return command
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are carried out one after another, as a reader does; the reference study lies there."""
    place = tmp_path_factory.mktemp("readme")
    (place / "results").mkdir()
    (place / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("command", list(dict.fromkeys(line for page in PAGES for line in commands(page))))
def test_a_command_of_a_shell_block_does_its_work(folder: Path, command: str) -> None:
    small = at_a_small_budget(command)
    assert small, f"{command}: it stands in a page and no test runs it; add it to at_a_small_budget"
    done = run(small, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_the_text_does_its_work(folder: Path, command: str) -> None:
    small = at_a_small_budget(f"{command} --help" if command == "python -m fracpool.train" else command)
    assert small, f"{command}: it stands in a page and no test runs it; add it to at_a_small_budget"
    done = run(small, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for _, code in blocks("README.md", "python")])
def test_a_python_example_prints_what_its_comment_says(tmp_path: Path, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^print\(.*\)\s+# (\([\d, ]+\)|[\d.]+)", code, re.MULTILINE)
    assert said
    assert done.stdout.split("\n")[: len(said)] == said


def test_the_pages_have_commands_and_their_links_lead_somewhere() -> None:
    assert len([line for page in PAGES for line in commands(page)]) >= 8
    assert INLINE
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


# The comparisons of the README: experiment, settings of both sides, of FMP, of max pooling, and the form of the test.
Comparison = tuple[str, dict[str, object], dict[str, object], dict[str, object], str]
FORMS = {
    "test_accuracy": "one drawn pass",
    "even_accuracy": "one even pass",
    "views_accuracy": "six views each",
    "averaged_accuracy": "twelve passes, twelve views",
    "deterministic_consistency": "moved images, one even pass",
}
ANSWER = README.partition("\n## ")[0]
RANDOM, PSEUDO = {"pool.pseudo_random": "false"}, {"pool.pseudo_random": "true"}
TWO, THREE = {"conv_layers": 2}, {"conv_layers": 3}
NARROW = {"model.filters": "[32, 64]", "model.dense": "[128]"}
LATE = {**THREE, "epochs": 30}
OF_A_BATCH = {**PSEUDO, "pool.window": "", "pool.regions_per": "batch"}
FEW, LONG = {"train_examples": 500}, {"epochs": 100}
SOME = {"train_examples": 5000, "budget.test_every": "10"}  # not the runs of an earlier grid, on another backend
TABLE: tuple[Comparison, ...] = (
    ("mnist_steps", {**TWO, "train_examples": 4000}, RANDOM, {}, "test_accuracy"),
    ("mnist_swap", TWO, RANDOM, {}, "test_accuracy"),
    ("budget_mnist", LATE, PSEUDO, {**NARROW, "model.filters": "[49, 98]"}, "even_accuracy"),
    ("few_images", {**FEW, **TWO}, PSEUDO, {}, "even_accuracy"),
    ("graham_control", {"backend": "jax"}, {}, {}, "averaged_accuracy"),
    ("budget_cifar10", LONG, PSEUDO, THREE, "views_accuracy"),
    ("budget_cifar10", LONG, PSEUDO, {"conv_layers": 6}, "views_accuracy"),
    ("airbench_swap", {}, OF_A_BATCH, {}, "views_accuracy"),
    ("few_images_cifar10", SOME, {}, {}, "views_accuracy"),
    ("few_images_cifar10", FEW, {}, {}, "views_accuracy"),
)
IN_THE_TEXT: tuple[Comparison, ...] = (
    ("mnist_steps", {"train_examples": 4000}, {**RANDOM, **THREE}, TWO, "test_accuracy"),
    ("mnist_swap", {}, {**RANDOM, **THREE}, TWO, "test_accuracy"),
    ("mnist_swap", TWO, RANDOM, {}, "even_accuracy"),
    ("budget_mnist", LATE, PSEUDO, NARROW, "even_accuracy"),
    ("budget_mnist", {**THREE, **LONG}, PSEUDO, NARROW, "even_accuracy"),
    ("few_images", {**FEW, **TWO}, PSEUDO, {}, "deterministic_consistency"),
    ("budget_cifar10", LONG, PSEUDO, {"conv_layers": 6}, "even_accuracy"),
    ("airbench_swap", {}, OF_A_BATCH, {}, "even_accuracy"),
    ("airbench_swap_full", {}, OF_A_BATCH, {}, "views_accuracy"),
    ("airbench_swap_full", {}, OF_A_BATCH, {}, "even_accuracy"),
    ("few_images_cifar10", SOME, {}, {}, "even_accuracy"),
    ("few_images_cifar10", {**SOME, "train_examples": 10_000}, {}, {}, "views_accuracy"),
)


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "results" / "reference" / "runs.parquet")


def chosen(runs: pd.DataFrame, experiment: str, settings: dict[str, object]) -> pd.DataFrame:
    """By seed, the runs of the one network of the experiment that has the settings."""
    found = runs[runs["experiment"].str.split(";").map(lambda names: experiment in names)]
    for name, value in settings.items():
        found = found[found[name].astype("string").fillna("") == str(value)]
    assert found["seed"].is_unique, f"{experiment}: {settings} fits several networks"
    assert len(found), f"{experiment}: {settings} fits none"
    return found.set_index("seed")


def gap(runs: pd.DataFrame, comparison: Comparison) -> Estimate:
    """FMP minus max pooling, paired by seed."""
    experiment, both, of_fmp, of_max, form = comparison
    fmp = chosen(runs, experiment, {"pool": "fmp", **both, **of_fmp})[form]
    pairs = (fmp - chosen(runs, experiment, {"pool": "max", **both, **of_max})[form]).dropna()
    return difference(pairs.to_numpy().round(12))


def points(share: float | None, digits: int = 2) -> str:
    assert share is not None
    return f"{100 * share:+.{digits}f}".replace("-", "−")


def training(runs: pd.DataFrame, comparison: Comparison) -> str:
    experiment, both, of_fmp, _, _ = comparison
    run = chosen(runs, experiment, {"pool": "fmp", **both, **of_fmp}).iloc[0]
    if run["epochs"] > 1 or run["train_examples"] == 60_000:
        images = f" of {run['train_examples']:,} images" if run["train_examples"] < 10_000 else ""
        return f"{run['epochs']} epoch{'s' if run['epochs'] > 1 else ''}{images}"
    return f"{run['train_examples'] // run['budget.batch_size']} steps"


def test_the_table_says_what_the_records_say(runs: pd.DataFrame) -> None:
    _, *rows = [line.strip("| ").split(" | ") for line in ANSWER.splitlines() if line.startswith("| ")]
    assert len(rows) == len(TABLE)
    for row, comparison in zip(rows, TABLE, strict=True):
        seen = gap(runs, comparison)
        interval = f"[{points(seen.low)}, {points(seen.high)}]"
        told = [training(runs, comparison), FORMS[comparison[-1]], f"{points(seen.mean)} {interval}", str(seen.n)]
        assert row[1:] == told, row


def test_the_answer_tells_no_number_that_is_not_in_the_records(runs: pd.DataFrame) -> None:
    told = re.findall(r"[+−]\d+(?:\.\d+)?|\d+\.\d+", ANSWER[ANSWER.index("\n- **") : ANSWER.index("\n| ")])
    known = [gap(runs, comparison).mean for comparison in (*TABLE, *IN_THE_TEXT)]
    known += [
        chosen(runs, name, {"pool": "max"})["views_accuracy"].mean() for name in ("airbench_anchor", "airbench_swap")
    ]
    passes = [chosen(runs, "graham_control", {"pool": pool, "backend": "jax"}) for pool in ("fmp", "max")]
    known += [1 - found["averaged_accuracy"].mean() for found in passes]
    for number in told:
        said = {points(share, len(number.partition(".")[2])) for share in known}
        assert number in said or number in {text[1:] for text in said}, number
    assert len(told) >= 8
