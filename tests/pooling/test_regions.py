"""Boundaries: their form for every size, the formulas they come from, and TensorFlow's distribution."""

import math
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

import fracpool
from fracpool import regions

sizes = st.integers(1, 60).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


def check_form(boundaries, size, out):
    assert boundaries.shape == (out + 1,)
    assert boundaries[0] == 0
    assert boundaries[-1] == size
    assert set(np.diff(boundaries)) <= {size // out, -(-size // out)}


@given(sizes, st.integers(0, 2**32))
def test_random_form(pair, seed):
    check_form(regions.random_boundaries(*pair, np.random.default_rng(seed)), *pair)


@given(sizes, st.floats(0, 1))
def test_pseudorandom_form(pair, part):
    check_form(regions.pseudorandom_boundaries(*pair, part * regions.largest_u(*pair)), *pair)


@given(sizes)
def test_largest_u_is_tensorflows(pair):
    size, out = pair
    ratio, k = size / out, size // out
    expected = min((k + 2) / ratio - 1, (size + 1 - k) / ratio - (out - 1))
    assert regions.largest_u(size, out) == pytest.approx(expected)


@given(sizes, st.floats(0.001, 0.999))
def test_pseudorandom_formula(pair, part):
    """TensorFlow counts from 1: a_i = ceil(α(i + u)) with α = in/out, between a_0 = 1 and a_n = in + 1."""
    size, out = pair
    u = part * regions.largest_u(size, out)
    places = [size / out * (i + u) for i in range(1, out)]
    if any(abs(place - round(place)) < 1e-9 for place in places):
        return  # there the formula depends on the rounding of α
    expected = [0, *(math.ceil(place) - 1 for place in places), size]
    assert regions.pseudorandom_boundaries(size, out, u).tolist() == expected


@given(st.integers(2, 60), st.data())
def test_fixed_starts_formula(size, data):
    out = data.draw(st.integers(2, size))
    window = data.draw(st.integers(1, size))
    u = data.draw(st.floats(0, 1, exclude_max=True))
    ratio = (size - window) / (out - 1)
    places = [(j + u) * ratio for j in range(out)]
    starts = regions.fixed_starts(size, out, window, u)
    assert starts[-1] == size - window
    assert starts[0] == 0
    if all(abs(place - round(place)) > 1e-9 for place in [*places, u * ratio]):
        assert starts.tolist() == [int(place) - int(u * ratio) for place in places]


def test_one_fixed_window_stands_at_the_end():
    assert regions.fixed_starts(7, 1, 3, 0.5).tolist() == [4]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: regions.random_boundaries(5, 6, np.random.default_rng(0)), "out_size=6: must be from 1 to"),
        (lambda: regions.random_boundaries(5, 0, np.random.default_rng(0)), "out_size=0"),
        (lambda: regions.pseudorandom_boundaries(5, 3, 0.9), r"u=0\.9: must be from 0 to 0\.8"),
        (lambda: regions.pseudorandom_boundaries(5, 3, float("nan")), "u=nan"),
        (lambda: regions.fixed_starts(5, 3, 6, 0.5), "window=6: must be from 1 to"),
        (lambda: regions.fixed_starts(5, 3, 2, 1.0), r"u=1\.0: must be at least 0 and below 1"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()


SAMPLES = 3000


def layer_boundaries(size, ratio, **options):
    """Both axes' boundaries of SAMPLES draws by the layer: pooled positions are the regions' last cells."""
    layer = fracpool.FractionalMaxPooling2D(ratio, regions_per="sample", seed=1, **options)
    positions = np.arange(size, dtype="float32")
    image = np.stack(np.broadcast_arrays(positions[:, None], positions[None]), axis=-1)
    lasts = np.asarray(layer(np.broadcast_to(image, (SAMPLES, *image.shape))))
    return [tuple(row) for row in lasts[:, :, 0, 0]], [tuple(col) for col in lasts[:, 0, :, 1]]


def tensorflow_boundaries(size, ratio, pseudo_random):
    value = tf.zeros([1, size, size, 1])
    found = []
    for _ in range(SAMPLES // 2):
        _, rows, cols = tf.nn.fractional_max_pool(value, ratio, pseudo_random=pseudo_random)
        found += [tuple(rows.numpy()[1:] - 1), tuple(cols.numpy()[1:] - 1)]
    return found


@pytest.mark.parametrize("pseudo_random", [False, True])
@pytest.mark.parametrize(("size", "ratio"), [(7, 1.4), (11, 2.6)])
def test_distribution_is_tensorflows(size, ratio, pseudo_random):
    """Chi-squared on the patterns' counts; TensorFlow's draws cannot be seeded, hence the tiny threshold."""
    ours = Counter(layer_boundaries(size, ratio, pseudo_random=pseudo_random)[0])
    theirs = Counter(tensorflow_boundaries(size, ratio, pseudo_random))
    patterns = sorted(set(ours) | set(theirs))
    assert len(patterns) > 2
    counts = [[count[pattern] for pattern in patterns] for count in (ours, theirs)]
    assert chi2_contingency(counts).pvalue > 1e-6


def test_numpy_random_boundaries_are_uniform():
    rng = np.random.default_rng(0)
    counts = Counter(tuple(regions.random_boundaries(7, 5, rng)) for _ in range(5000))
    assert len(counts) == 10
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_rows_and_columns_are_independent():
    rows, cols = layer_boundaries(5, 1.6)
    names = sorted(set(rows))
    counts = np.zeros((len(names), len(names)))
    for row, col in zip(rows, cols, strict=True):
        counts[names.index(row), names.index(col)] += 1
    assert counts.shape == (3, 3)
    assert chi2_contingency(counts).pvalue > 1e-4


def test_fixed_windows_of_the_layer_have_the_form_of_fixed_starts():
    rows, _ = layer_boundaries(11, 1.6, window=3, pseudo_random=True)
    allowed = {tuple(regions.fixed_starts(11, 6, 3, u) + 2.0) for u in np.linspace(0, 1, 500, endpoint=False)}
    assert set(rows) == allowed


def test_channels_draw_their_own_regions():
    layer = fracpool.FractionalMaxPooling2D(1.5, regions_per="channel", seed=2)
    ramp = np.broadcast_to(np.arange(12.0, dtype="float32")[:, None, None], (2, 12, 12, 6))
    lasts = keras.ops.convert_to_numpy(layer(ramp))[:, :, 0, :]
    assert len({tuple(lasts[n, :, c]) for n in range(2) for c in range(6)}) > 6
