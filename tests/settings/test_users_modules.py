"""Poolings and data sets that a user brings along: named by a config, identified by their code and content."""

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY
from documents import write_files

from fracpool.records.store import Store
from fracpool.settings import datasets, identity, users_modules
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import Settings
from fracpool.sweep.sweep_file import NO_REPORT

MODULE = """
import keras
import numpy as np

def load(images=np.zeros((8, 6, 5, 1), np.uint8), labels=np.arange(8, dtype=np.uint8) % 3):
    return images, labels, images, labels

def floats(): return load(np.zeros((8, 6, 5, 1)))
def flat(): return load(np.zeros((8, 30), np.uint8))
def short(): return load(labels=np.zeros(7, np.uint8))
def absent(): raise FileNotFoundError("no such file: stars.npz")

def halve(images): return images[:, ::2, ::2]
def refuse(images): raise ValueError("never")

class Chance(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)
    def call(self, images): return images
"""


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the modules of docs/pooling.md and one of bad examples, whose name is used once."""
    write_files("docs/pooling.md", folder)
    (folder / "examples_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    for name in ("lp_pooling", "dropout_pooling", "examples_of_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # of another test's folder
    return folder


def lp(**arguments) -> Settings:
    made = Settings()
    made.pool.kind, made.pool.layer, made.pool.arguments = "lp", "lp_pooling.lp_pooling", arguments
    return made


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pool.layer=nowhere.Pooling", ["pool.layer=nowhere.Pooling", "working directory"]),
        ("pool.layer=Pooling", ["pool.layer=Pooling", "module.name"]),
        ("pool.layer=lp_pooling.lq_pooling", ["lp_pooling has no lq_pooling"]),
        ("pool.layer=examples_of_mine.refuse ~pool.arguments.p", ["examples_of_mine.refuse", "28×28", "never"]),
        ("pool.layer=examples_of_mine.Chance ~pool.arguments.p", ["pool.stochastic", "must be true", "seed_generator"]),
        ("pool.layer=examples_of_mine.Chance", ["pool.arguments={'p': 4.0}", "does not take them"]),
        ("pool.layer=examples_of_mine.halve pool.stochastic=true ~pool.arguments.p", ["pool.stochastic=True"]),
        ("pool.arguments.q=3", ["pool.arguments.q"]),
        ("+pool.arguments.q=3", ["lp_pooling.lp_pooling", "'q'"]),
        ("pool.kind=max", ["pool.kind=max", "another name"]),
        ("pool.kind='../lp'", ["pool.kind", "a name"]),
        ("pool.ratio=1.4", ["pool.ratio=1.4", "pool=lp has no ratio"]),
        ("model.conv_layers=5", ["1×1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_pooling_gets_one_line(train, mine, line, said):
    before = sorted(mine.iterdir())
    result = train("--config-dir", "my", "dataset=mnist5k", "pool=lp", *line.split())
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1, result.err
    for words in said:
        assert words in result.err
    assert [path for path in sorted(mine.iterdir()) if path.name != "__pycache__"] == before


def test_a_module_that_cannot_be_imported_gets_one_line(train, mine):
    (mine / "broken_of_mine.py").write_text("import nothing_such\n")
    result = train("--config-dir", "my", "dataset=mnist5k", "pool=lp", "pool.layer=broken_of_mine.Pooling")
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert "broken_of_mine cannot be imported (ModuleNotFoundError: No module named 'nothing_such')" in line


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        ("floats", ["train images=float64 (8, 6, 5, 1)", "uint8 (n, height, width, channels)"]),
        ("flat", ["train images=uint8 (8, 30)"]),
        ("short", ["train labels=uint8 (7,)", "one for each image"]),
        ("absent", ["FileNotFoundError: no such file: stars.npz"]),
        ("halve", ["raised TypeError"]),
    ],
)
def test_a_wrong_data_set_gets_one_line(train, mine, loader, said):
    result = train("dataset.name=mine", f"dataset.loader=examples_of_mine.{loader}", "pool=max")
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1, result.err
    for words in said:
        assert words in result.err


def test_a_data_set_keeps_a_name_of_its_own(train, mine):
    result = train("dataset=mnist5k", "dataset.loader=examples_of_mine.load")
    assert result.code == 2
    assert "dataset.name=mnist5k" in result.err


def test_what_is_known_of_a_data_set_follows_from_its_arrays(mine):
    made = Settings()
    made.dataset.name, made.dataset.loader = "mine", "examples_of_mine.load"
    known = datasets.describe(made.dataset)
    assert (known.shape, known.classes, known.train_examples, known.test_examples) == ((6, 5, 1), 3, 8, 8)
    assert datasets.missing(made.dataset) is None
    assert datasets.fingerprint(made.dataset) == datasets.load(made.dataset).content_hash


def test_other_code_or_arguments_make_another_variant_and_a_comment_none(mine):
    first = identity.variant_id(lp(p=4.0))
    assert identity.variant_id(lp(p=2.0)) != first
    module = mine / "lp_pooling.py"
    module.write_text(module.read_text() + "\n# a remark\n")
    assert identity.variant_id(lp(p=4.0)) == first
    module.write_text(module.read_text().replace("1 / p", "1 / p + 0"))
    assert identity.variant_id(lp(p=4.0)) != first


def test_arguments_lead_nowhere_in_the_name_of_a_folder(mine):
    name = identity.run_id(lp(p="../../x y/" + "z" * 200), "data")
    assert "/" not in name
    assert " " not in name
    assert len(name) < 160


@pytest.mark.slow
def test_a_sweep_over_ones_own_and_the_studys_poolings(train, mine):
    grid = ["--config-dir", "my", "-m", *TINY, "pool=max,lp,dropout", "seed=0"]
    result = train(*grid)
    assert (result.code, result.err) == (0, "")
    records = Store(mine / "results" / "mine").read().records
    labels = {record.data["label"]: record.data["metrics"]["repeats"] for record in records}
    assert labels == {"2 conv, max pool": 1, "2 conv, lp p 4": 1, "2 conv, dropout rate 0.2": 3}
    assert "3 skipped" in train(*grid, NO_REPORT).out


def test_a_pooling_by_chance_repeats_bit_for_bit(train, mine):
    for results in ("a", "b"):
        assert train("--config-dir", "my", *TINY, "pool=dropout", "seed=3", f"results_dir={results}").code == 0
    first, second = (Store(mine / name / "mine").read().records[0] for name in ("a", "b"))
    assert first.data["metrics"] == second.data["metrics"]
    arrays, again = first.predictions(), second.predictions()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert not np.array_equal(arrays["one_pass"], arrays["averaged"])


def test_it_is_found_without_being_imported(mine):
    (mine / "bomb_of_mine.py").write_text("raise SystemExit('imported')\n")
    assert users_modules.source("pool.layer", "bomb_of_mine.Pooling") == mine / "bomb_of_mine.py"
    with pytest.raises(SettingsError, match="working directory"):
        users_modules.source("pool.layer", "nowhere.at.all.Pooling")


@pytest.mark.parametrize("name", ["os.system", "shutil.rmtree", "keras.layers.MaxPooling2D", "builtins.exec", "exec"])
def test_a_config_reaches_no_function_of_python_or_of_a_package(mine, name):
    for field in ("pool.layer", "dataset.loader"):
        with pytest.raises(SettingsError, match=rf"{field}={name}: must be module.name of a module in the working"):
            users_modules.load(field, name)
