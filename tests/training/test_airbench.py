"""airbench's network: sizes and counts as published, its start, whole runs, what is refused."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_runs import StopAfter, execute, results

from fracpool.findings.scores import METRICS
from fracpool.records.store import Store
from fracpool.settings import architecture, identity, names
from fracpool.settings.refusal import ImpossibleNetwork
from fracpool.settings.schema import AugmentationSettings, ModelSettings, OptimizerSettings, PoolSettings, Settings
from fracpool.sweep.planned_run import plan
from fracpool.train import main
from fracpool.training import batches

NET = ModelSettings(
    name="airbench", conv_layers=6, pools=3, widths=[64, 128, 128], whiten_epochs=3, activation="gelu", dense=[],
    batch_norm=True, batch_norm_momentum=0.6, batch_norm_scale=False, dirac=True,
)  # fmt: skip
RECIPE = OptimizerSettings(
    "sgd", 0.2, 0.85, "triangular", warm_up=0.23, rate_start=0.2, rate_end=0.07, weight_decay=0.00887,
    norm_bias_rate=64.0, lookahead=5, label_smoothing=0.2,
)  # fmt: skip
FMP = PoolSettings("fmp", 2.0, pseudo_random=False, overlapping=False, regions_per="batch")
CIFAR = (32, 32, 3)


def tiny(folder, **changes) -> Settings:
    small = replace(NET, widths=[4, 6], conv_layers=4, pools=2, whiten_epochs=2)
    made = Settings(model=small, optimizer=replace(RECIPE), results_dir=str(folder), repeats=2)
    made.dataset.name = "mnist5k"
    made.augmentation = AugmentationSettings("alternating", 2)
    made.budget.train_examples, made.budget.batch_size, made.budget.epochs = 300, 50, 3
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("widths", "weights", "macs"), [([64, 128, 128], 569_016, 54.2), ([64, 256, 256], 1_971_640, 118.1)]
)
def test_weights_and_products_are_those_published(widths, weights, macs):
    """lib_airbench93.py and airbench94.py: .57 and 1.97 M weights, 54 and 118 M multiply-accumulates. Ours has, beside
    those, whitening's shift, which stands for the normalisation of the images, and batch norm's statistics."""
    network = architecture.network(replace(NET, widths=widths), PoolSettings(), CIFAR, 10)
    kept = 24 + 2 * 2 * sum(widths)
    assert network.parameters == weights + kept
    assert network.macs / 1e6 == pytest.approx(macs, abs=0.05)


def test_sizes_kinds_and_names():
    network = architecture.network(NET, PoolSettings(), CIFAR, 10)
    block = ["conv", "pool", "batch_norm", "activation", "conv", "batch_norm", "activation"]
    kinds = ["input", "whiten", "activation", *3 * block, "last_pool", "flatten", "dense", "scale"]
    assert [layer.kind for layer in network.layers] == kinds
    assert [layer.height for layer in network.layers if layer.kind in ("whiten", "pool", "last_pool")] == [
        31,
        15,
        7,
        3,
        1,
    ]
    assert (network.final.height, network.final.channels) == (3, 128)
    assert names.label(Settings(model=NET)) == "airbench 64/128/128, max pool"
    slow = Settings(model=replace(NET, pools=6), pool=replace(FMP, ratio=2**0.5, pseudo_random=True))
    assert names.label(slow) == "airbench 64/128/128, 6 × FMP 1.414 pseudorandom"


@pytest.mark.parametrize(
    ("pool", "pools", "sizes"),
    [
        (FMP, 3, [15, 7, 3]),
        (replace(FMP, ratio=2**0.5), 6, [21, 14, 9, 6, 4, 2]),
        (PoolSettings("strided"), 3, [16, 8, 4]),
    ],
)
def test_any_pool_stands_in_its_place(pool, pools, sizes):
    from fracpool.training import keras_network

    model = replace(NET, pools=pools, widths=[4, 8, 8])
    network = architecture.network(model, pool, CIFAR, 10)
    assert [layer.height for layer in network.layers if layer.kind == "pool"] == sizes
    built = keras_network.build(network, model, pool)
    assert built.count_params() == network.parameters
    assert built(np.zeros((2, *CIFAR), np.float32)).shape == (2, 10)


def test_maps_that_are_too_small_are_told():
    architecture.network(NET, FMP, (9, 9, 1), 10)  # 8 → 4 → 2 → 1
    with pytest.raises(ImpossibleNetwork, match=r"its map is 1×1.*pool\.match=max"):
        architecture.network(NET, FMP, (8, 8, 1), 10)  # 7 → 3 → 1 → 0


def test_whitening_makes_patches_uncorrelated():
    """Against the definition: normalised images, their 2×2 patches, eigenvectors over roots of eigenvalues."""
    from fracpool.training.whitening import EPSILON, WhiteningConvolution

    rng = np.random.default_rng(0)
    images = (rng.integers(0, 200, (60, 9, 8, 1)) + rng.integers(0, 50, (60, 9, 8, 3))).astype(np.uint8)
    layer = WhiteningConvolution(name="whiten")
    layer.build((None, 9, 8, 3))
    layer.adapt(images)
    layer.begin()
    found = np.asarray(layer(images.astype(np.float32) / 255.0)).reshape(-1, 24).astype(np.float64)
    normal = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    windows = np.lib.stride_tricks.sliding_window_view(normal, (2, 2), axis=(1, 2))  # …, channels, rows, columns
    patches = np.moveaxis(windows, 3, -1).reshape(-1, 12)
    values = np.linalg.eigvalsh(patches.T @ patches / len(patches))[::-1]
    products = found[:, :12].T @ found[:, :12] / len(found)
    np.testing.assert_allclose(products, np.diag(values / (values + EPSILON)), atol=2e-4)
    np.testing.assert_allclose(found[:, 12:], -found[:, :12], atol=1e-4)
    (direction,) = np.linalg.lstsq(patches, found[:, 0], rcond=None)[:1]
    np.testing.assert_allclose(np.linalg.norm(direction), (values[0] + EPSILON) ** -0.5, rtol=1e-4)
    assert [variable.name for variable in layer.trainable_variables] == ["bias"]


def test_whitening_is_the_same_whatever_the_order_of_sums():
    from fracpool.training import whitening

    images = np.random.default_rng(1).integers(0, 256, (1500, 6, 6, 3), np.uint8)
    kernel, shift = whitening.whitening_filters(images)
    again = whitening.whitening_filters(images[::-1])
    assert np.array_equal(kernel, again[0])
    assert np.array_equal(shift, again[1])


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (3, 3, 6, 4), (2, 2, 3, 3)])
def test_a_dirac_convolution_hands_its_channels_on(shape):
    import keras

    from fracpool.training.state import Dirac

    kernel = Dirac().draw(shape, np.random.default_rng(0))
    images = np.random.default_rng(1).normal(size=(2, 5, 5, shape[2])).astype(np.float32)
    outputs = np.asarray(keras.ops.conv(images, kernel, padding="same"))
    passed = min(shape[2:])
    if shape[0] % 2:
        np.testing.assert_array_equal(outputs[..., :passed], images[..., :passed])
    limit = 1 / np.sqrt(np.prod(shape[:3]))
    assert np.abs(kernel[..., passed:]).max(initial=0) <= limit
    assert kernel[..., passed:].size == 0 or kernel[..., passed:].std() > limit / 3
    dense = Dirac().draw((50, 10), np.random.default_rng(0))
    assert 0.1 < np.abs(dense).max() <= 50**-0.5


def test_fields_that_are_off_leave_ids_alone():
    usual = identity.run_id(Settings(), "data")
    assert identity.run_id(Settings(augmentation=AugmentationSettings(None, 0), views=None), "data") == usual
    changes = [
        {"precision": "mixed_bfloat16"},
        {"views": "flip"},
        {"augmentation": AugmentationSettings("random")},
        {"augmentation": AugmentationSettings(shift=1)},
        {"model": NET},
        *(
            {"optimizer": OptimizerSettings(**{name: value})}
            for name, value in asdict(RECIPE).items()
            if name != "decay"
        ),
    ]
    ids = {identity.run_id(Settings(**change), "data") for change in changes}
    unusual = [change for change in changes if change.get("optimizer") != OptimizerSettings()]
    assert len(ids - {usual}) == len(unusual)


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_and_learns(tmp_path):
    """With every part of the recipe, stopped while whitening's bias is still trained. The record holds every form."""
    made = tiny(tmp_path / "whole", pool=FMP, views="flip_shift")
    whole = execute(made)
    pieces = replace(made, results_dir=str(tmp_path / "pieces"))
    with pytest.raises(KeyboardInterrupt):
        execute(pieces, StopAfter(1))
    assert results(execute(pieces)) == results(whole)
    losses = [row["train_loss"] for row in whole.history()]
    assert losses[-1] < losses[0] < 2.5
    predictions, metrics = whole.predictions(), whole.data["metrics"]
    assert set(predictions) == {*METRICS.values(), "labels"}
    for form in ("views", "even_views"):
        accuracy = (predictions[form].argmax(axis=1) == predictions["labels"]).mean()
        assert metrics[f"{form}_accuracy"] == pytest.approx(accuracy, abs=5e-3)  # float16 turns near ties
        np.testing.assert_allclose(predictions[form].astype(float).sum(axis=1), 1, atol=3e-3)
    assert not np.array_equal(predictions["views"], predictions["even_views"])
    for word in ("augmentation.flip=alternating", "views=flip_shift", "model=airbench", "optimizer.lookahead=5"):
        assert word in whole.data["command"]


