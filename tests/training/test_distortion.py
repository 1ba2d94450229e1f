"""Graham's distortions of images, on the backend that is set; test_backends.py runs them on the others."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from fracpool.training.distortion import BACKGROUND, GrahamDistortion

PLAIN = {"stretch": 0.0, "slant": 0.0, "shift": 0, "tint": 0.0, "slope": 0.0}


def distorted(images, **amounts):
    layer = GrahamDistortion(seed=amounts.pop("seed", 1), **{**PLAIN, **amounts})
    return keras.ops.convert_to_numpy(layer(images, training=True))


def picture(count=32, side=21, channels=1):
    """The same image for all, nothing like its mirror image, in the middle of background."""
    image = np.zeros((side, side, channels), np.float32)
    image[7:14, 8:13] = np.linspace(0.2, 0.9, 7 * 5 * channels).reshape(7, 5, channels)
    return np.repeat(image[None], count, axis=0)


def test_it_does_nothing_but_in_training():
    images = picture()
    layer = GrahamDistortion(seed=0)
    assert np.array_equal(keras.ops.convert_to_numpy(layer(images)), images)
    assert np.abs(keras.ops.convert_to_numpy(layer(images, training=True)) - images).max() > 0.1


def test_half_of_the_images_are_mirrored():
    images = picture(400)
    result = distorted(images)
    as_they_were = np.isclose(result, images, atol=1e-5).all(axis=(1, 2, 3))
    mirrored = np.isclose(result, images[:, :, ::-1], atol=1e-5).all(axis=(1, 2, 3))
    assert (as_they_were ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_images_move_by_whole_pixels_as_far_as_they_may():
    result = distorted(picture(400), shift=3)
    rows = [np.nonzero(image.any(axis=(1, 2)))[0][0] - 7 for image in result]
    assert set(rows) == {-3, -2, -1, 0, 1, 2, 3}
    for image, row in zip(result, rows, strict=True):
        at_home = np.roll(image, -row, axis=0)
        assert any(
            np.allclose(np.roll(at_home, -column, axis=1), still, atol=1e-5)
            for column in range(-3, 4)
            for still in (picture(1)[0], picture(1)[0][:, ::-1])
        )


@pytest.mark.parametrize("amounts", [{"stretch": 0.2}, {"slant": 0.2}, {"stretch": 0.2, "slant": 0.2, "shift": 2}])
def test_images_are_mapped_as_scipy_maps_them(amounts):
    images = np.random.default_rng(0).normal(size=(8, 21, 17, 2)).astype(np.float32)
    layer = GrahamDistortion(seed=1, **{**PLAIN, **amounts})
    moves = np.zeros((2, 8), np.float32)
    maps = keras.ops.convert_to_numpy(layer._transforms(images, *moves))
    result = keras.ops.convert_to_numpy(keras.ops.image.affine_transform(images, maps))
    for image, found, (a, b, x, c, d, y, *_) in zip(images, result, maps, strict=True):
        assert abs(a * d - b * c) > 0.6
        for channel in range(2):
            expected = ndimage.affine_transform(image[..., channel], [[d, c], [b, a]], offset=[y, x], order=1)
            inside = np.s_[3:-3, 3:-3]  # libraries differ in the half pixel at the border
            np.testing.assert_allclose(found[..., channel][inside], expected[inside], atol=1e-4)
        x_middle, y_middle = 8, 10  # the middle stays
        assert (a * x_middle + b * y_middle + x, c * x_middle + d * y_middle + y) == pytest.approx((8, 10), abs=1e-4)


def test_stretches_slants_and_turns_are_as_large_as_they_may_be():
    layer = GrahamDistortion(seed=1)
    images = np.zeros((4000, 9, 9, 1), np.float32)
    a, b, _, c, d, *_ = keras.ops.convert_to_numpy(layer._transforms(images, *np.zeros((2, 4000), np.float32))).T
    forward = np.linalg.inv(np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2))
    x_scale, across, along, y_scale = forward.reshape(-1, 4).T
    turned = (across != 0) & (along != 0)
    for slanted in (across == 0, along == 0, turned):
        assert 0.3 < slanted.mean() < 0.37
    assert 0.8 <= np.abs(x_scale[~turned]).min() < 0.81
    assert 1.19 < y_scale[~turned].max() <= 1.2001
    assert 0.19 < np.abs(across[~turned] / x_scale[~turned]).max() <= 0.2001
    angles = np.arctan2(along, y_scale)[turned]
    assert 0.19 < np.abs(angles).max() <= 0.2001


def test_a_tint_is_of_what_is_not_background():
    images = picture(500, channels=3)
    added = distorted(images, tint=0.2, slope=0.0) - images
    outside = (np.abs(images) <= BACKGROUND).all(axis=-1) & (np.abs(images[:, :, ::-1]) <= BACKGROUND).all(axis=-1)
    assert (added[outside] == 0).all()
    middle = added[:, 10, 10, :]
    assert middle.std() == pytest.approx(0.2, rel=0.1)
    assert np.abs(np.corrcoef(middle.T) - np.eye(3)).max() < 0.2  # each channel by itself


def test_the_same_seed_distorts_alike_and_each_call_anew():
    images = picture()
    first, second = GrahamDistortion(seed=3), GrahamDistortion(seed=3)
    calls = [keras.ops.convert_to_numpy(layer(images, training=True)) for layer in (first, second, first)]
    assert np.array_equal(calls[0], calls[1])
    assert not np.array_equal(calls[0], calls[2])


def test_after_its_steps_images_are_left_as_they_are():
    images = picture()
    layer = GrahamDistortion(steps=2, seed=0)
    calls = [keras.ops.convert_to_numpy(layer(images, training=True)) for _ in range(4)]
    assert [np.array_equal(result, images) for result in calls] == [False, False, True, True]


def test_it_is_saved_with_its_stream(tmp_path):
    model = keras.Sequential([keras.Input((21, 21, 1)), GrahamDistortion(steps=9, shift=2, seed=5)])
    model(picture(), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    results = [keras.ops.convert_to_numpy(each(picture(), training=True)) for each in (model, loaded)]
    assert np.array_equal(*results)
