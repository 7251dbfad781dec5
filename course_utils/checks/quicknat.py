"""Checks of the exercises of lesson 3, naming brain structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Wrong, exercise, returned


@exercise
def unturn(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check a function that turns a label slice back onto its image.

    Parameters
    ----------
    function : callable
        ``function(image, labels)`` returns `labels`, (y, x), turned or mirrored in the one of
        eight ways in which ``labels > 0`` overlaps best with ``image > 0``.

    Returns
    -------
    Verdict
    """
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 24), int)
    labels[2:9, 3:20], labels[9:22, 3:7], labels[4:7, 8:12] = 1, 2, 3
    image = np.where(labels > 0, 50 * labels + rng.integers(1, 9, labels.shape), 0)
    for turned in (np.rot90(a, k) for a in (labels, labels.T) for k in range(4)):
        found = np.asarray(returned(function(image.copy(), turned.copy())))
        if found.shape != labels.shape:
            raise Wrong(f"the result has shape {found.shape}, the image {image.shape}")
        if set(np.unique(found).tolist()) != {0, 1, 2, 3}:
            raise Wrong("the label values changed: turn the labels, do not compute with them")
        if not np.array_equal(found, labels):
            overlap = ((found > 0) & (labels > 0)).sum() / ((found > 0) | (labels > 0)).sum()
            raise Wrong(
                f"one of the eight turns came back with an overlap (IoU) of {overlap:.2f}: are "
                "all four rotations tried, and each of them mirrored as well?"
            )
    return "all eight turns are turned back"


@exercise
def one_hot(function: Callable[[Any, int], Any]) -> str:
    """Check a function that makes one channel per class out of a label map.

    Parameters
    ----------
    function : callable
        ``function(labels, classes)`` takes a torch tensor of whole numbers (case, y, x) and returns
        zeros and ones (case, class, y, x).

    Returns
    -------
    Verdict
    """
    import torch

    labels = torch.tensor([[[0, 0, 1], [3, 1, 3]], [[1, 1, 1], [0, 3, 0]]])
    found = returned(function(labels.clone(), 4))
    found = torch.as_tensor(found)
    if tuple(found.shape) != (2, 4, 2, 3):
        if tuple(found.shape) == (2, 2, 3, 4):
            raise Wrong("the classes are the last axis: DiceMetric expects them second")
        raise Wrong(
            f"labels of shape (2, 2, 3) with 4 classes should become (2, 4, 2, 3), found "
            f"{tuple(found.shape)}: a class that is in no picture needs its channel too"
        )
    if set(found.unique().tolist()) - {0, 1}:
        raise Wrong("there are other values than 0 and 1: each channel is a mask of one class")
    if not torch.equal(found.float().sum(1), torch.ones(2, 2, 3)):
        raise Wrong("a pixel is in no class or in several: each belongs to exactly one")
    if not torch.equal(found.long().argmax(1), labels):  # bool has no argmax
        raise Wrong("channel k should be 1 where the label is k: are the axes in order?")
    return "a perfect prediction scores 1 again"


@exercise
def dice_loss(function: Callable[[Any, Any], Any]) -> str:
    """Check a Dice loss that takes logits and applies softmax once.

    Parameters
    ----------
    function : callable
        ``function(logits, truth)``, both (case, class, y, x), returns 1 - the mean over the classes
        of the soft Dice, taken over all cases and pixels.

    Returns
    -------
    Verdict
    """
    import torch

    torch.manual_seed(0)
    labels = torch.arange(4).repeat(2, 4, 2)
    truth = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    sure = _number(function(40.0 * truth, truth))
    if abs(sure - 0.525) < 0.005:
        raise Wrong(
            "sure and right logits end at 0.525, the floor for four classes of one size: how "
            "often is the softmax taken?"
        )
    if sure < -1e-3 and abs(sure) > 1:
        raise Wrong(f"sure and right logits give {sure:.1f}: logits are no probabilities yet")
    if abs(sure) > 1e-3:
        raise Wrong(f"sure and right logits should give 0, found {sure:.3f}: is it 1 - Dice?")
    logits = torch.randn(2, 4, 4, 8)
    p = logits.softmax(1)
    shared, total = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    expected, found = float(1 - (2 * shared / total).mean()), _number(function(logits, truth))
    if abs(found - float(1 - 2 * shared.sum() / total.sum())) < 1e-5 < abs(found - expected):
        raise Wrong("all classes are pooled, so the background decides: a Dice for each, then mean")
    for constant in (1.0, 0.1, 0.01):
        smooth = float(1 - ((2 * shared + constant) / (total + constant)).mean())
        if abs(found - smooth) < 1e-5 < 1e-4 < abs(found - expected):
            raise Wrong("a constant is added to the fraction: leave it out, no class is empty here")
    if abs(found - expected) > 1e-4:
        raise Wrong(
            f"on random logits {expected:.4f} was expected, found {found:.4f}: softmax over which "
            "axis, and sums over which?"
        )
    return "0 for sure and right logits, and the gradient reaches them"