def test_views_are_weighted_as_airbench_weights_them():
    from fracpool.training import testing

    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), np.uint8)
    seen = []

    def predict(batch):
        seen.append(np.asarray(batch * 255).round().astype(np.uint8))
        first = 0.15 + 0.1 * len(seen)
        return np.log(np.tile([first, 1 - first], (len(batch), 1)))

    averaged = testing._over_views(SimpleNamespace(predict_on_batch=predict), "flip_shift", images)
    corner = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    for i, expected in enumerate([images, corner[:, :4, :4], corner[:, 2:, 2:]]):
        np.testing.assert_array_equal(seen[2 * i], expected)
        np.testing.assert_array_equal(seen[2 * i + 1], expected[:, :, ::-1])
    first = np.array([0.25, 0.35, 0.45, 0.55, 0.65, 0.75])
    np.testing.assert_allclose(averaged[:, 0], first @ [1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8], rtol=1e-5)


def test_bfloat16_computes_in_it_and_keeps_weights_in_float32():
    from fracpool.settings.arrays import Arrays
    from fracpool.training.program import forget_program, program_for

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 12, 12, 1), np.uint8), rng.integers(0, 10, 20).astype(np.uint8)
    settings = Settings(model=replace(NET, widths=[4, 4], conv_layers=4, pools=2), precision="mixed_bfloat16", pool=FMP)
    settings.budget.batch_size = 10
    network = architecture.network(settings.model, settings.pool, (12, 12, 1), 10)
    program = program_for(settings, network, Arrays(images, labels, images, labels))
    for model in (program.model, program.even):
        computed = {layer.name: layer.compute_dtype for layer in model.layers}
        assert computed["conv1"] == computed["norm1"] == computed["whiten_activation"] == "bfloat16"
        assert computed["whiten"] == computed["logits"] == computed["logits_scale"] == "float32"
    assert {variable.dtype for variable in program.model.trainable_variables} == {"float32"}
    forget_program()
    import keras

    assert keras.config.dtype_policy().name == "float32"


