"""What test passes are measured by: likelihood, calibration, and how many images keep their class when they move."""

import numpy as np
import pytest
from conftest import TINY

from fracpool.records.store import Store
from fracpool.settings import identity
from fracpool.settings.check import check
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import Settings
from fracpool.training.measures import calibration, likelihood


def test_likelihood_is_the_geometric_mean_of_what_the_right_classes_get():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert likelihood(probabilities, np.array([0, 1])) == pytest.approx((0.9 * 0.6) ** 0.5)


def test_calibration_is_whole_where_confidence_is_the_share_of_right_choices():
    confident = np.tile([0.7, 0.3], (10, 1))
    labels = np.array([0] * 7 + [1] * 3)
    assert calibration(confident, labels) == pytest.approx(1)
    assert calibration(confident, np.zeros(10, int)) == pytest.approx(0.7)  # always right, and only 0.7 sure
    assert calibration(np.tile([1.0, 0.0], (10, 1)), labels) == pytest.approx(0.7)


def test_calibration_weighs_bins_by_their_images():
    sure, unsure = np.tile([0.99, 0.01], (30, 1)), np.tile([0.6, 0.4], (10, 1))
    labels = np.array([0] * 30 + [1] * 10)
    assert calibration(np.concatenate([sure, unsure]), labels) == pytest.approx(1 - (30 * 0.01 + 10 * 0.6) / 40)


@pytest.mark.parametrize("pool", [["pool=max"], ["pool=fmp", "pool.ratio=1.5"]])
def test_a_run_tells_how_many_images_keep_their_class(train, folder, pool):
    run = train(*TINY, *pool, "consistency_shift=2", "repeats=2")
    assert run.code == 0, run.err
    (record,) = Store(folder / "results" / "mine").read().records
    metrics = record.data["metrics"]
    for form in ("test", "deterministic"):
        by_shift = metrics[f"{form}_consistency_by_shift"]
        assert list(by_shift) == ["1", "2"]
        assert all(0 < share < 1 for share in by_shift.values())
        assert metrics[f"{form}_consistency"] == pytest.approx(np.mean(list(by_shift.values())))
    alike = metrics["test_consistency_by_shift"] == metrics["deterministic_consistency_by_shift"]
    assert alike == (pool == ["pool=max"])
    kept = record.predictions()
    for form, name in (("averaged", "averaged"), ("one_pass", "test"), ("deterministic", "deterministic")):
        expected = likelihood(kept[form].astype(np.float64), kept["labels"])
        assert metrics[f"{name}_likelihood"] == pytest.approx(expected, rel=1e-2)
        assert 0 < metrics[f"{name}_calibration"] <= 1


@pytest.mark.slow
def test_moving_tests_change_nothing_else(train, folder):
    for more in ([], ["consistency_shift=1"]):
        run = train(*TINY, "pool=fmp", "pool.ratio=1.5", *more)
        assert run.code == 0, run.err
    found = [record.data["metrics"] for record in Store(folder / "results" / "mine").read().records]
    without, with_moves = sorted(found, key=len)
    assert len(without) < len(with_moves)
    assert {name: with_moves[name] for name in without} == without


def test_the_setting_has_a_range_and_is_part_of_the_id():
    with pytest.raises(SettingsError, match="consistency_shift=9: must be a whole number of pixels from 0 to 8"):
        check(Settings(consistency_shift=9))
    assert identity.run_id(Settings(), "data") != identity.run_id(Settings(consistency_shift=1), "data")
