"""What TensorFlow users do with graphs: freeze, save, feed values of unknown rank. TensorFlow only."""

import keras
import numpy as np
import pytest

import fracpool
from fracpool.pooling.stochastic import StochasticPooling2D

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow")
X = np.random.default_rng(0).normal(size=(1, 9, 7, 2)).astype("float32")  # a shape of this file's own


def pools():
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

    layer = pools()[kind]
    concrete = tf.function(layer).get_concrete_function(tf.TensorSpec(X.shape))
    if kind == "drawn":  # TensorFlow freezes no variable that is assigned
        with pytest.raises(ValueError, match="AssignVariableOp"):
            freeze(concrete)
    else:
        frozen, _ = freeze(concrete)
        np.testing.assert_allclose(frozen(tf.constant(X))[0], layer(X), rtol=1e-6)
    later = pools()[kind]
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
