"""The places of maxima, and putting maxima back. On every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import fracpool

BACKEND = keras.backend.backend()
POOLS = {rank: getattr(fracpool, f"FractionalMaxPooling{rank}D") for rank in (1, 2, 3)}
SIZES = {1: (11,), 2: (9, 8), 3: (7, 6, 5)}


def values(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(x):
    return ops.convert_to_numpy(x.detach() if BACKEND == "torch" and ops.is_tensor(x) else x)


@pytest.mark.parametrize("options", [{}, {"overlapping": True}, {"window": 2, "regions_per": "channel"}], ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_indices_name_the_maxima_and_unpooling_puts_them_there(rank, options):
    x = values((2, *SIZES[rank], 3))
    layer = POOLS[rank](1.4, seed=1, return_indices=True, **options)
    y, indices = map(to_numpy, layer(x))
    assert indices.dtype == np.int32
    assert layer.compute_output_shape(x.shape) == (y.shape, indices.shape)
    flat = x.reshape(2, -1, 3)
    np.testing.assert_array_equal(np.take_along_axis(flat, indices.reshape(2, -1, 3), 1).reshape(y.shape), y)
    expected = np.zeros_like(flat)
    np.put_along_axis(expected, indices.reshape(2, -1, 3), y.reshape(2, -1, 3), 1)
    for shape in (SIZES[rank], x.shape):
        back = fracpool.max_unpool_regions(y, indices, shape)
        np.testing.assert_array_equal(to_numpy(back), expected.reshape(x.shape))


def test_of_equal_maxima_the_first_is_named():
    x = np.zeros((1, 6, 6, 1), "float32")
    _, indices = fracpool.FractionalMaxPooling2D(2.0, return_indices=True)(x)
    np.testing.assert_array_equal(to_numpy(indices)[0, :, :, 0], [[0, 2, 4], [12, 14, 16], [24, 26, 28]])


@pytest.mark.parametrize("options", [{}, {"overlapping": True}, {"window": 2, "regions_per": "channel"}], ids=str)
def test_the_gradient_is_that_of_a_pool_without_indices(options):
    def slopes(pool):
        entry = keras.Input((9, 8, 3))
        before = keras.layers.Conv2D(3, 1, kernel_initializer="ones", bias_initializer="ones")
        pooled = pool(before(entry))
        model = keras.Model(entry, pooled[0] if pool.return_indices else pooled)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(values((4, 9, 8, 3)), values((4, 6, 5, 3)), batch_size=2, shuffle=False, verbose=0)
        return model.get_weights()

    with_indices, without = (
        slopes(POOLS[2](1.5, seed=1, return_indices=one, data_format="channels_last", **options))
        for one in (True, False)
    )
    for mine, other in zip(with_indices, without, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_a_model_with_indices_is_saved(tmp_path):
    entry = keras.Input((9, 8, 3))
    y, indices = fracpool.FractionalMaxPooling2D(1.5, return_indices=True, inference="even")(entry)
    model = keras.Model(entry, [y, indices])
    model.save(tmp_path / "model.keras")
    x = values((2, 9, 8, 3))
    for one, other in zip(
        model.predict(x, verbose=0), keras.models.load_model(tmp_path / "model.keras")(x), strict=True
    ):
        np.testing.assert_array_equal(one, to_numpy(other))


@pytest.mark.skipif(BACKEND == "jax", reason="torch and JAX are not tested in one process")
def test_unpooling_equals_pytorch():
    torch = pytest.importorskip("torch", reason="torch is the optional extra fracpool[torch]")
    x = values((2, 3, 8, 6))
    y, indices = torch.nn.functional.max_pool2d(torch.tensor(x), 2, return_indices=True)
    expected = torch.nn.MaxUnpool2d(2)(y, indices).numpy()
    last = (0, 2, 3, 1)
    ours = fracpool.max_unpool_regions(y.numpy().transpose(last), indices.numpy().transpose(last), (8, 6))
    np.testing.assert_array_equal(to_numpy(ours), expected.transpose(last))


@pytest.mark.parametrize(
    ("words", "value", "indices", "shape"),
    [
        (
            "indices holds 16: must be from 0 to the last cell of output_shape, 15",
            (1, 2, 2, 1),
            [[[[0], [3]], [[9], [16]]]],
            (4, 4),
        ),
        ("indices holds -1: must be", (1, 2, 2, 1), [[[[0], [3]], [[9], [-1]]]], (4, 4)),
        ("indices has dtype float32: must be an integer", (1, 2, 2, 1), np.zeros((1, 2, 2, 1), "float32"), (4, 4)),
        (r"indices has shape \(1, 2, 1, 1\): must be that of value", (1, 2, 2, 1), np.zeros((1, 2, 1, 1), int), (4, 4)),
        (r"output_shape=\(4,\): must be the sizes", (1, 2, 2, 1), np.zeros((1, 2, 2, 1), int), (4,)),
        (r"output_shape=\(2, 4, 4, 1\): must be", (1, 2, 2, 1), np.zeros((1, 2, 2, 1), int), (2, 4, 4, 1)),
        (r"output_shape=\(0, 4\): must be", (1, 2, 2, 1), np.zeros((1, 2, 2, 1), int), (0, 4)),
        (r"value has shape \(2, 2\): must be of rank 3, 4 or 5", (2, 2), np.zeros((2, 2), int), (4, 4)),
    ],
)
def test_bad_unpooling(words, value, indices, shape):
    with pytest.raises(ValueError, match=words):
        fracpool.max_unpool_regions(np.ones(value, "float32"), indices, shape)
