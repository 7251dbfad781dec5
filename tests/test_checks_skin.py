"""Each check of lesson 4 both ways: right answers pass; placeholders and wrong ones get a hint."""

from __future__ import annotations

import os

import numpy as np
import pytest

from course_utils.checks import UNANSWERED, skin


def by_id(images, masks):
    found = {mask[:12]: mask for mask in masks}
    return [(image, found[image[:12]]) for image in images if image[:12] in found]


def by_place(images, masks):
    return list(zip(images, masks))


def by_lower_case_name(images, masks):
    named = [(image, image.replace(".jpg", "_segmentation.png")) for image in images]
    return [pair for pair in named if pair[1] in masks]


def jaccard(truth, prediction):
    union = np.sum(truth | prediction)
    iou = np.sum(truth & prediction) / union if union else 1.0
    return iou if iou >= 0.65 else 0.0


def dice(truth, prediction):
    return 2 * np.sum(truth & prediction) / (truth.sum() + prediction.sum())


def plain_iou(truth, prediction):
    return np.sum(truth & prediction) / np.sum(truth | prediction)


def fails_on_empty(truth, prediction):
    iou = plain_iou(truth, prediction)
    return iou * (iou >= 0.65)


def linear_head(features):
    from keras import layers

    return layers.Conv2D(1, 1, activation="sigmoid")(features)


def published_head(features):
    from keras import layers

    relu = layers.Conv2D(2, 3, padding="same", activation="relu")(features)
    return layers.Conv2D(1, 1, activation="sigmoid")(relu)


def relu_at_the_end(features):
    from keras import layers

    return layers.Conv2D(1, 1, activation="relu", bias_initializer="ones")(features) * 5


def two_channels(features):
    from keras import layers

    return layers.Conv2D(2, 1, activation="sigmoid")(features)


def binary(probability):
    return np.where(probability > 0.5, np.uint8(255), np.uint8(0))


RIGHT = [
    (skin.pairs, by_id),
    (skin.thresholded, jaccard),
    (skin.head, linear_head),
    (skin.to_mask, binary),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer):
    verdict = check(answer)
    assert verdict.passed, verdict.hint


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
def test_placeholders_are_unanswered(check):
    assert check(None).hint == UNANSWERED
    verdict = check(lambda *_: None)
    assert not verdict.passed and UNANSWERED in verdict.hint


WRONG = [
    (skin.pairs, by_place, "different orders"),
    (skin.pairs, lambda i, m: by_place(sorted(i), sorted(m)), "order is not"),
    (skin.pairs, by_lower_case_name, "capital"),
    (skin.pairs, lambda i, m: dict(by_id(i, m)), "dict"),
    (skin.thresholded, lambda t, p: np.mean(t == p), "background"),
    (skin.thresholded, dice, "Dice"),
    (skin.thresholded, plain_iou, "below the threshold"),
    (skin.thresholded, fails_on_empty, "nothing there"),
    (skin.head, published_head, "only zeros"),
    (skin.head, relu_at_the_end, "between 0 and 1"),
    (skin.head, two_channels, "how many filters"),
    (skin.head, lambda features: 0.5, "Keras tensor"),
    (skin.to_mask, lambda p: (p * 255).astype(np.uint8), "two values"),
    (skin.to_mask, lambda p: p > 0.5, "255"),
    (skin.to_mask, lambda p: (p > 0.5) * 255, "uint8"),
    (skin.to_mask, lambda p: binary(1 - p), "0.51"),
    (skin.to_mask, lambda p: binary(p)[None], "shape"),
]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_wrong_answers_get_their_hint(check, answer, hint):
    verdict = check(answer)
    assert not verdict.passed and hint in verdict.hint


def test_the_checks_import_no_framework():
    import subprocess
    import sys

    frameworks = "{'keras', 'tensorflow', 'torch'}"
    code = f"import sys, course_utils.checks.skin; print({frameworks} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.strip() == "set()"
