"""Scores of label maps: instances matched, average precision, panoptic quality, counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .masks import same_shape, within_unit

THRESHOLDS = np.arange(50, 100, 5) / 100
"""IoU thresholds of the 2018 Data Science Bowl: 0.50, 0.55, ... 0.95."""

LARGEST_TABLE = 2**22
"""Cells of an overlap table up to which labels are used as positions, without renumbering."""


class Matches(NamedTuple):
    """Which instances found each other, as `match` returns it."""

    tp: int
    """Matched pairs."""
    fp: int
    """Predicted instances without a partner."""
    fn: int
    """True instances without a partner."""
    pairs: np.ndarray
    """(tp, 2) labels: of the true instance, of the predicted one."""
    ious: np.ndarray
    """(tp,) IoU of each pair."""


class PanopticQuality(NamedTuple):
    """Panoptic quality and its two factors: ``pq = sq * rq``."""

    pq: float
    sq: float
    rq: float


def iou_matrix(truth: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """Return the IoU of every true with every predicted instance.

    All overlaps are counted in one pass over the pixels, however many instances there are.

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps.

    Returns
    -------
    numpy.ndarray of float, shape (n_truth, n_prediction)
        Rows and columns in ascending order of the labels.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is no label map.

    Examples
    --------
    >>> iou_matrix([[1, 1, 2, 2]], [[5, 5, 5, 0]]).round(2)
    array([[0.67],
           [0.25]])
    """
    counts, _, _ = _overlaps(truth, prediction)
    return _ious(counts)


def match(truth: ArrayLike, prediction: ArrayLike, threshold: float = 0.5) -> Matches:
    """Pair true and predicted instances whose IoU is above a threshold, one to one.

    From an IoU of 0.5 on an instance can have only one partner. Below that, the assignment with
    the most pairs is taken, and among those the one with the largest sum of IoU.

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps.
    threshold : float
        A pair needs an IoU strictly above it; 0 <= threshold < 1.

    Returns
    -------
    Matches
        Counts of pairs, extra and missed instances; labels and IoU of the pairs.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no label map, or the threshold is out of range.

    References
    ----------
    H. W. Kuhn, "The Hungarian method for the assignment problem", 1955.

    Examples
    --------
    >>> found = match([[1, 1, 0, 2, 2]], [[7, 7, 0, 0, 0]])
    >>> found.tp, found.fp, found.fn, found.pairs.tolist()
    (1, 0, 1, [[1, 7]])
    """
    counts, true_labels, predicted_labels = _overlaps(truth, prediction)
    ious = _ious(counts)
    rows, columns = _assign(ious, threshold)
    tp = len(rows)
    pairs = np.stack([true_labels[rows], predicted_labels[columns]], axis=1)
    return Matches(tp, ious.shape[1] - tp, ious.shape[0] - tp, pairs, ious[rows, columns])


def average_precision(
    truth: ArrayLike, prediction: ArrayLike, thresholds: ArrayLike = THRESHOLDS
) -> np.ndarray:
    """Return the "average precision" of the 2018 Data Science Bowl, TP / (TP + FP + FN), per IoU.

    This is not the area under a precision-recall curve, for which the same name is used
    elsewhere: there is no ranking by score in it. Its mean over `THRESHOLDS` is an image's score
    in the competition, the mean over images the team's. (StarDist's published tables sum TP, FP
    and FN over all images first, which gives crowded images more weight.)

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps of one image.
    thresholds : array_like of float
        IoU a pair has to exceed.

    Returns
    -------
    numpy.ndarray of float, shape (n_thresholds,)
        Between 0 and 1; 1 when both maps are empty.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no label map, or a threshold is out of range.

    References
    ----------
    J. C. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science
    Bowl", Nature Methods 16, 2019.

    Examples
    --------
    >>> average_precision([[1, 1, 1, 0, 2]], [[1, 1, 0, 0, 2]], [0.5, 0.8]).round(3)
    array([1.   , 0.333])
    """
    ious = iou_matrix(truth, prediction)
    tps = [len(_assign(ious, threshold)[0]) for threshold in np.atleast_1d(thresholds)]
    tp = np.array(tps, dtype=float)
    found_or_there = sum(ious.shape) - tp
    return np.divide(tp, found_or_there, out=np.ones_like(tp), where=found_or_there > 0)


def panoptic_quality(
    truth: ArrayLike, prediction: ArrayLike, threshold: float = 0.5
) -> PanopticQuality:
    """Return panoptic quality: how well matched instances fit, times how many are matched.

    ``sq`` is the mean IoU of the matched pairs, ``rq`` the F1 score TP / (TP + FP/2 + FN/2).

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps of one image.
    threshold : float
        IoU a pair has to exceed.

    Returns
    -------
    PanopticQuality
        ``pq``, ``sq``, ``rq``: all 1 when both maps are empty, all 0 without a matched pair.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no label map, or the threshold is out of range.

    References
    ----------
    A. Kirillov et al., "Panoptic segmentation", CVPR 2019, equations 1 and 2.

    Examples
    --------
    >>> panoptic_quality([[1, 1, 1, 1, 0, 2]], [[1, 1, 1, 0, 0, 0]])
    PanopticQuality(pq=0.5, sq=0.75, rq=0.6666666666666666)
    """
    found = match(truth, prediction, threshold)
    if found.tp + found.fp + found.fn == 0:
        return PanopticQuality(1.0, 1.0, 1.0)
    if found.tp == 0:
        return PanopticQuality(0.0, 0.0, 0.0)
    sq = float(found.ious.mean())
    rq = found.tp / (found.tp + found.fp / 2 + found.fn / 2)
    return PanopticQuality(sq * rq, sq, rq)


def errors_by_kind(truth: ArrayLike, prediction: ArrayLike, share: float = 0.5) -> dict[str, int]:
    """Count split, merged, missed and extra instances.

    A true and a predicted instance *belong together* when they share more than `share` of the
    area of the smaller of the two. Then

    - a **split** is a true instance with two or more predicted ones,
    - a **merge** is a predicted instance with two or more true ones,
    - a **miss** is a true instance with none,
    - an **extra** is a predicted instance with none.

    A single partner with a bad outline is no error of these four kinds: that shows in
    `average_precision`.

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps of one image.
    share : float
        Part of the smaller instance that has to lie in the other, 0 <= share < 1.

    Returns
    -------
    dict of str to int
        ``splits``, ``merges``, ``misses``, ``extras``.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no label map, or `share` is out of range.

    Examples
    --------
    >>> errors_by_kind([[1, 1, 1, 1, 0, 2, 3]], [[1, 1, 2, 2, 0, 3, 3]])
    {'splits': 1, 'merges': 1, 'misses': 0, 'extras': 0}
    """
    within_unit("share", share)
    counts, _, _ = _overlaps(truth, prediction)
    smaller = np.minimum(counts.sum(1)[1:, None], counts.sum(0)[None, 1:])
    together = counts[1:, 1:] > share * smaller
    partners_of_true, partners_of_predicted = together.sum(1), together.sum(0)
    return {
        "splits": int((partners_of_true > 1).sum()),
        "merges": int((partners_of_predicted > 1).sum()),
        "misses": int((partners_of_true == 0).sum()),
        "extras": int((partners_of_predicted == 0).sum()),
    }


def count_error(truth: ArrayLike, prediction: ArrayLike) -> int:
    """Return how many instances too many (positive) or too few (negative) were predicted.

    Parameters
    ----------
    truth, prediction : array_like of int, the same shape
        Label maps of one image.

    Returns
    -------
    int
        Predicted minus true count.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is no label map.

    Examples
    --------
    >>> count_error([[1, 0, 2, 0, 3]], [[1, 1, 1, 0, 3]])
    -1
    """
    counts, _, _ = _overlaps(truth, prediction)
    return counts.shape[1] - counts.shape[0]


def _label_map(array: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise ParameterError(
            f"{name} must be a label map of integers, found {array.dtype}: number the objects of a "
            "mask first, for example with skimage.measure.label"
        )
    if array.size and array.min() < 0:
        raise ParameterError(
            f"{name} must hold 0 for background and positive labels, found {array.min()}: "
            "renumber it, for example with skimage.segmentation.relabel_sequential"
        )
    return array


def _overlaps(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels shared by each pair of labels, row and column 0 the background, and the labels.

    Shapes: (n_truth + 1, n_prediction + 1), (n_truth,), (n_prediction,).
    """
    truth, prediction = _label_map(truth, "truth"), _label_map(prediction, "prediction")
    same_shape(truth, prediction)
    rows, columns = truth.ravel(), prediction.ravel()
    height, width = (int(labels.max(initial=0)) + 1 for labels in (rows, columns))
    if height * width > LARGEST_TABLE:
        true_labels, rows = _renumber(rows)
        predicted_labels, columns = _renumber(columns)
        height, width = len(true_labels), len(predicted_labels)
    else:
        true_labels, predicted_labels = np.arange(height), np.arange(width)
    pairs = np.multiply(rows, width, dtype=np.intp)
    pairs += columns.astype(np.intp, copy=False)
    counts = np.bincount(pairs, minlength=height * width).reshape(height, width)
    used_rows, used_columns = counts.any(axis=1), counts.any(axis=0)
    used_rows[0] = used_columns[0] = True  # the background keeps its place, there or not
    counts = counts[used_rows][:, used_columns]
    return counts, true_labels[used_rows][1:], predicted_labels[used_columns][1:]


def _renumber(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels there are, 0 always first, and each pixel's position among them."""
    found, where = np.unique(np.append(flat, flat.dtype.type(0)), return_inverse=True)
    return found, where[:-1]


def _ious(counts: np.ndarray) -> np.ndarray:
    both = counts[1:, 1:]
    return both / (counts.sum(1)[1:, None] + counts.sum(0)[None, 1:] - both)


def _assign(ious: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pairs above the threshold, one to one."""
    within_unit("the IoU threshold", threshold)
    above = ious > threshold
    if threshold >= 0.5 or not above.any():
        return np.nonzero(above)
    from scipy.optimize import linear_sum_assignment

    # A pair above the threshold outweighs any gain in IoU, whose sum is at most min(shape).
    gain = above * (1 + ious / (1 + min(ious.shape)))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    kept = above[rows, columns]
    return rows[kept], columns[kept]
