"""What only PyTorch can do; run on that backend by test_backends.py."""

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import fracpool
from fracpool import FractionalMaxPooling2D, regions
from fracpool.pooling.ops import reductions, step_by_step, windows
from fracpool.pooling.ops.torch import pool, pool_with_indices
from fracpool.pooling.stochastic import StochasticPooling2D

ROWS, COLS = np.array([0, 2, 3, 5, 7]), np.array([0, 1, 3, 4, 6])


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def with_gradient(function, x, dy):
    x = x.detach().requires_grad_()
    y = function(x)
    return y.detach(), torch.autograd.grad(y, x, dy)[0]


def equal(ours, theirs):
    return torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(ours.nan_to_num(), theirs.nan_to_num())


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("size", "window", "out"), [((11, 9), 2, (6, 5)), ((12, 7), 3, (10, 2)), ((8, 8), 4, (3, 5))])
def test_fixed_windows_have_the_bits_of_pytorchs_own_pool(size, window, out, ties, dtype, data_format):
    x = normal(2, 3, *size, dtype=dtype)
    x = x.round() if ties else x
    dy, samples = normal(2, 3, *out, dtype=dtype), torch.rand(2, 3, 2, dtype=dtype)
    theirs = torch.nn.FractionalMaxPool2d(window, output_size=out, _random_samples=samples)
    cols, rows = (
        np.array([[regions.fixed_starts(size[axis], out[axis], window, u) for u in image] for image in samples[..., i]])
        for i, axis in ((0, 1), (1, 0))
    )

    def ours(x):
        x = x.movedim(1, -1)
        x = x if data_format == "channels_first" else x.contiguous()
        return fracpool.max_pool_regions(x, rows, cols, window=window).movedim(-1, 1)

    for mine, their in zip(with_gradient(ours, x, dy), with_gradient(theirs, x, dy), strict=True):
        assert torch.equal(mine, their)


