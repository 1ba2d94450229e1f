"""Where regions come from: a stream for training, one for inference, and who must not draw. On every backend."""

import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import fracpool
from fracpool import FractionalAveragePooling2D, FractionalMaxPooling2D
from fracpool.pooling.s3pool import S3Pooling2D
from fracpool.pooling.stochastic import StochasticPooling2D

BACKEND = keras.backend.backend()
only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="about TensorFlow")
DRAWING = {
    "max": lambda: FractionalMaxPooling2D(1.4, seed=1),
    "average": lambda: FractionalAveragePooling2D(1.4, seed=1),
    "stochastic": lambda: StochasticPooling2D(sample_at_test=True, seed=1),
    "s3pool": lambda: S3Pooling2D(sample_at_test=True, seed=1),
}
WINDOWS = {"pseudo_random": True, "window": 2, "regions_per": "channel"}
PER_CHANNEL = {
    "max per channel": lambda: FractionalMaxPooling2D(1.4, seed=1, **WINDOWS),
    "average per channel": lambda: FractionalAveragePooling2D(1.4, seed=1, **WINDOWS),
}


def values(shape=(4, 12, 12, 2), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x.detach() if BACKEND == "torch" and ops.is_tensor(x) else x)


def network(pool):
    keras.utils.set_random_seed(3)
    before, after = keras.layers.Dense(2), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((12, 12, 2)), before, pool, keras.layers.Flatten(), after])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("kind", DRAWING)
def test_evaluating_does_not_change_the_training(kind):
    x, trained = values(), []
    for evaluated in ({}, {"validation_data": (x, np.ones((4, 1)))}):
        model = network(DRAWING[kind]())
        model.fit(x, np.ones((4, 1)), batch_size=2, epochs=3, shuffle=False, verbose=0, **evaluated)
        trained.append(model.get_weights())
    for alone, beside in zip(*trained, strict=True):
        np.testing.assert_array_equal(alone, beside)


@only_tensorflow
@pytest.mark.parametrize("kind", DRAWING | PER_CHANNEL)
def test_a_seed_draws_the_same_compiled_by_xla(kind):
    import tensorflow as tf

    plain, other = ((DRAWING | PER_CHANNEL)[kind]() for _ in range(2))
    compiled = tf.function(other, jit_compile=True)
    for training in (True, False):
        outputs = [plain(values(), training=training).numpy() for _ in range(3)]
        np.testing.assert_allclose([compiled(values(), training=training) for _ in range(3)], outputs, rtol=1e-5)
        assert (outputs[0] != outputs[1]).any()


def test_each_stream_is_all_that_its_calls_draw_from():
    x, layer = values(), DRAWING["max"]()
    for training, stream in ((True, layer.seed_generator), (False, layer.inference_generator)):
        state = to_numpy(stream.state).copy()
        first = to_numpy(layer(x, training=training))
        assert (to_numpy(layer(x, training=training)) != first).any()
        stream.state.assign(state)
        keras.utils.set_random_seed(99)
        np.testing.assert_array_equal(to_numpy(layer(x, training=training)), first)


@pytest.mark.parametrize("kind", DRAWING)
def test_weights_saved_with_another_pool_can_be_loaded(kind, tmp_path):
    """What this project is about: the pool of a trained net is swapped. Its streams start afresh."""
    trained = network(keras.layers.MaxPooling2D(2))
    trained.save_weights(tmp_path / "max.weights.h5")
    pool = {
        "max": lambda: FractionalMaxPooling2D(output_size=6, seed=1),
        "average": lambda: FractionalAveragePooling2D(output_size=6, seed=1),
    }.get(kind, DRAWING[kind])
    swapped, fresh = network(pool()), pool()
    swapped.load_weights(tmp_path / "max.weights.h5")
    np.testing.assert_array_equal(swapped.layers[-1].get_weights()[0], trained.layers[-1].get_weights()[0])
    state = to_numpy(swapped.layers[1].inference_generator.state)
    np.testing.assert_array_equal(state, to_numpy(fresh.inference_generator.state))


def test_weights_saved_with_one_stream_can_be_loaded():
    """Those of versions that drew for training and inference from one."""
    layer, state = DRAWING["max"](), np.array([5, 7])
    before = to_numpy(layer.inference_generator.state).copy()
    layer.load_own_variables({"seed_generator_state": state})
    np.testing.assert_array_equal(to_numpy(layer.seed_generator.state), state)
    np.testing.assert_array_equal(to_numpy(layer.inference_generator.state), before)


