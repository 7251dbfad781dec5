"""Scores of volumes that come as slices: by patient in 3-D, and slice by slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .masks import same_shape


def slice_scores(truth: Sequence[ArrayLike], prediction: Sequence[ArrayLike]) -> pd.DataFrame:
    """Count each slice's pixels, true, predicted and shared, and score it by itself.

    Parameters
    ----------
    truth, prediction : sequence of array_like of bool, (y, x)
        One mask a slice, in the same order.

    Returns
    -------
    DataFrame, one row a slice
        ``true``, ``predicted``, ``shared`` (pixels); ``dice`` (1 when both are empty); ``extra``,
        the pixels predicted beyond the truth: on a slice without object the false-positive area.

    Raises
    ------
    ParameterError
        When the numbers of slices or their shapes differ.

    Examples
    --------
    >>> slice_scores([[[1, 1]], [[0, 0]]], [[[1, 0]], [[0, 1]]]).extra.tolist()
    [0, 1]
    """
    if len(truth) != len(prediction):
        raise ParameterError(
            f"expected one prediction a slice, found {len(truth)} true and {len(prediction)} "
            "predicted slices: predict the same slices"
        )
    rows = [_counts(one, other) for one, other in zip(truth, prediction, strict=True)]
    table = pd.DataFrame(rows, columns=["true", "predicted", "shared"])
    table["dice"] = _dice(table)
    table["extra"] = table.predicted - table.shared
    return table


def volume_dice(
    truth: Sequence[ArrayLike], prediction: Sequence[ArrayLike], volumes: ArrayLike
) -> pd.Series:
    """Return the Dice of each volume in 3-D: all its slices are one set of voxels.

    Slices without object count through what is predicted in them, and not as 1 each: their number
    does not change the score.

    Parameters
    ----------
    truth, prediction : sequence of array_like of bool, (y, x)
        One mask a slice.
    volumes : array_like, shape (n_slices,)
        The volume (patient, scan) of each slice.

    Returns
    -------
    Series of float, index the volumes in sorted order
        1 for a volume with nothing there and nothing predicted.

    Raises
    ------
    ParameterError
        When the numbers of slices or their shapes differ.

    Examples
    --------
    >>> truth, prediction = [[[1, 1]], [[0, 0]], [[1, 0]]], [[[1, 0]], [[0, 1]], [[1, 0]]]
    >>> volume_dice(truth, prediction, ["a", "a", "b"]).tolist()
    [0.5, 1.0]
    """
    if len(volumes) != len(truth):
        raise ParameterError(
            f"expected the volume of each slice, found {len(volumes)} names for {len(truth)} "
            "slices: take both from the same table"
        )
    counts = slice_scores(truth, prediction)[["true", "predicted", "shared"]]
    return _dice(counts.groupby(np.asarray(volumes)).sum()).rename("dice")


def _counts(truth: ArrayLike, prediction: ArrayLike) -> tuple[int, int, int]:
    truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
    same_shape(truth, prediction)
    shared = np.count_nonzero(truth & prediction)
    return np.count_nonzero(truth), np.count_nonzero(prediction), shared


def _dice(counts: pd.DataFrame) -> pd.Series:
    total = counts.true + counts.predicted
    return (2 * counts.shared / total.where(total > 0, 1)).where(total > 0, 1.0)
