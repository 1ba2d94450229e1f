"""What holds on every Keras backend: run on the one that is set, and by test_backends.py on the others."""

import keras
import numpy as np
import pooling_reference as reference
import pytest
from keras import ops
from keras.src.testing import TestCase

import fracpool
from fracpool import FractionalMaxPooling2D, regions
from fracpool.pooling import arguments

BACKEND = keras.backend.backend()
MODES = {
    "disjoint": {},
    "overlapping": {"overlapping": True},
    "fixed": {"window": 3},
}


def values(shape=(2, 9, 8, 3), seed=0, ties=False):
    rng = np.random.default_rng(seed)
    return (rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)).astype("float32")


def boundaries(size, out, leading=(), window=None, seed=0):
    rng = np.random.default_rng(seed)
    if window:
        draws = [regions.fixed_starts(size, out, window, u) for u in rng.random(int(np.prod(leading)))]
    else:
        draws = [regions.random_boundaries(size, out, rng) for _ in range(int(np.prod(leading)))]
    return np.reshape(draws, (*leading, -1))


def gradient(function, x):
    """Gradient of a scalar function; itself differentiable, so that it can be applied twice."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    if BACKEND == "jax":
        import jax

        return jax.grad(function)(x)
    import torch

    x = x if x.requires_grad else x.requires_grad_()
    return torch.autograd.grad(function(x), x, create_graph=True)[0]


def to_numpy(x):
    return ops.convert_to_numpy(x.detach() if BACKEND == "torch" and ops.is_tensor(x) else x)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)], ids=["batch", "sample", "channel"])
@pytest.mark.parametrize("mode", MODES)
def test_output_and_gradient_equal_plain_loops(mode, leading, ties):
    options, x = MODES[mode], values(ties=ties)
    rows = boundaries(9, 5, leading, options.get("window"), seed=1)
    cols = boundaries(8, 6, leading, options.get("window"), seed=2)
    dy = values((2, 5, 6, 3), seed=3)
    y, dx = reference.pool(x, rows, cols, dy=dy, **options)
    dy = ops.convert_to_tensor(dy)
    ours = fracpool.max_pool_regions(x, rows, cols, **options)
    np.testing.assert_array_equal(to_numpy(ours), y)
    slope = gradient(
        lambda x: ops.sum(fracpool.max_pool_regions(x, rows, cols, **options) * dy), ops.convert_to_tensor(x)
    )
    np.testing.assert_allclose(to_numpy(slope), dx, rtol=1e-6, atol=1e-6)
    if mode == "disjoint":
        np.testing.assert_array_equal(to_numpy(slope), dx)


@pytest.mark.parametrize("mode", MODES)
def test_second_gradient(mode):
    """Of sum(y³): the Hessian is diagonal where windows are disjoint, and always that of the loops."""
    options, x = MODES[mode], values((1, 5, 5, 1))
    rows, cols = (boundaries(5, 3, (), options.get("window"), seed) for seed in (1, 2))
    weights = values((1, 5, 5, 1), seed=5)
    w = ops.convert_to_tensor(weights)

    def slope(x):
        return gradient(lambda x: ops.sum(fracpool.max_pool_regions(x, rows, cols, **options) ** 3), x)

    curvature = gradient(lambda x: ops.sum(slope(x) * w), ops.convert_to_tensor(x))
    y, _ = reference.pool(x, rows, cols, **options)
    # d/dx of Σ_w 3 y_w² · weights[winner of w] is 6 y_w · weights[winner of w] at that winner.
    picked = reference.pool(x, rows, cols, dy=np.ones_like(y), **options)[1] * weights
    each = np.where(picked != 0, 6 * x * picked, 0)
    np.testing.assert_allclose(to_numpy(curvature), each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32", "int64"])
def test_dtypes(dtype):
    if BACKEND == "jax" and dtype.endswith("64"):
        pytest.skip("JAX has 64-bit types switched off by default")
    x = ops.cast(values(ties=True), dtype)
    rows, cols = boundaries(9, 5), boundaries(8, 6)
    y = fracpool.max_pool_regions(x, rows, cols)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = reference.pool(values(ties=True), rows, cols)[0]
    np.testing.assert_array_equal(to_numpy(ops.cast(y, "float32")), expected)


def test_nan_wins():
    x = values()
    x[0, 3, 4, 1] = np.nan
    y = to_numpy(fracpool.max_pool_regions(x, [0, 4, 9], [0, 5, 8]))
    assert np.isnan(y).sum() == 1
    assert np.isnan(y[0, 0, 0, 1])
    dx = to_numpy(
        gradient(lambda x: ops.sum(fracpool.max_pool_regions(x, [0, 4, 9], [0, 5, 8])), ops.convert_to_tensor(x))
    )
    assert dx[0, 3, 4, 1] == 1
    assert dx.sum() == 2 * 2 * 2 * 3


def test_minus_infinity_is_a_value_like_others():
    x = np.full((1, 4, 4, 1), -np.inf, "float32")
    assert (to_numpy(fracpool.max_pool_regions(x, [0, 2, 4], [0, 1, 4])) == -np.inf).all()


def test_empty_batch():
    y, rows, _ = fracpool.fractional_max_pool(np.zeros((0, 9, 8, 3), "float32"), 1.5)
    assert tuple(y.shape) == (0, 6, 5, 3)
    assert tuple(rows.shape) == (7,)
    layer = FractionalMaxPooling2D(1.5, regions_per="sample")
    assert tuple(layer(np.zeros((0, 9, 8, 3), "float32")).shape) == (0, 6, 5, 3)


def test_large_windows_are_walked_by_a_loop():
    x, dy = values((1, 40, 37, 2)), values((1, 2, 3, 2), seed=1)
    rows, cols = np.array([0, 11, 40]), np.array([0, 20, 25, 37])
    y, dx = reference.pool(x, rows, cols, dy=dy)
    dy = ops.convert_to_tensor(dy)
    np.testing.assert_array_equal(to_numpy(fracpool.max_pool_regions(x, rows, cols)), y)
    slope = gradient(lambda x: ops.sum(fracpool.max_pool_regions(x, rows, cols) * dy), ops.convert_to_tensor(x))
    np.testing.assert_array_equal(to_numpy(slope), dx)


@pytest.mark.parametrize("pseudo_random", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_long_axes(mode, pseudo_random):
    """Their products overflow 32 bits, and comparing all cells with all windows takes seconds."""
    options, x = MODES[mode], values((1, 60_000, 1, 1))
    if "window" in options:
        x = np.repeat(x, 3, axis=2)
    drawn = regions_of(FractionalMaxPooling2D((1.4, 1), pseudo_random=pseudo_random, seed=1, **options), x)
    rows, cols = (to_numpy(places[0]) for places in drawn)
    widths = np.diff(rows)
    assert set(widths) == {1, 2}
    assert rows[0] == 0
    assert rows[-1] == 60_000 - options.get("window", 0)
    slope = gradient(lambda x: ops.sum(fracpool.max_pool_regions(x, rows, cols, **options)), ops.convert_to_tensor(x))
    dy = np.ones((1, len(rows) - ("window" not in options), x.shape[2], 1))
    expected = reference.pool(x, rows, cols, dy=dy, **options)[1]
    np.testing.assert_array_equal(to_numpy(slope), expected)


def regions_of(layer, x):
    return layer.regions(ops.convert_to_tensor(x))[0]


def test_more_values_than_an_index_of_32_bits_can_tell_apart():
    with pytest.raises(ValueError, match="value has 2684354560 values: must be at most 2147483647; split the batch"):
        arguments.batch(keras.KerasTensor((2560, 1024, 1024, 1)), "value")


def test_drop_in_returns_the_boundaries_it_used():
    x = values((2, 13, 11, 3))
    for overlapping in (False, True):
        y, rows, cols = fracpool.fractional_max_pool(x, [1, 1.4, 1.7, 1], True, overlapping, 7)
        expected = reference.pool(x, to_numpy(rows), to_numpy(cols), overlapping)[0]
        np.testing.assert_array_equal(to_numpy(y), expected)


def test_drop_in_seed_zero_is_new_each_time_and_another_seed_is_not():
    x = values((2, 13, 11, 3))

    def rows(seed):
        return [tuple(to_numpy(fracpool.fractional_max_pool(x, 1.4, seed=seed)[1])) for _ in range(6)]

    assert len(set(rows(0))) > 1
    assert len(set(rows(3))) == 1
    keras.utils.set_random_seed(4)
    first = rows(0)
    keras.utils.set_random_seed(4)
    assert rows(0) == first


@pytest.mark.parametrize("per", ["batch", "sample", "channel"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pseudo_random", [False, True])
def test_layer_draws_new_regions_and_the_same_stream_for_the_same_seed(mode, per, pseudo_random):
    x = values()

    def stream(seed):
        layer = FractionalMaxPooling2D(1.6, regions_per=per, pseudo_random=pseudo_random, seed=seed, **MODES[mode])
        return np.stack([to_numpy(layer(x, training=training)) for training in 4 * (True, False)])

    first, again, other = stream(1), stream(1), stream(2)
    assert first.shape == (8, 2, 5, 5, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert any((first[0] != later).any() for later in first[1:])
    assert np.isin(first, x).all()


def test_channels_first_equals_channels_last():
    x = values()
    last = FractionalMaxPooling2D((1.5, 1.3), seed=1, data_format="channels_last")(x)
    layer = FractionalMaxPooling2D((1.5, 1.3), seed=1, data_format="channels_first")
    first = layer(x.transpose(0, 3, 1, 2))
    assert layer.compute_output_shape((None, 3, 9, 8)) == (None, 3, 6, 6)
    np.testing.assert_array_equal(to_numpy(first).transpose(0, 2, 3, 1), to_numpy(last))


def test_a_maximum_commutes_with_a_monotone_activation():
    """The rewrite that models use: pool, then activate, on fewer elements and with equal values."""
    x = ops.convert_to_tensor(values((4, 14, 14, 8)))
    for activation in ("relu", "elu", "leaky_relu", "sigmoid"):
        activate = keras.activations.get(activation)
        before, after = (FractionalMaxPooling2D(1.47, overlapping=True, seed=1) for _ in range(2))
        np.testing.assert_allclose(to_numpy(activate(before(x))), to_numpy(after(activate(x))), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_training_with_dynamic_shapes(mode):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, padding="same"),
            FractionalMaxPooling2D(1.5, regions_per="sample", seed=1, **MODES[mode]),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    for shape in ((4, 7, 6, 3), (4, 6, 8, 3)):
        x = values(shape)
        history = model.fit(x, x.mean((1, 2, 3)), batch_size=4, epochs=8, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.output_shape == (None, 1)


def test_save_load_continues_the_stream(tmp_path):
    x = values()
    model = keras.Sequential([keras.Input((9, 8, 3)), FractionalMaxPooling2D(1.6, seed=5)])
    model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


def test_clone_starts_the_stream_of_the_seed():
    x = values()
    model = keras.Sequential([keras.Input((9, 8, 3)), FractionalMaxPooling2D(1.6, seed=5)])
    first = model.predict(x, verbose=0)
    np.testing.assert_array_equal(keras.models.clone_model(model).predict(x, verbose=0), first)


BAD = [
    ("pooling_ratio=None, output_size=None: exactly one", {}),
    ("pooling_ratio=2, output_size=3: exactly one", {"pooling_ratio": 2, "output_size": 3}),
    *[
        (f"pooling_ratio={shown}: must be finite and at least 1", {"pooling_ratio": ratio})
        for shown, ratio in [
            ("0.99", 0.99),
            ("nan", float("nan")),
            ("inf", float("inf")),
            ("0", 0),
            ("-1.5", -1.5),
            ("'2'", "2"),
            ("True", True),
        ]
    ],
    (r"pooling_ratio=\[1, 2, 3\]: must be one value or a pair", {"pooling_ratio": [1, 2, 3]}),
    (r"pooling_ratio=\(1.5, 0.5\): must be finite", {"pooling_ratio": (1.5, 0.5)}),
    ("output_size=0: must be at least 1", {"output_size": 0}),
    ("output_size=2.5: must be at least 1, a whole number", {"output_size": 2.5}),
    ("window=0: must be None or a whole number from 1", {"pooling_ratio": 2, "window": 0}),
    ("window=1.5: must be", {"pooling_ratio": 2, "window": 1.5}),
    ("overlapping=True: must be False with window=2", {"pooling_ratio": 2, "window": 2, "overlapping": True}),
    ("overlapping='no': must be True or False", {"pooling_ratio": 2, "overlapping": "no"}),
    ("regions_per='image': must be one of batch, sample", {"pooling_ratio": 2, "regions_per": "image"}),
    ("seed=1.5: must be None or a whole number", {"pooling_ratio": 2, "seed": 1.5}),
    ("data_format='NHWC': must be None or one of", {"pooling_ratio": 2, "data_format": "NHWC"}),
]


@pytest.mark.parametrize(("words", "arguments"), BAD)
def test_bad_construction(words, arguments):
    with pytest.raises(ValueError, match=words):
        FractionalMaxPooling2D(**arguments)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("pooling_ratio=9.5: must be at most the input's height, 9", {"pooling_ratio": 9.5}),
        ("pooling_ratio=8.5: must be at most the input's width, 8", {"pooling_ratio": (1, 8.5)}),
        ("output_size=9: must be from 1 to the input's width, 8", {"output_size": 9}),
        ("window=9: must be from 1 to the input's width, 8", {"pooling_ratio": 1.5, "window": 9}),
    ],
)
def test_bad_sizes_at_the_call(words, arguments):
    layer = FractionalMaxPooling2D(**arguments)
    with pytest.raises(ValueError, match=words):
        layer(values())
    with pytest.raises(ValueError, match=words):
        layer(keras.Input((9, 8, 3)))
    with pytest.raises(ValueError, match=words):
        layer.compute_output_shape((None, 9, 8, 3))


@pytest.mark.parametrize("shape", [(9,), (9, 8), (9, 8, 3), (1, 2, 9, 8, 3)])
def test_bad_rank(shape):
    with pytest.raises(ValueError, match="ndim=4"):
        FractionalMaxPooling2D(1.5)(np.zeros(shape, "float32"))
    for call in (
        lambda x: fracpool.fractional_max_pool(x, 1.5),
        lambda x: fracpool.max_pool_regions(x, [0, 9], [0, 8]),
    ):
        with pytest.raises(ValueError, match="must be of rank 4"):
            call(np.zeros(shape, "float32"))


GOOD = [0, 4, 9]


@pytest.mark.parametrize(
    ("words", "rows", "options"),
    [
        ("rows starts at 1: must start at 0", [1, 4, 9], {}),
        ("rows starts at -2: must start at 0", [-2, 4, 9], {}),
        ("rows ends at 8: must end at the input's size, 9", [0, 4, 8], {}),
        ("rows ends at 10: must end", [0, 4, 10], {}),
        ("must increase", [0, 4, 4, 9], {}),
        ("must increase", [0, 6, 4, 9], {}),
        ("must increase", [0, 2**40, 9], {}),
        ("rows has length 1: must be at least 2", [0], {}),
        ("rows has length 0", np.zeros((0,), "int32"), {}),
        ("rows has dtype float", [0.0, 4.0, 9.0], {}),
        (r"rows has shape \(\): must be", 9, {}),
        (r"rows has shape \(3, 3\): must be \(2, 'n'\)", [GOOD] * 3, {}),
        (r"rows has shape \(2, 2, 3\): must be \(2, 3, 'n'\)", [[GOOD] * 2] * 2, {}),
        (r"rows has shape \(1, 1, 1, 3\)", [[[GOOD]]], {}),
        ("rows ends at 7", [GOOD, [0, 4, 7]], {}),
        ("window=0: must be", [0, 4], {"window": 0}),
        ("window=10: must be from 1 to the input's height, 9", [0, 4], {"window": 10}),
        ("must be from 0 to size − window = 7", [0, 8], {"window": 2}),
        ("must be from 0 to size − window = 7", [-1, 7], {"window": 2}),
        ("must not decrease", [4, 3, 7], {"window": 2}),
        ("overlapping=True: must be False", [0, 4], {"window": 2, "overlapping": True}),
    ],
)
def test_bad_regions(words, rows, options):
    cols = [0, 4] if "window" in options else [0, 8]
    with pytest.raises(ValueError, match=words):
        fracpool.max_pool_regions(values(), rows, cols, **options)


@pytest.mark.parametrize(
    ("words", "ratio"),
    [
        (r"pooling_ratio=\[2, 1, 1, 1\]: first and last", [2, 1, 1, 1]),
        (r"pooling_ratio=\[1, 1, 1, 2\]: first and last", [1, 1, 1, 2]),
        ("must be finite", [1, 0.5, 1, 1]),
        ("must be finite", [1, float("nan"), 1, 1]),
        ("must be finite", [1, -7, 1, 1]),
        ("list of 1, 2 or 4", [1, 1, 1]),
        ("list of 1, 2 or 4", []),
        ("must be at most the input's height, 9", [1, 1e9, 1, 1]),
        ("must be finite", float("inf")),
    ],
)
def test_bad_ratios_of_the_drop_in(words, ratio):
    with pytest.raises(ValueError, match=words):
        fracpool.fractional_max_pool(values(), ratio)


class KerasLayerTest(TestCase):
    """Keras' own test of layers: configuration, serialisation, symbolic and eager shapes, dtype policies."""

    def test_layer(self):
        for options in (
            {"pooling_ratio": 1.5},
            {"pooling_ratio": (1.2, 2.3), "pseudo_random": True, "seed": 3},
            {"output_size": (5, 6), "overlapping": True},
            {"pooling_ratio": 1.5, "window": 2, "regions_per": "channel", "data_format": "channels_first"},
        ):
            shape = (2, 3, 9, 9) if "data_format" in options else (2, 9, 9, 3)
            layer = FractionalMaxPooling2D(**options)
            self.run_layer_test(
                FractionalMaxPooling2D,
                init_kwargs=options,
                input_shape=shape,
                expected_output_shape=layer.compute_output_shape(shape),
                expected_num_trainable_weights=0,
                expected_num_non_trainable_weights=0,
                expected_num_seed_generators=2,
                expected_num_losses=0,
                supports_masking=False,
                assert_built_after_instantiation=True,
            )


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX; TensorFlow's exports are in test_export.py")
@pytest.mark.parametrize("inference", ["even", "drawn"])
def test_a_saved_model_goes_on_as_the_layer_does(inference, tmp_path):
    tf = pytest.importorskip("tensorflow", reason="loads SavedModels")
    x = np.random.default_rng(0).normal(size=(3, 20, 20, 2)).astype("float32")
    entry = keras.Input((20, 20, 2))
    layer = FractionalMaxPooling2D(1.47, inference=inference, seed=1)
    model = keras.Model(entry, layer(keras.layers.Conv2D(4, 3)(entry)))
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    first, second = (loaded.serve(x).numpy() for _ in range(2))
    assert np.array_equal(first, second) == (inference == "even")
    np.testing.assert_allclose(first, model.predict(x, verbose=0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(second, model.predict(x, verbose=0), rtol=0, atol=1e-6)
