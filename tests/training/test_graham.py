"""Graham's networks: sizes, widths, dropout and optimizer as in his code, on the plan and on the Keras model."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fracpool import geometry
from fracpool.records.store import Store
from fracpool.settings import architecture, names
from fracpool.settings.check import check
from fracpool.settings.refusal import ImpossibleNetwork, SettingsError
from fracpool.settings.schema import ModelSettings, OptimizerSettings, PoolSettings, Settings

FMP = PoolSettings("fmp", 2**0.5, pseudo_random=True, overlapping=False, window=2, regions_per="sample")
RAMP = [0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5]
MNIST = ModelSettings("graham", 6, kernel=2, k=32, activation="leaky_relu", dense=[], dropout_ramp=RAMP)
CIFAR = replace(MNIST, conv_layers=12, dropout_ramp=[])
SMALL = replace(MNIST, conv_layers=2, k=3, dropout_ramp=[0, 0.1, 0.2, 0.5])


def planned(model=MNIST, pool=FMP, shape=(28, 28, 1)):
    return architecture.network(model, pool, shape, 10)


@pytest.mark.parametrize(
    ("model", "ratio", "shape", "first", "chain"),
    [
        (MNIST, 2 ** (1 / 2), (28, 28, 1), 36, [35, 25, 24, 17, 16, 11, 10, 7, 6, 4, 3, 2, 1, 1]),
        (
            CIFAR,
            2 ** (1 / 3),
            (32, 32, 3),
            94,
            [93, 74, 73, 58, 57, 45, 44, 35, 34, 27, 26, 21, 20, 16, 15, 12, 11, 9, 8, 6, 5, 4, 3, 2, 1, 1],
        ),
    ],
    ids=["mnist", "cifar10"],
)
def test_the_chain_of_sizes_is_his(model, ratio, shape, first, chain):
    """Computed back from 1×1, as SparseConvNet does it, and written out here."""
    network = planned(model, replace(FMP, ratio=ratio), shape)
    assert [layer.height for layer in network.layers if layer.kind in ("conv", "pool")] == chain
    assert [layer.height for layer in network.layers if layer.kind == "pad"] == [first]
    assert network.final == replace(network.final, height=1, width=1, channels=32 * (model.conv_layers + 2))


def test_widths_kernels_and_dropout_are_his():
    convolutions = [layer for layer in planned().layers if layer.kind == "conv"]
    assert [layer.units for layer in convolutions] == [32 * n for n in range(1, 9)]
    assert [layer.kernel for layer in convolutions] == [2] * 7 + [1]
    assert [layer.name for layer in planned().layers if layer.kind == "dropout"] == [f"dropout{n}" for n in range(4, 9)]
    sides = [1, *(layer.units for layer in convolutions)]
    weights = [b * (4 * a + 1) for a, b in pairwise(sides[:8])] + [256 * (224 + 1)]
    assert planned().parameters == sum(weights) + 10 * (256 + 1)


@pytest.mark.parametrize("pool", [FMP, replace(FMP, window=None), replace(FMP, pseudo_random=False)], ids=str)
@pytest.mark.parametrize("kind", ["fmp", "fractional_average"])
def test_the_keras_model_has_the_planned_sizes(pool, kind):
    from fracpool.training import keras_network

    pool = replace(pool, kind=kind)
    network = planned(SMALL, pool, (6, 6, 1))
    built = keras_network.build(network, SMALL, pool)
    assert built.count_params() == network.parameters
    for layer in network.layers[1:]:
        shape = tuple(built.get_layer(layer.name).output.shape[1:])
        assert shape == (layer.height, layer.width, layer.channels)[-len(shape) :]
    even = keras_network.with_even_regions(built, network, SMALL, pool)
    images = np.random.default_rng(0).random((2, 6, 6, 1), np.float32)
    assert built(images).shape == even(images).shape == (2, 10)
    for made in (layer for layer in built.layers if layer.name.startswith("pool")):
        assert (made.window, made.regions_per) == (pool.window, "sample")


def test_the_image_lies_in_the_middle_of_zeros():
    import keras

    from fracpool.training import keras_network

    built = keras_network.build(planned(), MNIST, FMP)
    padded = keras.Model(built.inputs, built.get_layer("pad").output)(np.ones((1, 28, 28, 1), np.float32)).numpy()
    assert padded.shape == (1, 36, 36, 1)
    assert padded.sum() == 28 * 28 == padded[:, 4:32, 4:32].sum()


def test_dropout_drops_whole_filters_for_the_whole_batch():
    from fracpool.training import keras_network

    layer = keras_network.build(planned(), MNIST, FMP).get_layer("dropout8")
    y = np.asarray(layer(np.ones((5, 3, 3, 256), np.float32), training=True))
    assert (y == y[:1, :1, :1]).all()
    assert 64 < np.count_nonzero(y[0, 0, 0]) < 192
    assert set(np.unique(y)) == {0, 2}


def test_his_momentum_is_that_of_keras():
    """SparseConvNet's step (NetworkInNetworkLayer): w −= m·μ; m = μ·m − rate·(1 − μ)·d; w += m·(1 + μ)."""
    import keras

    from fracpool.training.optimizers import optimizer as made

    settings = OptimizerSettings("sgd", 0.003 * (1 - 0.99) * 100, 0.99, "exponential", 0.01)
    optimizer = made(settings, steps_per_epoch=2, epochs=3)
    variable = keras.Variable(np.float32(1.0))
    weight, momentum, steepness = 1.0, 0.0, (0.5, -0.3, 0.8, 0.1)
    for step, slope in enumerate(steepness):
        optimizer.apply([np.float32(slope)], [variable])
        summed = 100 * slope  # over his batch; Keras has the mean
        rate = 0.003 * np.exp(-0.01 * (step // 2))
        weight -= momentum * 0.99
        momentum = 0.99 * momentum - rate * (1 - 0.99) * summed
        weight += momentum * (1 + 0.99)
    assert float(variable) == pytest.approx(weight, rel=1e-5)


def test_the_label_is_his_notation():
    label = names.label(Settings(pool=FMP, model=MNIST))
    assert label == "(32nC2−FMP√2)6−C2−C1, pseudorandom 2×2 windows per sample, dropout to 0.5"
    pool = replace(FMP, ratio=2 ** (1 / 3), window=None, pseudo_random=False)
    assert names.label(Settings(pool=pool, model=CIFAR)) == "(32nC2−FMP∛2)12−C2−C1, random per sample"
    pool = replace(FMP, ratio=1.5, kind="fractional_average")
    assert architecture.notation(MNIST, pool) == "(32nC2−FAP1.5)6−C2−C1"


def test_every_pool_of_the_network_has_the_ratio_of_its_place():
    for number, (before, after) in enumerate(geometry.graham_chain(2**0.5, 6), start=1):
        ratio = architecture.pool_at(MNIST, FMP, number).ratio
        assert geometry.output_size(before, ratio) == after
    assert architecture.pool_at(ModelSettings(), FMP, 1) is FMP


@pytest.mark.parametrize(
    ("model", "pool", "message"),
    [
        ({"k": 0}, {}, r"model\.k=0: must be a whole number from 1"),
        ({"conv_layers": 0}, {}, r"model\.conv_layers=0: must be a whole number from 1"),
        ({"kernel": 1}, {}, r"model\.kernel=1: must be at least 2 with model\.k"),
        ({"pools": 2}, {}, r"model\.pools=2: must be null with model\.k"),
        ({"pad_to": 40}, {}, r"model\.pad_to=40: must be null with model\.k"),
        ({"dropout": 0.5}, {}, r"model\.dropout=0\.5: must be 0 with model\.k, which has model\.dropout_ramp"),
        ({"dropout_ramp": [0.5]}, {}, r"model\.dropout_ramp=\[0\.5\]: must be \[\] or 8 rates"),
        ({"dropout_ramp": [*RAMP[:-1], 1.0]}, {}, r"model\.dropout_ramp=.*: must be rates from 0 to below 1"),
        ({"k": None}, {}, r"model\.dropout_ramp=.*: must be \[\] without model\.k"),
        ({}, {"kind": "mixed"}, r"pool=mixed: must be one of fmp, fractional_average, max, average with model\.k"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_in_one_line(model, pool, message):
    with pytest.raises(SettingsError, match=message) as refused:
        check(Settings(model=replace(MNIST, **model), pool=replace(FMP, **pool)))
    assert "\n" not in str(refused.value)


def test_an_image_larger_than_the_network_takes_is_impossible():
    with pytest.raises(ImpossibleNetwork, match=r"model\.conv_layers=5: .* takes 25×25, less than the image's 28"):
        planned(replace(MNIST, conv_layers=5))


@pytest.mark.slow
def test_a_run_goes_through(train, folder):
    run = train(
        "dataset=mnist5k", "model=graham", "optimizer=graham", "pool=fmp", "pool.ratio=1.41421356", "pool.window=2",
        "pool.regions_per=sample", "model.k=2", "budget.train_examples=200", "budget.epochs=1", "repeats=2",
    )  # fmt: skip
    assert run.code == 0, run.err
    (record,) = Store(folder / "results" / "mine").read().records
    assert record.data["config"]["model"]["k"] == 2
    assert [record.data["geometry"][name] for name in ("final_height", "final_width")] == [1, 1]
    assert np.isfinite(record.data["metrics"]["test_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("pool", [FMP, replace(FMP, window=None, overlapping=True, regions_per="batch")], ids=str)
def test_layers_that_are_joined_compute_what_they_compute_apart(pool):
    """Convolution, fused batch norm, FMP and leaky ReLU against the layers of Keras: outputs, all gradients, moving
    statistics, test passes with and without chance; negative and positive gammas."""
    import keras
    import tensorflow as tf

    from fracpool.training import keras_network
    from fracpool.training.fused.normalized_pool import NormalizedPooling
    from fracpool.training.state import random_streams, set_stream

    settings = replace(MNIST, conv_layers=2, k=3, dropout_ramp=[0, 0, 0, 0], batch_norm=True, batch_norm_momentum=0.8)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 6, 6, 1)).astype(np.float32)
    weights, found = None, []
    for fused in (False, True):
        keras.utils.clear_session()
        form = replace(settings, batch_norm_fused=fused)
        network = planned(form, pool, (6, 6, 1))
        model = keras_network.build(network, form, pool)
        weights = weights or [
            rng.uniform(0.5, 2, w.shape) if "variance" in w.path else rng.normal(size=w.shape) for w in model.weights
        ]
        model.set_weights(weights)
        assert any(isinstance(layer, NormalizedPooling) for layer in model.layers) == fused
        streams = random_streams(model)
        for number, stream in enumerate(streams.values()):
            set_stream(stream, np.array([number, 0]))
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_sum(outputs * np.linspace(-1, 1, 10, dtype=np.float32))
        gradients = tape.gradient(loss, model.trainable_variables)
        even = keras_network.with_even_regions(model, network, form, pool)
        numbers = [outputs, *gradients, *model.weights, model(images), even(images)]
        found.append(([w.path for w in model.weights], list(streams), [np.asarray(n) for n in numbers]))
    (names, streams, apart), (joined_names, joined_streams, joined) = found
    assert (names, streams) == (joined_names, joined_streams)
    for theirs, ours in zip(apart, joined, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max() + 1e-4)


@pytest.mark.parametrize(("side", "padding"), [(2, "valid"), (5, "valid"), (2, "same"), (3, "same")])
def test_the_convolution_is_that_of_keras(side, padding):
    """In outputs and gradients, over windows of the map and where one window is all of it."""
    import keras
    import tensorflow as tf

    from fracpool.training.fused.convolution import Convolution2D

    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(3, side, side, 4)).astype(np.float32))
    found = []
    for kind in (Convolution2D, keras.layers.Conv2D):
        start = keras.initializers.RandomNormal(seed=0)
        layer = kind(6, 2, padding=padding, kernel_initializer=start, bias_initializer="ones")
        layer.build(images.shape)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            loss = tf.reduce_sum(outputs**2)
        found.append([outputs, *tape.gradient(loss, [images, *layer.trainable_weights])])
        assert outputs.shape == layer.compute_output_shape(images.shape)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_his_earlier_network_pools_by_two():
    """(53nC2−MP2)4−C2−C1 takes 47×47 and has as many multiply-accumulates as (32nC2−FMP√2)6−C2−C1."""
    from fracpool.settings import architecture
    from fracpool.settings.schema import ModelSettings, PoolSettings

    def network(k: int, depth: int, pool: PoolSettings) -> architecture.Network:
        model = ModelSettings(k=k, conv_layers=depth, kernel=2, activation="leaky_relu", dense=[], batch_norm=True)
        assert architecture.notation(model, pool).endswith(f"){depth}−C2−C1")
        return architecture.network(model, pool, (28, 28, 1), 10)

    fmp = PoolSettings("fmp", 2**0.5, pseudo_random=True, overlapping=False, window=2, regions_per="sample")
    his, control = network(32, 6, fmp), network(53, 4, PoolSettings("max"))
    assert [layer.height for layer in control.layers if layer.kind in ("pad", "pool")] == [47, 23, 11, 5, 2]
    assert control.macs == pytest.approx(his.macs, rel=0.01)
    assert control.parameters == pytest.approx(his.parameters, rel=0.05)
