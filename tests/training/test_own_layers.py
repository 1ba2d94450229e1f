"""Layers of the user's own: their own initial values, by seed, their weights and their cost, on any kind of weight."""

import csv
import sys
from functools import partial

import numpy as np
import pytest

from fracpool.settings import architecture, poolings
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import ModelSettings, PoolSettings

MODULE = """
import keras

class Weighted(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(2, 2, shape[-1], 1), initializer=keras.initializers.Constant(0.25))
        self.bias = self.add_weight(shape=(shape[-1],), initializer="ones", name="bias")
        self.mixture = self.add_weight(shape=(3,), initializer="random_normal", name="mixture")
        self.other = self.add_weight(shape=(3,), initializer="random_normal", name="other")
        self.steps = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="steps")
    def call(self, images):
        return keras.ops.depthwise_conv(images, self.kernel, 2) + self.bias + keras.ops.sum(self.mixture + self.other)
    def multiply_accumulates(self, shape):
        return 4 * (shape[0] // 2) * (shape[1] // 2) * shape[2]

class Composed(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate = keras.layers.Dense(1, kernel_initializer="he_normal", bias_initializer="ones")
    def call(self, images):
        return keras.ops.max_pool(images * keras.ops.sigmoid(self.gate(images)), 2)

class Hidden(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.forget = keras.layers.Dropout(0.5)
    def call(self, images): return keras.ops.max_pool(self.forget(images), 2)

class Open(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)
        self.gate = keras.layers.Dense(1)
    def call(self, images):
        kept = keras.random.dropout(images, 0.5, seed=self.seed_generator)
        return keras.ops.max_pool(kept * self.gate(images), 2)

def normal(shape, dtype=None): return keras.random.normal(shape, dtype=dtype)

class Layer(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.start = keras.initializers.RandomUniform(0.5, 1.5)
        self.first = keras.layers.Dense(4)
        if self.more:
            self.between = keras.layers.Dense(4)
        self.rest = [keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])]
    def build(self, shape):
        self.given = self.add_weight(shape=(2,), initializer=keras.initializers.RandomNormal(seed=5))
        if self.more:
            self.extra = self.add_weight(shape=(2,), initializer=self.start)
        self.scale = self.add_weight(shape=(2,), initializer=self.start)
        orthogonal = keras.initializers.Orthogonal()
        self.turned = self.add_weight(shape=(3, 3), initializer=orthogonal)
        self.named = {"a": self.add_weight(shape=(2,), initializer=normal), "b": self.add_weight((2,), normal)}
        self.fixed = keras.Variable(keras.ops.arange(3.0))
    def call(self, images):
        images = self.first(images)
        if self.more:
            images = self.between(images)
        return (self.rest[0](images) + keras.ops.sum(self.scale))[:, ::2, ::2]
    def kept(self):
        inner = {f"rest{i}": layer.kernel for i, layer in enumerate(self.rest[0].layers)}
        names = ("given", "scale", "turned", "fixed")
        return {name: getattr(self, name) for name in names} | self.named | inner | {"first": self.first.kernel}

class Fewer(Layer): more = False
class More(Layer): more = True

def flat(images): return keras.ops.mean(images, axis=(1, 2))
def one_channel(images): return keras.ops.max_pool(images, 2)[..., :1]

def plain(images): return keras.ops.max_pool(images, 2)
def told(images): return keras.ops.max_pool(images, 2)
told.multiply_accumulates = lambda shape: 7
def wrong(images): return keras.ops.max_pool(images, 2)
wrong.multiply_accumulates = lambda shape: -1.5
"""
SMALL = ModelSettings(filters=[4, 8], dense=[5])


@pytest.fixture
def pool_of(folder, monkeypatch):
    (folder / "layers_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "layers_of_mine", raising=False)
    return lambda name: PoolSettings(kind="mine", layer=f"layers_of_mine.{name}", stochastic=False)


def started(pool: PoolSettings):
    """What gives the weights of each pool, of a network that starts from a seed."""
    from fracpool.training import keras_network
    from fracpool.training.state import initialise

    network = architecture.network(SMALL, pool, (28, 28, 1), 10)
    model = keras_network.build(network, SMALL, pool)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)

    def start(seed: int) -> dict[str, list[np.ndarray]]:
        initialise(model, seed, keras_network.own_layers(network, pool))
        return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}

    return start


def test_a_layers_own_initializers_decide_and_follow_from_seed_and_layer(pool_of):
    start = started(pool_of("Weighted"))
    first, other, again = start(1), start(2), start(1)
    kernel, bias, mixture, more, steps = first["pool1"]
    assert (kernel == 0.25).all()
    assert (bias == 1).all()
    assert (steps.dtype, steps) == (np.int32, 0)
    assert not np.array_equal(mixture, more)
    assert not np.array_equal(mixture, first["pool2"][2])
    assert not np.array_equal(mixture, other["pool1"][2])
    for name in first:
        assert all(np.array_equal(a, b) for a, b in zip(first[name], again[name], strict=True)), name


