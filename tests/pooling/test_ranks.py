"""Fractional pools of one, two and three axes, maximum and average: one base, the same rules. On every backend."""

import itertools
import re

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

import fracpool

BACKEND = keras.backend.backend()
MAX = {rank: getattr(fracpool, f"FractionalMaxPooling{rank}D") for rank in (1, 2, 3)}
AVERAGE = {rank: getattr(fracpool, f"FractionalAveragePooling{rank}D") for rank in (1, 2, 3)}
KINDS = {"max": MAX, "average": AVERAGE}
SIZES = {1: (11,), 2: (9, 8), 3: (7, 6, 5)}
MODES = {"disjoint": {}, "overlapping": {"overlapping": True}, "fixed": {"window": 2}}
ALL = pytest.mark.parametrize(("kind", "rank"), list(itertools.product(KINDS, (1, 2, 3))))


def values(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x.detach() if BACKEND == "torch" and ops.is_tensor(x) else x)


def slope(function, x):
    """Gradient of the sum of squares of the output."""
    x = ops.convert_to_tensor(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(function(x) ** 2)
        return tape.gradient(total, x).numpy()
    if BACKEND == "torch":
        (function(x.requires_grad_()) ** 2).sum().backward()
        return to_numpy(x.grad)
    import jax

    return np.asarray(jax.grad(lambda x: (function(x) ** 2).sum())(x))


def regions_of(layer, x, **call):
    """The cells of each region along each axis, by (sample, channel)."""
    drawn, windows = layer.regions(ops.convert_to_tensor(x), **call)
    found = {}
    for n, c in np.ndindex(len(x), x.shape[-1]):
        axes = []
        for places, size in zip(map(to_numpy, drawn), x.shape[1:-1], strict=True):
            own = places[n, c] if places.ndim == 3 else places[min(n, len(places) - 1)]
            if windows.width is not None:
                axes.append([range(start, start + windows.width) for start in own])
            else:
                ends = np.minimum(own[1:] + windows.overlapping, size)
                axes.append([range(a, b) for a, b in zip(own[:-1], ends, strict=True)])
        found[n, c] = axes
    return found


@pytest.mark.parametrize(("mode", "per"), zip(MODES, ("batch", "sample", "channel"), strict=True))
@ALL
def test_each_output_is_the_maximum_or_mean_of_its_region(kind, rank, mode, per):
    """And the gradient goes to the first maximum, or in equal parts to all cells."""
    x = values((2, *SIZES[rank], 3))
    layer, same = (KINDS[kind][rank](1.4, regions_per=per, seed=4, **MODES[mode]) for _ in range(2))
    axes = regions_of(same, x, training=True)
    y, dx = np.zeros(layer.compute_output_shape(x.shape)), np.zeros(x.shape)
    for (n, c), of_axes in axes.items():
        for place in np.ndindex(*y.shape[1:-1]):
            cells = np.ix_([n], *(axis[i] for axis, i in zip(of_axes, place, strict=True)), [c])
            inside = x[cells]
            if kind == "average":
                y[(n, *place, c)] = inside.mean()
                dx[cells] += 2 * inside.mean() / inside.size
            else:
                first = np.unravel_index(inside.argmax(), inside.shape)
                y[(n, *place, c)] = inside.max()
                dx[tuple(index.ravel()[i] for index, i in zip(cells, first, strict=True))] += 2 * inside.max()
    outputs = []
    found = slope(lambda x: outputs.append(layer(x, training=True)) or outputs[-1], x)
    if BACKEND != "jax":
        np.testing.assert_allclose(to_numpy(outputs[0]), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, dx, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["disjoint", "overlapping"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_axis_equals_two_of_which_one_is_1(kind, mode):
    x = values((3, 17, 4))
    options = {"pseudo_random": True, "regions_per": "sample", "seed": 2, **MODES[mode]}
    line, plane = KINDS[kind][1](1.47, **options), KINDS[kind][2]((1.47, 1), **options)
    for training in (True, False):
        y = to_numpy(line(x, training=training))
        np.testing.assert_array_equal(y, to_numpy(plane(x[:, :, None], training=training))[:, :, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_three_axes_equal_two_of_which_one_more_is_1(kind):
    x = values((2, 9, 8, 3))
    plane = KINDS[kind][2](1.4, inference="even")
    volume = KINDS[kind][3]((1.4, 1.4, 1), inference="even")
    expected, found = to_numpy(plane(x)), to_numpy(volume(x[:, :, :, None]))[:, :, :, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(BACKEND == "jax", reason="torch and JAX are not tested in one process")
@pytest.mark.parametrize(("sizes", "window", "out"), [((9, 8, 7), 2, (6, 5, 4)), ((7, 9, 6), 3, (3, 5, 2))])
def test_fixed_windows_of_three_axes_equal_pytorch(sizes, window, out):
    """For the same samples: torch takes one for each axis, its last axis first."""
    torch = pytest.importorskip("torch", reason="torch is the optional extra fracpool[torch]")
    rng = np.random.default_rng(0)
    x, samples = rng.normal(size=(2, 3, *sizes)), rng.random((2, 3, 3))
    theirs = torch.nn.FractionalMaxPool3d(
        window, output_size=out, return_indices=True, _random_samples=torch.tensor(samples)
    )
    their_x = torch.tensor(x, requires_grad=True)
    their_y, their_indices = theirs(their_x)
    (their_y**2).sum().backward()
    starts = [
        np.array([[fracpool.regions.fixed_starts(size, count, window, u) for u in one] for one in samples[..., place]])
        for size, count, place in zip(sizes, out, order_of_samples(), strict=True)
    ]

    class Given(MAX[3]):
        def _regions(self, axes, count, channels, training):
            return tuple(ops.convert_to_tensor(places, dtype="int32") for places in starts)

    layer = Given(
        output_size=out,
        window=window,
        regions_per="channel",
        return_indices=True,
        data_format="channels_first",
        dtype="float64",
    )
    y, indices = layer(x)
    np.testing.assert_array_equal(to_numpy(y), their_y.detach().numpy())
    np.testing.assert_array_equal(to_numpy(indices), their_indices.numpy())
    found = slope(lambda x: layer(x, training=True)[0], x)
    np.testing.assert_allclose(found, their_x.grad.numpy(), rtol=1e-12)


def order_of_samples():
    """Which of torch's three samples an axis takes: depth, height and width the first, second and third."""
    return 0, 1, 2


@ALL
def test_channels_first_equals_channels_last(kind, rank):
    x = values((2, *SIZES[rank], 3))
    last = KINDS[kind][rank](1.3, inference="even")
    first = KINDS[kind][rank](1.3, inference="even", data_format="channels_first")
    turned = np.moveaxis(x, -1, 1)
    assert first.compute_output_shape(turned.shape) == to_numpy(first(turned)).shape
    np.testing.assert_array_equal(np.moveaxis(to_numpy(first(turned)), 1, -1), to_numpy(last(x)))


BAD = [
    ("pooling_ratio", {"pooling_ratio": 20.5}, "pooling_ratio=20.5: must be at most the input's"),
    ("output_size", {"output_size": 30}, "output_size=30: must be from 1 to the input's"),
    ("window", {"pooling_ratio": 1.2, "window": 12}, "window=12: must be from 1 to the input's"),
]


@pytest.mark.parametrize(("name", "options", "words"), BAD, ids=[bad[0] for bad in BAD])
@ALL
def test_what_does_not_fit_is_refused_alike(kind, rank, name, options, words):
    layer, shape = KINDS[kind][rank](**options), (2, *SIZES[rank], 3)
    for call in (
        lambda: layer(values(shape)),
        lambda: layer(keras.Input(shape[1:])),
        lambda: layer.compute_output_shape((None, *shape[1:])),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has sizes that are only known at run time")
@pytest.mark.parametrize(("rank", "compiled"), [(1, False), (2, False), (2, True), (3, False)])
@pytest.mark.parametrize(("name", "options", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_sizes_known_at_run_time_are_refused_as_it_runs(rank, name, options, words, compiled):
    """XLA drops assertions; there the compilation stops at an operation of this name."""
    import tensorflow as tf

    layer = MAX[rank](**options)
    unknown = tf.TensorSpec((None, *[None] * rank, 3))
    step = tf.function(layer, input_signature=[unknown], jit_compile=compiled)
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.sub(r"\W+", ".+", words)):
        step(tf.ones((2, *SIZES[rank], 3)))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has sizes that are only known at run time")
@pytest.mark.parametrize(
    ("kind", "rank", "mode"),
    [*(("max", 2, mode) for mode in MODES), ("max", 3, "fixed"), ("average", 1, "overlapping")],
)
def test_sizes_known_at_run_time_give_the_same(kind, rank, mode):
    import tensorflow as tf

    x = tf.constant(values((2, *SIZES[rank], 3)))
    for inference in ("even", "drawn"):
        for options in ({"pooling_ratio": 1.4}, {"output_size": 4}, {"pooling_ratio": 5}):
            known, other = (KINDS[kind][rank](inference=inference, seed=1, **options, **MODES[mode]) for _ in range(2))
            step = tf.function(other, input_signature=[tf.TensorSpec((None, *[None] * rank, None))])
            np.testing.assert_allclose(step(x), known(x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rank", [1, 3])
def test_bad_rank_and_arguments(rank):
    with pytest.raises(ValueError, match=f"ndim={rank + 2}"):
        MAX[rank](1.5)(values((2, 9, 8, 3)))
    many = {1: "a list of one", 3: "a list of three"}[rank]
    with pytest.raises(ValueError, match=rf"pooling_ratio=\(1.5, 1.5\): must be one value or {many}"):
        MAX[rank]((1.5, 1.5))
    with pytest.raises(ValueError, match="inference='mean': must be one of drawn, even"):
        MAX[rank](1.5, inference="mean")


@pytest.mark.parametrize("kind", KINDS)
def test_long_sequences(kind):
    """Time and memory grow with the length, not with its square."""
    x = values((2, 50_000, 1))
    layer = KINDS[kind][1](1.3, seed=1)
    y = to_numpy(layer(x, training=True))
    assert y.shape == (2, 38_461, 1)
    dx = slope(lambda x: layer(x, training=True), x)
    assert np.isfinite(dx).all()
    if kind == "max":
        assert np.isin(y, x).all()
    else:
        assert np.abs(y.mean() - x.mean()) < 0.02


class KerasLayerTest(TestCase):
    """Keras' own test of layers: configuration, serialisation, symbolic and eager shapes, dtype policies."""

    def test_layers(self):
        for of_ranks in KINDS.values():
            for rank, kind in of_ranks.items():
                for options in ({"pooling_ratio": 1.5}, {"output_size": 3, "window": 2, "inference": "even"}):
                    shape = (2, *SIZES[rank], 3)
                    self.run_layer_test(
                        kind,
                        init_kwargs=options,
                        input_shape=shape,
                        expected_output_shape=kind(**options).compute_output_shape(shape),
                        expected_num_trainable_weights=0,
                        expected_num_non_trainable_weights=0,
                        expected_num_seed_generators=2,
                        expected_num_losses=0,
                        supports_masking=False,
                        assert_built_after_instantiation=True,
                    )
