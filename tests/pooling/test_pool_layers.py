"""The other poolings against their papers' formulas, written as plain loops; test_backends.py repeats this on JAX."""

import itertools
import re

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from fracpool import regions
from fracpool.pooling.fractional_average import FractionalAveragePooling2D
from fracpool.pooling.frozen import FrozenAveragePooling2D
from fracpool.pooling.max_blur import MaxBlurPooling2D
from fracpool.pooling.mixed import GatedPooling2D, MixedPooling2D
from fracpool.pooling.s3pool import S3Pooling2D
from fracpool.pooling.stochastic import StochasticPooling2D
from fracpool.pooling.strided import StridedConvolution2D

BACKEND = keras.backend.backend()
only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow's op")
LAYERS = {
    StridedConvolution2D: {},
    MixedPooling2D: {},
    GatedPooling2D: {},
    StochasticPooling2D: {"seed": 1},
    S3Pooling2D: {"grid_size": 4, "seed": 1},
    MaxBlurPooling2D: {},
    FractionalAveragePooling2D: {"pooling_ratio": 1.4, "seed": 1},
}
SAMPLED = (StochasticPooling2D, S3Pooling2D)


def values(shape=(2, 9, 8, 3), seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def windows(x, size, stride, same):
    """((row, column) of the output, cells (N, ≤ k, ≤ k, C)) of each window, cut off at the border if `same`."""
    spans = []
    for length in x.shape[1:3]:
        out = -(-length // stride) if same else (length - size) // stride + 1
        margin = max((out - 1) * stride + size - length, 0) // 2
        spans.append([(max(i * stride - margin, 0), min(i * stride - margin + size, length)) for i in range(out)])
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(*map(enumerate, spans)):
        yield (i, j), x[:, top:bottom, left:right]


def pooled(x, size, stride, same, function):
    cells = dict(windows(x, size, stride, same))
    shape = [1 + max(place[axis] for place in cells) for axis in (0, 1)]
    y = np.zeros((len(x), *shape, x.shape[3]))
    for (i, j), window in cells.items():
        y[:, i, j] = function(window)
    return y


def maximum(window):
    return window.max((1, 2))


def mean(window):
    return window.mean((1, 2))


@pytest.mark.parametrize("shape", [(2, 9, 8, 3), (1, 28, 28, 2)])
def test_strided_convolution(shape):
    """y = Σ over the window and channels of kernel · x, plus bias."""
    x = values(shape)
    layer = StridedConvolution2D()
    layer.build(shape)
    kernel, bias = values((3, 3, shape[3], shape[3]), 1), values((shape[3],), 2)
    layer.set_weights([kernel, bias])
    margins = [(0, 0), *(((1, 1) if side % 2 else (0, 1)) for side in shape[1:3]), (0, 0)]
    expected = pooled(np.pad(x, margins), 3, 2, False, lambda w: np.einsum("nijc,ijcd->nd", w, kernel) + bias)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-4, atol=1e-4)


def test_mixed():
    """Lee et al.: α max + (1 − α) average."""
    x = values()
    layer = MixedPooling2D()
    layer.build(x.shape)
    assert float(layer.proportion) == 0.5
    layer.set_weights([np.float32(0.3)])
    expected = pooled(x, 2, 2, False, lambda w: 0.3 * maximum(w) + 0.7 * mean(w))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "stride", "same"), [(2, 2, False), (3, 2, True)])
def test_gated(size, stride, same):
    """Lee et al.: σ(ωᵀx) max + (1 − σ(ωᵀx)) average, with one mask for all channels."""
    x = values((2, 8, 9, 3))
    layer = GatedPooling2D(size, stride, "same" if same else "valid")
    layer.build(x.shape)
    assert np.count_nonzero(layer.get_weights()[0]) == 0
    mask = values((size, size), 3)
    layer.set_weights([mask])

    def gated(window):
        gate = 1 / (1 + np.exp(-np.einsum("nijc,ij->nc", window, mask)))
        return gate * maximum(window) + (1 - gate) * mean(window)

    y = ops.convert_to_numpy(layer(x))
    whole = {place: gated(w) for place, w in windows(x, size, stride, same) if w.shape[1:3] == (size, size)}
    assert len(whole) >= 9
    for (i, j), expected in whole.items():
        np.testing.assert_allclose(y[:, i, j], expected, rtol=1e-5, atol=1e-6)