def test_flips_of_digits_are_warned_of(tmp_path):
    assert "mnist5k" in plan(tiny(tmp_path)).warning
    assert plan(tiny(tmp_path, augmentation=AugmentationSettings(None, 2))).warning is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_trains_the_same_to_rounding(tmp_path, monkeypatch, backend):
    """Given one order of images, where TensorFlow has its own, and a low rate, so that rounding stays small."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is an optional extra")
    changes = ["model.widths=[4,6]", "model.conv_layers=4", "model.pools=2", "budget.train_examples=300", "repeats=1"]
    changes += ["optimizer.learning_rate=0.001", "budget.batch_size=50", "budget.epochs=2", f"results_dir={tmp_path}"]
    words = ["dataset=mnist5k", "pool=max", "model=airbench", "optimizer=airbench", "augmentation=airbench", *changes]
    environment = os.environ | {"KERAS_BACKEND": backend}
    command = [sys.executable, "-m", "fracpool.train", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    (other,) = Store(tmp_path / "mine").read().records
    monkeypatch.setattr(batches, "_TensorFlowBatches", batches._NumpyBatches)
    monkeypatch.setattr(batches, "order", lambda seed, epoch, n: np.random.default_rng([seed, epoch]).permutation(n))
    assert main(words) == 0
    (record,) = [r for r in Store(tmp_path / "mine").read().records if r.run_id != other.run_id]
    for row, same in zip(record.history(), other.history(), strict=True):
        assert row["train_loss"] == pytest.approx(same["train_loss"], rel=1e-5)
        assert row["test_loss"] == pytest.approx(same["test_loss"], rel=1e-4)