def test_indices_are_those_of_pytorchs_own_pool():
    x, middle = normal(2, 3, 11, 9).round(), torch.full((2, 3, 2), 0.5)
    theirs = torch.nn.FractionalMaxPool2d(2, output_size=5, return_indices=True, _random_samples=middle)
    for per in ("batch", "channel"):
        options = {"window": 2, "regions_per": per, "inference": "even", "data_format": "channels_first"}
        layer = FractionalMaxPooling2D(output_size=5, return_indices=True, **options)
        for mine, their in zip(layer(x), theirs(x), strict=True):
            assert torch.equal(mine, their.to(mine.dtype))


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    leading=st.sampled_from([(1,), (3,), (3, 2)]),
    mode=st.sampled_from(["disjoint", "overlapping", "fixed"]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    planes=st.booleans(),
    piece=st.sampled_from([1, 60, 10**6]),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_have_the_bits_of_the_expressions_of_the_other_backends(
    sizes, leading, mode, dtype, planes, piece, seed
):
    """Ties, infinities, several NaN in a window, any layout, however many images are computed at a time."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, min(sizes) + 1)) if mode == "fixed" else None

    def drawn(size, out):
        if width is not None:
            return np.sort(rng.integers(0, size - width + 1, out))
        return np.concatenate([[0], np.sort(rng.choice(np.arange(1, size), out - 1, replace=False)), [size]])

    outs = [int(rng.integers(1, size + 1)) for size in sizes]
    places = tuple(
        torch.tensor(
            np.array([drawn(size, out) for _ in range(int(np.prod(leading)))]).reshape(*leading, -1), dtype=torch.int32
        )
        for size, out in zip(sizes, outs, strict=True)
    )
    form = windows.Windows(mode == "overlapping", width, (width,) * len(sizes), (None,) * len(sizes))
    if mode != "fixed":
        form = form._replace(cover=(1 + form.overlapping,) * len(sizes))
    values = torch.tensor(rng.choice([-np.inf, -2, -1, -0.0, 0, 1, 2, np.inf, np.nan], (3, *sizes, 2))).to(dtype)
    x = values.movedim(-1, 1).contiguous().movedim(1, -1) if planes else values
    dy = torch.tensor(rng.normal(size=(3, *outs, 2))).to(dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_by_step, "PIECE", piece)
        y, dx = with_gradient(lambda x: pool(x, places, form), x, dy)
        without = pool(x, places, form)
        with_indices, indices = pool_with_indices(x, places, form)
    code = reductions.codes(values, places, form)
    assert equal(y, reductions.largest(values, places, form))
    assert equal(without, y)
    assert equal(with_indices, y)
    assert torch.equal(indices, reductions.indices(code, places, form, sizes))
    # Overlaps of half precision are summed in float32, then rounded.
    sums = reductions.spread(dy if dtype.itemsize > 2 else dy.float(), code, places, form, sizes).to(dtype)
    assert torch.equal(dx, sums)


def test_the_layout_in_memory_is_kept():
    x = normal(2, 3, 9, 8)
    for per in ("batch", "sample", "channel"):
        layer = FractionalMaxPooling2D(1.5, regions_per=per, seed=1, data_format="channels_first")
        y, dx = with_gradient(layer, x, normal(2, 3, 6, 5))
        assert y.is_contiguous()
        assert dx.is_contiguous()
    y, dx = with_gradient(
        FractionalMaxPooling2D(1.5, seed=1, data_format="channels_last"), normal(2, 9, 8, 3), normal(2, 6, 5, 3)
    )
    assert y.is_contiguous()
    assert dx.is_contiguous()


# Function transforms


def regions_of_one(x):
    return fracpool.max_pool_regions(x, ROWS, COLS, overlapping=True)


def cube(x):
    return (regions_of_one(x) ** 3).sum()


def test_vmap_in_any_place_and_depth():
    x = normal(4, 2, 7, 6, 3)
    each = torch.stack([regions_of_one(batch) for batch in x])
    assert torch.equal(vmap(regions_of_one)(x), each)
    assert torch.equal(vmap(regions_of_one, in_dims=2, out_dims=1)(x.movedim(0, 2)), each.movedim(0, 1))
    assert torch.equal(vmap(vmap(lambda image: regions_of_one(image[None])[0]))(x), each)
    assert torch.equal(vmap(regions_of_one)(x.round().int()), vmap(regions_of_one)(x.round()).int())
    slopes = torch.stack([grad(cube)(batch) for batch in x])
    assert torch.equal(vmap(grad(cube))(x), slopes)
    assert torch.equal(grad(lambda x: (vmap(regions_of_one)(x) ** 3).sum())(x), slopes)


def test_vmap_over_boundaries():
    """One example with several boundaries, several with their own, and boundaries of each of its images."""
    x = normal(4, 2, 7, 6, 3)
    many = torch.tensor(np.stack([ROWS, [0, 1, 2, 6, 7], [0, 4, 5, 6, 7], ROWS]))

    def one(x, rows):
        return fracpool.max_pool_regions(x, rows, COLS)

    assert torch.equal(vmap(one)(x, many), torch.stack([one(*each) for each in zip(x, many, strict=True)]))
    assert torch.equal(vmap(one, (None, 0))(x[0], many), torch.stack([one(x[0], rows) for rows in many]))
    slopes = vmap(grad(lambda x, rows: (one(x, rows) ** 2).sum()))(x, many)
    for slope, batch, rows in zip(slopes, x, many, strict=True):
        assert torch.equal(slope, with_gradient(lambda x, rows=rows: (one(x, rows) ** 2).sum(), batch, None)[1])
    own = torch.tensor(np.stack([ROWS, [0, 1, 2, 6, 7]])), torch.tensor(np.stack([COLS] * 2))
    expected = torch.stack([fracpool.max_pool_regions(batch, *own) for batch in x])
    assert torch.equal(vmap(lambda x: fracpool.max_pool_regions(x, *own))(x), expected)


def test_derivatives_of_any_order_in_both_directions():
    x, places = normal(1, 4, 4, 2, dtype=torch.float64), np.array([0, 2, 3, 4])

    def function(x):
        return fracpool.max_pool_regions(x, places, places, overlapping=True)

    def scalar(x):
        return (function(x) ** 3).sum()

    jacobian = torch.autograd.functional.jacobian(function, x)
    assert torch.equal(jacrev(function)(x), jacobian)
    assert torch.equal(jacfwd(function)(x), jacobian)
    curvature = torch.autograd.functional.hessian(scalar, x)
    assert curvature.abs().max() > 1
    for twice in (hessian(scalar), jacrev(jacrev(scalar)), jacfwd(jacfwd(scalar)), jacrev(jacfwd(scalar))):
        torch.testing.assert_close(twice(x), curvature)
    torch.testing.assert_close(vmap(hessian(scalar))(torch.stack([x, x])), torch.stack([curvature] * 2))
    along = jvp(grad(scalar), (x,), (torch.ones_like(x),))[1]
    torch.testing.assert_close(along, curvature.reshape(32, 32).sum(1).view_as(x))
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(function(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    torch.testing.assert_close(tangent, jacobian.reshape(18, 32).sum(1).view_as(tangent))
    assert torch.autograd.gradcheck(function, (x.requires_grad_(),), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: function(x) ** 2, (x,), check_fwd_over_rev=True)


@pytest.mark.parametrize("per", ["batch", "sample", "channel"])
def test_transforms_of_the_layer_and_the_drop_in(per):
    """A call draws once, whatever maps over it; the stream moves on by one call."""
    x = normal(4, 2, 7, 6, 3)

    def layer(**options):
        return FractionalMaxPooling2D(1.4, regions_per=per, seed=1, data_format="channels_last", **options)

    def loss(layer):
        return lambda x: (layer(x) ** 3).sum()

    plain, mapped = layer(), layer()
    for _ in range(3):
        np.testing.assert_array_equal(mapped.seed_generator.state.numpy(), plain.seed_generator.state.numpy())
        expected = with_gradient(loss(plain), x[0], None)[1]
        assert torch.equal(grad(loss(mapped))(x[0]), expected)
    plain, mapped = layer(), layer()
    assert torch.equal(vmap(mapped)(torch.stack([x[0]] * 2)), torch.stack([plain(x[0])] * 2))
    plain, mapped = layer(return_indices=True), layer(return_indices=True)
    for mine, one in zip(vmap(mapped)(torch.stack([x[0]] * 2)), plain(x[0]), strict=True):
        assert torch.equal(mine, torch.stack([one] * 2))
    mapped = layer()
    many = vmap(mapped, randomness="different")(torch.stack([x[0]] * 6))
    assert any((many[0] != other).any() for other in many[1:])
    assert jacrev(mapped)(x[0]).shape == (2, 5, 4, 3, 2, 7, 6, 3)
    assert hessian(loss(mapped))(x[0]).abs().max() > 0
    y, rows, cols = vmap(lambda x: fracpool.fractional_max_pool(x, 1.4))(x)
    for batch, pooled, *places in zip(x, y, rows, cols, strict=True):
        assert torch.equal(fracpool.max_pool_regions(batch, *places), pooled)
    assert hessian(lambda x: (fracpool.fractional_max_pool(x, 1.4)[0] ** 3).sum())(x[0]).abs().max() > 0


def test_a_compiled_model_has_the_bits_of_eager():
    def model():
        pool = FractionalMaxPooling2D(1.4, regions_per="sample", seed=1, data_format="channels_last")
        return keras.Sequential([keras.Input((9, 8, 3)), keras.layers.Conv2D(4, 3, bias_initializer="ones"), pool])

    keras.utils.set_random_seed(0)
    plain, compiled = model(), model()
    compiled.set_weights(plain.get_weights())
    call = torch.compile(compiled, backend="aot_eager")
    for _ in range(2):
        x, dy = normal(2, 9, 8, 3), normal(2, 5, 4, 4)
        for mine, eager in zip(with_gradient(call, x, dy), with_gradient(plain, x, dy), strict=True):
            assert torch.equal(mine, eager)
    call = torch.compile(regions_of_one, backend="aot_eager")
    x, dy = normal(2, 7, 6, 3), normal(2, 4, 4, 3)
    for mine, eager in zip(with_gradient(call, x, dy), with_gradient(regions_of_one, x, dy), strict=True):
        assert torch.equal(mine, eager)


TRACES = {  # of a module, by images
    "jit": lambda module, x: torch.jit.trace(module, (x,)),
    "export": lambda module, x: torch.export.export(module, (x,)).module(),
}


@pytest.mark.parametrize("how", TRACES)
@pytest.mark.parametrize("more", [{}, {"overlapping": True}, {"window": 2, "regions_per": "channel"}], ids=str)
def test_what_pytorch_traces_gives_the_same_and_for_other_images(more, how):
    x, other = normal(3, 11, 9, 2), normal(3, 11, 9, 2).flip(0)
    x[0, 4, 4, 0] = torch.nan
    layer = FractionalMaxPooling2D(1.47, inference="even", return_indices=True, **more)
    traced = TRACES[how](layer, x)
    for images in (x, other):
        for mine, its in zip(layer(images), traced(images), strict=True):
            assert equal(mine, its)


def unpooled(x):
    indices = torch.arange(2 * 3).reshape(1, 2, 3, 1).expand(*x[:, :2, :3].shape)
    return fracpool.max_unpool_regions(x[:, :2, :3], indices, tuple(x.shape[1:3]))


@pytest.mark.parametrize("how", TRACES)
@pytest.mark.parametrize("function", [lambda x: fracpool.max_pool_regions(x, ROWS, COLS, overlapping=True), unpooled])
def test_given_regions_and_unpooling_are_traced(function, how):
    x = normal(3, 7, 6, 2)
    layer = keras.layers.Lambda(function)
    traced = TRACES[how](layer, x)
    for images in (x, x.flip(0)):
        assert torch.equal(layer(images), traced(images))


@pytest.mark.parametrize("how", TRACES)
@pytest.mark.parametrize("seed", [0, 5])
def test_a_draw_that_a_trace_would_keep_is_one_line(seed, how):
    drop_in = keras.layers.Lambda(lambda x: fracpool.fractional_max_pool(x, 1.47, seed=seed)[0])
    other = StochasticPooling2D(sample_at_test=True, seed=seed)
    for layer in (FractionalMaxPooling2D(1.47, seed=seed), drop_in, other):
        with pytest.raises(ValueError, match=r"a pool that draws: must not be.*inference='even'"):
            TRACES[how](layer, normal(3, 11, 9, 2))


@pytest.mark.parametrize("batch", [None, 3])
def test_onnx_gives_what_predict_gives(batch, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="runs ONNX")
    pytest.importorskip("onnxscript", reason="PyTorch exports to ONNX with onnxscript")
    x = normal(3, 20, 20, 2).numpy()
    for pool_ in (
        FractionalMaxPooling2D(1.47, inference="even"),
        FractionalMaxPooling2D(1.47, window=2, regions_per="channel", inference="even"),
        fracpool.FractionalAveragePooling2D(1.47, inference="even"),
    ):
        entry = keras.Input((20, 20, 2), batch_size=batch)
        model = keras.Model(entry, pool_(keras.layers.Conv2D(4, 3)(entry)))
        expected = model.predict(x, verbose=0)  # Keras exports what was called
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
        session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
