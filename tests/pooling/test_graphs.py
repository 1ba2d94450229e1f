"""What TensorFlow users do with graphs: trace, compile, freeze, save, feed values of unknown rank. TensorFlow only."""

import itertools

import keras
import numpy as np
import pytest

import fracpool
from fracpool.pooling.stochastic import StochasticPooling2D

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow")
X = np.random.default_rng(0).normal(size=(1, 9, 7, 2)).astype("float32")  # a shape of this file's own


def layers():
    return {
        "even": fracpool.FractionalMaxPooling2D(1.4, inference="even"),
        "drawn": fracpool.FractionalMaxPooling2D(1.4, seed=1),
        "stochastic": StochasticPooling2D(),
    }


@pytest.mark.parametrize("kind", ["even", "drawn", "stochastic"])
def test_freezing_a_graph_leaves_later_layers_alone(kind):
    """As what counts operations does it, where it is the first use of a shape."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph as freeze

    layer = layers()[kind]
    concrete = tf.function(layer).get_concrete_function(tf.TensorSpec(X.shape))
    if kind == "drawn":  # TensorFlow freezes no variable that is assigned
        with pytest.raises(ValueError, match="AssignVariableOp"):
            freeze(concrete)
    else:
        frozen, _ = freeze(concrete)
        np.testing.assert_allclose(frozen(tf.constant(X))[0], layer(X), rtol=1e-6)
    later = layers()[kind]
    for training in (False, True):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.function(later)(x, training=training)) + tf.reduce_sum(later(x, training=training))
        assert np.isfinite(tape.gradient(y, x)).all()


def test_values_of_unknown_rank():
    """As a generator without shapes gives them; tf.nn takes them too."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_generator(lambda: iter([X]), output_types=tf.float32)
    dataset = dataset.map(lambda x: (fracpool.fractional_max_pool(x, 1.4, seed=3), x))
    ((y, rows, cols), x) = next(iter(dataset))
    np.testing.assert_array_equal(y, fracpool.max_pool_regions(x, rows, cols))
    given = tf.function(
        lambda x: fracpool.max_pool_regions(x, [0, 4, 9], [0, 7]), input_signature=[tf.TensorSpec(None)]
    )
    np.testing.assert_array_equal(given(X), fracpool.max_pool_regions(X, [0, 4, 9], [0, 7]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        given(X[0])


def test_a_module_with_the_drop_in_is_saved(tmp_path):
    import tensorflow as tf

    class Pool(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2))])
        def __call__(self, x):
            return fracpool.fractional_max_pool(x, 1.4, seed=0)

    tf.saved_model.save(Pool(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    seen = set()
    for _ in range(8):
        y, rows, cols = loaded(X)
        np.testing.assert_array_equal(y, fracpool.max_pool_regions(X, rows, cols))
        seen.add(tuple(rows.numpy()))
    assert len(seen) > 1


def test_the_drop_in_follows_the_global_seed():
    def rows():
        return [tuple(fracpool.fractional_max_pool(X, 1.4)[1].numpy()) for _ in range(4)]

    keras.utils.set_random_seed(5)
    first = rows()
    keras.utils.set_random_seed(5)
    assert rows() == first
    assert len(set(first)) > 1


def drawing(kind, **options):
    """A layer in training."""
    layer = getattr(fracpool, kind)(1.4, seed=1, **options)
    return lambda x: layer(x, training=True)


def places_kept():
    pool = drawing("FractionalMaxPooling2D", return_indices=True)
    return lambda x: pool(x)[0]


POOLS = {
    "one axis": lambda: drawing("FractionalMaxPooling1D", overlapping=True),
    "two axes": lambda: drawing("FractionalMaxPooling2D"),
    "three axes": lambda: drawing("FractionalMaxPooling3D", window=2, regions_per="channel"),
    "average": lambda: drawing("FractionalAveragePooling2D", regions_per="sample"),
    "indices": places_kept,
    "even": lambda: fracpool.FractionalMaxPooling2D(1.4, inference="even"),
    "drop-in": lambda: lambda x: fracpool.fractional_max_pool(x, 1.4, overlapping=True, seed=3)[0],
    "given": lambda: lambda x: fracpool.max_pool_regions(x, [0, 4, 9], [0, 3, 7]),
}
SIZES = {"one axis": (9,), "three axes": (5, 4, 3)}


def slopes(function, x):
    """The first, second and third gradients, each of the weighted sum of what comes before."""
    import tensorflow as tf

    def weighted(values):
        weights = tf.sin(1.0 + tf.range(tf.size(values), dtype="float32"))
        return tf.tensordot(tf.reshape(values, [-1]), weights, 1)

    with tf.GradientTape() as third:
        third.watch(x)
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = weighted(function(x) ** 4)
            one = first.gradient(y, x)
            y = weighted(one)
        two = second.gradient(y, x)
        y = weighted(two)
    return one, two, third.gradient(y, x)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *itertools.product(POOLS, ["traced"]),
        *(pytest.param(kind, "compiled", marks=pytest.mark.slow) for kind in POOLS),
        ("two axes", "unknown sizes"),
        ("indices", "unknown sizes"),
    ],
)
def test_gradients_of_any_order_through_a_function_that_was_traced(kind, how):
    """The same as without tracing, of the same regions."""
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(1).normal(size=(2, *SIZES.get(kind, (9, 7)), 2)).astype("float32"))
    shape = [None] * (len(x.shape) - 1) + [2] if how == "unknown sizes" else x.shape
    plain, other = POOLS[kind](), POOLS[kind]()
    traced = tf.function(other, input_signature=[tf.TensorSpec(shape)], jit_compile=how == "compiled")
    np.testing.assert_allclose(traced(x), plain(x), rtol=1e-6, atol=1e-6)
    for found, expected in zip(slopes(traced, x), slopes(plain, x), strict=True):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_any_order_through_branches_and_functions_within_functions():
    """Whose regions come from the graph around them."""
    import tensorflow as tf

    x = tf.constant(X)

    def pool(x, rows=None):
        return fracpool.max_pool_regions(x, tf.constant([0, 4, 9]) if rows is None else rows, [0, 3, 7])

    def branch(x):
        rows = tf.stack([0, tf.shape(x)[1] // 2, 9])
        return tf.cond(x[0, 0, 0, 0] < 99, lambda: pool(x, rows), lambda: tf.zeros((1, 2, 2, 2)))

    def within(x):
        rows = tf.stack([0, tf.shape(x)[1] // 2, 9])
        return tf.function(lambda: pool(x, rows))()

    expected = slopes(pool, x)
    for function in (branch, within):
        for found, value in zip(slopes(tf.function(function), x), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)