def _number(value: Any) -> float:
    value = returned(value)
    if getattr(value, "ndim", 0) != 0:
        raise Wrong(f"one number is expected, found shape {tuple(value.shape)}: take the mean")
    return float(value)


@exercise
def rates(function: Callable[[Any, Any, int, int], Any]) -> str:
    """Check where a training steps its learning-rate schedule.

    Parameters
    ----------
    function : callable
        ``function(optimizer, scheduler, epochs, steps)`` calls ``optimizer.step()`` ``steps`` times
        an epoch and returns the learning rate used in each epoch.

    Returns
    -------
    Verdict
    """
    import torch

    calls = []

    class Counted(torch.optim.SGD):
        def step(self, closure=None):
            calls.append(self.param_groups[0]["lr"])
            return super().step(closure)

    optimizer = Counted([torch.nn.Parameter(torch.zeros(1))], 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.1)
    found = np.asarray(returned(function(optimizer, schedule, 25, 50)), float).ravel()
    if len(found) != 25:
        raise Wrong(f"25 epochs should give 25 learning rates, found {len(found)}")
    if len(calls) != 25 * 50:
        raise Wrong(
            f"25 epochs of 50 steps should call optimizer.step() 1250 times, found {len(calls)}"
        )
    expected = [0.1] * 10 + [0.01] * 10 + [0.001] * 5
    used = np.array(calls).reshape(25, 50)
    if used.min() < 1e-5:
        raise Wrong("the rate falls within an epoch: the schedule counts what you call it for")
    if not np.allclose(used, np.array(expected)[:, None]):
        raise Wrong("the schedule is not stepped exactly once an epoch, after the optimizer")
    if not np.allclose(found, expected):
        raise Wrong("the steps are right, the list is not: note the rate before the schedule steps")
    return "ten epochs at 0.1, ten at 0.01, then 0.001"


@exercise
def mean_distance(function: Callable[[Any, float], Any]) -> str:
    """Check a mean distance in which a missed structure counts.

    Parameters
    ----------
    function : callable
        ``function(distances, worst)``: the mean over all cases, `worst` for nan and infinity.

    Returns
    -------
    Verdict
    """
    nan, inf = float("nan"), float("inf")
    for distances, expected in (
        ([2.0, 3.0], 2.5),
        ([2.0, 3.0, nan], 35.0),
        ([2.0, inf, nan], 202 / 3),
        ([nan], 100.0),
    ):
        found = _number(function(list(distances), 100.0))
        if np.isnan(found):
            raise Wrong(f"{distances} gave nan: one case that cannot be measured swallows the rest")
        if not np.isfinite(found):
            raise Wrong(f"{distances} gave {found}: an infinite distance counts as the worst, too")
        measured = [d for d in distances if np.isfinite(d)]
        if len(measured) < len(distances) and measured and np.isclose(found, np.mean(measured)):
            raise Wrong(f"{distances} gave {found:.1f}: the missed structure dropped out again")
        if not np.isclose(found, expected):
            raise Wrong(f"{distances} with worst = 100 should give {expected:.1f}, found {found}")
    return "a miss makes the mean worse, never better"
