"""Checks of the exercises of lesson 2, outlining a brain tumour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import Wrong, exercise, returned


@exercise
def patient_dice(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check the Dice of one patient in 3-D.

    Parameters
    ----------
    function : callable
        ``function(truth, prediction)`` takes two boolean arrays (slice, y, x) of one patient and
        returns 2 |A and B| / (|A| + |B|) over all voxels; 1 when both are empty.

    Returns
    -------
    Verdict
    """
    truth, prediction = _patient()
    found = _number(function(truth.copy(), prediction.copy()))
    by_slice = np.array([_dice(a, b) for a, b in zip(truth, prediction, strict=True)])
    there = truth.any(axis=(1, 2))
    shared, union = (truth & prediction).sum(), (truth | prediction).sum()
    typical = {
        by_slice.mean(): "that is the mean over slices: slices with nothing in them score 1 each, "
        "so a patient with many of them looks well segmented",
        by_slice[there].mean(): "that is the mean over the slices with tumour: what is predicted "
        "on the healthy ones costs nothing, and a tiny slice counts as much as a large one",
        shared / union: "that is the intersection over union: in Dice the shared voxels count "
        "twice, above and below",
        shared / truth.sum(): "that is the share of the tumour that was found: where does what "
        "is predicted too much come in?",
        (truth == prediction).mean(): "that is the share of voxels that agree, most of which are "
        "background",
    }
    _hint(found, typical)
    if not np.isclose(found, _dice(truth, prediction)):
        raise Wrong(
            f"four slices that share {shared} voxels of {truth.sum()} true and {prediction.sum()} "
            f"predicted ones: work it out with a pencil and compare with your {found:.3f}"
        )
    _empty_patients(function)
    return "all voxels of a patient are one set: an empty slice left empty neither helps nor hurts"


def _patient() -> tuple[np.ndarray, np.ndarray]:
    """Return four slices: found in part, found in full, healthy with an extra, healthy."""
    truth, prediction = np.zeros((2, 4, 6, 6), bool)
    truth[0, 1:5, 1:5], prediction[0, 1:5, 1:4] = True, True
    truth[1, 2:4, 2:4], prediction[1, 2:4, 2:4] = True, True
    prediction[2, 0, :3] = True
    return truth, prediction


def _empty_patients(function: Callable) -> None:
    empty, full = np.zeros((2, 3, 3), bool), np.ones((2, 3, 3), bool)
    with np.errstate(all="ignore"):
        for truth, prediction, expected in ((empty, empty, 1), (full, empty, 0), (empty, full, 0)):
            try:
                found = _number(function(truth.copy(), prediction.copy()))
            except ZeroDivisionError:
                found = np.nan
            if not np.isclose(found, expected):
                what = "nothing there and nothing predicted" if expected else "one of them empty"
                raise Wrong(f"{what} gave {found:g}: what does 0 / 0 mean here?")


@exercise
def binary_mask(function: Callable[[np.ndarray], Any]) -> str:
    """Check a function that makes a mask file into what a loss can be computed with.

    The published recipe resizes the mask, standardises it as if it were an image (minus its mean,
    by its standard deviation) and takes what is above 0.

    Parameters
    ----------
    function : callable
        ``function(mask)`` takes an array (y, x) of values 0 to 255, smooth at the edge after it
        was resized, and returns float32 of the same shape: 1 where the value is above half of
        255, else 0.

    Returns
    -------
    Verdict
    """
    soft = np.zeros((16, 16), np.float32)
    soft[2:6, 2:6], soft[1, 2:6], soft[6, 2:6] = 255, 60, 200
    with np.errstate(all="ignore"):
        empty = np.asarray(returned(function(np.zeros((16, 16), np.float32))))
        found = np.asarray(returned(function(soft.copy())))
        full = np.asarray(returned(function(np.full((16, 16), 255, np.float32))))
    if found.shape != soft.shape:
        raise Wrong(f"a mask of shape {soft.shape} was expected, found {found.shape}")
    if not np.isfinite(np.asarray(empty, float)).all():
        raise Wrong("a slice without tumour came back as NaN: its standard deviation is 0")
    _check_edges(found)
    if np.any(empty != 0) or np.any(full != 1):
        raise Wrong(
            "an empty mask must come back as zeros and a full one as ones: a threshold that "
            "depends on the mask itself cannot do that"
        )
    if found.dtype != np.float32:
        raise Wrong(
            f"the values are right, the type is {found.dtype}: a loss computes in float32, and one "
            "that is called by itself may refuse whole numbers (`compile` casts them)"
        )
    return "a mask is no image: it has a meaning, not a brightness"


