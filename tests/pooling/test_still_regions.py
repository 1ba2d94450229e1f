"""Regions that stay from call to call: even ones outside of training, and ones drawn once. On every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import fracpool
from fracpool import FractionalAveragePooling2D, FractionalMaxPooling2D, regions
from fracpool.pooling.drawing import even
from fracpool.pooling.frozen import FrozenAveragePooling2D, FrozenMaxPooling2D

BACKEND = keras.backend.backend()
OPTIONS = [{}, {"pseudo_random": True}, {"overlapping": True}, {"window": 2}]


def images(side: int = 13) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, side, side, 2)).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x.detach() if BACKEND == "torch" and ops.is_tensor(x) else x)


def test_even_regions_are_as_even_as_cells_allow():
    assert np.abs(regions.even_boundaries(28, 19) - np.arange(20) * 28 / 19).max() <= 1
    for size in range(1, 40):
        for out in range(1, size + 1):
            widths = np.diff(regions.even_boundaries(size, out))
            assert set(widths) <= {size // out, size // out + 1}


@pytest.mark.parametrize("options", [*OPTIONS, {"regions_per": "channel"}], ids=str)
@pytest.mark.parametrize("kind", [FractionalMaxPooling2D, FractionalAveragePooling2D])
def test_even_inference_is_the_same_at_every_call_and_draws_nothing(kind, options):
    layer, drawn, x = kind(1.5, inference="even", seed=1, **options), kind(1.5, seed=1, **options), images()
    states = [to_numpy(stream.state).copy() for stream in (layer.seed_generator, layer.inference_generator)]
    first = to_numpy(layer(x))
    np.testing.assert_array_equal(to_numpy(layer(x, training=False)), first)
    for state, stream in zip(states, (layer.seed_generator, layer.inference_generator), strict=True):
        np.testing.assert_array_equal(to_numpy(stream.state), state)
    assert (to_numpy(drawn(x)) != first).any()
    np.testing.assert_array_equal(to_numpy(layer(x, training=True)), to_numpy(drawn(x, training=True)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_even_inference_pools_over_even_regions(options):
    x, window = images(), options.get("window")
    places = regions.even_boundaries(13, 8) if window is None else regions.fixed_starts(13, 8, window, 0.5)
    given = {name: value for name, value in options.items() if name in ("overlapping", "window")}
    expected = fracpool.max_pool_regions(x, places, places, **given)
    ours = FractionalMaxPooling2D(1.5, inference="even", **options)(x)
    np.testing.assert_array_equal(to_numpy(ours), to_numpy(expected))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="sizes that are only known at run time")
@pytest.mark.parametrize("window", [None, 2])
def test_even_regions_of_sizes_known_at_run_time_are_the_same(window):
    """Rounded alike too: 25 cells in 11 regions is such a case."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)] * 2)
    def dynamic(size, out):
        return even(size, out, window)

    for size, out in [(25, 11), (25, 13), (50, 26), (28, 19), (7, 1), (2, 2), (*(60_000,), 42_857)]:
        np.testing.assert_array_equal(to_numpy(dynamic(size, out)), to_numpy(even(size, out, window)))


@pytest.mark.parametrize("options", [*OPTIONS, {"window": 3, "pseudo_random": True}], ids=str)
@pytest.mark.parametrize("kind", [FrozenMaxPooling2D, FrozenAveragePooling2D])
def test_frozen_regions_are_drawn_once(kind, options, tmp_path):
    """As `pool.regions_per=run` has them: what a seed other than 0 makes of TensorFlow's op."""
    model = keras.Sequential([keras.Input((13, 13, 2)), kind(1.5, **options)])
    layer, x = model.layers[0], images()
    before = to_numpy(model(x))
    layer.draw(np.random.default_rng(2))
    first = to_numpy(model(x, training=True))
    assert (first != before).any()
    np.testing.assert_array_equal(to_numpy(model(x)), first)
    if kind is FrozenMaxPooling2D:
        given = {name: value for name, value in options.items() if name in ("overlapping", "window")}
        rows, cols = (to_numpy(weight) for weight in (layer.rows, layer.cols))
        np.testing.assert_array_equal(to_numpy(fracpool.max_pool_regions(x, rows, cols, **given)), first)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(keras.saving.load_model(tmp_path / "model.keras")(x)), first)


def test_frozen_fixed_windows_are_random_where_they_are_asked_to_be():
    """Pseudorandom starts of 13 cells in 8 windows of 2 come in a handful of patterns; the random ones in 7 over 3."""
    seen = {}
    for pseudo_random in (False, True):
        layer = FrozenMaxPooling2D(1.5, window=2, pseudo_random=pseudo_random)
        layer.build((None, 13, 13, 2))
        found = set()
        for seed in range(200):
            layer.draw(np.random.default_rng(seed))
            found |= {tuple(to_numpy(weight)) for weight in (layer.rows, layer.cols)}
        assert all(starts[0] == 0 and starts[-1] == 11 and set(np.diff(starts)) == {1, 2} for starts in found)
        seen[pseudo_random] = len(found)
    assert seen[True] <= 7
    assert seen[False] > 30  # of 35, the ways to choose which 4 of 7 distances are 2
