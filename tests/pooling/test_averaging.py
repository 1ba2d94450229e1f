"""Predictions averaged over passes with new regions. On every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import fracpool

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(5, 12, 12, 2)).astype("float32")


def network(**options):
    keras.utils.set_random_seed(3)
    pool = fracpool.FractionalMaxPooling2D(1.4, seed=1, **options)
    return keras.Sequential([keras.Input((12, 12, 2)), pool, keras.layers.Flatten(), keras.layers.Dense(3)])


def test_it_is_the_mean_of_passes():
    model, twin = network(), network()
    expected = np.mean([twin.predict(X, batch_size=2, verbose=0) for _ in range(4)], axis=0)
    found = fracpool.average_predictions(model, X, repeats=4, batch_size=2, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_an_even_model_draws_for_it_and_is_even_again():
    model, drawn = network(inference="even"), network()
    still = model.predict(X, verbose=0)
    found = fracpool.average_predictions(model, X, repeats=3, verbose=0)
    np.testing.assert_array_equal(found, fracpool.average_predictions(drawn, X, repeats=3, verbose=0))
    assert np.abs(found - still).max() > 1e-3
    np.testing.assert_array_equal(model.predict(X, verbose=0), still)
    assert model.layers[0].get_config()["inference"] == "even"


def test_a_seed_repeats_it_and_leaves_the_streams_alone():
    model = network()
    stream = model.layers[0].inference_generator.state
    before = np.array(ops.convert_to_numpy(stream))
    first, again, other = (fracpool.average_predictions(model, X, 3, seed=seed, verbose=0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(ops.convert_to_numpy(stream), before)
    first, second = (fracpool.average_predictions(model, X, 3, verbose=0) for _ in range(2))
    assert (first != second).any()


def test_several_outputs_and_nested_models_and_a_bar(capsys):
    entry = keras.Input((12, 12, 2))
    y = network()(entry)
    model = keras.Model(entry, {"one": y, "two": [y * 2]})
    found = fracpool.average_predictions(model, X, repeats=2)
    np.testing.assert_allclose(found["two"][0], 2 * found["one"], rtol=1e-6)
    assert "2/2" in capsys.readouterr().out


def test_bad_input():
    with pytest.raises(ValueError, match="repeats=0: must be a whole number from 1"):
        fracpool.average_predictions(network(), X, repeats=0)
    still = keras.Sequential([keras.Input((12, 12, 2)), keras.layers.MaxPooling2D(2)], name="still")
    with pytest.raises(ValueError, match="model='still': must have a layer that draws"):
        fracpool.average_predictions(still, X)
