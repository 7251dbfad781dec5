"""Distances between the surfaces of two masks, in mm: average and 95 % Hausdorff.

A surface is the set of voxels of a mask that touch the outside across a face. Distances are taken
from every surface voxel of one mask to the nearest surface voxel of the other, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .masks import checked_masks


def surface_distances(
    truth: ArrayLike, prediction: ArrayLike, spacing: float | Sequence[float] = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each surface voxel to the other mask's surface, both ways.

    Parameters
    ----------
    truth, prediction : array_like of bool, shape (x, y, z) or (y, x)
        Neither is empty.
    spacing : float or one a axis
        Edges of a voxel, mm.

    Returns
    -------
    from_truth, from_prediction : ndarray of float, one number a surface voxel
        Distances in mm.

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no mask or empty, or the spacing does not fit.
    """
    truth, prediction = checked_masks(truth, prediction)
    spacing = _spacing(spacing, truth.ndim)
    if not (truth.any() and prediction.any()):
        raise ParameterError(
            "surfaces need two masks with at least one voxel, found an empty one: "
            "use hd95, which has a rule for it"
        )
    box = _box(truth | prediction)
    surfaces = [_surface(mask[box]) for mask in (truth, prediction)]
    away = [_distance_to(surface, spacing) for surface in surfaces]
    return away[1][surfaces[0]], away[0][surfaces[1]]


def hd95(
    truth: ArrayLike,
    prediction: ArrayLike,
    spacing: float | Sequence[float] = 1.0,
    percentile: float = 95.0,
) -> float:
    """Return the 95 % Hausdorff distance of two masks in mm.

    It is the larger of the two 95th percentiles, truth to prediction and back, as MONAI's
    ``compute_hausdorff_distance(..., percentile=95)`` takes it.

    Parameters
    ----------
    truth, prediction : array_like of bool, shape (x, y, z) or (y, x)
    spacing : float or one a axis
        Edges of a voxel, mm.
    percentile : float
        100 gives the Hausdorff distance itself.

    Returns
    -------
    float
        In mm. Two empty masks agree: 0. When one is empty, nothing is near: the diagonal of the
        volume, the largest distance there could be, so that a missed structure makes a mean worse.
        (MONAI returns nan or inf, and a mean that leaves these out looks better for the miss.)

    Raises
    ------
    ParameterError
        When the shapes differ, an array is no mask, or the spacing does not fit.

    References
    ----------
    D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge, "Comparing images using the Hausdorff
    distance", IEEE TPAMI 15, 1993.

    Examples
    --------
    >>> truth, prediction = np.zeros((2, 9, 9), bool)
    >>> truth[2:5, 2:5], prediction[2:5, 4:7] = True, True
    >>> hd95(truth, prediction, spacing=(1, 3))
    6.0
    >>> round(hd95(truth, np.zeros((9, 9))), 2)
    12.73
    """
    empty = _empty_case(truth, prediction, spacing)
    if empty is not None:
        return empty
    ways = surface_distances(truth, prediction, spacing)
    return float(max(np.percentile(way, percentile) for way in ways))


def average_surface_distance(
    truth: ArrayLike, prediction: ArrayLike, spacing: float | Sequence[float] = 1.0
) -> float:
    """Return the mean distance between two surfaces in mm, both ways pooled (symmetric).

    Parameters
    ----------
    truth, prediction, spacing
        As for `hd95`, and the same rule for empty masks.

    Returns
    -------
    float
        In mm.

    Examples
    --------
    >>> truth, prediction = np.zeros((2, 5, 9), bool)
    >>> truth[2, 2], prediction[2, 5] = True, True
    >>> average_surface_distance(truth, prediction, spacing=2)
    6.0
    """
    empty = _empty_case(truth, prediction, spacing)
    if empty is not None:
        return empty
    return float(np.concatenate(surface_distances(truth, prediction, spacing)).mean())


def _empty_case(
    truth: ArrayLike, prediction: ArrayLike, spacing: float | Sequence[float]
) -> float | None:
    """Return the distance when a mask is empty, None when neither is."""
    truth, prediction = checked_masks(truth, prediction)
    if truth.any() and prediction.any():
        return None
    if truth.any() == prediction.any():
        return 0.0
    return float(np.linalg.norm(np.multiply(_spacing(spacing, truth.ndim), truth.shape)))


def _spacing(spacing: float | Sequence[float], axes: int) -> np.ndarray:
    values = np.broadcast_to(np.asarray(spacing, float), axes) if np.ndim(spacing) == 0 else spacing
    values = np.asarray(values, float)
    if values.shape != (axes,) or not (values > 0).all():
        raise ParameterError(
            f"spacing must be one positive number or {axes}, one a axis, found {spacing}: "
            "take it from the affine, in the order of the array's axes"
        )
    return values


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box around a mask: what lies outside changes no distance."""
    from scipy import ndimage

    return ndimage.find_objects(mask.astype(np.uint8))[0]


def _surface(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(np.pad(mask, 1))[(slice(1, -1),) * mask.ndim]


def _distance_to(surface: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.distance_transform_edt(~surface, sampling=spacing)
