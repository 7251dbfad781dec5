"""How sure one can be of a mean: bootstrap intervals over groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .masks import within_unit


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
        return format(self)

    def __format__(self, spec: str) -> str:
        """Return the value with its interval, each number in the given format (three decimals).

        Examples
        --------
        >>> f"{Interval(0.0021, 0.0002, 0.004, n=7):.4f}"
        '0.0021 (0.0002 to 0.0040)'
        """
        spec = spec or ".3f"
        if np.isnan(self.low):
            return f"{self.value:{spec}} (no interval)"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

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
    values, codes = values_and_codes(values, groups)
    within_unit("level", level)
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
    low, high = np.quantile(resampled, expanded_quantiles(len(sizes), level))
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


def values_and_codes(values: ArrayLike, groups: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
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


def expanded_quantiles(n_groups: int, level: float) -> tuple[float, float]:
    """Return the two quantiles, moved outwards for few groups (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    t = stdtrit(n_groups - 1, (1 - level) / 2)
    lower = float(ndtr(t * np.sqrt(n_groups / (n_groups - 1))))
    return lower, 1 - lower
