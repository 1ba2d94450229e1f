"""The pool against TensorFlow's op and PyTorch's, and what only TensorFlow has to do with."""

import keras
import numpy as np
import pooling_reference as reference
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import fracpool
from fracpool import FractionalMaxPooling2D, regions

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="compares with TensorFlow's op, on TensorFlow"
)


def ours(x, rows, cols, dy, **options):
    """Output and gradient."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = fracpool.max_pool_regions(x, rows, cols, **options)
    return y.numpy(), tape.gradient(y, x, output_gradients=tf.convert_to_tensor(dy)).numpy()


def tensorflow_gradient(x, y, dy, rows, cols, overlapping):
    return tf.raw_ops.FractionalMaxPoolGrad(
        orig_input=x,
        orig_output=y,
        out_backprop=dy,
        row_pooling_sequence=rows,
        col_pooling_sequence=cols,
        overlapping=overlapping,
    ).numpy()


SHAPES = [(2, 7, 6, 3), (1, 13, 11, 2), (3, 5, 9, 1)]
RATIOS = [1.25, 1.47, 2.3, 3.0]


@settings(deadline=None, max_examples=10, derandomize=True)
@given(
    shape=st.sampled_from(SHAPES),
    ratios=st.tuples(st.sampled_from(RATIOS), st.sampled_from(RATIOS)),
    dtype=st.sampled_from(["float32", "float64"]),
    pseudo_random=st.booleans(),
    overlapping=st.booleans(),
    ties=st.booleans(),
    seed=st.integers(1, 10**6),
)
def test_equals_tensorflows_op_bit_for_bit(shape, ratios, dtype, pseudo_random, overlapping, ties, seed):
    rng = np.random.default_rng(seed)
    x = (rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)).astype(dtype)
    y, rows, cols = tf.nn.fractional_max_pool(x, [1, *ratios, 1], pseudo_random, overlapping, seed)
    dy = rng.normal(size=y.shape).astype(dtype)
    our_y, our_dx = ours(x, rows, cols, dy, overlapping=overlapping)
    np.testing.assert_array_equal(our_y, y.numpy())
    np.testing.assert_array_equal(our_dx, tensorflow_gradient(x, y, dy, rows, cols, overlapping))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_equal_tensorflows_op(dtype):
    x = np.random.default_rng(0).integers(-9, 9, (2, 7, 6, 3)).astype(dtype)
    y, rows, cols = tf.nn.fractional_max_pool(x, 1.47, seed=3)
    np.testing.assert_array_equal(fracpool.max_pool_regions(x, rows, cols).numpy(), y.numpy())


def test_drop_in_has_tensorflows_signature_and_gradient():
    """Finding F1: nothing has to be done with the sequences."""
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 13, 11, 3)))
    keywords = {"pooling_ratio": [1.0, 1.47, 1.3, 1.0], "pseudo_random": True, "overlapping": True, "seed": 4}
    theirs = tf.nn.fractional_max_pool(value=x, name="pool", **keywords)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, rows, cols = fracpool.fractional_max_pool(value=x, name="pool", **keywords)
        loss = tf.reduce_sum(y**2)
    assert [(t.shape, t.dtype) for t in (y, rows, cols)] == [(t.shape, t.dtype) for t in theirs]
    expected = tensorflow_gradient(x, y, 2 * y, rows, cols, True)
    np.testing.assert_array_equal(tape.gradient(loss, x).numpy(), expected)


def test_where_tensorflow_fails_we_do_not():
    """NaN, two ratios, an empty batch, ratio 1 along an axis in the gradient, half precision."""
    x = np.ones((1, 4, 4, 1), "float32")
    x[0, 0, 0, 0] = np.nan
    assert not np.isnan(tf.nn.fractional_max_pool(x, 2.0)[0].numpy()).any()
    assert np.isnan(fracpool.fractional_max_pool(x, 2.0)[0].numpy()).sum() == 1
    with pytest.raises(Exception, match="pooling_ratio"):
        tf.nn.fractional_max_pool(x, [2.0, 2.0])
    assert fracpool.fractional_max_pool(x, [2.0, 1.5])[0].shape == (1, 2, 2, 1)
    y, rows, cols = fracpool.fractional_max_pool(x[:, 1:, 1:], [1, 1, 1.5, 1])
    with pytest.raises(tf.errors.InvalidArgumentError):
        tensorflow_gradient(x[:, 1:, 1:], y, np.ones_like(y), rows, cols, False)
    assert ours(x[:, 1:, 1:], rows, cols, np.ones((1, 3, 2, 1), "float32"))[1].sum() == 6
    assert fracpool.fractional_max_pool(x.astype("float16"), 1.5)[0].dtype == tf.float16


@pytest.mark.parametrize(("size", "window", "out"), [((11, 9), 2, (6, 5)), ((12, 7), 3, (10, 2)), ((8, 8), 4, (3, 5))])
def test_fixed_windows_equal_pytorch(size, window, out):
    torch = pytest.importorskip("torch", reason="torch is the optional extra fracpool[torch]")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, *size))
    samples = rng.random((2, 3, 2))
    dy = rng.normal(size=(2, 3, *out))
    their_x = torch.tensor(x, requires_grad=True)
    layer = torch.nn.FractionalMaxPool2d(window, output_size=out, _random_samples=torch.tensor(samples))
    their_y = layer(their_x)
    their_y.backward(torch.tensor(dy))
    cols, rows = (
        np.array([[regions.fixed_starts(size[axis], out[axis], window, u) for u in image] for image in samples[..., i]])
        for i, axis in ((0, 1), (1, 0))
    )
    last = (0, 2, 3, 1)
    y, dx = ours(x.transpose(last), rows, cols, dy.transpose(last), window=window)
    np.testing.assert_array_equal(y, their_y.detach().numpy().transpose(last))
    np.testing.assert_allclose(dx, their_x.grad.numpy().transpose(last), rtol=1e-12)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(
    shape=st.sampled_from(SHAPES[:2]),
    leading=st.integers(0, 2),
    window=st.sampled_from([None, 1, 2, 4]),
    data=st.data(),
)
def test_any_boundaries(shape, leading, window, data):
    """Not only those that the sequences draw: any that are allowed."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    boundaries = []
    for size, pieces in ((shape[1], 3), (shape[2], 4)):
        if window is None:
            inner = [np.sort(rng.choice(np.arange(1, size), pieces - 1, replace=False)) for _ in range(9)]
            drawn = [np.concatenate([[0], places, [size]]) for places in inner]
        else:
            drawn = [np.sort(rng.integers(0, size - window + 1, pieces)) for _ in range(9)]
        lead = (shape[0], shape[3])[:leading]
        boundaries.append(np.array(drawn[: int(np.prod(lead))]).reshape(*lead, -1))
    x = rng.integers(-2, 3, shape).astype("float32")
    dy = rng.integers(1, 9, (shape[0], 3, 4, shape[3])).astype("float32")
    y, dx = reference.pool(x, *boundaries, window=window, dy=dy)
    our_y, our_dx = ours(x, *boundaries, dy, window=window)
    np.testing.assert_array_equal(our_y, y)
    np.testing.assert_array_equal(our_dx, dx)


