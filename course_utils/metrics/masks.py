"""Scores of one mask against another: Dice, IoU, thresholded IoU, pixel accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError


def dice(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the Dice coefficient of two masks, 2 |A and B| / (|A| + |B|).

    Parameters
    ----------
    truth, prediction : array_like of bool, the same shape
        Two masks; two empty masks score 1.

    Returns
    -------
    float
        Between 0 (no pixel shared) and 1 (identical).

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is not a mask.

    References
    ----------
    L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26, 1945.

    Examples
    --------
    >>> round(dice([1, 1, 0, 0], [1, 0, 0, 0]), 3)
    0.667
    """
    truth, prediction = checked_masks(truth, prediction)
    both = np.count_nonzero(truth & prediction)
    total = np.count_nonzero(truth) + np.count_nonzero(prediction)
    return float(2 * both / total) if total else 1.0


def iou(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the intersection over union of two masks (Jaccard index), |A and B| / |A or B|.

    Parameters
    ----------
    truth, prediction : array_like of bool, the same shape
        Two masks; two empty masks score 1.

    Returns
    -------
    float
        Between 0 and 1; ``iou = dice / (2 - dice)``.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is not a mask.

    References
    ----------
    P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11, 1912.

    Examples
    --------
    >>> iou([1, 1, 0, 0], [1, 0, 0, 0])
    0.5
    """
    truth, prediction = checked_masks(truth, prediction)
    union = np.count_nonzero(truth | prediction)
    return float(np.count_nonzero(truth & prediction) / union) if union else 1.0


def thresholded_iou(truth: ArrayLike, prediction: ArrayLike, threshold: float = 0.65) -> float:
    """Return the IoU of two masks, or 0 where it is below a threshold ("thresholded Jaccard").

    The mean of plain IoU hides outright failures among many good outlines. The ISIC challenge of
    2018 ranked by this score, with 0.65.

    Parameters
    ----------
    truth, prediction : array_like of bool, the same shape
        Two masks; two empty masks score 1.
    threshold : float
        Lowest IoU that counts.

    Returns
    -------
    float
        0, or a number from `threshold` to 1.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is not a mask, or the threshold is not in [0, 1).

    References
    ----------
    N. Codella et al., "Skin lesion analysis toward melanoma detection 2018", arXiv:1902.03368.

    Examples
    --------
    >>> thresholded_iou([1, 1, 1, 0], [1, 1, 0, 0]), thresholded_iou([1, 1, 0, 0], [1, 0, 0, 0])
    (0.6666666666666666, 0.0)
    """
    within_unit("threshold", threshold)
    found = iou(truth, prediction)
    return found if found >= threshold else 0.0


def pixel_accuracy(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the share of pixels on which two masks agree, background included.

    An all-background answer already scores the share of background, so the number says little
    where objects are small.

    Parameters
    ----------
    truth, prediction : array_like of bool, the same shape
        Two masks; arrays without a pixel score 1.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is not a mask.

    Examples
    --------
    >>> pixel_accuracy([1, 0, 0, 0], [0, 0, 0, 0])
    0.75
    """
    truth, prediction = checked_masks(truth, prediction)
    return float(np.mean(truth == prediction)) if truth.size else 1.0


def checked_masks(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    same_shape(truth, prediction)
    return _as_mask(truth, "truth"), _as_mask(prediction, "prediction")


def _as_mask(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == bool:
        return array
    mask = array.astype(bool)
    if not np.array_equal(mask, array):
        raise ParameterError(
            f"{name} must be a mask of False and True (or 0 and 1), found values from "
            f"{array.min()} to {array.max()}: compare with a threshold first, as in array > 0.5"
        )
    return mask


def same_shape(truth: np.ndarray, prediction: np.ndarray) -> None:
    """Raise ParameterError when the two arrays differ in shape."""
    if truth.shape != prediction.shape:
        raise ParameterError(
            f"truth and prediction must have one shape, found {truth.shape} and "
            f"{prediction.shape}: bring the prediction back to the size of the truth"
        )


def within_unit(name: str, value: float) -> None:
    """Raise ParameterError unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ParameterError(f"{name} must be at least 0 and below 1, found {value}: give a share")
