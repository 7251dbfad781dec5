"""Folders to tables of cases: the only module that knows layouts and what the labels mean.

``locate`` finds (or makes, or downloads) the folder of a dataset, ``index`` turns the folder into a
table with one row a case, the readers turn a row into arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .. import downloads, manifests, paths, samples
from ..errors import DataError
from . import isic, lgg, mosmed, nuclei, oasis
from .files import read_image
from .isic import read_lesion, read_mask
from .lgg import missing_sequence, read_patients, read_slice
from .mosmed import read_ct
from .nuclei import KINDS, nuclei_kind, read_instances, read_nuclei

# folder -> table: one reader a manifest
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "bbbc038": nuclei.index,
    "dsb2018_fixes": nuclei.index,
    "mosmed": mosmed.index,
    "isic2017": isic.index,
    "isic2018": isic.index,
    "lgg_mri": lgg.index,
    "malf": oasis.index_malf,
    "oasis1_disc1": oasis.index_disc1,
}


def locate(name: str, profile: str, data_dir: str | os.PathLike = "", seed: int = 0) -> Path:
    """Return the folder of a dataset in its publisher's layout.

    Parameters
    ----------
    name : str
        Name of a manifest, such as ``"bbbc038"``.
    profile : {"sample", "cpu", "gpu"}
        ``sample`` writes the offline twin (once) and returns it. The others look for the real
        dataset in ``data_dir``, else ``COURSE_DATA``, and download it where it is not there.
    data_dir : path-like
        Folder that already holds datasets; empty: see `paths.data_root`.
    seed : int
        Seed of the twin.

    Raises
    ------
    DataError
        The folder named by ``data_dir`` does not exist.
    DownloadError
        The dataset is not there and cannot be fetched.
    """
    if profile == "sample":
        return samples.make(name, seed=seed)
    root = paths.data_root(data_dir)
    if data_dir and not root.is_dir():
        raise DataError(f"expected a folder at DATA_DIR, found none at {root}: mend DATA_DIR")
    return downloads.find(name, root) or downloads.get(name, root)


def describe(name: str, folder: Path, cases: int) -> dict:
    """Return the ``data`` entry of ``metrics.json``: name, source, cases, release_cases."""
    manifest = manifests.load(name)
    twin = samples.stamp(folder) is not None
    source = "generated (offline twin)" if twin else manifest.title
    release = cases if twin else manifest.cases.release
    return {"name": name, "source": source, "cases": cases, "release_cases": release}


def cache_folder(name: str, key: str) -> Path:
    """Return where the prepared arrays of a dataset lie; ``key`` is a `generators.fingerprint`."""
    return paths.cache_root() / f"{name}-{key}"


def index(name: str, folder: str | os.PathLike) -> pd.DataFrame:
    """Return the table of a dataset, one row a case, ordered by case.

    Parameters
    ----------
    name : str
        Name of the dataset's manifest.
    folder : path-like
        Its folder, in the publisher's layout; a partial copy works.

    Raises
    ------
    DataError
        The layout is not the one expected, or a case lacks a file; the line names it.
    """
    if name not in READERS:
        raise DataError(f"expected one of {', '.join(READERS)}, found {name!r}: no index knows it")
    return READERS[name](Path(folder))


__all__ = [
    "KINDS",
    "READERS",
    "cache_folder",
    "describe",
    "index",
    "locate",
    "missing_sequence",
    "nuclei_kind",
    "read_ct",
    "read_image",
    "read_instances",
    "read_lesion",
    "read_mask",
    "read_nuclei",
    "read_patients",
    "read_slice",
]