def test_stochastic_weights_by_probability_at_test_time():
    """Zeiler and Fergus: s = Σ p_i a_i with p_i = a_i / Σ a, for a ≥ 0."""
    x = np.maximum(values(), 0)
    expected = pooled(x, 3, 2, True, lambda w: (w**2).sum((1, 2)) / np.maximum(w.sum((1, 2)), 1e-30))
    np.testing.assert_allclose(ops.convert_to_numpy(StochasticPooling2D()(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sample", [{"training": True}, {"sample_at_test": True}], ids=["training", "test"])
def test_stochastic_draws_in_proportion_to_the_values(sample):
    """Zeiler and Fergus: cell i of a window is drawn with probability a_i / Σ a."""
    cells = np.array([[0, 1, 2], [0.5, 0, 0.25], [-3, 4, 0.25]], "float32")
    x = np.broadcast_to(cells[None, :, :, None], (20_000, 3, 3, 1))
    layer = StochasticPooling2D(3, 3, "valid", sample_at_test=sample.get("sample_at_test", False), seed=4)
    drawn = ops.convert_to_numpy(layer(x, training=sample.get("training", False))).ravel()
    for value, chance in ((4, 0.5), (2, 0.25), (1, 0.125), (0.5, 0.0625), (0.25, 0.0625), (0, 0), (-3, 0)):
        deviation = np.sqrt(chance * (1 - chance) / 20_000)
        assert abs(np.mean(drawn == value) - chance) <= 4 * deviation


def test_stochastic_without_a_positive_value():
    """Zero after a rectifier, as in the paper; else one of the window's cells in the image, evenly drawn."""
    assert not ops.convert_to_numpy(StochasticPooling2D(seed=1)(np.zeros((1, 5, 5, 2)), training=True)).any()
    x = -1 - np.abs(values((1, 5, 5, 1)))
    expected = pooled(x, 3, 2, True, mean)
    np.testing.assert_allclose(ops.convert_to_numpy(StochasticPooling2D()(x)), expected, rtol=1e-5)
    drawn = ops.convert_to_numpy(StochasticPooling2D(seed=1)(np.repeat(x, 500, 0), training=True))
    assert set(np.unique(drawn)) <= set(x.ravel())
    corner = np.unique(drawn[:, 0, 0])
    np.testing.assert_array_equal(corner, np.unique(x[0, :2, :2]))


def test_stochastic_passes_the_gradient_to_the_drawn_cell():
    if BACKEND != "tensorflow":
        pytest.skip("gradients by tf.GradientTape")
    import tensorflow as tf

    x = tf.constant(np.abs(values((4, 6, 6, 2))))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = StochasticPooling2D(2, 2, "valid", seed=3)(x, training=True)
    slope = tape.gradient(y, x).numpy()
    assert set(np.unique(slope)) == {0, 1}
    np.testing.assert_allclose(pooled(slope * x.numpy(), 2, 2, False, lambda w: w.sum((1, 2))), y, rtol=1e-6)


@pytest.mark.parametrize(("size", "grid"), [(8, 2), (8, 4), (9, 4), (11, 4), (7, 6)])
def test_s3pool_chooses_rows_and_columns(size, grid):
    """Zhai et al.: of each strip of g rows g / s, in order; columns likewise; the same for samples and channels."""
    place = 100 * np.arange(size)[:, None] + np.arange(size)
    x = -np.broadcast_to(place[None, :, :, None], (2, size, size, 3)).astype("float32")  # each cell is its 2×2 maximum
    layer = S3Pooling2D(grid_size=grid, seed=2)
    seen = set()
    for _ in range(40):
        y = -ops.convert_to_numpy(layer(x, training=True)).astype(int)
        assert y.shape == (2, size // 2, size // 2, 3)
        assert (y == y[:1, :, :, :1]).all()
        rows, cols = y[0, :, 0, 0] // 100, y[0, 0, :, 0] % 100
        np.testing.assert_array_equal(y[0, :, :, 0], 100 * rows[:, None] + cols)
        for chosen in (rows, cols):
            assert (np.diff(chosen) > 0).all()
            of_strips = np.bincount(chosen // grid, minlength=size // grid)
            assert (of_strips[: size // grid] == grid // 2).all()
        seen.add((*rows, *cols))
    assert len(seen) > 10


@pytest.mark.parametrize("size", [8, 9])
def test_s3pool_averages_at_test_time(size):
    x = values((2, size, size, 3))
    maxima = pooled(np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=-np.inf), 2, 1, False, maximum)
    expected = pooled(maxima, 2, 2, False, mean)
    np.testing.assert_allclose(ops.convert_to_numpy(S3Pooling2D()(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("filter_size", "line"), [(2, [1, 1]), (3, [1, 2, 1]), (5, [1, 4, 6, 4, 1])])
def test_max_blur(size, filter_size, line):
    """Zhang: max with stride 1, then a normalised filter with stride 2, the border reflected."""
    x = values((2, size, size, 3))
    maxima = pooled(x, 2, 1, False, maximum)
    margin = ((filter_size - 1) // 2, filter_size // 2)
    padded = np.pad(maxima, [(0, 0), margin, margin, (0, 0)], mode="reflect")
    blur = np.outer(line, line) / np.sum(np.outer(line, line))
    expected = pooled(padded, filter_size, 2, False, lambda w: np.einsum("nijc,ij->nc", w, blur))
    layer = MaxBlurPooling2D(filter_size=filter_size)
    assert layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-6)


def kept(x, rows, cols, dtype="float32", **options):
    layer = FrozenAveragePooling2D(
        output_size=(len(rows) - (not options.get("window")), len(cols) - (not options.get("window"))),
        dtype=dtype,
        **options,
    )
    layer.build(x.shape)
    layer.rows.assign(np.asarray(rows, "int32"))
    layer.cols.assign(np.asarray(cols, "int32"))
    return layer


@only_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("pseudo_random", [False, True])
def test_fractional_average_equals_tensorflows(pseudo_random, overlapping, dtype):
    """Bit for bit on whole numbers, where no sum is rounded; on others, and the gradient, to rounding."""
    import tensorflow as tf

    exact = np.random.default_rng(0).integers(-50, 50, (2, 13, 11, 3)).astype(dtype)
    rounding = 4 * np.finfo(dtype).eps
    for x, tolerance in ((exact, 0), (values((2, 13, 11, 3)).astype(dtype), rounding)):
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, rows, cols = tf.nn.fractional_avg_pool(x, [1, 1.6, 1.3, 1], pseudo_random, overlapping, seed=5)
            total = tf.reduce_sum(y**2)
        slope = tape.gradient(total, x)
        layer = kept(x, rows.numpy(), cols.numpy(), dtype, overlapping=overlapping)
        with tf.GradientTape() as tape:
            tape.watch(x)
            ours = layer(x)
            total = tf.reduce_sum(ours**2)
        np.testing.assert_allclose(ours, y, rtol=0, atol=tolerance)
        np.testing.assert_allclose(tape.gradient(total, x), slope, rtol=0, atol=rounding * np.abs(slope).max())


@pytest.mark.parametrize("per", ["batch", "sample", "channel"])
@pytest.mark.parametrize("options", [{}, {"overlapping": True}, {"window": 3}], ids=str)
def test_fractional_average_is_the_mean_of_each_region(options, per):
    x = values((2, 9, 8, 3))
    layer = FractionalAveragePooling2D(1.5, regions_per=per, seed=6, **options)
    places = []
    drawing = layer._regions
    layer._regions = lambda *call: places.append(drawing(*call)) or places[-1]
    y = ops.convert_to_numpy(layer(x))
    rows, cols = (ops.convert_to_numpy(given) for given in places[-1])
    for n, c, i, j in np.ndindex(2, 3, *y.shape[1:3]):
        cells = x[n, :, :, c]
        for axis, (given, number) in enumerate(((rows, i), (cols, j))):
            own = given[min(n, len(given) - 1)] if per != "channel" else given[n, c]
            first = own[number]
            last = first + 3 if "window" in options else own[number + 1] + bool(options.get("overlapping"))
            cells = cells[first:last] if axis == 0 else cells[:, first:last]
        assert y[n, i, j, c] == pytest.approx(cells.mean(), rel=1e-5, abs=1e-6)


def test_even_regions_of_the_average():
    layer, x = FractionalAveragePooling2D(1.5, inference="even"), values((1, 12, 12, 1))
    even = list(itertools.pairwise(regions.even_boundaries(12, 8)))
    expected = [[x[0, top:bottom, left:right].mean() for left, right in even] for top, bottom in even]
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x))[0, :, :, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_channels_first_is_the_same_transposed(kind):
    x = values()
    last, first = kind(**LAYERS[kind]), kind(**LAYERS[kind], data_format="channels_first")
    turned = np.transpose(x, (0, 3, 1, 2))
    last.build(x.shape)
    first.build(turned.shape)
    if last.get_weights():
        first.set_weights(last.get_weights())
    y = ops.convert_to_numpy(first(turned))
    assert y.shape == first.compute_output_shape(turned.shape)
    np.testing.assert_allclose(np.transpose(y, (0, 2, 3, 1)), ops.convert_to_numpy(last(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_seed_repeats_the_stream_and_each_call_draws_anew(kind):
    x = np.abs(values((2, 12, 12, 2)))
    one, other = kind(seed=3), kind(seed=3)
    first, second = (ops.convert_to_numpy(one(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(ops.convert_to_numpy(other(x, training=True)), first)
    np.testing.assert_array_equal(ops.convert_to_numpy(other(x, training=True)), second)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(one(x)) for _ in range(2)))  # test passes are alike
    always = kind(seed=3, sample_at_test=True)
    assert not np.array_equal(*(ops.convert_to_numpy(always(x)) for _ in range(2)))


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_loaded_model_continues_the_stream(kind, tmp_path):
    x = np.abs(values((2, 12, 12, 2)))
    model = keras.Sequential([keras.Input((12, 12, 2)), kind(seed=3)])
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    expected = ops.convert_to_numpy(model(x, training=True))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(x, training=True)), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixedPooling2D(0), "pool_size=0: must be a whole number from 1"),
        (lambda: GatedPooling2D(2, strides=1.5), "strides=1.5: must be a whole number"),
        (lambda: StochasticPooling2D(padding="reflect"), "padding='reflect': must be one of valid, same"),
        (lambda: StochasticPooling2D(sample_at_test=1), "sample_at_test=1: must be True or False"),
        (lambda: StochasticPooling2D(seed=0.5), "seed=0.5: must be None or a whole number"),
        (lambda: S3Pooling2D(grid_size=3), "grid_size=3: must be a multiple of strides=2"),
        (lambda: MaxBlurPooling2D(filter_size=-3), "filter_size=-3: must be a whole number from 1"),
        (lambda: StridedConvolution2D(data_format="nchw"), "data_format='nchw': must be None or one of"),
        (lambda: FractionalAveragePooling2D(0.5), "pooling_ratio=0.5: must be finite and at least 1"),
        (lambda: FractionalAveragePooling2D(1.5)(np.ones((1, 4, 4, 1), "int32")), "dtype int32: must be a float type"),
        (lambda: MaxBlurPooling2D()(np.ones((1, 2, 9, 1), "float32")), "height 2: must be at least 3 for this layer"),
        (lambda: MixedPooling2D()(np.ones((1, 9, 1, 1), "float32")), "width 1: must be at least 2 for this layer"),
        (lambda: GatedPooling2D()(keras.Input((None, 9, 1))), r"height is unknown: must be given, as in keras.Input"),
    ],
    ids=range(13),
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    lines = str(caught.value).splitlines()  # Keras adds lines of its own to what a call raises
    assert sum(bool(re.search(message, line)) for line in lines) == 1


class KerasLayerTest(TestCase):
    """Keras' own test of layers: configuration, serialisation, symbolic and eager shapes, dtype policies."""

    def test_layers(self):
        weights = {StridedConvolution2D: 2, MixedPooling2D: 1, GatedPooling2D: 1}
        for kind, options in LAYERS.items():
            for layout, shape in (("channels_last", (2, 9, 8, 3)), ("channels_first", (2, 3, 9, 8))):
                kwargs = {**options, "data_format": layout}
                self.run_layer_test(
                    kind,
                    init_kwargs=kwargs,
                    input_shape=shape,
                    expected_output_shape=kind(**kwargs).compute_output_shape(shape),
                    expected_num_trainable_weights=weights.get(kind, 0),
                    expected_num_non_trainable_weights=0,
                    expected_num_seed_generators=2 * (kind in (*SAMPLED, FractionalAveragePooling2D)),
                    expected_num_losses=0,
                    supports_masking=False,
                    assert_built_after_instantiation=kind is FractionalAveragePooling2D,
                )


def test_every_layer_is_in_the_study():
    """Each pooling that a configuration can choose builds a layer of this package, or one of Keras' or FMP."""
    from fracpool.settings.poolings import POOLINGS
    from fracpool.settings.schema import PoolSettings

    pool = PoolSettings(ratio=1.5, grid=4, pseudo_random=False, overlapping=False, regions_per="batch")
    built = {type(pooling.layer(pool, "pool", 0)) for pooling in POOLINGS.values()}
    assert set(LAYERS) <= built
    assert all(kind.__module__.startswith("fracpool.pooling.") for kind in LAYERS)
