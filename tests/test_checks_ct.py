"""Each check of lesson 6 both ways: right answers pass; wrong ones get a hint."""

from __future__ import annotations

import numpy as np
import pytest

from course_utils.checks import UNANSWERED, ct


def to_hu(stored, slope, intercept):
    if slope == 0 or np.isnan(slope):
        return stored
    return stored * np.float64(slope) + intercept


def normalised(volume):
    return ((np.clip(volume, -1000, 400) + 1000) / 1400).astype(np.float32)


def in_place(volume):
    volume[volume < -1000] = -1000
    volume[volume > 400] = 400
    return ((volume + 1000) / 1400).astype(np.float32)


def rate(epoch, steps):
    return 1e-4 * 0.96 ** (epoch * steps // 30)


def predictive_value(sensitivity, specificity, prevalence):
    ill, well = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return ill / (ill + well)


RIGHT = [
    (ct.hounsfield, to_hu),
    (ct.normalise, normalised),
    (ct.normalise, lambda volume: np.float32(np.interp(volume, [-1000, 400], [0, 1]))),
    (ct.learning_rate, rate),
    (ct.predictive_value, predictive_value),
]
WRONG = [
    (ct.hounsfield, lambda stored, slope, intercept: stored + intercept, "what is it for"),
    (ct.hounsfield, lambda s, slope, i: (s + i) * slope, "which comes first"),
    (ct.hounsfield, lambda s, slope, i: s * slope + i, "never scaled"),
    (ct.hounsfield, lambda s, slope, i: (s * slope + i).astype(np.int8), "by hand"),
    (ct.hounsfield, lambda s, slope, i: s[:2], "shape"),
    (ct.normalise, in_place, "the scan itself has changed"),
    (ct.normalise, lambda v: (v + 1000) / 1400, "what is clipped"),
    (ct.normalise, lambda v: np.clip(v, -1000, 400) / 1400 + 0.5, "what is clipped"),
    (ct.normalise, lambda v: normalised(v).astype(float), "float64"),
    (ct.learning_rate, lambda epoch, steps: 1e-4 * 0.96 ** (epoch // 30), "counts batches"),
    (ct.learning_rate, lambda e, steps: 1e-4 * 0.96 ** (e * steps / 30), "staircase"),
    (ct.learning_rate, lambda epoch, steps: 1e-4, "how often"),
    (ct.predictive_value, lambda se, sp, p: se / (se + 1 - sp), "rare and a common"),
    (ct.predictive_value, lambda se, sp, p: se * p, "who is asked"),
    (ct.predictive_value, lambda se, sp, p: sp, "of 1000 people"),
]
CHECKS = [ct.hounsfield, ct.normalise, ct.learning_rate, ct.predictive_value]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    verdict = check(answer)
    assert verdict.passed, verdict


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(check, answer, hint):
    verdict = check(answer)
    assert not verdict.passed and hint in verdict.hint, verdict
    assert "\n" not in verdict.hint


@pytest.mark.parametrize("check", CHECKS)
def test_untouched_placeholders_are_unanswered(check):
    for placeholder in (None, lambda *_: None, lambda *_: ...):
        assert UNANSWERED in check(placeholder).hint


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", [3, "no", lambda: 1, lambda *_: 1 / 0, lambda *_: "text"])
def test_a_check_never_raises(check, answer):
    assert not check(answer).passed