def test_layers_within_a_layer_start_as_they_say(pool_of):
    start = started(pool_of("Composed"))
    first, other = start(1), start(2)
    kernel, bias = first["pool2"]
    assert (kernel.shape, (bias == 1).all()) == ((8, 1), True)
    assert not np.array_equal(kernel, other["pool2"][0])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_weight_that_is_added_leaves_the_others_as_they_were(pool_of, seed):
    """Weights, layers within and lists of such; initializers made ahead, functions, given seeds."""
    fewer, more = (of_one(pool_of(name), seed) for name in ("Fewer", "More"))
    other = of_one(pool_of("Fewer"), seed + 2)
    for name, value in fewer.items():
        np.testing.assert_array_equal(value, more[name], err_msg=name)
        assert np.array_equal(value, other[name]) == (name in ("given", "fixed")), name
    np.testing.assert_allclose(fewer["turned"] @ fewer["turned"].T, np.eye(3), atol=1e-5)
    assert (np.abs(fewer["scale"] - 1) <= 0.5).all()
    assert not np.array_equal(fewer["a"], fewer["b"])


def of_one(pool: PoolSettings, seed: int) -> dict[str, np.ndarray]:
    """The weights of one layer, by name, as training starts from them."""
    import keras

    from fracpool.training.own_weights import start_as_made

    make = partial(poolings.of(pool).layer, pool, "pool1", 0)
    layer = make()
    layer(keras.Input((6, 6, 3)))
    start_as_made(layer, make, seed)
    return {name: keras.ops.convert_to_numpy(variable) for name, variable in layer.kept().items()}


def test_the_rest_of_the_network_starts_as_with_fracpools_own_poolings(pool_of):
    own, usual = started(pool_of("Weighted"))(3), started(PoolSettings())(3)
    assert {name: weights for name, weights in own.items() if not name.startswith("pool")}.keys() == usual.keys()
    for name in usual:
        assert all(np.array_equal(a, b) for a, b in zip(own[name], usual[name], strict=True)), name


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("Weighted", [4 * 4 + 4 + 7, 4 * 8 + 8 + 7], [14 * 14 * 4 * 4, 7 * 7 * 8 * 4]),
        ("Composed", [5, 9], [None, None]),
        ("plain", [0, 0], [None, None]),
        ("told", [0, 0], [7, 7]),
    ],
)
def test_weights_are_counted_and_operations_as_the_layer_declares(pool_of, name, parameters, macs):
    network = architecture.network(SMALL, pool_of(name), (28, 28, 1), 10)
    pools = [layer for layer in network.layers if layer.kind == "pool"]
    assert [layer.parameters for layer in pools] == parameters
    assert [layer.macs for layer in pools] == macs
    rest = sum(layer.macs for layer in network.layers if layer.kind != "pool")
    assert network.macs == (None if None in macs else rest + sum(macs))
    assert network.counted_macs == rest + sum(filter(None, macs))
    assert network.as_record()["macs"] == network.macs


def test_a_wrong_declaration_gets_one_line(pool_of):
    with pytest.raises(SettingsError, match=r"layers_of_mine.wrong: its multiply_accumulates.* returns -1.5; it must"):
        architecture.network(SMALL, pool_of("wrong"), (28, 28, 1), 10)


def test_chance_that_no_seed_reaches_is_refused(pool_of):
    with pytest.raises(SettingsError, match=r"layers_of_mine.Hidden: an inner layer of it draws at random"):
        architecture.network(SMALL, pool_of("Hidden"), (28, 28, 1), 10)
    chance = pool_of("Open")
    chance.stochastic = True
    assert architecture.network(SMALL, chance, (28, 28, 1), 10).final.channels == 8


@pytest.mark.parametrize("name", ["flat", "one_channel"])
def test_a_pooling_that_gives_no_map_of_as_many_channels_is_refused(pool_of, name):
    with pytest.raises(SettingsError, match=rf"layers_of_mine.{name}: makes .* with as many channels"):
        architecture.network(SMALL, pool_of(name), (28, 28, 1), 10)


@pytest.mark.slow
def test_a_run_with_any_weights_is_trained_and_its_cost_shown(pool_of, train, folder):
    (folder / "my" / "pool").mkdir(parents=True)
    for name in ("Weighted", "Composed"):
        text = f"kind: {name.lower()}\nlayer: layers_of_mine.{name}\nstochastic: false\n"
        (folder / "my" / "pool" / f"{name.lower()}.yaml").write_text(text)
    tiny = ["dataset=mnist5k", "budget.train_examples=100", "budget.epochs=1", "model.filters=[4,8]", "model.dense=[5]"]
    both = train("--config-dir", "my", "-m", *tiny, "pool=weighted,composed", "seed=0", "retry=all")
    assert (both.code, both.err) == (0, "")
    assert "2 done" in both.out
    plan = train("--config-dir", "my", "-m", *tiny, "pool=weighted,composed,max", "seed=1", "plan=true").out
    lines = {line.split(":")[0].strip(): line for line in plan.splitlines()}
    assert "per image, those of its pooling not counted; 0 of 1 done" in lines["2 conv, composed"]
    assert "not counted" not in lines["2 conv, weighted"] + lines["2 conv, max pool"]
    assert "measured on 2 runs" in plan  # what is counted tells how long they take
    report = (folder / "results" / "mine" / "report.md").read_text()
    (shown,) = (line for line in report.splitlines() if line.startswith("| 2 conv, composed |"))
    assert "| not counted |" in shown
    with (folder / "results" / "mine" / "runs.csv").open() as file:
        macs = {row["pool"]: row["macs"] for row in csv.DictReader(file)}
    assert macs["composed"] == ""
    assert int(macs["weighted"]) > 0
