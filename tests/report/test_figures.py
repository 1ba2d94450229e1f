"""The figures: what they show is what was recorded, and a picture of a pooling is what the layer does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import record_factory as factory

from fracpool.findings.answer import answer
from fracpool.findings.verdicts import judge
from fracpool.report import write_report
from fracpool.report.figures import Figures, digits, draw_all
from fracpool.report.figures.style import Figure
from fracpool.settings import mnist5k
from fracpool.table.results import read


def drawn(root: Path) -> Figures:
    results = read(root)
    return draw_all(results, answer(results), judge(results))


def named(figures: Figures, name: str) -> Figure:
    (found,) = [figure for figure in figures if figure.name == name]
    return found


def names(figures: Figures) -> set[str]:
    return {figure.name for figure in figures}


def even(settings: Any, rng: np.random.Generator) -> dict[str, Any]:
    """FMP ends 5 points behind max pooling and starts 20 behind, in every run."""
    fmp = settings["pool"]["kind"] == "fmp"
    return {"accuracy": 0.90 if fmp else 0.95, "early": 0.60 if fmp else 0.80, "averaged": 0.94 if fmp else 0.95}


# ---- the main figure ----


def test_every_experiment_has_rows_in_the_main_figure(tmp_path: Path) -> None:
    """30 networks of one experiment, whose gaps are the widest, do not push out the one of another."""
    configs = [factory.config(kind, dense=[units]) for kind in ("max", "fmp") for units in range(1, 31)]
    factory.sweep(tmp_path, "mnist_dense", configs, range(2), even)
    other = [factory.config(kind) for kind in ("max", "fmp")]
    factory.sweep(tmp_path, "mnist_swap", other, range(2), lambda *_: {"accuracy": 0.9})
    figure = named(drawn(tmp_path), "answer")
    assert "24 of 31 comparisons are shown" in figure.caption
    assert "Ring: the same with FMP's test passes averaged" in figure.caption
    assert figure.alt.count("FMP 1.47 random: −5.0") == 23
    assert "FMP 1.47 random: 0" in figure.alt


# ---- what the poolings do to a digit ----


@pytest.mark.parametrize("pseudo_random", [False, True])
@pytest.mark.parametrize("kind", [{}, {"overlapping": True}, {"window": 2}])
def test_a_digit_is_pooled_as_the_layer_pools_it(kind: dict[str, Any], pseudo_random: bool) -> None:
    from fracpool.pooling.functions import max_pool_regions

    image = np.random.default_rng(1).integers(0, 256, (28, 28))
    rng = np.random.default_rng(0)
    rows, columns = (digits.windows(28, 19, {**kind, "pseudo_random": pseudo_random}, rng) for _ in range(2))
    starts = [[first for first, _ in axis] for axis in (rows, columns)]
    given = starts if "window" in kind else [[*axis, 28] for axis in starts]
    value = image[None, :, :, None].astype("float32")
    expected = np.asarray(max_pool_regions(value, *(np.array(axis) for axis in given), **kind))[0, :, :, 0]
    np.testing.assert_array_equal(digits.pooled(image, rows, columns), expected)


def test_max_pooling_halves_a_map_and_drops_an_odd_last_row() -> None:
    assert digits.windows(7, 3, {"kind": "max"}, np.random.default_rng(0)) == [(0, 2), (2, 4), (4, 6)]


def test_the_digit_is_one_of_the_sample(tmp_path: Path) -> None:
    path = mnist5k.file()
    assert path is not None
    train_images, train_labels, test_images, test_labels = mnist5k.load(path)
    np.testing.assert_array_equal(mnist5k.digit(path, 2, 1), train_images[train_labels == 2][1, ..., 0])
    np.testing.assert_array_equal(mnist5k.digit(path, 9, 499), test_images[test_labels == 9][99, ..., 0])


def test_a_digit_goes_through_every_pooling_layer_of_the_deepest_network(tmp_path: Path) -> None:
    configs = [factory.config(kind, conv_layers=depth) for kind in ("max", "fmp") for depth in (2, 3)]
    factory.write_sweep(tmp_path, "mnist_swap", configs, [], [])
    alt = named(drawn(tmp_path), "pooling-layers").alt
    assert "max pool: 28×28, 14×14, 7×7, 3×3." in alt
    assert "FMP 1.47 random: 28×28, 19×19, 12×12, 8×8." in alt


def test_without_the_sample_there_is_a_report_without_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.sweep(tmp_path, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(3), even)
    monkeypatch.setattr(mnist5k, "file", lambda: None)
    found = names(drawn(tmp_path))
    assert "mnist_swap-budget" in found
    assert not [name for name in found if name.startswith("pooling-")]


# ---- budgets and passes ----


def test_the_gap_joins_the_budgets_of_all_experiments(tmp_path: Path) -> None:
    """One experiment ends after 4,000 images, another after 12,000: one panel, one line of default regions."""
    for name, epochs in (("mnist_steps", 1), ("mnist_swap", 3)):
        pair = [factory.config(kind, epochs=epochs) for kind in ("max", "fmp")]
        factory.sweep(tmp_path, name, pair, range(3 if epochs == 1 else 4), even, [])
    figure = named(drawn(tmp_path), "budget-gap")
    gaps = "−20.0 after 4,000 images, −8.8 after 8,000 images, −5.0 after 12,000"
    assert f"2 conv, ratio 1.47: FMP random {gaps}" in figure.alt
    assert "FMP random, averaged passes −1.0 after 4,000 images, −1.0 after 12,000 images" in figure.alt
    assert "n\u00a0=\u00a03 to 4" in figure.caption
    assert "Hatched" not in figure.caption


def test_every_panel_of_the_gap_has_lines(tmp_path: Path) -> None:
    """Networks whose lines would be one too many are left out, and said to be."""
    configs = [factory.config(kind, dense=[units]) for kind in ("max", "fmp") for units in (10, 20)]
    ways = [{"regions_per": per, "pseudo_random": p} for per in ("batch", "sample", "channel") for p in (False, True)]
    for way in ways:
        configs.append(factory.config("fmp", dense=[10]))
        configs[-1]["pool"] |= way
    configs.append(factory.config("fmp", dense=[20]))
    configs[-1]["pool"] |= {"window": 2}
    factory.sweep(tmp_path, "mnist_swap", configs, range(2), even, [])
    figure = named(drawn(tmp_path), "budget-gap")
    assert "dense" not in figure.alt
    assert "Left out: 1 more network" in figure.caption


def test_the_claimed_range_stands_in_the_panel_of_its_network(tmp_path: Path) -> None:
    configs = [factory.config(kind, conv_layers=depth) for kind in ("max", "fmp") for depth in (2, 3)]
    factory.sweep(tmp_path, "mnist_swap", configs, range(3), even)
    figure = named(drawn(tmp_path), "budget-gap")
    assert "Hatched" in figure.caption
    assert figure.svg.count(">claimed") == 1


def test_test_passes_are_those_of_the_records(tmp_path: Path) -> None:
    reaches = {"kind": "reaches", "title": "r", "variant": {"pool.kind": "fmp"}, "level": 0.9, "margin": 0.01}
    finding = {"claim": "c", "source": "s", "comparison": "k", "parts": [reaches]}
    pair = [factory.config("max"), factory.config("fmp")]
    factory.sweep(tmp_path, "mnist_swap", pair, range(3), even, {"R": finding})
    alt = named(drawn(tmp_path), "mnist_swap-passes").alt
    assert "2 conv, FMP 1.47 random: 90.0 % with one pass, 94.0 % with the most passes." in alt
    assert "2 conv, max pool: 95.0 % with one pass, 95.0 % with the most passes." in alt


def test_max_pooling_is_drawn_among_many_and_what_is_not_is_told(tmp_path: Path) -> None:
    configs = [factory.config("fmp", ratio=1.3 + i / 100) for i in range(9)] + [factory.config("max")]
    factory.sweep(tmp_path, "mnist_swap", configs, range(3), even)
    figure = named(drawn(tmp_path), "mnist_swap-budget")
    assert "2 conv, max pool: 80.0 % after the first epoch, 95.0 % at the end." in figure.alt
    assert figure.alt.count("FMP") == figure.svg.count(">FMP") == 6  # the legend names every line
    assert "In the table only: 3 poolings." in figure.caption


def test_each_data_set_has_its_axis_of_accuracy(tmp_path: Path) -> None:
    """97 % and 47 % of the same network: each among ticks that tell a point apart."""
    configs = [factory.config(kind, dataset=data) for data in ("mnist", "cifar10") for kind in ("max", "fmp")]
    accuracy = {"mnist": 0.97, "cifar10": 0.47}
    factory.sweep(tmp_path, "poolings", configs, range(3), lambda c, _: {"accuracy": accuracy[c["dataset"]["name"]]})
    figures = drawn(tmp_path)
    assert "poolings-final-size" not in names(figures)  # 12×12 of one and 14×14 of the other are no comparison
    _, mnist, cifar10 = re.split('<g id="axes_[12]">', named(figures, "poolings-budget").svg)
    assert ">95<" in mnist
    assert ">46<" in cifar10
    assert ">95<" not in cifar10


def test_an_experiment_has_one_figure_at_most(tmp_path: Path) -> None:
    factory.sweep(tmp_path, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(3), even)
    grid = [factory.config("fmp", ratio, conv_layers=depth) for ratio in (1.3, 1.4, 1.5) for depth in (1, 2)]
    factory.sweep(tmp_path, "depth_ratio", grid, range(3), even)
    short = [factory.config(kind, epochs=1) for kind in ("max", "fmp")]
    factory.sweep(tmp_path, "mnist_dense", short, range(3), even)
    assert {name: figure.name for name, figure in drawn(tmp_path).experiments.items()} == {
        "mnist_swap": "mnist_swap-budget",
        "depth_ratio": "depth_ratio-map",
    }


def test_missing_predictions_are_named(tmp_path: Path) -> None:
    factory.sweep(tmp_path, "mnist_swap", [factory.config("max"), factory.config("fmp")], range(3), even)
    for path in tmp_path.rglob("predictions.npz"):
        path.unlink()
    page = write_report(tmp_path).read_text()
    assert "Without predictions in mnist_swap: no comparison on the same test images (6)" in page


# ---- rankings ----


def test_a_ranking_shows_each_variant_from_the_highest_mean_down(tmp_path: Path) -> None:
    kinds = {"max": 0.93, "average": 0.91, "fmp": 0.95}
    rule = {"kind": "ranking", "title": "FMP", "variants": {"dataset.name": "mnist5k"}, "first": {"pool.kind": "fmp"}}
    finding = {"claim": "c", "source": "s", "comparison": "k", "parts": [rule]}
    configs = [factory.config(kind) for kind in kinds]
    factory.sweep(
        tmp_path, "poolings", configs, range(3), lambda c, rng: {"accuracy": kinds[c["pool"]["kind"]]}, {"P1": finding}
    )
    figure = named(drawn(tmp_path), "poolings-ranking")
    assert "Diamond" in figure.caption
    places = figure.alt.partition("FMP: ")[2].removesuffix(".").split("; ")
    assert [place.split(", ")[-2:] for place in places] == [
        ["95.00 %", "place 1"],
        ["93.00 %", "place 2"],
        ["91.00 %", "place 3"],
    ]
    write_report(tmp_path)
    assert (tmp_path / "figures" / "poolings-ranking.svg").is_file()
