"""Ranking metrics: against sklearn and by hand, intervals over groups, clear errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from course_utils.errors import ParameterError
from course_utils.metrics import ranking


@pytest.fixture
def cases():
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.35
    score = np.round(truth + rng.normal(0, 0.8, 200), 1)  # ties
    return truth, score, np.repeat(np.arange(20), 10)


def test_auc_and_average_precision_are_those_of_sklearn(cases):
    truth, score, _ = cases
    assert ranking.auc(truth, score) == pytest.approx(reference.roc_auc_score(truth, score))
    expected = reference.average_precision_score(truth, score)
    assert ranking.average_precision(truth, score) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_with_ties_is_the_share_of_pairs(pairs):
    truth, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if truth.all() or not truth.any():
        return
    gap = score[truth][:, None] - score[~truth][None]
    assert ranking.auc(truth, score) == pytest.approx(((gap > 0) + 0.5 * (gap == 0)).mean())


def test_the_curves_go_from_corner_to_corner(cases):
    truth, score, _ = cases
    roc = ranking.roc_curve(truth, score)
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(ranking.auc(truth, score))
    curve = ranking.precision_recall_curve(truth, score)
    assert (np.diff(curve.x) >= 0).all() and curve.x[-1] == 1
    assert len(curve.x) == len(curve.y) == len(curve.thresholds)


def test_the_interval_is_wider_over_groups_that_agree_within(cases):
    truth, score, groups = cases
    strong = score + np.repeat(np.random.default_rng(1).normal(0, 1.5, 20), 10)
    by_group = ranking.auc_interval(truth, strong, groups)
    by_case = ranking.auc_interval(truth, strong)
    assert by_group.low < by_group.value < by_group.high and by_group.groups == 20
    assert by_group.high - by_group.low > by_case.high - by_case.low
    assert ranking.auc_interval(truth, strong, groups) == by_group


def test_the_gain_of_a_score_over_itself_is_nothing(cases):
    truth, score, groups = cases
    gain = ranking.paired_auc_gain(truth, score, score, groups)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)
    gain = ranking.paired_auc_gain(truth, score, np.zeros(200), groups)
    assert gain.low > 0


def test_any_statistic_has_an_interval_and_the_fast_one_agrees(cases):
    truth, score, groups = cases
    slow = ranking.score_interval(ranking.auc, truth, score, groups, n=300, seed=4)
    fast = ranking.auc_interval(truth, score, groups, n=300, seed=4)
    np.testing.assert_allclose((slow.low, slow.high), (fast.low, fast.high))


def test_one_group_has_no_interval(cases):
    truth, score, _ = cases
    assert np.isnan(ranking.auc_interval(truth, score, np.zeros(200)).low)


def test_the_band_holds_the_curve(cases):
    truth, score, groups = cases
    x, low, high = ranking.roc_band(truth, score, groups, n=200)
    curve = ranking.roc_curve(truth, score)
    y = np.interp(x, curve.x, curve.y)
    assert ((low <= y + 0.05) & (y <= high + 0.05)).all() and (high - low).max() < 0.8


def test_a_threshold_for_a_sensitivity_reaches_it(cases):
    truth, score, _ = cases
    cut = ranking.operating_point(truth, score, sensitivity=0.9)
    rates = ranking.at_threshold(truth, score, cut)
    assert rates.sensitivity >= 0.9
    higher = np.unique(score[score >= cut])[0] + 1e-9
    assert ranking.at_threshold(truth, score, higher).sensitivity < 0.9


def test_the_best_threshold_has_the_largest_youden_index(cases):
    truth, score, _ = cases
    best = ranking.at_threshold(truth, score, ranking.operating_point(truth, score))
    index = [
        (r := ranking.at_threshold(truth, score, cut)).sensitivity + r.specificity
        for cut in np.unique(score)
    ]
    assert best.sensitivity + best.specificity == pytest.approx(max(index))


def test_calibrated_probabilities_have_no_gap_and_a_temperature_of_one():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 40_000)
    probability = 1 / (1 + np.exp(-logit))
    truth = rng.random(40_000) < probability
    assert ranking.ece(truth, probability) < 0.01
    assert ranking.temperature(truth, logit) == pytest.approx(1, abs=0.05)
    assert ranking.temperature(truth, 3 * logit) == pytest.approx(3, abs=0.15)
    assert ranking.brier(truth, probability) == pytest.approx(
        reference.brier_score_loss(truth, probability)
    )
    assert ranking.ece(truth, 1 / (1 + np.exp(-3 * logit))) > 0.05


def test_a_probability_of_one_lies_in_the_last_bin():
    diagram = ranking.reliability([1, 1], [1.0, 0.95])
    assert diagram.count.tolist() == [2]


@pytest.mark.parametrize("truth", [[0, 0, 0], [1, 1, 1]])
@pytest.mark.parametrize(
    "function",
    [
        ranking.auc,
        ranking.average_precision,
        ranking.roc_curve,
        ranking.precision_recall_curve,
        ranking.operating_point,
        ranking.temperature,
        ranking.auc_interval,
        ranking.roc_band,
    ],
)
def test_one_class_only_is_said(function, truth):
    with pytest.raises(ParameterError, match=r"3 (positive|negative) ones only"):
        function(truth, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("truth", "score", "message"),
    [
        ([0, 1], [0.1], "found shapes"),
        ([], [], "found shapes"),
        ([0, 2], [0.1, 0.2], "truth must be 0 or 1"),
        ([0, 1], [0.1, np.nan], "found 1 that are not"),
    ],
)
def test_what_does_not_fit_is_said(truth, score, message):
    with pytest.raises(ParameterError, match=message):
        ranking.auc(truth, score)


def test_a_score_that_is_no_probability_is_said():
    with pytest.raises(ParameterError, match="between 0 and 1, found -2 to 3"):
        ranking.ece([0, 1], [-2, 3])


@pytest.mark.parametrize(("slope", "people", "each"), [(1.0, 120, 1), (1.0, 15, 13), (0.5, 120, 1)])
def test_the_calibration_error_lies_in_its_interval_which_mostly_holds_the_truth(
    slope, people, each
):
    rng = np.random.default_rng(0)
    many = 1 / (1 + np.exp(-rng.normal(0, 2, 200_000)))
    odds = np.log(many / (1 - many))
    true = abs(
        np.bincount((many * 10).astype(int), many - 1 / (1 + np.exp(-slope * odds))) / len(many)
    ).sum()
    held = 0
    for _ in range(100):
        logit = rng.normal(0, 2, people * each)
        probability = 1 / (1 + np.exp(-logit))
        truth = rng.random(len(logit)) < 1 / (1 + np.exp(-slope * logit))
        groups = np.repeat(np.arange(people), each)
        found = ranking.ece_interval(truth, probability, groups, n=300)
        assert 0 <= found.low <= found.value <= found.high
        assert found.value <= ranking.ece(truth, probability)
        held += found.low <= true <= found.high
    assert held >= 84  # of 100; 90 to 98 % in the long run, so 84 is three deviations below


def test_one_group_gives_no_interval_of_the_calibration_error():
    found = ranking.ece_interval([0, 1, 1], [0.2, 0.7, 0.9], groups=[1, 1, 1])
    assert np.isnan(found.low) and found.value == pytest.approx(
        ranking.ece([0, 1, 1], [0.2, 0.7, 0.9])
    )
