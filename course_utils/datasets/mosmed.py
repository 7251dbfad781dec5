"""MosMedData, the parts CT-0 and CT-23: one NIfTI file a scan, Hounsfield units through its scale.

The tutorial unpacks both archives into a folder ``MosMedData``; a folder that holds ``CT-0`` and
``CT-23`` themselves is read as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import DataError
from .files import check_numbers, decoding, none_in, subfolder

if TYPE_CHECKING:
    import nibabel as nib

CLASSES = {"CT-0": 0, "CT-23": 1}
AIR = -500  # HU; a scan of a body has air around and in it, which is far below
AGAIN = "fetch the file again, or remove it"


def index(folder: Path) -> pd.DataFrame:
    root = folder / "MosMedData" if (folder / "MosMedData").is_dir() else folder
    rows = [_row(path, label) for name, label in CLASSES.items() for path in _files(root, name)]
    table = pd.DataFrame(rows)
    twice = table.case[table.case.duplicated()]
    if len(twice):
        raise DataError(
            f"expected each study in one class, found {twice.iloc[0]} more than once in {root}: "
            "unpack the archives again"
        )
    return table


def _files(root: Path, name: str) -> list[Path]:
    """Return the scans of a class, sorted: the order of a listing differs between machines."""
    folder = subfolder(root, name, "one NIfTI file a scan", "CT-0 and CT-23")
    files = sorted(folder.glob("*.nii")) + sorted(folder.glob("*.nii.gz"))
    if not files:
        raise none_in(folder, "scans (*.nii.gz)")
    return files


def _row(path: Path, label: int) -> dict:
    """Return the row of a scan, from the header alone."""
    image = _open(path)
    x, y, z = (float(mm) for mm in image.header.get_zooms())
    slope, intercept = _scale(image)
    case = path.name.removesuffix(".gz").removesuffix(".nii")
    return {
        "case": case,
        "group": case,  # one study a patient; the release names no patients
        "part": path.parent.name,
        "label": label,
        "in_plane": f"{image.shape[0]} x {image.shape[1]}",
        "slices": image.shape[2],
        "pixel_mm": round((x + y) / 2, 4),
        "slice_mm": round(z, 4),
        "orientation": "".join(_axes(image)),
        "slope": slope,
        "intercept": intercept,
        "file": str(path),
    }


def _open(path: str | os.PathLike) -> nib.Nifti1Image:
    """Open a NIfTI file and check its header."""
    import nibabel as nib

    with decoding(path):
        image = nib.load(path)
        _check(path, image)
    return image


def _check(path: str | os.PathLike, image: nib.Nifti1Image) -> None:
    if len(image.shape) != 3:
        raise DataError(
            f"expected a volume with 3 axes, found {len(image.shape)} "
            f"{tuple(int(n) for n in image.shape)} in {path}: keep one volume a file"
        )
    if image.shape[2] < 2:
        raise DataError(
            f"expected a volume of many slices, found {image.shape[2]} in {path}: "
            "a single slice has no third dimension, remove the file"
        )
    zooms = image.header.get_zooms()
    if not (np.all(np.isfinite(image.affine)) and min(zooms) > 0 and np.isfinite(zooms).all()):
        raise DataError(
            f"expected an affine and a spacing in mm, found {tuple(map(float, zooms))} in {path}: "
            f"without them nobody knows where up is; {AGAIN}"
        )
    if abs(np.linalg.det(image.affine[:3, :3])) < 1e-6:
        raise DataError(
            f"expected an affine that can be inverted, found a flat one in {path}: {AGAIN}"
        )


def _axes(image: nib.Nifti1Image) -> tuple[str, ...]:
    import nibabel as nib

    return nib.aff2axcodes(image.affine)


def read_ct(file: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a CT scan in Hounsfield units.

    Stored numbers are not HU: HU = slope * stored + intercept, with both from the header. A slope
    of 0 or NaN means, by the NIfTI standard, that nothing was scaled, and the numbers are taken as
    they are. As a check that they are HU in either case, there must be air: some numbers below
    -500.

    Parameters
    ----------
    file : path-like
        ``.nii`` or ``.nii.gz``.

    Returns
    -------
    volume : ndarray, int16 or float32, (i, j, k)
        HU, axes as they are stored; int16 where all are whole numbers.
    affine : ndarray of float, (4, 4)
        From (i, j, k, 1) to mm to the patient's right, front and head (RAS+).

    Raises
    ------
    DataError
        The file is missing, damaged or cut short, is no volume of several slices, or does not
        hold HU.

    References
    ----------
    R. W. Cox et al., NIfTI-1 data format, 2003, fields ``scl_slope`` and ``scl_inter``.
    """
    image = _open(file)
    slope, intercept = _scale(image)
    with decoding(file):
        stored = np.asarray(image.dataobj.get_unscaled())
        check_numbers(file, stored)
    volume = _scaled(stored, slope, intercept)
    check_numbers(file, volume)
    if not volume[::4, ::4].min() < AIR:
        low, high = float(volume.min()), float(volume.max())
        scaled = (slope, intercept) != (1, 0)
        how = f"slope {slope:g} and intercept {intercept:g}" if scaled else "no scaling"
        raise DataError(
            f"expected Hounsfield units with air near -1000, found {low:g} to {high:g} with {how} "
            f"in the header of {file}: ask whoever converted the file for slope and intercept"
        )
    return volume, image.affine


def _scale(image: nib.Nifti1Image) -> tuple[float, float]:
    """Return slope and intercept as they stand in the file; (1, 0) where it states none.

    They are taken from where the voxels are read: in the header of an opened image nibabel has
    replaced them by NaN.
    """
    return float(image.dataobj.slope), float(image.dataobj.inter)


def _scaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return slope * stored + intercept, in whole numbers where that loses nothing."""
    whole = stored.dtype.kind in "iu" and slope == 1 and intercept.is_integer()
    if not whole:
        return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if intercept == 0 and stored.dtype == np.int16:
        return stored
    return np.clip(stored.astype(np.int32) + int(intercept), -32768, 32767).astype(np.int16)
