"""The scores against plain implementations written here, pair by pair, and against libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import t as student

from course_utils import metrics
from course_utils.errors import ParameterError

few = settings(max_examples=60, deadline=None)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))


def pairs_of(elements, dtype):
    """Return a strategy for two arrays of one shape, either of which may be empty of objects."""

    def both(shape):
        one = arrays(dtype, shape, elements=st.sampled_from(elements))
        empty = st.just(np.zeros(shape, dtype))
        return st.tuples(one | empty, one | empty)

    return shapes.flatmap(both)


masks = pairs_of([False, True], bool)
label_maps = pairs_of([0, 0, 1, 2, 7, 400], np.int32)


# -- plain implementations: sets of pixels and loops over pairs, nothing shared with the package ---


def instances(labels):
    """Return the set of pixels of each instance, in ascending order of the labels."""
    pixels = {}
    for position, label in np.ndenumerate(labels):
        pixels.setdefault(int(label), set()).add(position)
    return [pixels[label] for label in sorted(pixels) if label > 0]


def plain_ious(truth, prediction):
    rows = [[len(t & p) / len(t | p) for p in instances(prediction)] for t in instances(truth)]
    return np.array(rows).reshape(len(instances(truth)), len(instances(prediction)))


def plain_best_matching(ious, threshold):
    """Return (pairs, sum of IoU) of the best one-to-one matching, by trying all of them."""
    n_truth, n_prediction = ious.shape
    best = (0, 0.0)
    padded = list(range(n_prediction)) + [None] * n_truth
    for choice in set(itertools.permutations(padded, n_truth)):
        kept = [
            ious[row, column]
            for row, column in enumerate(choice)
            if column is not None and ious[row, column] > threshold
        ]
        best = max(best, (len(kept), sum(kept)))
    return best


def plain_errors(truth, prediction, share):
    true, predicted = instances(truth), instances(prediction)

    def belong(t, p):
        return len(t & p) > share * min(len(t), len(p))

    of_true = [sum(belong(t, p) for p in predicted) for t in true]
    of_predicted = [sum(belong(t, p) for t in true) for p in predicted]
    return {
        "splits": sum(n >= 2 for n in of_true),
        "merges": sum(n >= 2 for n in of_predicted),
        "misses": sum(n == 0 for n in of_true),
        "extras": sum(n == 0 for n in of_predicted),
    }


# -- masks -----------------------------------------------------------------------------------------


@few
@given(masks)
def test_mask_scores_agree_with_scikit_learn(pair):
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score

    truth, prediction = (mask.ravel() for mask in pair)
    assert metrics.dice(*pair) == pytest.approx(f1_score(truth, prediction, zero_division=1.0))
    assert metrics.iou(*pair) == pytest.approx(jaccard_score(truth, prediction, zero_division=1.0))
    assert metrics.pixel_accuracy(*pair) == pytest.approx(accuracy_score(truth, prediction))


def test_dice_agrees_with_monai():
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(3)
    truth, prediction = rng.random((2, 8, 1, 16, 16)) > 0.6
    theirs = monai.compute_dice(torch.tensor(prediction), torch.tensor(truth)).numpy()[:, 0]
    ours = [metrics.dice(t, p) for t, p in zip(truth, prediction, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("score", [metrics.dice, metrics.iou])
def test_empty_masks(score):
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert score(empty, empty) == 1.0
    assert score(empty, full) == 0.0
    assert score(full, empty) == 0.0
    assert score(np.zeros((0, 4)), np.zeros((0, 4))) == 1.0


def test_masks_of_any_shape_and_kind():
    volume = np.zeros((2, 3, 4))
    volume[0] = 1
    assert metrics.dice(volume, volume.astype(np.uint8)) == 1.0


def test_a_probability_map_is_no_mask():
    with pytest.raises(ParameterError, match=r"prediction must be a mask.*threshold"):
        metrics.dice(np.zeros((2, 2)), np.full((2, 2), 0.3))


def test_shapes_must_agree():
    with pytest.raises(ParameterError, match=r"one shape, found \(2, 2\) and \(3, 2\)"):
        metrics.iou(np.zeros((2, 2)), np.zeros((3, 2)))
    with pytest.raises(ParameterError, match="one shape"):
        metrics.iou_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int))


# -- instances -------------------------------------------------------------------------------------


@few
@given(label_maps)
def test_iou_matrix_agrees_with_loops(pair):
    np.testing.assert_allclose(metrics.iou_matrix(*pair), plain_ious(*pair))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int64, np.uint64])
def test_iou_matrix_of_every_integer_kind(kind):
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 9, (2, 30, 40)).astype(kind)
    np.testing.assert_allclose(metrics.iou_matrix(truth, prediction), plain_ious(truth, prediction))


@pytest.mark.parametrize("top", [10**6, 2**62])
def test_huge_labels_need_no_huge_table(top):
    truth = np.array([[0, 3, 3, top]])
    prediction = np.array([[top, top, 3, 3]])
    np.testing.assert_allclose(metrics.iou_matrix(truth, prediction), [[1 / 3, 1 / 3], [1 / 2, 0]])
    assert metrics.match(truth, prediction, 0.4).pairs.tolist() == [[top, 3]]


def test_every_pixel_can_be_an_instance():
    labels = np.arange(1, 50).reshape(7, 7)
    np.testing.assert_array_equal(metrics.iou_matrix(labels, labels), np.eye(49))


@few
@given(label_maps, st.sampled_from([0.0, 0.1, 0.3, 0.45, 0.5, 0.6, 0.75]))
def test_match_finds_the_best_pairing(pair, threshold):
    truth, prediction = pair
    found = metrics.match(truth, prediction, threshold)
    ious = plain_ious(truth, prediction)
    pairs, total = plain_best_matching(ious, threshold)
    assert found.tp == pairs == len(found.pairs)
    assert found.ious.sum() == pytest.approx(total)
    assert (found.tp + found.fn, found.tp + found.fp) == ious.shape
    for (true, predicted), iou in zip(found.pairs, found.ious, strict=True):
        assert metrics.iou(truth == true, prediction == predicted) == pytest.approx(iou)


def test_more_pairs_go_before_a_better_pair():
    truth = np.array([[1] * 10 + [2] * 2])
    prediction = np.array([[2] * 4 + [1] * 8])  # greedy takes (1, 1) and leaves nothing for 2
    found = metrics.match(truth, prediction, 0.2)
    assert found.pairs.tolist() == [[1, 2], [2, 1]]


@few
@given(label_maps)
def test_average_precision_agrees_with_counting(pair):
    thresholds = [0.2, 0.5, 0.55, 0.6, 0.75, 0.95]
    expected = []
    for threshold in thresholds:
        ious = plain_ious(*pair)
        tp, _ = plain_best_matching(ious, threshold)
        there = sum(ious.shape) - tp
        expected.append(tp / there if there else 1.0)
    np.testing.assert_allclose(metrics.average_precision(*pair, thresholds), expected)


def test_a_tie_at_the_threshold_is_no_match_at_any_threshold():
    for percent in range(50, 100, 5):
        truth = np.ones((1, 100), int)
        prediction = (np.arange(100) < percent).astype(int)[None]
        ap = metrics.average_precision(truth, prediction)
        assert ap.sum() == np.count_nonzero(percent / 100 > metrics.THRESHOLDS)


@few
@given(label_maps, st.sampled_from([0.5, 0.7]))
def test_panoptic_quality_agrees_with_its_definition(pair, threshold):
    ious = plain_ious(*pair)
    matched = [value for value in ious.ravel() if value > threshold]
    fp, fn = ious.shape[1] - len(matched), ious.shape[0] - len(matched)
    weight = len(matched) + fp / 2 + fn / 2
    pq, sq, rq = metrics.panoptic_quality(*pair, threshold)
    assert pq == pytest.approx(sum(matched) / weight if weight else 1.0)
    assert pq == pytest.approx(sq * rq)


def test_panoptic_quality_agrees_with_monai():
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics")
    truth = np.kron(np.arange(16).reshape(4, 4), np.ones((6, 6), int))
    prediction = np.roll(truth, 1, axis=1)
    prediction[:6] = 0
    pq, sq, rq = metrics.panoptic_quality(truth, prediction)
    # MONAI relabels per class from a (2, H, W) stack of instances and classes.
    stack = [torch.tensor(np.stack([m, (m > 0).astype(int)])[None]) for m in (prediction, truth)]
    for ours, name in ((pq, "pq"), (sq, "sq"), (rq, "rq")):
        metric = monai.PanopticQualityMetric(num_classes=1, metric_name=name)
        metric(*stack)
        assert ours == pytest.approx(float(metric.aggregate()), abs=1e-5)


def test_empty_label_maps():
    empty, one = np.zeros((3, 3), int), np.eye(3, dtype=int)
    assert metrics.iou_matrix(empty, one).shape == (0, 1)
    assert metrics.average_precision(empty, empty).tolist() == [1.0] * 10
    assert metrics.average_precision(empty, one).tolist() == [0.0] * 10
    assert metrics.average_precision(one, empty).tolist() == [0.0] * 10
    assert metrics.panoptic_quality(empty, empty) == (1, 1, 1)
    assert metrics.panoptic_quality(empty, one) == (0, 0, 0)
    assert metrics.match(one, empty)[:3] == (0, 0, 1)
    assert metrics.match(empty, one, 0.1).pairs.shape == (0, 2)
    assert metrics.errors_by_kind(empty, empty) == dict.fromkeys(
        ["splits", "merges", "misses", "extras"], 0
    )
    assert metrics.errors_by_kind(one, empty)["misses"] == 1
    assert metrics.errors_by_kind(empty, one)["extras"] == 1
    assert metrics.match(np.zeros((0, 3), int), np.zeros((0, 3), int))[:3] == (0, 0, 0)


@few
@given(label_maps, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_errors_by_kind_agree_with_loops(pair, share):
    assert metrics.errors_by_kind(*pair, share) == plain_errors(*pair, share)


@few
@given(label_maps)
def test_count_error_is_predicted_minus_true(pair):
    expected = len(instances(pair[1])) - len(instances(pair[0]))
    assert metrics.count_error(*pair) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 2)), "found float64: number the objects"),
        (np.zeros((2, 2), bool), "found bool: number the objects"),
        (np.full((2, 2), -1), "positive labels, found -1"),
    ],
)
def test_what_is_no_label_map_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message) as caught:
        metrics.match(np.zeros((2, 2), int), wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
def test_thresholds_out_of_range_are_refused(threshold):
    labels = np.ones((2, 2), int)
    with pytest.raises(ParameterError, match="at least 0 and below 1"):
        metrics.match(labels, labels, threshold)
    with pytest.raises(ParameterError, match="at least 0 and below 1"):
        metrics.average_precision(labels, labels, [0.5, threshold])


# -- intervals -------------------------------------------------------------------------------------


def grouped_normal(rng, n_groups, size=3):
    groups = np.repeat(np.arange(n_groups), size)
    return rng.normal(size=n_groups)[groups] + rng.normal(size=groups.size), groups


def test_fast_path_draws_what_the_slow_path_draws():
    values, groups = grouped_normal(np.random.default_rng(0), 9)
    fast = metrics.bootstrap(values, groups)
    slow = metrics.bootstrap(values, groups, statistic=lambda drawn: drawn.mean())
    np.testing.assert_allclose([fast.value, fast.low, fast.high], [slow.value, slow.low, slow.high])


def test_interval_of_many_single_cases_is_students():
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    found = metrics.bootstrap(values, n=4000)
    half = student.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)
    assert (found.n, found.groups) == (400, 400)


@pytest.mark.parametrize("n_groups", [8, 40])
def test_interval_covers_the_truth_about_as_often_as_it_says(n_groups):
    hits = 0
    for seed in range(300):
        values, groups = grouped_normal(np.random.default_rng(seed), n_groups)
        found = metrics.bootstrap(values, groups, n=600, seed=seed)
        hits += found.low < 0 < found.high
    assert 0.915 <= hits / 300 <= 0.98  # 0.95, give or take three standard errors


def test_cases_of_one_group_do_not_count_as_independent():
    values, groups = (
        np.repeat(np.random.default_rng(2).normal(size=10), 20),
        np.repeat(range(10), 20),
    )
    alone, grouped = metrics.bootstrap(values), metrics.bootstrap(values, groups)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert (grouped.n, grouped.groups) == (200, 10)


def test_same_seed_same_interval_and_names_of_groups_do_not_matter():
    values = [0.1, 0.4, 0.3, 0.9]
    assert metrics.bootstrap(values, ["a", "a", "b", "c"]) == metrics.bootstrap(
        values, [4, 4, 7, 9]
    )
    many = np.random.default_rng(0).random(30)
    assert metrics.bootstrap(many, seed=1) != metrics.bootstrap(many, seed=2)


def test_one_group_has_a_value_and_no_interval():
    found = metrics.bootstrap([0.5, 0.7], ["mosaic", "mosaic"])
    assert found.value == pytest.approx(0.6)
    assert str(found) == "0.600 (no interval)"
    assert found.asdict() == {"value": pytest.approx(0.6), "low": None, "high": None, "n": 2}


def test_interval_reads_well():
    found = metrics.Interval(0.7421, 0.7012, 0.7799, n=44, groups=20)
    assert str(found) == "0.742 (0.701 to 0.780)"
    assert found.asdict() == {"value": 0.7421, "low": 0.7012, "high": 0.7799, "n": 44}
    assert all(type(value) in (float, int) for value in found.asdict().values())


def test_paired_bootstrap_cancels_what_is_hard_for_both():
    rng = np.random.default_rng(4)
    hard = rng.normal(0.6, 0.2, 40)
    better, worse = hard + 0.05 + rng.normal(0, 0.02, 40), hard
    difference = metrics.paired_bootstrap(better, worse)
    assert difference.low > 0
    assert metrics.bootstrap(better).low < metrics.bootstrap(worse).high


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [[0.1, 0.2]]])
def test_bootstrap_refuses_what_it_cannot_average(values):
    with pytest.raises(ParameterError, match="one finite number a case"):
        metrics.bootstrap(values)


def test_bootstrap_refuses_groups_and_pairs_that_do_not_fit():
    with pytest.raises(ParameterError, match="one group a case"):
        metrics.bootstrap([0.1, 0.2], ["a"])
    with pytest.raises(ParameterError, match="same cases"):
        metrics.paired_bootstrap([0.1, 0.2], [0.1])
