"""How far apart two outlines are, in pixels of a plane: a mask's share of pixels hides it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .masks import checked_masks


def boundary(mask: ArrayLike) -> np.ndarray:
    """Return the pixels of a mask that have a neighbour (of four) outside it, (y, x).

    What lies beyond the image counts as outside, so that a lesion cut by the edge has an outline.

    Examples
    --------
    >>> int(boundary(np.ones((3, 3), bool)).sum())
    8
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ParameterError(
            f"an outline needs a mask with axes (y, x), found shape {mask.shape}: take one image"
        )
    inside = np.pad(mask, 1)
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return mask & ~core


def boundary_distance(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the mean distance between two outlines, both ways, in pixels.

    The mean over all pixels of both outlines of the distance to the nearest pixel of the other
    ("average symmetric surface distance").

    Parameters
    ----------
    truth, prediction : array_like of bool, (y, x)

    Returns
    -------
    float
        0 for the same mask (or two empty ones); when only one is empty, the image's diagonal, so
        that a mean over images stays finite.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is no mask with axes (y, x).

    Examples
    --------
    >>> a = np.zeros((9, 9), bool)
    >>> a[4, 4] = True
    >>> boundary_distance(a, np.roll(a, 3, axis=1))
    3.0
    """
    there, here = _distances(truth, prediction)
    if there is None:
        return here
    return float(np.concatenate([there, here]).mean())


def boundary_f1(truth: ArrayLike, prediction: ArrayLike, tolerance: float = 2.0) -> float:
    """Return the F1 score of two outlines: hits are pixels with the other outline near by.

    Parameters
    ----------
    truth, prediction : array_like of bool, (y, x)
    tolerance : float
        Largest distance of a hit, pixels.

    Returns
    -------
    float
        1 for the same mask (or two empty ones), 0 when only one is empty.

    Raises
    ------
    ParameterError
        When the shapes differ, or an array is no mask with axes (y, x).

    References
    ----------
    G. Csurka, D. Larlus, F. Perronnin, "What is a good evaluation measure for semantic
    segmentation?", BMVC 2013.

    Examples
    --------
    >>> a = np.zeros((9, 9), bool)
    >>> a[4, 4] = True
    >>> boundary_f1(a, np.roll(a, 2, axis=1)), boundary_f1(a, np.roll(a, 3, axis=1))
    (1.0, 0.0)
    """
    there, here = _distances(truth, prediction)
    if there is None:
        return float(here == 0)
    recall, precision = np.mean(there <= tolerance), np.mean(here <= tolerance)
    return float(2 * recall * precision / (recall + precision)) if recall + precision else 0.0


def _distances(truth: ArrayLike, prediction: ArrayLike):
    """Return each outline pixel's distance to the other outline: of the truth, of the prediction.

    Where one of the masks is empty: None, and 0 or the diagonal.
    """
    from scipy.ndimage import distance_transform_edt

    truth, prediction = checked_masks(truth, prediction)
    edges = boundary(truth), boundary(prediction)
    if not (edges[0].any() and edges[1].any()):
        return None, 0.0 if not (edges[0].any() or edges[1].any()) else float(
            np.hypot(*truth.shape)
        )
    return tuple(distance_transform_edt(~other)[edge] for edge, other in (edges, edges[::-1]))
