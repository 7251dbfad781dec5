"""Splits by group (patient, subject, mosaic): reproducible, stratified, checked to be disjoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from .errors import DataError, ParameterError
from .paths import atomic_write

PARTS = {"train": 0.6, "validation": 0.2, "test": 0.2}
PATIENT_PARTS = {"train": 0.52, "validation": 0.15, "test": 0.33}
SPLIT_FILE = "patients.csv"


def by_group(
    table: pd.DataFrame,
    fractions: Mapping[str, float] = PARTS,
    *,
    seed: int,
    group: str = "group",
    stratify: str | None = None,
) -> pd.Series:
    """Assign every case to a part so that no group is in two parts.

    Parameters
    ----------
    table : DataFrame
        One row a case.
    fractions : mapping of str to float
        The parts and their shares of the cases; they add up to 1.
    seed : int
    group, stratify : str
        Columns. A group counts in the stratum of its first case.

    Returns
    -------
    Series of str, index as ``table``

    Raises
    ------
    ParameterError
        The fractions do not add up to 1.

    Notes
    -----
    Within each stratum the groups are shuffled, the large ones come first, and each goes to the
    part that is furthest below its share: no part misses its share by more than one group in a
    stratum.

    Examples
    --------
    >>> table = pd.DataFrame({"group": ["a", "a", "b", "c"]})
    >>> by_group(table, {"train": 0.5, "test": 0.5}, seed=0).tolist()
    ['train', 'train', 'test', 'test']
    """
    if not np.isclose(sum(fractions.values()), 1):
        raise ParameterError(f"the fractions must add up to 1, found {dict(fractions)}: mend them")
    strata = table[stratify] if stratify else pd.Series("all", index=table.index)
    first = table.assign(_stratum=strata).groupby(group, sort=True)["_stratum"].first()
    size = table.groupby(group, sort=True).size()
    rng = np.random.default_rng(seed)
    part_of: dict = {}
    for _, groups in first.groupby(first, sort=True):
        part_of |= _deal(size[groups.index], fractions, rng)
    return table[group].map(part_of).rename("part")


def patients(table: pd.DataFrame, seed: int) -> pd.Series:
    """Assign every slice to the part of its patient; lessons 1 and 2 both call it.

    Parameters
    ----------
    table : DataFrame
        One row a slice, with a column ``patient``.
    seed : int
        Table and seed alone decide: whoever calls it with the same two gets the same parts.

    Returns
    -------
    Series of str, index as ``table``
        The parts of `PATIENT_PARTS`.

    Raises
    ------
    DataError
        Fewer patients than parts.

    Notes
    -----
    The patients come in a random order, and each goes to the part that lacks the largest share of
    its slices.

    Examples
    --------
    >>> table = pd.DataFrame({"patient": ["a", "a", "b", "c"]})
    >>> sorted(patients(table, 0).unique())
    ['test', 'train', 'validation']
    """
    _enough(table, len(PATIENT_PARTS))
    part_of = _deal_at_random(_slices(table), PATIENT_PARTS, np.random.default_rng(seed))
    return table["patient"].map(part_of).rename("part")


def rounds(table: pd.DataFrame, seed: int, count: int = 1) -> list[pd.Series]:
    """Split the slices by patient ``count`` times, so that each patient is tested exactly once.

    Parameters
    ----------
    table : DataFrame
        One row a slice, with a column ``patient``.
    seed : int
        Table, seed and count alone decide.
    count : int
        1: the one split of `patients`, which tests about a third. More: as many splits, each of
        which tests about one in ``count``; of the others the share that `PATIENT_PARTS` names is
        for validation. For a set of so few patients that a third of them says little.

    Returns
    -------
    list of Series of str, index as ``table``
        The parts of `PATIENT_PARTS`, a Series a round.

    Raises
    ------
    DataError
        Fewer patients than parts or rounds.

    Examples
    --------
    >>> table = pd.DataFrame({"patient": list("abcdef")})
    >>> [table.patient[part == "test"].tolist() for part in rounds(table, 0, 3)]
    [['d', 'e'], ['a', 'c'], ['b', 'f']]
    """
    if count == 1:
        return [patients(table, seed)]
    _enough(table, max(count, len(PATIENT_PARTS)))
    slices = _slices(table)
    folds = dict.fromkeys(range(count), 1 / count)
    fold_of = _deal_at_random(slices, folds, np.random.default_rng(seed))
    held_out = PATIENT_PARTS["validation"] / (1 - 1 / count)
    shares = {"train": 1 - held_out, "validation": held_out}
    found = []
    for fold in range(count):
        others = slices[[name for name in slices.index if fold_of[name] != fold]]
        part_of = dict.fromkeys(slices.index, "test")
        part_of |= _deal_at_random(others, shares, np.random.default_rng([seed, fold]))
        found.append(table["patient"].map(part_of).rename("part"))
    return found


def some_patients(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return the rows of at most ``count`` patients, drawn by chance; the index starts anew.

    Examples
    --------
    >>> some_patients(pd.DataFrame({"patient": ["a", "a", "b", "c"]}), 2, seed=0).patient.nunique()
    2
    """
    names = np.unique(table["patient"])
    if len(names) <= count:
        return table
    kept = np.random.default_rng([seed, count]).choice(names, count, replace=False)
    return table[table["patient"].isin(kept)].reset_index(drop=True)


