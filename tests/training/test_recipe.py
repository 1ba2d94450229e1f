"""The parts of a training recipe against their formulas in numpy. Holds on every backend (test_backends.py)."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fracpool.settings.schema import AugmentationSettings, OptimizerSettings
from fracpool.training.augmentation import Augmentation
from fracpool.training.losses import cross_entropy
from fracpool.training.optimizers import optimizer
from fracpool.training.state import averaged

TRIANGLE = OptimizerSettings("sgd", 0.5, 0.85, "triangular", warm_up=0.25, rate_start=0.2, rate_end=0.1)


def rates(settings: OptimizerSettings, steps: int) -> np.ndarray:
    schedule = optimizer(settings, steps, 1)._learning_rate
    return np.array([float(keras.ops.convert_to_numpy(schedule(step))) for step in range(steps + 1)])


def test_a_triangular_rate_rises_and_falls_in_straight_lines():
    expected = 0.5 * np.interp(np.arange(41), [0, 10, 40], [0.2, 1, 0.1])
    np.testing.assert_allclose(rates(TRIANGLE, 40), expected, rtol=1e-5)


def test_without_a_warm_up_a_triangle_only_falls():
    falling = OptimizerSettings("sgd", 2.0, schedule="triangular", rate_start=0.3)
    np.testing.assert_allclose(rates(falling, 10), 2 - 0.2 * np.arange(11), rtol=1e-5, atol=1e-6)


def test_a_cosine_rate_may_warm_up_and_end_above_0():
    warm = OptimizerSettings("sgd", 2.0, schedule="cosine", warm_up=0.2, rate_start=0.5, rate_end=0.1)
    falling = 0.1 + 0.9 * (1 + np.cos(np.pi * np.arange(41) / 40)) / 2
    np.testing.assert_allclose(rates(warm, 50), 2 * np.r_[np.linspace(0.5, 1, 11)[:-1], falling], rtol=1e-5)


class Layered(keras.Layer):
    """A weight, a bias of batch norm and the bias of a whitening convolution, each of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = keras.Variable(np.float32([1.5]), name="kernel")
        self.norm = keras.layers.BatchNormalization(name="norm1")
        self.norm.build((None, 1))
        self.whiten = keras.layers.Dense(1, name="whiten")
        self.whiten.build((None, 1))

    @property
    def followed(self) -> list[keras.Variable]:
        return [self.weight, self.norm.beta, self.whiten.bias]


@pytest.mark.parametrize("lookahead", [0, 3])
def test_steps_are_those_of_the_recipe(lookahead):
    """Nesterov momentum, decay by the rate, the biases' own rate, a whitening bias that stays, lookahead."""
    epochs, per_epoch, trained, times, decay = 5, 4, 2, 8.0, 0.02
    chosen = OptimizerSettings(
        "sgd", 0.5, 0.85, "triangular", warm_up=0.25, rate_start=0.2, rate_end=0.1, weight_decay=decay,
        norm_bias_rate=times, lookahead=lookahead,
    )  # fmt: skip
    variables = Layered().followed
    made = optimizer(chosen, per_epoch, epochs, whiten_epochs=trained)
    made.build(variables)
    weights = np.array([1.5, 0.0, 0.0])
    speed, slow = np.zeros(3), None
    steps = epochs * per_epoch
    slopes = np.random.default_rng(0).normal(size=(steps, 3)).astype(np.float32)
    for step, slope in enumerate(slopes):
        made.apply([keras.ops.convert_to_tensor(slope[i : i + 1]) for i in range(3)], variables)
        rate = 0.5 * np.interp(step, [0, 5, 20], [0.2, 1, 0.1])
        decayed = weights * (1 - rate * decay * np.array([1, 1, 0]))
        own = rate * np.array([1, times, 1])
        speed = 0.85 * speed - own * slope
        moved = decayed + 0.85 * speed - own * slope
        if step >= trained * per_epoch:
            moved[2] = weights[2]
        weights = moved
        if lookahead:
            slow = weights if slow is None else slow
            if (step + 1) % lookahead == 0:
                kept = 0.95**lookahead * ((step + 1) / steps) ** 3
                weights = slow = kept * slow + (1 - kept) * weights
        found = np.concatenate([keras.ops.convert_to_numpy(variable) for variable in variables])
        np.testing.assert_allclose(found, weights, rtol=2e-4, atol=2e-5)


