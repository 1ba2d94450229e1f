"""Averaged test passes: over random regions where pooling has them, over moved images where it has not."""

import numpy as np
import pytest
from conftest import TINY

from fracpool.records.store import Store
from fracpool.settings import check as given
from fracpool.settings import identity
from fracpool.settings.check import check
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import PoolSettings, Settings

FMP = PoolSettings(kind="fmp", ratio=1.5, regions_per="batch")


@pytest.mark.parametrize(
    ("pool", "shift", "expected"),
    [
        (PoolSettings(), 0, (1, 0)),
        (PoolSettings(), 2, (9, 2)),
        (FMP, 2, (9, 0)),
        (PoolSettings(kind="stochastic"), 1, (9, 0)),
        (PoolSettings(kind="s3pool", grid=2), 0, (9, 0)),
        (PoolSettings(kind="fmp", ratio=1.5, regions_per="run"), 1, (9, 1)),
    ],
)
def test_passes_differ_by_regions_or_by_moves(pool, shift, expected):
    assert given.test_passes(Settings(pool=pool, repeats=9, test_shift=shift)) == expected


def test_a_move_makes_another_run_where_it_has_an_effect():
    def run(pool: PoolSettings, shift: int) -> str:
        return identity.run_id(Settings(pool=pool, test_shift=shift), "data")

    assert run(PoolSettings(), 1) != run(PoolSettings(), 0)
    assert run(FMP, 1) == run(FMP, 0)


def test_moves_are_all_different_nearest_first():
    from fracpool.training.testing import _moves

    moves = _moves(1, 9)
    assert moves[0] == (0, 0)
    assert len(set(moves)) == 9
    assert {abs(i) + abs(j) for i, j in moves[1:5]} == {1}
    assert _moves(2, 4) == moves[:4]
    assert _moves(0, 3) == [(0, 0)] * 3


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (2, 0), (-1, 3), (0, -2)])
def test_a_moved_image_keeps_its_size_and_gets_zeros(rows, columns):
    from fracpool.training.testing import moved

    images = np.random.default_rng(0).integers(1, 255, (2, 6, 7, 1), np.uint8)
    found = moved(images, rows, columns)
    assert found.shape == images.shape
    for i in range(6):
        for j in range(7):
            inside = 0 <= i - rows < 6 and 0 <= j - columns < 7
            expected = images[:, i - rows, j - columns] if inside else 0
            assert (found[:, i, j] == expected).all()


def test_a_run_averages_moved_passes(train, folder):
    run = train(*TINY, "pool=max", "repeats=4", "test_shift=1")
    assert run.code == 0, run.err
    (record,) = Store(folder / "results" / "mine").read().records
    metrics, predictions = record.data["metrics"], record.predictions()
    assert metrics["repeats"] == 4
    assert list(metrics["accuracy_by_repeats"]) == ["1", "2", "4"]
    assert metrics["accuracy_by_repeats"]["1"] == metrics["test_accuracy"] == metrics["deterministic_accuracy"]
    assert not np.array_equal(predictions["averaged"], predictions["one_pass"])
    np.testing.assert_allclose(predictions["averaged"].astype(float).sum(axis=1), 1, atol=2e-3)
    assert "test_shift=1" in record.data["command"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test_shift": -1}, "test_shift=-1: must be a whole number of pixels from 0 to 16"),
        ({"test_shift": 1, "repeats": 10}, "repeats=10: must be at most 9, as many shifts as test_shift=1 has"),
    ],
)
def test_bad_values_are_refused(fields, message):
    with pytest.raises(SettingsError, match=message):
        check(Settings(**fields))


def test_random_poolings_need_no_moves():
    check(Settings(pool=FMP, test_shift=1, repeats=100))


def test_what_is_kept_chooses_the_class_that_is_counted():
    """Rounded to float16 two probabilities may be equal; the first of them is not always the more probable."""
    from fracpool.training.testing import _as_kept

    rng = np.random.default_rng(0)
    ties = np.tile([0.5 - 1e-6, 0.5 + 1e-6, 0], (1, 1))
    drawn = rng.dirichlet(np.ones(10), 20_000)
    near = np.sort(drawn, axis=1)
    near[:, -2] = near[:, -1] * (1 - 1e-5 * rng.random(len(near)))
    for probabilities in (ties, drawn, near / near.sum(axis=1, keepdims=True), np.eye(3)):
        exact = probabilities.astype(np.float32)
        kept = _as_kept("probabilities", exact)
        assert kept.dtype == np.float16
        assert np.array_equal(kept.argmax(axis=1), exact.argmax(axis=1))
        assert np.abs(kept - exact).max() < 1e-3
    plain = near.astype(np.float32)
    assert (plain.astype(np.float16).argmax(axis=1) != plain.argmax(axis=1)).any()  # rounding alone would not do