def stream(layer, x, count=4):
    return np.stack([layer(x).numpy() for _ in range(count)])


X = np.random.default_rng(0).normal(size=(3, 9, 8, 2)).astype("float32")


def test_stream_in_a_tf_function_is_the_eager_one():
    eager = FractionalMaxPooling2D(1.5, seed=1)
    compiled = FractionalMaxPooling2D(1.5, seed=1)
    function = tf.function(compiled)
    np.testing.assert_array_equal(stream(function, X), stream(eager, X))


def test_jit_compiled_model_trains():
    keras.utils.set_random_seed(0)
    layer = FractionalMaxPooling2D(1.5, seed=1, overlapping=True, regions_per="sample")
    model = keras.Sequential([keras.Input((9, 8, 2)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=True)
    history = model.fit(X, np.ones((3, 1)), epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_mixed_precision_stays_in_half():
    layer = FractionalMaxPooling2D(1.5, dtype="mixed_bfloat16")
    assert layer(X).dtype == tf.bfloat16
    assert layer(keras.Input((9, 8, 2))).dtype == "bfloat16"


def test_backup_and_restore_continues_the_stream(tmp_path):
    """Three epochs equal one epoch, a stop, and two more after a restart."""

    def model():
        keras.utils.set_random_seed(7)
        layer = FractionalMaxPooling2D(1.5, seed=1)
        model = keras.Sequential([keras.Input((9, 8, 2)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    def fit(model, *callbacks):
        model.fit(X, np.ones((3, 1)), epochs=3, batch_size=3, shuffle=False, verbose=0, callbacks=callbacks)
        return model.layers[-1].kernel.numpy()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                raise InterruptedError

    uninterrupted = fit(model())
    folder = str(tmp_path / "backup")
    with pytest.raises(InterruptedError):
        fit(model(), keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False), Stop())
    resumed = fit(model(), keras.callbacks.BackupAndRestore(folder))
    np.testing.assert_array_equal(resumed, uninterrupted)


def test_op_determinism_allows_it_and_repeats():
    from tensorflow.python.framework import config  # switching it off has no public name

    tf.config.experimental.enable_op_determinism()
    try:
        results = []
        for _ in range(2):
            layer = FractionalMaxPooling2D(1.5, seed=1, overlapping=True)
            x = tf.constant(X)
            for _ in range(2):
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    loss = tf.reduce_sum(layer(x) ** 2)
                results.append(tape.gradient(loss, x).numpy())
    finally:
        config.disable_op_determinism()
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
    assert (results[0] != results[1]).any()


def test_the_backward_pass_keeps_one_byte_per_window():
    """All that the gradient function holds of the forward pass, apart from boundaries."""
    x = tf.random.normal([8, 28, 28, 4])
    layer = FractionalMaxPooling2D(1.47, seed=1)
    traced = tf.function(lambda x: tf.gradients(layer(x), x))
    graph = traced.get_concrete_function(x).graph
    spread = [op for op in graph.get_operations() if "spread" in str(op.node_def.attr["f"].func.name)]
    assert len(spread) == 1
    images = [tensor for tensor in spread[0].inputs if tensor.shape.rank == 4]
    dy, code = images
    assert code.dtype == tf.uint8
    assert code.shape == dy.shape == (8, 19, 19, 4)


def test_boundaries_computed_inside_a_function():
    """Where only the values tell how long windows are."""
    rows = tf.constant([0, 1, 6, 9])
    dy = np.ones((3, 3, 2, 2), "float32")
    y, dx = reference.pool(X, rows.numpy(), np.array([0, 5, 8]), overlapping=True, dy=dy)

    @tf.function
    def compute(x, rows):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fracpool.max_pool_regions(x, rows, [0, 5, 8], overlapping=True)
        return y, tape.gradient(y, x)

    our_y, our_dx = compute(tf.constant(X), rows)
    np.testing.assert_array_equal(our_y.numpy(), y)
    np.testing.assert_array_equal(our_dx.numpy(), dx)


@pytest.mark.parametrize("rows", [[0, 3, 50], [-9, 4, 9], [0, 0, 0], [9, 4, 0], [0, 2**31 - 1, 9]])
@pytest.mark.parametrize("overlapping", [False, True])
def test_unchecked_boundaries_read_nothing_outside(rows, overlapping):
    """In a compiled function boundaries cannot be checked; every output is still one of the inputs."""
    function = tf.function(lambda x, rows: fracpool.max_pool_regions(x, rows, [0, 5, 8], overlapping))
    assert np.isin(function(tf.constant(X), tf.constant(rows)).numpy(), X).all()


IMAGE = np.ones((1, 4, 4, 1))
ADVISORIES = [
    # CVE-2021-29550 and CVE-2021-29580: a zero-sized output, from a ratio above the dimension, or no input.
    ("pooling_ratio=5.0: must be at most", lambda: fracpool.fractional_max_pool(IMAGE, [1, 5, 5, 1])),
    ("the input has height 0", lambda: fracpool.fractional_max_pool(np.ones((1, 0, 4, 1)), 1.5)),
    # CVE-2022-21735: ratios that make the output empty or the division by zero.
    ("must be finite and at least 1", lambda: fracpool.fractional_max_pool(IMAGE, [1, 0, 1.5, 1])),
    # CVE-2022-35981: a hand-made sequence out of range in the gradient.
    ("rows ends at 9", lambda: fracpool.max_pool_regions(IMAGE, [0, 2, 9], [0, 4])),
    ("rows starts at -3", lambda: fracpool.max_pool_regions(IMAGE, [-3, 2, 4], [0, 4])),
    # CVE-2022-41897: sequences with more or other elements than the input has.
    ("must increase", lambda: fracpool.max_pool_regions(IMAGE, [0] * 14 + [4], [0, 4])),
    ("cols has length 0", lambda: fracpool.max_pool_regions(IMAGE, [0, 4], np.zeros(0, int))),
    ("must be of rank 4", lambda: fracpool.max_pool_regions(np.ones((4, 4)), [0, 4], [0, 4])),
    # CVE-2023-25801: ratios of batch or channels other than 1.
    ("first and last", lambda: fracpool.fractional_max_pool(np.ones((2, 4, 4, 2)), [2, 1.5, 1.5, 1])),
    ("first and last", lambda: fracpool.fractional_max_pool(np.ones((2, 4, 4, 2)), [1, 1.5, 1.5, 2])),
    ("must be finite", lambda: fracpool.fractional_max_pool(np.ones((2, 4, 4, 2)), [1, float("nan"), 1, 1])),
]


@pytest.mark.parametrize(("words", "call"), ADVISORIES)
def test_inputs_of_tensorflows_advisories(words, call):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_twenty_thousand_calls():
    """50 generated layers and inputs, each called 400 times with a gradient; new regions at each call."""
    rng = np.random.default_rng(0)
    for seed in range(50):
        shape = (int(rng.integers(0, 4)), *map(int, rng.integers(2, 14, 2)), int(rng.integers(1, 4)))
        window = int(rng.integers(1, min(shape[1:3]) + 1)) if rng.random() < 0.3 else None
        dtype = str(rng.choice(["float16", "bfloat16", "float32", "float64"]))
        layer = FractionalMaxPooling2D(
            tuple(float(rng.uniform(1, size)) for size in shape[1:3]),
            pseudo_random=bool(rng.integers(2)),
            overlapping=window is None and bool(rng.integers(2)),
            window=window,
            regions_per=str(rng.choice(["batch", "sample", "channel"])),
            seed=seed,
            dtype=dtype,
        )
        x = tf.constant(rng.normal(size=shape), dtype)

        @tf.function
        def step(x, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return y, tape.gradient(y, x)

        total = int(np.prod(layer.compute_output_shape(shape)))
        low, high = (float(tf.reduce_min(x)), float(tf.reduce_max(x))) if total else (0, 0)
        for number in range(400):
            y, dx = step(x)
            if number % 20 == 0:
                assert y.shape == layer.compute_output_shape(shape)
                assert total == 0 or low <= float(tf.reduce_min(y)) <= float(tf.reduce_max(y)) <= high
                assert float(tf.reduce_sum(tf.cast(dx, "float64"))) == total