def test_lookahead_is_tested_on_the_average_and_ends_there():
    chosen = OptimizerSettings("sgd", 0.1, 0.0, lookahead=4)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer=optimizer(chosen, 6, 1), loss="mse")
    before = []
    for step in range(6):
        model.train_on_batch(np.full((4, 3), step), np.ones((4, 1)))
        before.append(model.get_weights()[0])
    with averaged(model):
        np.testing.assert_allclose(model.get_weights()[0], before[3], rtol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[0], before[5])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_labels_are_smoothed_over_all_classes(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)).astype(np.float32), rng.integers(0, 5, 6)
    targets = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    expected = -(targets * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))).sum(axis=1)
    found = keras.ops.convert_to_numpy(keras.ops.mean(cross_entropy(smoothing)(labels, logits)))
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 2), np.uint8)
ALL = np.arange(40)


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99), epoch=st.integers(0, 99), shift=st.integers(1, 4), flip=st.sampled_from([None, "random"])
)
def test_an_image_is_moved_within_a_reflected_border(seed, epoch, shift, flip):
    """Each is one of the moves of the image, or of its mirror image, padded as numpy does; never beyond `shift`."""
    found = Augmentation(AugmentationSettings(flip, shift), IMAGES).batch(ALL, seed, epoch)
    padded = np.pad(IMAGES, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    places = range(2 * shift + 1)
    moved = [padded[:, i : i + 6, j : j + 5] for i in places for j in places]
    moved += [image[:, :, ::-1] for image in moved] if flip else []
    assert np.stack([(found == image).all(axis=(1, 2, 3)) for image in moved]).any(axis=0).all()


def test_moves_and_flips_are_even_and_new_in_every_epoch():
    many = np.arange(2000 * 6 * 5, dtype=np.int64).reshape(2000, 6, 5, 1) % 251
    whole = Augmentation(AugmentationSettings("random", 1), many.astype(np.uint8))
    whole.batch(np.arange(1), 0, 0)
    first, mirrored = whole.moves, whole.mirrored
    assert {tuple(move) for move in first} == {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert 0.45 < mirrored.mean() < 0.55
    assert abs(first.mean()) < 0.05
    whole.batch(np.arange(1), 0, 1)
    assert not np.array_equal(whole.moves, first)
    assert 0.45 < (whole.mirrored != mirrored).mean() < 0.55


def test_alternating_flips_are_random_first_and_then_turn_at_each_epoch():
    made = Augmentation(AugmentationSettings("alternating"), IMAGES)
    epochs = [made.batch(ALL, 3, epoch) for epoch in range(3)]
    turned = (epochs[0] != IMAGES).any(axis=(1, 2, 3))
    assert 10 < turned.sum() < 30
    np.testing.assert_array_equal(epochs[0][turned], IMAGES[turned][:, :, ::-1])
    np.testing.assert_array_equal(epochs[1], epochs[0][:, :, ::-1])
    np.testing.assert_array_equal(epochs[2], epochs[0])
    assert (made.batch(ALL, 4, 0) != epochs[0]).any()


def test_an_image_does_not_depend_on_its_batch():
    """A run that goes on from an epoch, or has other batches, sees what it would have seen."""
    made = Augmentation(AugmentationSettings("random", 2), IMAGES)
    whole = made.batch(ALL, 5, 7)
    chosen = np.array([31, 2, 17])
    np.testing.assert_array_equal(Augmentation(made.settings, IMAGES).batch(chosen, 5, 7), whole[chosen])
