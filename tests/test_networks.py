"""The network as data against the Keras model that is built from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fracpool import architecture
from fracpool.settings import ImpossibleNetwork, ModelSettings, PoolSettings

FMP = {"kind": "fmp", "pseudo_random": False, "overlapping": False, "regions_per": "batch"}


def sizes(pool: PoolSettings, layers: int, side: int, pools: int | None = None) -> list[int]:
    model = ModelSettings(conv_layers=layers, pools=pools)
    network = architecture.network(model, pool, (side, side, 1), 10)
    return [side] + [layer.height for layer in network.layers if layer.kind == "pool"]


def test_the_sizes_of_the_findings():
    """Sizes by TensorFlow's float32 floor, from the question, its answer and REFERENCES of the field."""
    fmp147, fmp14 = PoolSettings(ratio=1.47, **FMP), PoolSettings(ratio=1.4, **FMP)
    assert sizes(PoolSettings(), 2, 28) == [28, 14, 7]
    assert sizes(fmp147, 2, 28) == [28, 19, 12]
    assert sizes(fmp147, 3, 28) == [28, 19, 12, 8]
    assert sizes(fmp14, 6, 32) == [32, 22, 15, 10, 7, 5, 3]
    assert sizes(PoolSettings(), 6, 32, pools=3) == [32, 16, 8, 4]


def test_pools_are_spread_evenly():
    model = ModelSettings(conv_layers=6, pools=3)
    network = architecture.network(model, PoolSettings(), (32, 32, 3), 10)
    assert [layer.name for layer in network.layers if layer.kind == "pool"] == ["pool2", "pool4", "pool6"]


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    pool=st.sampled_from([PoolSettings(), PoolSettings(kind="average"), PoolSettings(ratio=1.47, **FMP)]),
    layers=st.integers(1, 3),
    filters=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    kernel=st.integers(1, 4),
    pad=st.sampled_from([None, 30]),
    norm=st.booleans(),
    pointwise=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    dense=st.lists(st.integers(1, 9), max_size=2),
)
def test_sizes_and_parameters_are_those_of_the_keras_model(
    pool, layers, filters, kernel, pad, norm, pointwise, dropout, dense
):
    from fracpool import models

    model = ModelSettings(
        conv_layers=layers,
        filters=filters,
        kernel=kernel,
        pad_to=pad,
        batch_norm=norm,
        pointwise=pointwise,
        dropout=dropout,
        dense=dense,
    )
    network = architecture.network(model, pool, (28, 26, 2), 10)
    built = models.build(network, model, pool)
    assert built.count_params() == network.parameters
    for layer in network.layers[1:]:
        shape = tuple(built.get_layer(layer.name).output.shape[1:])
        expected = (layer.height, layer.width, layer.channels)
        assert shape == (expected if len(shape) == 3 else expected[-1:])
    assert built(np.zeros((2, 28, 26, 2), np.float32)).shape == (2, 10)


def test_macs_count_each_product_once():
    network = architecture.network(ModelSettings(dense=[7]), PoolSettings(), (28, 28, 1), 10)
    macs = {layer.name: layer.macs for layer in network.layers if layer.macs}
    assert macs == {
        "conv1": 28 * 28 * 9 * 1 * 32,
        "conv2": 14 * 14 * 9 * 32 * 64,
        "dense1": 7 * 7 * 64 * 7,
        "logits": 7 * 10,
    }


@pytest.mark.parametrize("activation", ["elu", "relu", "leaky_relu", "tanh"])
def test_a_maximum_before_a_monotone_activation_is_the_same_network(activation):
    import keras

    from fracpool import models

    model = ModelSettings(activation=activation, filters=[4, 8], dense=[5])
    network = architecture.network(model, PoolSettings(), (12, 12, 1), 3)
    kinds = [layer.kind for layer in network.layers][1:7]
    assert kinds == ["conv", "pool", "activation"] * 2
    early = models.build(network, model, PoolSettings())

    inputs = outputs = keras.Input((12, 12, 1))
    for name in ("conv1", "activation1", "pool1", "conv2", "activation2", "pool2"):
        outputs = early.get_layer(name)(outputs)
    late = keras.Model(inputs, outputs)
    images = np.random.default_rng(0).normal(size=(5, 12, 12, 1)).astype(np.float32)
    of_early = keras.Model(early.inputs, early.get_layer("activation2").output)
    assert np.array_equal(late.predict(images, verbose=0), of_early.predict(images, verbose=0))


def test_dropout_keeps_the_asker_order():
    model = ModelSettings(batch_norm=True, dropout=0.25)
    network = architecture.network(model, PoolSettings(ratio=1.47, **FMP), (28, 28, 1), 10)
    assert [layer.kind for layer in network.layers][1:6] == ["conv", "batch_norm", "activation", "dropout", "pool"]


@pytest.mark.parametrize(("layers", "side"), [(5, 28), (6, 32)])
def test_too_many_layers_are_impossible(layers, side):
    with pytest.raises(ImpossibleNetwork, match=r"1×1.*model\.conv_layers"):
        architecture.network(ModelSettings(conv_layers=layers), PoolSettings(), (side, side, 1), 10)


def test_equal_seeds_start_networks_equal_where_they_share_shapes():
    from fracpool import models

    def weights(pool: PoolSettings, seed: int) -> dict[str, np.ndarray]:
        settings = ModelSettings()
        model = models.build(architecture.network(settings, pool, (28, 28, 1), 10), settings, pool)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        models.initialise(model, seed)
        return {layer.name: layer.get_weights()[0] for layer in model.layers if layer.get_weights()}

    maximum, other = weights(PoolSettings(), 3), weights(PoolSettings(), 4)
    fmp = weights(PoolSettings(ratio=1.47, **FMP), 3)
    for name in ("conv1", "conv2", "logits"):
        assert np.array_equal(maximum[name], fmp[name])
        assert not np.array_equal(maximum[name], other[name])
    limit = np.sqrt(6 / (9 * (32 + 64)))
    assert np.abs(maximum["conv2"]).max() <= limit
    assert np.abs(maximum["conv2"]).std() == pytest.approx(limit / np.sqrt(12), rel=0.05)