def checkpointed():
    """What repeats forward passes in the backward pass, by name."""
    if BACKEND == "torch":
        from torch.utils.checkpoint import checkpoint

        return {
            f"use_reentrant={reentrant}": lambda function, r=reentrant: partial(checkpoint, function, use_reentrant=r)
            for reentrant in (True, False)
        } | {"keras.remat": keras.remat}
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return {
            "tf.recompute_grad": tf.recompute_grad,
            "keras.remat": keras.remat,
            "of a tf.function": lambda function: tf.recompute_grad(tf.function(function)),
        } | {before: lambda function, how=how: tf.recompute_grad(how(function)) for before, how in traced().items()}
    return {"keras.remat": keras.remat}


def traced():
    """Ways to give TensorFlow a function whose Python does not run again, by name."""
    import tensorflow as tf

    def called(function, **options):
        function = tf.function(function, **options)
        function(tf.constant(values()))
        return function

    def differentiated(function):
        slope(function := called(function), values())
        return function

    def within(function):
        return lambda x: tf.identity(function(x))

    def branch(function):
        return lambda x: tf.cond(tf.reduce_sum(x) > 1e9, lambda: function(x) * 2, lambda: function(x))

    return {
        "traced before": called,
        "compiled before": partial(called, jit_compile=True),
        "differentiated before": differentiated,
        "concrete": lambda function: called(function).get_concrete_function(tf.constant(values())),
        "calls one that was differentiated before": lambda function: within(differentiated(function)),
        "traced with one in a branch": lambda function: called(branch(called(function))),
    }


