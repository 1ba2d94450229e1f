"""The network as data against the Keras model that is built from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fracpool.settings import architecture
from fracpool.settings.poolings import POOLINGS
from fracpool.settings.refusal import ImpossibleNetwork
from fracpool.settings.schema import ModelSettings, OptimizerSettings, PoolSettings

FILLED = {"ratio": 1.47, "pseudo_random": False, "overlapping": False, "regions_per": "batch", "grid": 4}
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


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_averaged_weights_are_the_exponential_average_of_the_steps(name):
    import keras

    from fracpool.training import optimizers
    from fracpool.training.state import averaged

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    chosen = OptimizerSettings(name=name, learning_rate=0.1, average=0.8)
    model.compile(optimizer=optimizers.optimizer(chosen, 1, 5), loss="mse")
    average = 0
    for step in range(5):
        model.train_on_batch(np.full((4, 3), step), np.ones((4, 2)))
        (weights, _) = model.get_weights()
        average = weights if step == 0 else 0.8 * average + 0.2 * weights
    with averaged(model):
        np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[0], weights)


EVERY_POOL = [PoolSettings(kind=kind, **FILLED) for kind in POOLINGS]


@hypothesis_settings(max_examples=15, deadline=None)
@given(
    pool=st.sampled_from(EVERY_POOL),
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
    from fracpool.training import keras_network

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
    built = keras_network.build(network, model, pool)
    assert built.count_params() == network.parameters
    for layer in network.layers[1:]:
        shape = tuple(built.get_layer(layer.name).output.shape[1:])
        expected = (layer.height, layer.width, layer.channels)
        assert shape == (expected if len(shape) == 3 else expected[-1:])
    assert built(np.zeros((2, 28, 26, 2), np.float32)).shape == (2, 10)


@pytest.mark.parametrize(("shape", "scale"), [((5, 7, 6, 3), True), ((1, 1, 2, 4), True), ((5, 7, 6, 3), False)])
def test_fused_batch_norm_is_that_of_keras(shape, scale):
    """In outputs, gradients, moving averages and test passes, over three steps."""
    import keras
    import tensorflow as tf

    from fracpool.training.fused.batch_norm import FusedBatchNormalization

    rng = np.random.default_rng(0)
    kinds = (FusedBatchNormalization, keras.layers.BatchNormalization)
    fused, whole = (kind(momentum=0.8, scale=scale) for kind in kinds)
    for layer in (fused, whole):
        layer.build(shape)
        if scale:
            layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    for _ in range(3):
        images, onto = (tf.constant(rng.normal(3, 2, shape).astype(np.float32)) for _ in range(2))
        found = []
        for layer in (fused, whole):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images, training=True)
            gradients = tape.gradient(outputs, [images, *layer.trainable_weights], onto)
            found.append([outputs, *gradients, *layer.variables, layer(images, training=False)])
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_poolings_with_weights_count_them_and_their_products():
    def pools(kind: str) -> list[tuple[int, int]]:
        network = architecture.network(ModelSettings(filters=[4, 8]), PoolSettings(kind=kind), (28, 28, 1), 10)
        return [(layer.parameters, layer.macs) for layer in network.layers if layer.kind == "pool"]

    assert pools("strided") == [(9 * 4 * 4 + 4, 14 * 14 * 9 * 4 * 4), (9 * 8 * 8 + 8, 7 * 7 * 9 * 8 * 8)]
    assert pools("mixed") == [(1, 0), (1, 0)]
    assert pools("gated") == [(4, 14 * 14 * 4 * 4), (4, 7 * 7 * 4 * 8)]
    assert pools("max_blur") == [(0, 14 * 14 * 9 * 4), (0, 7 * 7 * 9 * 8)]
    assert pools("max") == pools("average") == pools("overlapping_max") == [(0, 0), (0, 0)]


def test_an_activation_follows_a_strided_convolution():
    network = architecture.network(ModelSettings(), PoolSettings(kind="strided"), (28, 28, 1), 10)
    kinds = [layer.kind for layer in network.layers][1:9]
    assert kinds == ["conv", "activation", "pool", "activation"] * 2


@pytest.mark.parametrize("pool", EVERY_POOL, ids=lambda pool: pool.kind)
def test_every_pooling_starts_from_the_seed_and_learns(pool):
    """All weights are set from the seed, and a step of training moves those of the pools."""
    from fracpool.training import keras_network
    from fracpool.training.state import initialise

    settings = ModelSettings(filters=[4, 8], dense=[5], activation="relu")
    model = keras_network.build(architecture.network(settings, pool, (28, 28, 1), 10), settings, pool)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    images = np.random.default_rng(0).random((8, 28, 28, 1), np.float32)

    def trained(seed: int) -> list[np.ndarray]:
        initialise(model, seed)
        start = {variable.path: variable.numpy() for variable in model.trainable_variables}
        model.train_on_batch(images, np.arange(8))
        moved = [
            variable.path for variable in model.trainable_variables if np.any(variable.numpy() != start[variable.path])
        ]
        assert sum("pool" in path for path in moved) == 2 * {"strided": 2, "mixed": 1, "gated": 1}.get(pool.kind, 0)
        return model.get_weights()

    first, again, other = trained(1), trained(1), trained(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


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

    from fracpool.training import keras_network

    model = ModelSettings(activation=activation, filters=[4, 8], dense=[5])
    network = architecture.network(model, PoolSettings(), (12, 12, 1), 3)
    kinds = [layer.kind for layer in network.layers][1:7]
    assert kinds == ["conv", "pool", "activation"] * 2
    early = keras_network.build(network, model, PoolSettings())

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
    from fracpool.training import keras_network
    from fracpool.training.state import initialise

    def weights(pool: PoolSettings, seed: int) -> dict[str, np.ndarray]:
        settings = ModelSettings()
        model = keras_network.build(architecture.network(settings, pool, (28, 28, 1), 10), settings, pool)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        initialise(model, seed)
        return {layer.name: layer.get_weights()[0] for layer in model.layers if layer.get_weights()}

    maximum, other = weights(PoolSettings(), 3), weights(PoolSettings(), 4)
    fmp = weights(PoolSettings(ratio=1.47, **FMP), 3)
    for name in ("conv1", "conv2", "logits"):
        assert np.array_equal(maximum[name], fmp[name])
        assert not np.array_equal(maximum[name], other[name])
    limit = np.sqrt(6 / (9 * (32 + 64)))
    assert np.abs(maximum["conv2"]).max() <= limit
    assert np.abs(maximum["conv2"]).std() == pytest.approx(limit / np.sqrt(12), rel=0.05)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gelu_in_one_pass_is_keras_gelu(dtype):
    import keras
    import tensorflow as tf

    from fracpool.training.fused.gelu import Gelu

    x = tf.cast(np.random.default_rng(0).normal(0, 3, (4, 5, 5, 3)), dtype)
    layer = Gelu(dtype=dtype)
    found = []
    for activation in (layer, keras.activations.gelu):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = activation(x) if activation is layer else activation(x, approximate=False)
        found.append([np.asarray(tf.cast(value, "float32")) for value in (y, tape.gradient(y, x))])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6 if dtype == "float32" else 0.03)
