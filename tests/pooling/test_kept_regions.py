"""FMP over regions that stay: even ones, and ones drawn once."""

import keras
import numpy as np
import pytest

import fracpool
from fracpool.pooling.fractional_max import KeptRegions

OPTIONS = [{}, {"pseudo_random": True}, {"overlapping": True}, {"window": 2}]


def images(side: int = 13) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, side, side, 2)).astype("float32")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_pools_over_its_own_boundaries_at_every_call(options):
    layer = KeptRegions(1.5, **options)
    x = images()
    first = keras.ops.convert_to_numpy(layer(x))
    rows, cols = (keras.ops.convert_to_numpy(w) for w in (layer.rows, layer.cols))
    shape = {"overlapping": options.get("overlapping", False), "window": options.get("window")}
    assert np.array_equal(first, fracpool.max_pool_regions(x, rows, cols, **shape))
    assert np.array_equal(first, layer(x))
    layer.draw(np.random.default_rng(1))
    assert not np.array_equal(first, layer(x))


def test_even_regions_are_as_even_as_cells_allow():
    layer = KeptRegions(1.47)
    layer(images(28))
    boundaries = keras.ops.convert_to_numpy(layer.rows)
    assert np.abs(boundaries - np.arange(20) * 28 / 19).max() <= 1


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_regions_travel_with_the_model(options, tmp_path):
    model = keras.Sequential([keras.Input((13, 13, 2)), KeptRegions(1.5, **options)])
    model.layers[0].draw(np.random.default_rng(2))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(model(images()), loaded(images()))
