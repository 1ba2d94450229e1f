"""Names that say what is not usual, and nothing twice."""

from __future__ import annotations

from typing import Any

from fracpool.settings.names import flatten
from fracpool.table.variant_names import in_columns, in_common, short_names

BUDGET = {"epochs": 10, "train_examples": None, "batch_size": 100}


def config(pool: dict[str, Any], **model: Any) -> dict[str, Any]:
    plain = {"name": "plain", "conv_layers": 3, "pools": None, "filters": [16, 32], "kernel": 3, "dense": [128]}
    return flatten(
        {"task": "train", "dataset": {"name": "mnist"}, "pool": pool, "model": plain | model, "budget": BUDGET}
    )


MAX = {"kind": "max"}
FMP = {
    "kind": "fmp",
    "ratio": 2**0.5,
    "pseudo_random": True,
    "overlapping": False,
    "window": None,
    "regions_per": "batch",
}


def named(*settings: dict[str, Any]) -> list[str]:
    return short_names([("a label", each) for each in settings])


def test_a_network_has_the_same_name_whatever_its_pooling() -> None:
    assert named(config(MAX), config(FMP), config(MAX, kernel=2), config(FMP, kernel=2)) == [
        "3 conv, max pool",
        "3 conv, FMP 1.414 pseudorandom",
        "3 conv, max pool, 2×2 filters",
        "3 conv, FMP 1.414 pseudorandom, 2×2 filters",
    ]


def test_what_all_have_in_common_is_said_once() -> None:
    settings = [config(MAX), config(FMP)]
    assert in_common(settings) == "3 conv, filters 16/32, MNIST, 10 epochs"
    assert not any("filters" in name for name in named(*settings))


def test_a_network_that_all_share_makes_room_for_what_differs() -> None:
    much = {"kernel": 2, "pointwise": True, "pad_to": 36}
    assert named(config(MAX), config(FMP, **much)) == [
        "max pool",
        "FMP 1.414 pseudorandom, 2×2 filters, 1×1 layers, pad to 36",
    ]


def test_the_columns_say_what_is_not_usual() -> None:
    assert in_columns(config(MAX, conv_layers=6, pools=3, batch_norm=True)) == {
        "network": "6 conv, filters 16/32, batch norm",
        "pooling": "3 × max pool",
        "data": "MNIST",
        "budget": "10 epochs",
    }


def test_names_differ_even_where_only_an_untold_setting_does() -> None:
    assert named(config(MAX), config(MAX, centre=True, whiten_epochs=2), config(MAX, whiten_epochs=2))[1:] == [
        "3 conv, max pool, centred",
        "3 conv, max pool, whiten epochs 2",
    ]


def test_a_strangers_values_are_told_and_cost_nothing() -> None:
    assert named(config(MAX), config(MAX, dropout_ramp=["x", 1]))[1].startswith("3 conv, max pool, model.dropout_ramp=")
    assert short_names([("a check", {"task": "gradient"})]) == ["a check"]


def test_values_that_are_no_numbers_tell_networks_apart() -> None:
    alike = [("a network", config(MAX)), ("a network", config(MAX, pools=["a"]))]
    assert short_names(alike, without=["pool."])[1] == "3 conv, pools ['a']"


def test_what_follows_from_another_setting_makes_room() -> None:
    his = {**FMP, "window": 2, "regions_per": "sample"}
    assert named(config(MAX, k=53, conv_layers=4), config(his, k=32, conv_layers=6)) == [
        "Graham 4 conv, max pool",
        "Graham 6 conv, FMP 1.414 pseudorandom 2×2 windows per sample",
    ]
    assert "k = 32" in named(config(his, k=53, conv_layers=6), config(his, k=32, conv_layers=6))[1]
