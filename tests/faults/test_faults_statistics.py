"""The numbers of the course against other people's code, empty cases too; how often intervals hold.

`tests/test_metrics*.py` compare with loops written there and with scikit-learn; here stand MONAI,
scikit-image and StarDist's published definition, on random inputs.
"""

from __future__ import annotations

import numpy as np
import pytest
from effort import times
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from course_utils import metrics
from course_utils.metrics import ranking

SEEDS = range(times(12, 200))
EMPTY = {"both": (0, 0), "truth": (0, 1), "prediction": (1, 0)}


def two_masks(seed: int, shape=(14, 12, 9)) -> tuple[np.ndarray, np.ndarray]:
    """Return two overlapping blobs; every fourth pair lacks one or both."""
    rng = np.random.default_rng(seed)
    smooth = [ndimage.gaussian_filter(rng.normal(size=shape), 2) for _ in range(2)]
    truth, prediction = smooth[0] > 0.05, smooth[0] + 0.5 * smooth[1] > 0.05
    there = [*EMPTY.values(), (1, 1)][seed // 4 % 4] if seed % 4 == 0 else (1, 1)
    return truth & bool(there[0]), prediction & bool(there[1])


def two_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two label maps of touching objects; in some there is nothing."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=(40, 40)), 2)
    moved = ndimage.shift(rough, rng.uniform(-2, 2, 2), mode="nearest")
    moved += rng.uniform(0, 0.03) * rng.normal(size=rough.shape)
    maps = [ndimage.label(height > 0.05)[0] for height in (rough, moved)]
    there = [*EMPTY.values(), (1, 1)][seed // 4 % 4] if seed % 4 == 0 else (1, 1)
    return tuple(one * part for one, part in zip(maps, there))


# --- overlap and distance -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_overlap_is_that_of_monai(seed):
    torch, monai = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    truth, prediction = two_masks(seed)
    pair = [torch.tensor(mask)[None, None] for mask in (prediction, truth)]
    dice = float(monai.compute_dice(*pair, ignore_empty=False))
    iou = float(monai.compute_iou(*pair, ignore_empty=False))
    assert metrics.dice(truth, prediction) == pytest.approx(dice, abs=1e-6)
    assert metrics.iou(truth, prediction) == pytest.approx(iou, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_hausdorff_distances_are_those_of_monai_and_scikit_image(seed):
    from skimage.metrics import hausdorff_distance

    torch, monai = pytest.importorskip("torch"), pytest.importorskip("monai.metrics")
    truth, prediction = two_masks(seed)
    spacing = np.random.default_rng(seed).uniform(0.5, 3, 3).round(2).tolist()
    ours = metrics.hd95(truth, prediction, spacing)
    if not (truth.any() and prediction.any()):  # MONAI says nan or inf; the course's rule is stated
        diagonal = np.linalg.norm(np.multiply(spacing, truth.shape))
        assert ours == pytest.approx(diagonal if truth.any() or prediction.any() else 0)
        return
    pair = [torch.tensor(mask)[None, None].float() for mask in (prediction, truth)]
    theirs = monai.compute_hausdorff_distance(*pair, percentile=95, spacing=spacing)
    assert ours == pytest.approx(float(theirs), abs=1e-4)
    same = metrics.hd95(truth, prediction, percentile=100)
    shells = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]
    assert same == pytest.approx(hausdorff_distance(*shells))


# --- instances ----------------------------------------------------------------------------------


def stardist_matching(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> dict:
    """Return what StarDist's ``matching`` is published to return, written from its definition.

    The assignment maximises the number of pairs above the threshold, then their IoU (Weigert et
    al., WACV 2020; https://github.com/stardist/stardist, ``matching.py``).
    """
    labels = [[label for label in np.unique(one) if label] for one in (truth, prediction)]
    scores = np.zeros([len(one) for one in labels])
    for i, t in enumerate(labels[0]):
        for j, p in enumerate(labels[1]):
            both = np.count_nonzero((truth == t) & (prediction == p))
            scores[i, j] = both / np.count_nonzero((truth == t) | (prediction == p))
    n_true, n_pred = scores.shape
    n_matched, found = min(n_true, n_pred), np.zeros(0)
    if n_matched and (scores >= threshold).any():
        costs = -(scores >= threshold).astype(float) - scores / (2 * n_matched)
        rows, columns = linear_sum_assignment(costs)
        found = scores[rows, columns][scores[rows, columns] >= threshold]
    tp, fp, fn = len(found), n_pred - len(found), n_true - len(found)
    return {
        "accuracy": tp / (tp + fp + fn) if tp + fp + fn else np.nan,
        "panoptic_quality": found.sum() / (tp + fp / 2 + fn / 2) if tp + fp + fn else np.nan,
        "tp": tp, "fp": fp, "fn": fn,
    }  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_instances_are_counted_as_stardist_defines_it(seed):
    truth, prediction = two_maps(seed)
    for threshold in (0.1234, 0.3217, 0.5001, 0.7503, 0.9011):  # an exact tie is no match here
        theirs = stardist_matching(truth, prediction, threshold)
        ours = metrics.match(truth, prediction, threshold)
        assert (ours.tp, ours.fp, ours.fn) == (theirs["tp"], theirs["fp"], theirs["fn"])
        accuracy = 1.0 if np.isnan(theirs["accuracy"]) else theirs["accuracy"]
        quality = 1.0 if np.isnan(theirs["panoptic_quality"]) else theirs["panoptic_quality"]
        (ap,) = metrics.average_precision(truth, prediction, [threshold])
        assert ap == pytest.approx(accuracy)
        assert metrics.panoptic_quality(truth, prediction, threshold).pq == pytest.approx(quality)


@pytest.mark.parametrize("empty", EMPTY)
def test_every_score_has_a_value_where_there_is_nothing(empty):
    truth, prediction = (np.full((6, 7), there) for there in EMPTY[empty])
    agreed = float(empty == "both")
    assert metrics.dice(truth, prediction) == metrics.iou(truth, prediction) == agreed
    assert metrics.average_precision(truth, prediction).tolist() == [agreed] * 10
    assert metrics.panoptic_quality(truth, prediction) == (agreed,) * 3
    far = 0 if agreed else np.hypot(6, 7)
    assert metrics.hd95(truth, prediction) == pytest.approx(far)
    assert metrics.average_surface_distance(truth, prediction) == pytest.approx(far)
    assert metrics.count_error(truth, prediction) == int(prediction.max() - truth.max())


# --- probabilities ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bins", [5, 10, 15])
def test_calibration_error_is_that_of_the_curve_of_scikit_learn(seed, bins):
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 0.5, 40)  # some bins are empty
    truth = rng.random(40) < probability**2
    observed, predicted = calibration_curve(truth, probability, n_bins=bins)
    count, _ = np.histogram(probability, bins, (0, 1))
    expected = np.average(np.abs(observed - predicted), weights=count[count > 0])
    assert ranking.ece(truth, probability, bins) == pytest.approx(expected)


# --- intervals ----------------------------------------------------------------------------------


def of_normal(rng, groups):
    return rng.normal(size=groups.max() + 1)[groups] + rng.normal(size=groups.size), 0.0


def of_dice(rng, groups):
    """Scores near 1 with a tail, as Dice has them: mean 0.8, skewed within and between groups."""
    level = rng.beta(8, 2, groups.max() + 1)[groups]
    return rng.beta(20 * level + 1e-3, 20 * (1 - level) + 1e-3), 0.8


def by_bootstrap(draw):
    def interval(rng, groups, seed):
        values, mean = draw(rng, groups)
        return metrics.bootstrap(values, groups, n=500, seed=seed), mean

    return interval


def of_a_gain(rng, groups, seed):
    hard = rng.normal(0.6, 0.2, groups.max() + 1)[groups]
    ours, theirs = (hard + gain + rng.normal(0, 0.05, groups.size) for gain in (0.05, 0))
    return metrics.paired_bootstrap(ours, theirs, groups, n=500, seed=seed), 0.05


def of_auc(rng, groups, seed):
    truth = np.arange(groups.size) % 5 < 2
    score = truth + rng.normal(size=groups.size)
    return ranking.auc_interval(truth, score, groups, n=500, seed=seed), norm.cdf(np.sqrt(0.5))


@pytest.mark.parametrize(
    ("interval", "count", "rounds"),
    [
        pytest.param(by_bootstrap(of_normal), 8, times(1500, 6000), id="mean, 8 groups"),
        pytest.param(by_bootstrap(of_normal), 20, times(1000, 6000), id="mean, 20 groups"),
        pytest.param(by_bootstrap(of_dice), 20, times(1500, 6000), id="Dice, 20 groups"),
        pytest.param(of_a_gain, 20, times(1500, 6000), id="gain, 20 groups"),
        pytest.param(of_auc, 20, times(600, 4000), id="AUC, 20 groups"),
    ],
)
def test_95_percent_intervals_hold_the_truth_93_to_97_times_in_100(interval, count, rounds):
    groups, held = np.repeat(np.arange(count), 3), 0
    for seed in range(rounds):
        found, truth = interval(np.random.default_rng(seed), groups, seed)
        held += found.low < truth < found.high
    assert 0.93 <= held / rounds <= 0.97


def test_a_single_group_gives_a_value_and_says_that_it_has_no_interval():
    truth, score = [0, 1, 0, 1], [0.2, 0.7, 0.6, 0.4]
    for found in (
        ranking.auc_interval(truth, score, [1] * 4),
        ranking.paired_auc_gain(truth, score, [0.5] * 4, [1] * 4),
        ranking.score_interval(ranking.ece, truth, score, [1] * 4),
        metrics.bootstrap(score, [1] * 4),
    ):
        assert np.isfinite(found.value) and np.isnan([found.low, found.high]).all()
    _, low, high = ranking.roc_band(truth, score, [1] * 4, points=[0.0, 0.5, 1.0])
    assert np.isnan([low, high]).all()
