"""Checks of lesson 3: each passes the solution, and answers typical mistakes with their hint."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from course_utils import checks, metrics  # noqa: E402

F = torch.nn.functional
CHECKS = checks.quicknat


def unturn(image, labels):
    views = [np.rot90(a, k) for a in (labels, labels.T) for k in range(4)]
    return max(views, key=lambda view: metrics.iou(image > 0, view > 0))


def one_hot(labels, classes):
    return F.one_hot(labels, classes).movedim(-1, 1)


def dice_of(probability, truth):
    shared = (probability * truth).sum((0, 2, 3))
    return 1 - (2 * shared / (probability + truth).sum((0, 2, 3))).mean()


def rates(optimizer, scheduler, epochs, steps, inside=False):
    used = []
    for _ in range(epochs):
        used.append(optimizer.param_groups[0]["lr"])
        for _ in range(steps):
            optimizer.step()
            if inside:
                scheduler.step()
        if not inside:
            scheduler.step()
    return used


def noted_late(optimizer, scheduler, epochs, steps):
    rates(optimizer, scheduler, epochs, steps)
    return scheduler.get_last_lr() * epochs


def mean_distance(distances, worst):
    return np.where(np.isfinite(distances), distances, worst).mean()


def smoothed(p, truth, constant=1.0):
    shared, total = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    return 1 - ((2 * shared + constant) / (total + constant)).mean()


RIGHT = {
    "unturn": unturn,
    "one_hot": one_hot,
    "dice_loss": lambda logits, truth: dice_of(logits.softmax(1), truth),
    "rates": rates,
    "mean_distance": mean_distance,
}
WRONG = [
    ("unturn", lambda image, labels: labels, "overlap"),
    ("unturn", lambda image, labels: labels.T, "overlap"),
    ("unturn", lambda image, labels: labels / 2, "values changed"),
    ("one_hot", lambda labels, classes: labels[:, None], "its channel too"),
    ("one_hot", lambda labels, classes: F.one_hot(labels, classes), "last axis"),
    ("one_hot", lambda labels, classes: labels[:, None].repeat(1, classes, 1, 1), "0 and 1"),
    ("dice_loss", lambda x, y: dice_of(x.softmax(1).softmax(1), y), "how often"),
    ("dice_loss", lambda x, y: 1 - dice_of(x.softmax(1), y), "1 - Dice"),
    ("dice_loss", lambda x, y: (x.softmax(1) - y).abs().mean(), "random logits"),
    ("dice_loss", lambda x, y: smoothed(x.softmax(1), y), "constant is added"),
    ("rates", lambda *a: rates(*a, inside=True), "within an epoch"),
    ("rates", noted_late, "list is not"),
    ("rates", lambda o, s, epochs, steps: [0.1] * epochs, "1250"),
    ("mean_distance", lambda d, worst: np.nanmean(d), "dropped out"),
    ("mean_distance", lambda d, worst: np.mean(d), "swallows"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_solution_passes(name):
    verdict = getattr(CHECKS, name)(RIGHT[name])
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("placeholder", [None, lambda *a: None])
def test_the_placeholder_is_unanswered(name, placeholder):
    verdict = getattr(CHECKS, name)(placeholder)
    assert not verdict.passed and checks.UNANSWERED in verdict.hint


@pytest.mark.parametrize("name, answer, hint", WRONG)
def test_a_wrong_answer_gets_its_hint(name, answer, hint):
    verdict = getattr(CHECKS, name)(answer)
    assert not verdict.passed and hint in verdict.hint, verdict


def test_channels_of_true_and_false_are_a_right_answer():
    def stacked(labels, classes):
        return torch.stack([labels == k for k in range(classes)], 1)

    verdict = CHECKS.one_hot(stacked)
    assert verdict.passed, verdict