def _enough(table: pd.DataFrame, needed: int) -> None:
    count = table["patient"].nunique()
    if count < needed:
        raise DataError(
            f"expected at least {needed} patients, one a part, found {count}: "
            "add patients to the folder"
        )


def _slices(table: pd.DataFrame) -> pd.Series:
    """Return how many slices each patient has, in the order of their names."""
    return table["patient"].value_counts().sort_index()


def _deal_at_random(size: pd.Series, shares: Mapping, rng: np.random.Generator) -> dict:
    """Deal groups in a random order, each to the part that lacks the largest share of its cases."""
    lacking = dict.fromkeys(shares, 1.0)
    part_of = {}
    for k in rng.permutation(len(size)):
        part = max(lacking, key=lacking.get)
        part_of[size.index[k]] = part
        lacking[part] -= size.iloc[k] / (shares[part] * size.sum())
    return part_of


def save(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write the split as a file with the columns patient and part, one row a patient.

    Parameters
    ----------
    table : DataFrame
        One row a slice, with the columns ``patient`` and ``part``.
    path : path-like
        Written whole or not at all.

    Raises
    ------
    DataError
        A patient lies in two parts.
    """
    check_disjoint(table, group="patient")
    rows = table[["patient", "part"]].drop_duplicates().sort_values("patient")
    atomic_write(path, rows.to_csv(index=False, lineterminator="\n"))


def load(table: pd.DataFrame, path: str | os.PathLike) -> pd.Series:
    """Read a split that `save` wrote, or one edited by hand, and give each slice its part.

    Parameters
    ----------
    table : DataFrame
        One row a slice, with a column ``patient``.
    path : path-like

    Returns
    -------
    Series of str, index as ``table``

    Raises
    ------
    DataError
        The file is not there or not such a table, a patient lies in two parts or has none, or a
        part has an unknown name or no patient; the line names the first.
    """
    rows = _split_rows(Path(path))
    check_disjoint(rows, group="patient", where=f" of {path}")
    unknown = sorted(set(rows["part"]) - set(PATIENT_PARTS))
    if unknown:
        raise DataError(
            f"expected the parts {', '.join(PATIENT_PARTS)} in {path}, found {unknown[0]!r}: "
            "mend the file"
        )
    part_of = dict(zip(rows["patient"], rows["part"]))
    part = table["patient"].map(part_of).rename("part")
    lacking = sorted(table["patient"][part.isna()].unique())
    if lacking:
        raise DataError(
            f"expected a part for every patient in {path}, found none for {len(lacking)}, the "
            f"first {lacking[0]!r}: add them, or make the split anew"
        )
    empty = [name for name in PATIENT_PARTS if name not in set(part)]
    if empty:
        raise DataError(
            f"expected patients in every part of {path}, found none in {empty[0]!r}: mend it"
        )
    return part


def _split_rows(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except FileNotFoundError as error:
        raise DataError(f"expected a split file at {path}, found none: run lesson 1") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"expected a table with the columns patient and part in {path}, found something else "
            f"({str(error).splitlines()[0]}): make the split anew"
        ) from error
    if list(rows.columns) != ["patient", "part"] or rows.isna().any(axis=None):
        raise DataError(
            f"expected the columns patient and part in {path}, each filled, found "
            f"{', '.join(rows.columns)} with {int(rows.isna().sum().sum())} gaps: mend it"
        )
    return rows


def _deal(size: pd.Series, fractions: Mapping[str, float], rng: np.random.Generator) -> dict:
    """Deal the groups of one stratum, largest first, each to the part that lacks most."""
    shuffled = size.iloc[rng.permutation(len(size))].sort_values(ascending=False, kind="stable")
    lacking = {part: share * size.sum() for part, share in fractions.items()}
    part_of = {}
    for name, cases in shuffled.items():
        part = max(lacking, key=lacking.get)
        part_of[name] = part
        lacking[part] -= cases
    return part_of


def shared_groups(table: pd.DataFrame, part: str = "part", group: str = "group") -> list:
    """Return the groups that lie in more than one part, sorted.

    Examples
    --------
    >>> shared_groups(pd.DataFrame({"group": ["a", "a"], "part": ["train", "test"]}))
    ['a']
    """
    parts = table.groupby(group)[part].nunique()
    return sorted(parts.index[parts > 1])


def check_disjoint(
    table: pd.DataFrame, part: str = "part", group: str = "group", where: str = ""
) -> None:
    """Raise `DataError` when a group lies in two parts; its line names the first, and ``where``."""
    shared = shared_groups(table, part, group)
    if shared:
        raise DataError(
            f"every {group} must lie in one part{where}, found {len(shared)} in several, the first "
            f"{shared[0]!r}: split by {group}"
        )


def mosaic_joints(
    images: Sequence[np.ndarray],
    *,
    min_correlation: float = 0.8,
    max_step: float = 1.3,
    min_contrast: float = 2.0,
) -> list[tuple[int, int, str]]:
    """Find the pairs of images that were neighbours in one mosaic, by their edges.

    Two tiles are neighbours when the last column (row) of one goes on in the first column (row) of
    the other: the two lines correlate, and they differ by no more than neighbouring lines inside
    the tiles do.

    Parameters
    ----------
    images : sequence of ndarray, uint8, (y, x) or (y, x, channel)
    min_correlation : float
        Least Pearson correlation of the two lines.
    max_step : float
        Largest mean difference across the joint, in units of the mean difference of the two lines
        next to it on either side.
    min_contrast : float
        Least standard deviation along a line, in grey levels: an empty edge matches every other
        empty edge and proves nothing.

    Returns
    -------
    list of (int, int, {"right", "below"})
        ``(a, b, "right")``: image ``b`` goes on where image ``a`` ends on the right. Tiles that
        meet only along an empty edge are not found.
    """
    shapes = [np.shape(image)[:2] for image in images]
    joints = []
    for shape in dict.fromkeys(shapes):
        members = [k for k, other in enumerate(shapes) if other == shape]
        grey = [np.asarray(images[k], np.float32).reshape(*shape, -1).mean(-1) for k in members]
        for side, tiles in (("right", grey), ("below", [tile.T for tile in grey])):
            joined = _joined(*_facing(tiles), min_correlation, max_step, min_contrast)
            joints += [(members[a], members[b], side) for a, b in zip(*np.nonzero(joined))]
    return joints


def mosaic_groups(images: Sequence[np.ndarray], **limits: float) -> np.ndarray:
    """Number the mosaics: neighbours, and neighbours of neighbours, are one group.

    Parameters
    ----------
    images : sequence of ndarray, uint8, (y, x) or (y, x, channel)
    **limits : float
        As for `mosaic_joints`.

    Returns
    -------
    ndarray of int, shape (images,)
        A number a mosaic, counted in order of first appearance; a lone image has its own.

    Examples
    --------
    >>> scene = np.random.default_rng(0).normal(100, 30, (8, 2)).repeat(8, 1).cumsum(1)
    >>> mosaic_groups([scene[:, :8], np.zeros((8, 8)), scene[:, 8:]]).tolist()
    [0, 1, 0]
    """
    joints = mosaic_joints(images, **limits)
    a, b = ([joint[side] for joint in joints] for side in (0, 1))
    neighbours = sparse.coo_array((np.ones(len(joints)), (a, b)), shape=(len(images),) * 2)
    return sparse.csgraph.connected_components(neighbours, directed=False)[1]


def _facing(tiles: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the last, last but one, first and second column of each tile, each (tile, y)."""
    return tuple(np.stack([tile[:, k] for tile in tiles]) for k in (-1, -2, 0, 1))


def _joined(last, before, first, second, min_correlation, max_step, min_contrast) -> np.ndarray:
    """Return (a, b) bool: does tile ``b`` go on where tile ``a`` ends?"""
    across = np.abs(last[:, None] - first[None]).mean(-1)
    inside = (np.abs(last - before).mean(-1)[:, None] + np.abs(first - second).mean(-1)[None]) / 2
    contrast = np.minimum(last.std(-1)[:, None], first.std(-1)[None])
    ends, starts = (line - line.mean(-1, keepdims=True) for line in (last, first))
    norm = np.linalg.norm(ends, axis=-1)[:, None] * np.linalg.norm(starts, axis=-1)[None]
    correlation = (ends @ starts.T) / np.maximum(norm, 1e-6)
    joined = (correlation >= min_correlation) & (across <= max_step * inside)
    joined &= contrast >= min_contrast
    np.fill_diagonal(joined, False)
    return joined
