"""Is a doubt worth listening to? The risk of the answers that are kept, against how many are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError


class RiskCoverage(NamedTuple):
    """What is left of the risk when the most doubtful cases are refused, by `risk_coverage`."""

    coverage: np.ndarray
    """(n_cases,) share of the cases kept, 1/n to 1."""
    risk: np.ndarray
    """(n_cases,) mean risk of the cases kept."""
    area: float
    """Mean of `risk` over the coverages: lower is better."""
    best_area: float
    """The same for a doubt that ranks the cases as their risk does: no doubt can be better."""


def risk_coverage(risk: ArrayLike, doubt: ArrayLike) -> RiskCoverage:
    """Order the cases by doubt, the surest first, and return the mean risk of those kept.

    A doubt that says nothing leaves the risk where it is on average; a useful one makes it small
    at low coverage. Cases with the same doubt cannot be told apart: each counts with their mean.

    Parameters
    ----------
    risk : array_like of float, shape (n_cases,)
        What a case costs when its answer is used, such as 1 - Dice.
    doubt : array_like of float, shape (n_cases,)
        Larger means less sure; known without the truth.

    Returns
    -------
    RiskCoverage

    Raises
    ------
    ParameterError
        When the shapes differ, there is no case, or a number is not finite.

    References
    ----------
    Y. Geifman, R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    Examples
    --------
    >>> found = risk_coverage(risk=[0.4, 0.1, 0.1], doubt=[0.9, 0.2, 0.3])
    >>> found.risk.round(2).tolist(), round(found.area, 3)
    ([0.1, 0.1, 0.2], 0.133)
    """
    risk, doubt = np.asarray(risk, dtype=float), np.asarray(doubt, dtype=float)
    if risk.ndim != 1 or risk.shape != doubt.shape or risk.size == 0:
        raise ParameterError(
            f"expected one risk and one doubt a case, found shapes {risk.shape} and {doubt.shape}: "
            "take both from the same cases"
        )
    if not (np.isfinite(risk).all() and np.isfinite(doubt).all()):
        raise ParameterError(
            "expected finite risks and doubts, found NaN or infinity: score the empty cases first"
        )
    kept = _running_mean(risk, doubt)
    coverage = np.arange(1, len(risk) + 1) / len(risk)
    return RiskCoverage(coverage, kept, float(kept.mean()), float(_running_mean(risk, risk).mean()))


def _running_mean(risk: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Return the mean risk of the 1, 2, ... surest cases, ties shared out evenly."""
    _, rank = np.unique(doubt, return_inverse=True)
    tied = np.bincount(rank, weights=risk) / np.bincount(rank)
    return tied[np.sort(rank)].cumsum() / np.arange(1, len(risk) + 1)
