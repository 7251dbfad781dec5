"""How good a segmentation is: masks, instances, counts, and how sure one can be of a mean.

A *mask* is a boolean array of any shape. A *label map* (instance map) is an integer array, 0 for
background and one positive number an instance, with axes (y, x) or (z, y, x); its numbers need not
follow each other. The truth always comes first, the prediction second.

The rule for empty cases is one for all scores: **nothing there and nothing predicted scores 1**;
when only one of the two is empty the score is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import ParameterError

THRESHOLDS = np.arange(50, 100, 5) / 100
"""IoU thresholds of the 2018 Data Science Bowl: 0.50, 0.55, ... 0.95."""

LARGEST_TABLE = 2**22
"""Cells of an overlap table up to which labels are used as positions, without renumbering."""


# -- masks -----------------------------------------------------------------------------------------


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
    truth, prediction = _masks(truth, prediction)
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
    truth, prediction = _masks(truth, prediction)
    union = np.count_nonzero(truth | prediction)
    return float(np.count_nonzero(truth & prediction) / union) if union else 1.0


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
    truth, prediction = _masks(truth, prediction)
    return float(np.mean(truth == prediction)) if truth.size else 1.0


# -- instances -------------------------------------------------------------------------------------


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
    _within_unit("share", share)
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


# -- how sure --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """A statistic with its confidence interval.

    Attributes
    ----------
    value, low, high : float
        The statistic and the ends of its interval; the ends are NaN where nothing can be said
        (a single group).
    n : int
        Number of cases.
    groups : int
        Number of independent groups (patients, mosaics) the cases come from: what the width of
        the interval depends on.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int = 0

    def __str__(self) -> str:
        """Return the value with its interval in brackets, three decimals each."""
        if np.isnan(self.low):
            return f"{self.value:.3f} (no interval)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def asdict(self) -> dict[str, float | int | None]:
        """Return value, low, high and n as ``metrics.json`` holds them; None for what is NaN.

        Examples
        --------
        >>> Interval(0.5, 0.4, 0.6, n=12, groups=7).asdict()
        {'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 12}
        """
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if np.isnan(v) else float(v) for k, v in numbers.items()} | {"n": self.n}


def bootstrap(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    statistic: Callable[[np.ndarray], float] = np.mean,
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a statistic of per-case values with a bootstrap interval over groups.

    Cases of one patient or one mosaic resemble each other, so whole groups are drawn with
    replacement, never single cases. The interval lies between two percentiles of the resampled
    statistic. They are moved outwards as Student's t asks for the number of groups, because
    plain 2.5 % and 97.5 % percentiles are too narrow for a few groups (Hesterberg's "expanded
    percentile" interval); for many groups the two are the same.

    Parameters
    ----------
    values : array_like of float, shape (n_cases,)
        One number a case.
    groups : array_like, shape (n_cases,), optional
        The group of each case; without it each case is its own.
    statistic : callable
        From an array of values to a number; `numpy.mean` takes a fast path.
    n : int
        Number of resamples.
    level : float
        Confidence, 0.95 for a 95 % interval.
    seed : int
        Seed of the resampling; the same seed gives the same interval.

    Returns
    -------
    Interval
        With ``n`` the number of cases and ``groups`` the number of groups; the ends are NaN when
        there is only one group.

    Raises
    ------
    ParameterError
        When there is no value, one is not finite, or `groups` does not fit `values`.

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69,
    2015.

    Examples
    --------
    >>> print(bootstrap([0.7, 0.8, 0.9, 0.6, 0.75, 0.85], groups=[1, 1, 2, 3, 4, 5]))
    0.767 (0.648 to 0.890)
    """
    values, codes = _values_and_codes(values, groups)
    _within_unit("level", level)
    sizes = np.bincount(codes)
    value = float(statistic(values))
    if len(sizes) < 2:
        return Interval(value, np.nan, np.nan, len(values), len(sizes))
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=n)
    if statistic is np.mean:
        resampled = (times @ np.bincount(codes, weights=values)) / (times @ sizes)
    else:
        resampled = [statistic(np.repeat(values, drawn[codes])) for drawn in times]
    low, high = np.quantile(resampled, _expanded_quantiles(len(sizes), level))
    return Interval(value, float(low), float(high), len(values), len(sizes))


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike | None = None,
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean of ``a - b`` with a bootstrap interval over groups.

    Both methods are scored on the same cases, so what makes a case hard for both cancels out:
    the interval is narrower than the two single intervals make one think. ``a`` is better when
    the whole interval lies above zero.

    Parameters
    ----------
    a, b : array_like of float, shape (n_cases,)
        Scores of two methods, in the same order of cases.
    groups, n, level, seed
        As for `bootstrap`.

    Returns
    -------
    Interval
        Of the mean difference.

    Raises
    ------
    ParameterError
        When the shapes differ, there is no value, one is not finite, or `groups` does not fit.

    Examples
    --------
    >>> print(paired_bootstrap([0.7, 0.9, 0.8], [0.6, 0.7, 0.8]))
    0.100 (0.000 to 0.200)
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise ParameterError(
            f"paired scores need one number a case from each method, found shapes {a.shape} and "
            f"{b.shape}: score both methods on the same cases"
        )
    return bootstrap(a - b, groups, n=n, level=level, seed=seed)


# -- inside ----------------------------------------------------------------------------------------


def _masks(truth: ArrayLike, prediction: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    _same_shape(truth, prediction)
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


def _same_shape(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.shape != prediction.shape:
        raise ParameterError(
            f"truth and prediction must have one shape, found {truth.shape} and "
            f"{prediction.shape}: bring the prediction back to the size of the truth"
        )


def _within_unit(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ParameterError(f"{name} must be at least 0 and below 1, found {value}: give a share")


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
    _same_shape(truth, prediction)
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
    _within_unit("the IoU threshold", threshold)
    above = ious > threshold
    if threshold >= 0.5 or not above.any():
        return np.nonzero(above)
    from scipy.optimize import linear_sum_assignment

    # A pair above the threshold outweighs any gain in IoU, whose sum is at most min(shape).
    gain = above * (1 + ious / (1 + min(ious.shape)))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    kept = above[rows, columns]
    return rows[kept], columns[kept]


def _values_and_codes(values: ArrayLike, groups: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the number 0, 1, ... of each value's group, both checked."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ParameterError(
            f"a bootstrap needs one finite number a case, found shape {values.shape} with "
            f"{np.count_nonzero(~np.isfinite(values))} not finite: drop or score the empty cases"
        )
    if groups is None:
        return values, np.arange(len(values))
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    if codes.shape != values.shape:
        raise ParameterError(
            f"groups must name one group a case, found {codes.shape} groups for {values.shape} "
            "values: take both from the same table"
        )
    return values, codes


def _expanded_quantiles(n_groups: int, level: float) -> tuple[float, float]:
    """Return the two quantiles, moved outwards for few groups (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    t = stdtrit(n_groups - 1, (1 - level) / 2)
    lower = float(ndtr(t * np.sqrt(n_groups / (n_groups - 1))))
    return lower, 1 - lower
