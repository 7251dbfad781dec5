"""LGG MRI Segmentation: a folder a patient, one tif a slice, one mask a slice."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import DataError
from .files import decoding, none_in, open_image, subfolder

SEQUENCES = ("pre-contrast", "FLAIR", "post-contrast")
SHAPE = (256, 256)
_PATIENT = r"TCGA_[A-Z0-9]{2}_[A-Za-z0-9]+"
_SLICE = re.compile(r"(?P<patient>TCGA_(?P<site>[A-Z0-9]{2})_[A-Za-z0-9]+_\d{8})_(?P<number>\d+)")


def index(folder: Path) -> pd.DataFrame:
    root = subfolder(folder, "kaggle_3m", "one folder a patient")
    rows = [row for place in sorted(root.glob("TCGA_*")) for row in _patient_rows(place)]
    if not rows:
        raise none_in(root, "folders of patients (TCGA_*)")
    return pd.DataFrame(rows)


def _patient_rows(place: Path) -> list[dict]:
    """Return the rows of one patient in the order of the slices."""
    files = {path.stem: path for path in place.glob("*.tif")}
    slices = {stem: path for stem, path in files.items() if not stem.endswith("_mask")}
    for stem in files.keys() - slices.keys():
        if stem.removesuffix("_mask") not in slices:
            raise DataError(
                f"expected a slice for every mask, found {files[stem]} without its slice: "
                "fetch the slice again, or remove the mask"
            )
    rows = sorted((_row(place, path, files) for path in slices.values()), key=_number)
    for rank, row in enumerate(rows):
        row["slices"] = len(rows)
        row["position"] = rank / max(len(rows) - 1, 1)
    return rows


def _number(row: dict) -> int:
    return row["slice"]


def _row(place: Path, path: Path, files: dict[str, Path]) -> dict:
    found = _SLICE.fullmatch(path.stem)
    if not found or found["patient"] != place.name:
        raise DataError(
            f"expected slices named {place.name}_<number>.tif in {place}, found {path.name}: "
            "mend its name, or move it away"
        )
    mask = files.get(f"{path.stem}_mask")
    if mask is None:
        raise DataError(
            f"expected the mask {path.stem}_mask.tif beside {path}, found none: "
            "fetch it again, or remove the slice"
        )
    _open_slice(path)
    pixels = int(np.count_nonzero(_mask_array(mask)))
    return {
        "case": path.stem,
        "patient": place.name,
        "site": found["site"],
        "slice": int(found["number"]),
        "slices": 0,
        "position": 0.0,
        "tumour": pixels > 0,
        "tumour_pixels": pixels,
        "image": str(path),
        "mask": str(mask),
    }


def _open_slice(path: Path | str) -> Image.Image:
    """Open a slice, its pixels not read yet, and check its size and channels."""
    image = open_image(path)
    if image.size != SHAPE[::-1] or image.mode != "RGB":
        raise DataError(
            f"expected a slice of {SHAPE[0]} x {SHAPE[1]} pixels with 3 channels of 8 bits, found "
            f"{image.size[1]} x {image.size[0]}, mode {image.mode!r}, in {path}: fetch it again"
        )
    return image


def _mask_array(path: Path | str) -> np.ndarray:
    image = open_image(path)
    if image.size != SHAPE[::-1]:
        raise DataError(
            f"expected a mask of {SHAPE[0]} x {SHAPE[1]} pixels like its slice, found "
            f"{image.size[1]} x {image.size[0]} in {path}: fetch it again"
        )
    if image.mode not in ("L", "1", "P"):
        raise DataError(
            f"expected a mask of 8 bits in one channel, found mode {image.mode!r} in {path}: fetch "
            "it again"
        )
    with decoding(path):
        array = np.asarray(image.convert("L"))
    strange = array[(array != 0) & (array != 255)]
    if strange.size:
        raise DataError(
            f"expected a mask of 0 and 255, found the value {strange.min()} in {path}: fetch it "
            "again"
        )
    return array


def read_slice(row: pd.Series) -> dict[str, np.ndarray]:
    """Read one row of the table.

    Returns
    -------
    dict
        ``image`` uint8 (y, x, 3), the channels in the order of `SEQUENCES`; ``mask`` uint8
        (y, x, 1), 1 where there is tumour.

    Raises
    ------
    DataError
        A file is missing, damaged or of another size; the line names it.
    """
    opened = _open_slice(row["image"])
    with decoding(row["image"]):
        image = np.asarray(opened)
    return {"image": image, "mask": (_mask_array(row["mask"]) > 0).astype(np.uint8)[..., None]}


def read_patients(folder: Path | str) -> pd.DataFrame:
    """Read ``data.csv``, the table of patients; its ``Patient`` lacks the date of the folder.

    Raises
    ------
    DataError
        The table is not there, has no column ``Patient``, or a row without the name of a patient.
    """
    path = Path(folder) / "kaggle_3m" / "data.csv"
    if not path.is_file():
        raise DataError(f"expected the table of patients at {path}, found none: fetch it again")
    with decoding(path):
        table = pd.read_csv(path)
    if "Patient" not in table.columns:
        raise DataError(
            f"expected a column Patient in {path}, found {', '.join(table.columns[:4])} ...: "
            "fetch it again"
        )
    wrong = ~table["Patient"].astype(str).str.fullmatch(_PATIENT)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"expected a patient such as TCGA_CS_4941 in line {row + 2} of {path}, found "
            f"{table['Patient'].iloc[row]!r}: fetch it again"
        )
    return table


def missing_sequence(images: np.ndarray) -> str | None:
    """Name the sequence that a patient lacks: its channel is a copy of FLAIR in every slice.

    Parameters
    ----------
    images : ndarray of uint8, (slice, y, x, 3)

    Returns
    -------
    {None, "pre-contrast", "post-contrast"}

    Examples
    --------
    >>> images = np.zeros((1, 2, 2, 3), np.uint8)
    >>> images[..., 0] = 9
    >>> missing_sequence(images)
    'post-contrast'
    """
    flair = images[..., 1]
    for channel in (0, 2):
        if np.array_equal(images[..., channel], flair):
            return SEQUENCES[channel]
    return None
