"""Each check of lesson 2 both ways: right answers pass; placeholders and wrong ones get a hint."""

from __future__ import annotations

import numpy as np
import pytest

from course_utils.checks import UNANSWERED, segmentation


def dice(truth, prediction):
    total = truth.sum() + prediction.sum()
    return 2 * (truth & prediction).sum() / total if total else 1.0


def area(truth, prediction):
    healthy = ~truth.any(axis=(1, 2))
    return prediction[healthy].sum() / max(healthy.sum(), 1)


def curve(risk, doubt):
    return np.cumsum(risk[np.argsort(doubt)]) / np.arange(1, len(risk) + 1)


def ops():
    from keras import ops

    return ops


def cut_off_first(index):
    return ops().power(ops().maximum(1 - index, 1e-7), 0.75)


def cut_off_last(index):
    return ops().maximum(ops().power(1 - index, 0.75), 1e-7)


RIGHT = [
    (segmentation.patient_dice, dice),
    (segmentation.false_positive_area, area),
    (segmentation.binary_mask, lambda mask: (mask > 127).astype(np.float32)),
    (segmentation.finite_slope, cut_off_first),
    (segmentation.finite_slope, lambda index: (1 - index + 1e-6) ** 0.75),
    (segmentation.risk_curve, curve),
    (segmentation.risk_curve, lambda risk, doubt: curve(risk, doubt).tolist()),
]


def mean_of_slices(truth, prediction):
    return np.mean([dice(a, b) for a, b in zip(truth, prediction, strict=True)])


def mean_of_tumour_slices(truth, prediction):
    there = truth.any(axis=(1, 2))
    return mean_of_slices(truth[there], prediction[there])


def standardised(mask):
    return ((mask - mask.mean()) / mask.std() > 0).astype(np.float32)


def guarded(mask):
    return ((mask - mask.mean()) / max(mask.std(), 1e-9) > 0).astype(np.float32)


def z_score(mask):
    return ((mask - mask.mean()) / mask.std()).astype(np.float32)


WRONG = [
    (segmentation.binary_mask, z_score, "standard deviation"),
    (segmentation.patient_dice, mean_of_slices, "mean over slices"),
    (segmentation.patient_dice, mean_of_tumour_slices, "slices with tumour"),
    (segmentation.patient_dice, lambda a, b: (a & b).sum() / (a | b).sum(), "intersection"),
    (segmentation.patient_dice, lambda a, b: (a & b).sum() / a.sum(), "was found"),
    (segmentation.patient_dice, lambda a, b: (a == b).mean(), "agree"),
    (segmentation.patient_dice, lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum()), "0 / 0"),
    (segmentation.patient_dice, lambda a, b: a & b, "one number"),
    (segmentation.false_positive_area, lambda a, b: (b & ~a).sum() / len(a), "beside a tumour"),
    (segmentation.false_positive_area, lambda a, b: area(a, b) * 4, "that is the sum"),
    (segmentation.false_positive_area, lambda a, b: area(a, b) / 16, "share of the pixels"),
    (segmentation.false_positive_area, lambda a, b: area(a, b) * 4 / 5, "all slices"),
    (segmentation.binary_mask, standardised, "has grown"),
    (segmentation.binary_mask, guarded, "has grown"),
    (segmentation.binary_mask, lambda mask: (mask > 127).astype(int), "float32"),
    (segmentation.binary_mask, lambda mask: (mask / 255).astype(np.float32), "holds 0 and 1"),
    (segmentation.finite_slope, lambda index: (1 - index) ** 0.75, "before anything is cut off"),
    (segmentation.finite_slope, cut_off_last, "before anything is cut off"),
    (segmentation.finite_slope, lambda index: (1 - index) ** (4 / 3), "4/3"),
    (segmentation.finite_slope, lambda index: (1.1 - index) ** 0.75, "tiny"),
    (segmentation.risk_curve, lambda risk, doubt: curve(risk, -doubt), "turn it round"),
    (segmentation.risk_curve, lambda risk, doubt: curve(risk, risk), "beforehand"),
    (segmentation.risk_curve, lambda risk, doubt: risk[np.argsort(doubt)], "own risk"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    verdict = check(answer)
    assert verdict.passed, verdict


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(check, answer, hint):
    verdict = check(answer)
    assert not verdict.passed and hint in verdict.hint, verdict


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in RIGHT))
def test_placeholders_are_unanswered(check):
    assert check(None).hint == UNANSWERED
    assert UNANSWERED in check(lambda *_: None).hint