def _check_edges(found: np.ndarray) -> None:
    values = np.unique(np.asarray(found, float))
    if not np.isin(values, (0, 1)).all():
        raise Wrong(f"a mask holds 0 and 1, found {values[:4].tolist()}: where is the threshold?")
    if np.any(found[1, 2:6]):
        raise Wrong(
            "pixels with 60 of 255, less than a quarter tumour, became tumour: the mask has grown "
            "at its edge. What is compared with what?"
        )
    if not np.all(found[6, 2:6]) or not np.all(found[2:6, 2:6]):
        raise Wrong("pixels with 200 or 255 of 255 are lost: is the threshold half of 255?")


@exercise
def finite_slope(function: Callable[[Any], Any]) -> str:
    """Check a focal loss whose slope stays finite at a perfect prediction.

    Parameters
    ----------
    function : callable
        ``function(index)`` takes a tensor of Tversky indices, shape (n,), and returns
        (1 - index) ** 0.75 in Keras operations, within 0.001, with a finite slope at an index of
        exactly 1.

    Returns
    -------
    Verdict
    """
    from keras import ops

    index = np.array([0.0, 0.2, 0.5, 0.9, 0.99], np.float32)
    found = ops.convert_to_numpy(returned(function(ops.convert_to_tensor(index))))
    if np.shape(found) != index.shape:
        raise Wrong(f"one loss an index was expected, found shape {np.shape(found)}")
    expected = (1 - index) ** 0.75
    _focal_values(found, expected, index)
    with np.errstate(all="ignore"):
        at_one = float(ops.convert_to_numpy(function(ops.ones((1,))))[0])
    if not np.isfinite(at_one) or abs(at_one) > 1e-3:
        raise Wrong(f"a perfect prediction costs {at_one:g}: it should cost next to nothing")
    slopes = _slopes(function, np.array([0.5, 1.0], np.float32))
    if not np.isfinite(slopes[1]):
        raise Wrong(
            f"the value at 1 is right and its slope is {slopes[1]:g}: the root is taken of 0 "
            "before anything is cut off. What has to come first?"
        )
    if not np.isclose(slopes[0], -0.75 * 0.5**-0.25, rtol=0.01):
        raise Wrong(f"the slope at 0.5 is {slopes[0]:.3f}: is the loss flat where it must learn?")
    return "cut off first, then take the root: the slope is finite everywhere"


def _focal_values(found: np.ndarray, expected: np.ndarray, index: np.ndarray) -> None:
    if np.allclose(found, (1 - index) ** (4 / 3), atol=1e-3):
        raise Wrong("that is the power 4/3, which the paper writes as gamma: it uses 1 / gamma")
    if np.allclose(found, index**0.75, atol=1e-3):
        raise Wrong("that is the index itself to a power: a loss is 0 where the index is 1")
    if not np.allclose(found, expected, atol=1e-3):
        at = int(np.argmax(np.abs(found - expected)))
        raise Wrong(
            f"an index of {index[at]:.2f} costs (1 - {index[at]:.2f}) ** 0.75 = "
            f"{expected[at]:.3f}, yours {found[at]:.3f}: what you add or cut off must be tiny"
        )


def _slopes(function: Callable, at: np.ndarray) -> np.ndarray:
    """Return the slopes, as an optimiser sees them: one step of rate 1 goes down by the slope."""
    import keras
    from keras import ops

    layer = keras.layers.Dense(len(at), use_bias=False, dtype="float32")
    inputs = keras.Input((1,))
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([at[None]])
    model.compile(
        keras.optimizers.SGD(1.0), lambda _, index: ops.sum(function(index[0])), run_eagerly=True
    )
    model.train_on_batch(np.ones((1, 1), np.float32), np.zeros((1, len(at)), np.float32))
    return (at[None] - layer.get_weights()[0])[0]


