"""The offline twin of MosMedData's parts CT-0 and CT-23: chest phantoms in Hounsfield units.

Layout and format are those of the tutorial's copy: ``MosMedData/CT-0/study_0001.nii.gz`` and
``MosMedData/CT-23/study_0939.nii.gz``, int16 NIfTI with axes (x, y, slice), slices far apart, HU
reached through the scale factors of the header. Each chest has a body with fat and muscle, two
lungs above domed diaphragms, a heart, an aorta, airways, branching vessels, a spine, ribs and a
table below.

Ground-glass opacities stand in the scans of CT-23 only, in patches. About half of the scans of
either class have a haze besides: a smooth gradient of blood and unexpanded lung at the back and at
the base, as after breathing out, drawn without looking at the class. Its densities are in the same
range and each voxel has the noise of a thin slice at a low dose, so the amount of dense lung, which
a histogram sees, says less than its form. Slice count, spacing, orientation and storage are drawn
without looking at the class as well.

The volumes are drawn: they show no patient. HU of tissues: W. A. Kalender, "Computed Tomography",
3rd edition, 2011, chapter 1.
"""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from ..errors import ParameterError
from .chest_drawing import Chest, draw_chest

VERSION = 4
DEFAULT_CASES = 120
FEWEST = 10
PIXELS = 128
CLASSES = {"CT-0": 1, "CT-23": 939}  # folder: number of its first study
INTERCEPT = -1024


@dataclass(frozen=True)
class Scan:
    """How a chest was scanned and stored.

    ``pixel`` and ``step`` are in mm, ``codes`` says where the array's axes lead, ``noise`` is a
    standard deviation in HU, ``blur`` that of a Gaussian in pixels, ``shift`` the breathing motion
    in slices; ``scaled`` says whether HU are stored with the intercept -1024.
    """

    pixel: float
    step: float
    slices: int
    codes: str
    noise: float
    blur: float
    shift: float
    scaled: bool


def write(folder: Path, seed: int, cases: int | None = None) -> dict:
    """Fill an empty folder with scans, half of them normal.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder.
    seed : int
        The same seed gives the same files, byte for byte.
    cases : int, optional
        Number of scans, at least ``FEWEST``; of an odd number one more is normal.

    Returns
    -------
    dict
        What the twin's stamp says besides name and seed.

    Raises
    ------
    ParameterError
        For fewer cases than ``FEWEST``.
    """
    cases = DEFAULT_CASES if cases is None else cases
    if not isinstance(cases, int) or cases < FEWEST:
        raise ParameterError(
            f"the chest twin needs at least {FEWEST} cases to split them, found {cases!r}: "
            f"ask for {FEWEST} or more"
        )
    plan = []
    for label, (name, first) in enumerate(CLASSES.items()):
        (folder / "MosMedData" / name).mkdir(parents=True)
        numbers = range((cases + 1 - label) // 2)
        plan += [(label, k, folder / "MosMedData" / name / f"study_{first + k:04}.nii.gz")
                 for k in numbers]  # fmt: skip
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda one: _write_scan(seed, *one), plan))
    return {"cases": cases, "pixels": PIXELS}


def _write_scan(seed: int, label: int, number: int, path: Path) -> None:
    volume, scan = draw(seed, label, number)
    save(path, volume, scan)


def draw(seed: int, label: int, number: int) -> tuple[np.ndarray, Scan]:
    """Draw one scan.

    Parameters
    ----------
    seed, number : int
        The scan is a pure function of ``(seed, label, number)``.
    label : {0, 1}
        0 normal, 1 with ground-glass opacities.

    Returns
    -------
    ndarray, int16, (x, y, z)
        HU; x leads to the patient's left, y to the back, z to the head.
    Scan
    """
    # Two generators, so that how a chest is scanned cannot depend on its class.
    rng = np.random.default_rng([seed, label, number])
    scan = draw_scan(np.random.default_rng([seed, 2, label, number]))
    shape = (PIXELS, PIXELS, scan.slices)
    volume = draw_chest(rng, Chest.draw(rng, label), shape, (scan.pixel, scan.pixel, scan.step))
    return _image(rng, volume, scan), scan


def draw_scan(rng: np.random.Generator) -> Scan:
    """Draw how a chest is scanned and stored."""
    field = rng.uniform(350, 400)
    step = float(rng.choice([7.0, 8.0, 8.0, 8.0, 10.0]))
    return Scan(
        pixel=round(field / PIXELS, 4),
        step=step,
        slices=round(rng.uniform(285, 330) / step),
        codes="LPS" if rng.random() < 0.25 else "LAS",
        noise=rng.uniform(40, 120),
        blur=rng.uniform(0.3, 0.7),
        shift=rng.choice([0.0, 0.0, rng.uniform(0.3, 1.0)]),
        scaled=bool(rng.random() < 0.7),
    )


def _image(rng: np.random.Generator, volume: np.ndarray, scan: Scan) -> np.ndarray:
    """Turn a drawn chest into what a scanner shows: motion, blur, noise, whole numbers."""
    if scan.shift:
        moved = ndimage.shift(volume, (0, 0, scan.shift), order=1, mode="nearest")
        volume = (volume + moved) / 2
    noise = rng.standard_normal(volume.shape, np.float32)
    noise = ndimage.uniform_filter1d(ndimage.uniform_filter1d(noise, 2, 0), 2, 1) * 2
    for axis in (0, 1):
        volume = ndimage.gaussian_filter1d(volume, scan.blur, axis)
    return np.clip(np.rint(volume + scan.noise * noise), -1024, 3071).astype(np.int16)


def save(path: Path, volume: np.ndarray, scan: Scan) -> None:
    """Write a scan as NIfTI; the same scan gives the same bytes.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.nii.gz``.
    volume : ndarray, int16, (x, y, z)
        HU; x leads to the patient's left, y to the back, z to the head.
    scan : Scan
    """
    spacing = np.array([scan.pixel, scan.pixel, scan.step])
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(scan.codes)
    )
    centre = (np.array(volume.shape) - 1) / 2 * spacing
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = centre * [1, 1, -1]
    affine = affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
    stored = nib.orientations.apply_orientation(volume, turn)
    image = nib.Nifti1Image(stored - INTERCEPT if scan.scaled else stored, affine)
    image.header.set_xyzt_units("mm")
    if scan.scaled:
        image.header.set_slope_inter(1, INTERCEPT)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        packed.write(_nifti_bytes(image, scan.scaled))


def _nifti_bytes(image: nib.Nifti1Image, scaled: bool) -> bytes:
    """Return header and voxels as they are: nibabel's own writer would choose the scale again."""
    header = image.header.copy()
    header["vox_offset"], header["magic"] = 352, b"n+1"
    if not scaled:
        header["scl_slope"], header["scl_inter"] = 0, 0
    voxels = np.asarray(image.dataobj).astype("<i2")
    return header.binaryblock + bytes(4) + voxels.tobytes("F")