def slope(function, x):
    """Output, and the gradient of its square."""
    x = ops.convert_to_tensor(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            total = tf.reduce_sum(y**2)
        return y, tape.gradient(total, x)
    if BACKEND == "torch":
        y = function(x.requires_grad_())
        (y**2).sum().backward()
        return y, x.grad
    import jax

    def total(x):
        y = function(x)
        return (y**2).sum(), y

    (_, y), dx = jax.value_and_grad(total, has_aux=True)(x)
    return y, dx


DRAWN = {
    "layer": lambda: partial(FractionalMaxPooling2D(1.4, seed=1), training=True),
    "average": lambda: partial(FractionalAveragePooling2D(1.4, seed=1), training=True),
    "per channel": lambda: partial(FractionalMaxPooling2D(1.4, regions_per="channel", seed=1), training=True),
    "stochastic": lambda: partial(StochasticPooling2D(seed=1), training=True),
    "drop-in": lambda: lambda x: fracpool.fractional_max_pool(x, 1.4)[0],
}
STILL = {
    "even": lambda: FractionalMaxPooling2D(1.4, inference="even"),
    "drop-in with a seed": lambda: lambda x: fracpool.fractional_max_pool(x, 1.4, seed=3)[0],
    "given": lambda: lambda x: fracpool.max_pool_regions(x, [0, 5, 12], [0, 2, 5, 12]),
}


@pytest.mark.skipif(BACKEND == "jax", reason="JAX repeats pure functions, whose chance is among their arguments")
@pytest.mark.parametrize("way", checkpointed())
@pytest.mark.parametrize("kind", DRAWN)
def test_gradient_checkpointing_of_a_pool_that_draws_is_refused(kind, way):
    """Else the gradient would be that of other regions than those of the output."""
    with pytest.raises(ValueError, match="gradient checkpointing repeats a pool that draws"):
        slope(checkpointed()[way](DRAWN[kind]()), values())


@only_tensorflow
@pytest.mark.parametrize("before", traced() if BACKEND == "tensorflow" else [])
def test_gradient_checkpointing_of_traced_functions_is_refused_in_graphs(before):
    """In a training step that is a graph, by symbolic gradients, and by the gradient of a graph that repeats."""
    import tensorflow as tf

    layer = DRAWN["layer"]()  # whose stream a concrete function would not keep
    repeats = tf.recompute_grad(traced()[before](layer))
    step = tf.function(lambda x: slope(repeats, x))
    symbolic = tf.function(lambda x: tf.gradients(repeats(x), x))
    for function in (step, symbolic, lambda x: slope(tf.function(repeats), x)):
        with pytest.raises(ValueError, match="gradient checkpointing repeats a pool that draws"):
            function(tf.constant(values()))
    assert repeats(values()).shape == (4, 8, 8, 2)  # without a gradient nothing is repeated


@only_tensorflow
@pytest.mark.parametrize("before", traced() if BACKEND == "tensorflow" else [])
def test_traced_functions_have_the_gradient_of_their_regions(before):
    """Looking at their calls changes neither what they draw nor how often they are traced."""
    import tensorflow as tf

    layer = DRAWN["layer"]()  # whose stream a concrete function would not keep
    function, python_ran = traced()[before](layer), []
    whole = tf.function(lambda x: python_ran.append(1) or slope(function, x))
    for y, dx in (slope(function, values()), whole(tf.constant(values())), whole(tf.constant(values()))):
        x = values()
        assert set(to_numpy(y).ravel()) <= set(x.ravel())
        np.testing.assert_allclose(to_numpy(dx).sum(), 2 * to_numpy(y).sum(), rtol=1e-4)
        assert set(x[to_numpy(dx) != 0]) == set(to_numpy(y)[to_numpy(y) != 0])
    assert len(python_ran) == 1


@pytest.mark.parametrize("way", checkpointed())
@pytest.mark.parametrize("kind", STILL)
def test_gradient_checkpointing_of_regions_that_stay(kind, way):
    before = traced() if BACKEND == "tensorflow" else {}  # XLA draws its own numbers from a seed
    y, dx = slope(checkpointed()[way](STILL[kind]()), values())
    expected, gradient = slope(before.get(way, lambda function: function)(STILL[kind]()), values())
    np.testing.assert_array_equal(to_numpy(y), to_numpy(expected))
    np.testing.assert_array_equal(to_numpy(dx), to_numpy(gradient))


def test_a_checkpointed_network_predicts():
    """Without a gradient nothing is repeated."""
    way = next(iter(checkpointed().values()))
    layer = FractionalMaxPooling2D(1.4, seed=1)
    assert to_numpy(way(lambda x: layer(x))(ops.convert_to_tensor(values()))).shape == (4, 8, 8, 2)


class Repeated(keras.layers.Layer):
    """A pool that the backward pass repeats."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def call(self, x, training=False):
        return keras.remat(lambda x: self.pool(x, training=training))(x)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX repeats pure functions, whose chance is among their arguments")
def test_gradient_checkpointing_inside_of_fit():
    model = network(Repeated(FractionalMaxPooling2D(1.4, seed=1)))
    with pytest.raises(ValueError, match="gradient checkpointing repeats a pool that draws"):
        model.fit(values(), np.ones((4, 1)), verbose=0)
    assert model.predict(values(), verbose=0).shape == (4, 1)


REPLICAS = """
import keras, numpy as np, tensorflow as tf
import fracpool
from fracpool.pooling.s3pool import S3Pooling2D
from fracpool.pooling.stochastic import StochasticPooling2D

two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x = tf.random.uniform((4, 12, 12, 2))
with strategy.scope():
    layers = [
        fracpool.FractionalMaxPooling2D(1.4, seed=1),
        fracpool.FractionalAveragePooling2D(1.4, seed=1),
        StochasticPooling2D(sample_at_test=True, seed=1),
        S3Pooling2D(sample_at_test=True, seed=1),
        lambda x, training: fracpool.fractional_max_pool(x, 1.4)[0],
    ]
for layer in layers:
    for training in (True, False):
        step = tf.function(lambda: strategy.run(lambda: layer(x, training=training)))
        first, second = strategy.experimental_local_results(step())
        assert (first.numpy() != second.numpy()).any(), (layer, training)
single = fracpool.FractionalMaxPooling2D(1.4, seed=1)(x, training=True)
with strategy.scope():
    layer = fracpool.FractionalMaxPooling2D(1.4, seed=1)
first, _ = strategy.experimental_local_results(strategy.run(lambda: layer(x, training=True)))
assert (first.numpy() == single.numpy()).all()  # the first replica draws what one device does
"""


@only_tensorflow
@pytest.mark.slow  # a process of its own, with two devices
def test_replicas_draw_apart():
    """Under a `MirroredStrategy` of one's own."""
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