@exercise
def false_positive_area(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check the mean area predicted on healthy slices.

    Parameters
    ----------
    function : callable
        ``function(truth, prediction)`` takes two boolean arrays (slice, y, x) and returns the
        pixels predicted on a slice without tumour, on average over those slices.

    Returns
    -------
    Verdict
    """
    truth, prediction = np.zeros((2, 5, 4, 4), bool)
    truth[0, :2, :2], prediction[0, :3, :2] = True, True
    prediction[1, 0, :3], prediction[2, 1:3, 1:4] = True, True  # 3 and 6 pixels
    found = _number(function(truth.copy(), prediction.copy()))
    typical = {
        9 / 5: "you divide by all slices: the ones with tumour cannot have a healthy area",
        11 / 5: "pixels beside a tumour are in your sum: ask of the healthy slices alone",
        9.0: "that is the sum: how much is it on one healthy slice?",
        9 / 2: "you divide by the slices with a false alarm: the quiet healthy ones count too",
        9 / 64: "that is a share of the pixels: the area is asked for, in pixels",
    }
    _hint(found, typical)
    if not np.isclose(found, 9 / 4):
        raise Wrong(
            "five slices, the first with tumour, 3 and 6 pixels predicted on two of the other "
            f"four: work it out by hand and compare with your {found:.3f}"
        )
    with np.errstate(all="ignore"):
        quiet = _number(function(truth.copy(), truth.copy()))
    if quiet != 0:
        raise Wrong(f"a perfect prediction has no false area, yours says {quiet:g}")
    return "healthy slices have a voice of their own, which the Dice by patient does not give them"


@exercise
def risk_curve(function: Callable[[np.ndarray, np.ndarray], Any]) -> str:
    """Check the mean risk of the 1, 2, ... surest cases.

    Parameters
    ----------
    function : callable
        ``function(risk, doubt)`` takes two arrays (n,) and returns an array (n,): the mean risk of
        the surest case, of the two surest, ..., of all.

    Returns
    -------
    Verdict
    """
    risk = np.array([0.9, 0.1, 0.5, 0.2])
    doubt = np.array([0.8, 0.3, 0.1, 0.9])
    found = np.asarray(returned(function(risk.copy(), doubt.copy())), dtype=float)
    if found.shape != risk.shape:
        raise Wrong(f"one number a case was expected, found shape {found.shape}")
    kept = np.arange(1, 5)
    for wrong, hint in (
        (risk[np.argsort(-doubt)].cumsum() / kept, "the least sure comes first: turn it round"),
        (np.sort(risk).cumsum() / kept, "you order by the risk, which nobody knows beforehand"),
        (risk.cumsum() / kept, "the cases are still in their old order: what is the doubt for?"),
        (risk[np.argsort(doubt)].cumsum(), "that is a sum: what is the mean of those kept?"),
        (risk[np.argsort(doubt)], "that is each case's own risk: what is the mean of those kept?"),
    ):
        if np.allclose(found, wrong):
            raise Wrong(hint)
    if not np.allclose(found, risk[np.argsort(doubt)].cumsum() / kept):
        raise Wrong(
            "risk 0.9, 0.1, 0.5, 0.2 with doubt 0.8, 0.3, 0.1, 0.9: the surest is the third. "
            f"What is the mean of it and the second? Yours: {found.round(3).tolist()}"
        )
    return "a doubt is worth what it saves: the lower the curve, the better"


def _hint(found: float, typical: dict[float, str]) -> None:
    """Raise the hint for a typical wrong answer."""
    for wrong, hint in typical.items():
        if np.isclose(found, wrong):
            raise Wrong(hint)


def _dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    total = truth.sum() + prediction.sum()
    return float(2 * (truth & prediction).sum() / total) if total else 1.0


def _number(value: Any) -> float:
    number = np.asarray(returned(value), dtype=float)
    if number.size != 1:
        raise Wrong(f"one number was expected, found an array of shape {number.shape}")
    return float(number.ravel()[0])
