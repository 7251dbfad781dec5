"""Surface distances: by hand, against MONAI, and the rule for empty masks."""

import numpy as np
import pytest

from course_utils import metrics
from course_utils.errors import ParameterError


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping bodies in a box of (12, 14, 10) voxels."""
    rng = np.random.default_rng(seed)
    place = np.moveaxis(np.indices((12, 14, 10)), 0, -1)
    centres = np.array([6, 7, 5]) + rng.uniform(-1, 1, (2, 3))
    return tuple((((place - c) / rng.uniform(2, 4, 3)) ** 2).sum(-1) <= 1 for c in centres)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 2.0, 3.0)])
def test_the_distances_are_those_of_monai(seed, spacing):
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    truth, prediction = blobs(seed)
    tensors = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    theirs = monai.compute_hausdorff_distance(
        *tensors, include_background=True, percentile=95, spacing=spacing
    )
    assert metrics.hd95(truth, prediction, spacing) == pytest.approx(float(theirs), abs=1e-4)


def test_an_identical_mask_is_at_no_distance():
    truth, _ = blobs(0)
    assert metrics.hd95(truth, truth) == 0
    assert metrics.average_surface_distance(truth, truth) == 0


def test_a_shift_is_measured_in_mm_and_both_ways():
    truth = np.zeros((20, 5, 5), bool)
    truth[2:6] = True
    moved = np.roll(truth, 3, axis=0)
    assert metrics.hd95(truth, moved, (2, 1, 1)) == 6
    assert metrics.hd95(moved, truth, (2, 1, 1)) == 6
    speck = truth.copy()
    speck[19, 0, 0] = True
    assert metrics.hd95(truth, speck) == 0  # one voxel far away is below the last 5 %
    assert metrics.hd95(truth, speck, percentile=100) > 10


def test_empty_masks_follow_the_stated_rule():
    nothing = np.zeros((3, 4, 12), bool)
    something = nothing.copy()
    something[1, 1, 1] = True
    assert metrics.hd95(nothing, nothing) == 0
    for pair in ((nothing, something), (something, nothing)):
        assert metrics.hd95(*pair) == 13
        assert metrics.average_surface_distance(*pair, spacing=2) == 26


@pytest.mark.parametrize("spacing", [0, (1, 1), (1, -1, 1)])
def test_a_spacing_that_does_not_fit_is_refused(spacing):
    truth, prediction = blobs(1)
    with pytest.raises(ParameterError, match="spacing"):
        metrics.hd95(truth, prediction, spacing)
