"""Outlines against each other, compared with a plain computation over all pairs of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import metrics
from course_utils.errors import ParameterError

MASKS = st.integers(0, 2**32 - 1)


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:14, :17]
    centre, radius = rng.uniform(2, 12, 2), rng.uniform(0.2, 6)
    return np.hypot(y - centre[0], x - centre[1]) + 0.8 * rng.random(y.shape) < radius


def edge_by_hand(mask: np.ndarray) -> list[tuple[int, int]]:
    rows, columns = mask.shape
    near = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return [
        (y, x)
        for y, x in np.argwhere(mask)
        if any(
            not (0 <= y + dy < rows and 0 <= x + dx < columns) or not mask[y + dy, x + dx]
            for dy, dx in near
        )
    ]


def distances_by_hand(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(edge_by_hand(a), float), np.array(edge_by_hand(b), float)
    table = np.sqrt(((first[:, None] - second[None]) ** 2).sum(-1))
    return table.min(1), table.min(0)


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
def test_outlines_and_distances_agree_with_a_computation_over_all_pairs(seed, other):
    a, b = random_mask(seed), random_mask(other)
    assert sorted(map(tuple, np.argwhere(metrics.boundary(a)))) == sorted(edge_by_hand(a))
    if a.any() and b.any():
        there, here = distances_by_hand(a, b)
        both = np.concatenate([there, here])
        assert metrics.boundary_distance(a, b) == pytest.approx(both.mean())
        recall, precision = np.mean(there <= 1.5), np.mean(here <= 1.5)
        expected = 2 * recall * precision / (recall + precision) if recall + precision else 0
        assert metrics.boundary_f1(a, b, 1.5) == pytest.approx(expected)


def test_the_rules_for_empty_masks():
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    assert metrics.boundary_distance(empty, empty) == 0 and metrics.boundary_f1(empty, empty) == 1
    assert metrics.boundary_distance(full, empty) == 5 and metrics.boundary_f1(empty, full) == 0


def test_a_volume_is_refused():
    with pytest.raises(ParameterError, match="axes"):
        metrics.boundary(np.zeros((2, 3, 4), bool))
    with pytest.raises(ParameterError):
        metrics.boundary_f1(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


def test_thresholded_iou_is_the_iou_or_nothing():
    truth, near, far = (np.arange(20) < n for n in (10, 13, 16))
    assert metrics.thresholded_iou(truth, near) == metrics.iou(truth, near) == 10 / 13
    assert metrics.thresholded_iou(truth, far) == 0
    assert metrics.thresholded_iou(np.zeros(3), np.zeros(3)) == 1
    with pytest.raises(ParameterError, match="threshold"):
        metrics.thresholded_iou(truth, near, threshold=65)
