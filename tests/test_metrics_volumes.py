"""Dice of volumes and slices, and risk against coverage."""

import numpy as np
import pytest

from course_utils import metrics
from course_utils.errors import ParameterError


def masks(*areas):
    """Return one 4 x 4 mask for each area, filled from the corner."""
    return [np.arange(16).reshape(4, 4) < area for area in areas]


def test_slices_are_counted_and_scored_one_by_one():
    table = metrics.slice_scores(masks(4, 0, 0, 8), masks(2, 3, 0, 0))
    assert table.true.tolist() == [4, 0, 0, 8]
    assert table.shared.tolist() == [2, 0, 0, 0]
    assert table.extra.tolist() == [0, 3, 0, 0]
    assert table.dice.round(3).tolist() == [0.667, 0, 1, 0]


def test_a_volume_is_one_set_of_voxels():
    truth, prediction = masks(4, 0, 0, 6), masks(2, 4, 0, 6)
    dice = metrics.volume_dice(truth, prediction, ["a", "a", "b", "c"])
    assert dice.to_dict() == {"a": 0.4, "b": 1.0, "c": 1.0}
    stacked = metrics.dice(np.stack(truth[:2]), np.stack(prediction[:2]))
    assert dice["a"] == pytest.approx(stacked)


def test_empty_slices_change_no_volume():
    truth, prediction = masks(4, 0, 0), masks(3, 0, 0)
    few = metrics.volume_dice(truth[:1], prediction[:1], ["a"])
    assert few["a"] == metrics.volume_dice(truth, prediction, ["a"] * 3)["a"]


@pytest.mark.parametrize(
    ("truth", "prediction", "volumes"),
    [
        (masks(1), masks(1, 2), ["a"]),
        (masks(1), [np.zeros((2, 2))], ["a"]),
        (masks(1), masks(1), []),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(truth, prediction, volumes):
    with pytest.raises(ParameterError, match="found") as error:
        metrics.volume_dice(truth, prediction, volumes)
    assert "\n" not in str(error.value)


def test_a_perfect_doubt_has_the_best_area_and_a_useless_one_leaves_the_mean():
    risk = np.random.default_rng(0).random(50)
    best = metrics.risk_coverage(risk, 3 * risk)
    assert best.area == pytest.approx(best.best_area)
    assert best.risk[-1] == pytest.approx(risk.mean()) and best.coverage[-1] == 1
    constant = metrics.risk_coverage(risk, np.ones(50))
    assert np.allclose(constant.risk, risk.mean())
    assert metrics.risk_coverage(risk, -risk).area > risk.mean() > best.area


def test_equal_doubts_do_not_depend_on_the_order_of_the_cases():
    risk, doubt = np.array([0.9, 0.1, 0.4]), np.array([0.2, 0.2, 0.7])
    forth, back = metrics.risk_coverage(risk, doubt), metrics.risk_coverage(risk[::-1], doubt[::-1])
    assert np.allclose(forth.risk, back.risk) and forth.risk[0] == pytest.approx(0.5)


@pytest.mark.parametrize("risk", [[], [0.1], [0.1, np.nan]])
def test_risks_that_do_not_fit_are_refused(risk):
    with pytest.raises(ParameterError, match="expected"):
        metrics.risk_coverage(risk, [0.1, 0.2])
