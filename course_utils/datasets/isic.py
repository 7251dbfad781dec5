"""ISIC, task 1 of 2017 and of 2018: photographs through a dermatoscope, one mask a lesion.

The release names no patient: the group of a case is the image itself, until
`dermoscopy.duplicate_groups` finds that two files show the same picture.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import DataError
from .files import decoding, none_in, open_image, open_sealed, point_at

PARTS = {"training": "train", "validation": "validation", "test": "test"}
"""The publisher's names of the parts, and the course's."""

_IMAGES = re.compile(r"^ISIC-?(2017_|2018_Task1-2_)(Training|Validation|Test)(_v2)?_(Data|Input)$")
_MASK = re.compile(r"^(ISIC_\d+)_segmentation\.png$", re.IGNORECASE)


def index(folder: Path) -> pd.DataFrame:
    """Return the table: case, part, height, width, image, mask; the official parts that are there.

    Image and mask are paired by id, whatever the case of the letters in ``_segmentation.png``.
    """
    found = sorted((p, m) for p in folder.iterdir() if p.is_dir() and (m := _IMAGES.match(p.name)))
    rows = [row for images, match in found for row in _part(images, match)]
    if not rows:
        what = "folders such as ISIC-2017_Training_Data with ISIC_*.jpg"
        raise none_in(folder, what, point_at("them"))
    table = pd.DataFrame(rows).sort_values("case", kind="stable", ignore_index=True)
    twice = table.case[table.case.duplicated()]
    if len(twice):
        raise DataError(
            f"expected each id in one part, found {twice.iloc[0]} in two: the folder mixes releases"
        )
    return table


def _part(images: Path, match: re.Match) -> list[dict]:
    """Return one row an image of a part; its masks lie in the folder beside."""
    year, part = match[1], match[2]
    truth = {"2017_": f"ISIC-2017_{part}{match[3] or ''}_Part1_GroundTruth"}.get(
        year, f"ISIC2018_Task1_{part}_GroundTruth"
    )
    masks = _masks(images.parent / truth)
    pictures = sorted(p for p in images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
    return [_row(picture, masks, truth, PARTS[part.lower()]) for picture in pictures]


def _masks(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(
            f"expected the masks of a part in {folder}, found no such folder: unpack the "
            "GroundTruth archive beside the images"
        )
    matches = ((path, _MASK.match(path.name)) for path in folder.iterdir())
    return {match[1]: path for path, match in matches if match}


def _row(picture: Path, masks: dict[str, Path], truth: str, part: str) -> dict:
    if picture.stem not in masks:
        raise DataError(
            f"expected a mask {picture.stem}_segmentation.png in {truth}, found none: unpack that "
            "archive again, or remove the image"
        )
    width, height = open_image(picture).size
    return {
        "case": picture.stem,
        "part": part,
        "height": height,
        "width": width,
        "image": str(picture),
        "mask": str(masks[picture.stem]),
    }


def read_lesion(row: pd.Series, size: int = 256) -> dict[str, np.ndarray]:
    """Read one row of the table at reduced size: image and mask, squashed to a square.

    Parameters
    ----------
    row : Series
        With the paths ``image`` and ``mask``.
    size : int
        Side of the result, pixels.

    Returns
    -------
    dict
        ``image`` uint8 (size, size, 3); ``mask`` uint8 (size, size, 1), 0 or 255.

    Raises
    ------
    DataError
        A file is missing, cut short or not 8-bit RGB, or the mask is of another size than the
        image.
    """
    picture = _open_rgb(row["image"])
    full = picture.size
    mask = read_mask(row["mask"], full[::-1], size)
    return {"image": _reduced(picture, row["image"], size), "mask": mask[..., None]}


def _open_rgb(path: str | os.PathLike) -> Image.Image:
    picture = open_image(path)
    wide = any("16" in str(tile[3]) for tile in picture.tile if picture.format in ("PNG", "TIFF"))
    if wide or picture.mode not in ("RGB", "L"):
        kind = "16 bits a channel" if wide or "16" in picture.mode else f"mode {picture.mode}"
        raise DataError(
            f"expected an RGB image of 8 bits a channel, found {kind} in {path}: convert it first"
        )
    return picture


def _reduced(picture: Image.Image, path: str | os.PathLike, size: int) -> np.ndarray:
    """Decode a photograph no finer than needed, and average it down to a square.

    A JPEG is stored in blocks of 8 x 8 pixels; its decoder can give 4 x 4, 2 x 2 or 1 x 1 of each,
    which is the reduction by 2, 4 or 8 for a part of the work and 1/64 of the memory.
    """
    picture.draft("RGB", (size, size))
    with decoding(path):
        small = picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small)


def read_mask(
    path: str | os.PathLike, shape: tuple[int, int] | None = None, size: int | None = None
) -> np.ndarray:
    """Read a mask, binary whatever is done to it.

    Parameters
    ----------
    path : path-like
    shape : (y, x), optional
        The shape of the image, to be compared with.
    size : int, optional
        Take the nearest pixel of a square grid of this side; without it, full size.

    Returns
    -------
    ndarray, uint8, (y, x)
        0 skin, 255 lesion.

    Raises
    ------
    DataError
        The file is missing or damaged, is no mask of 0 and 255, or is of another size than the
        image.
    """
    mask = open_sealed(path)
    if mask.mode not in ("L", "1", "P"):
        raise DataError(
            f"expected a mask of 8 bits in one channel, found mode {mask.mode} in {path}: fetch it "
            "again"
        )
    if shape is not None and mask.size != tuple(shape)[::-1]:
        raise DataError(
            f"expected a mask of the image's {shape[0]} x {shape[1]} pixels, found "
            f"{mask.height} x {mask.width} in {path}: it belongs to another image"
        )
    with decoding(path):
        mask = mask.convert("L")
        _check_values(mask.histogram(), path)
        if size is not None:
            mask = mask.resize((size, size), Image.Resampling.NEAREST)
        return np.asarray(mask)


def _check_values(histogram: list[int], path: str | os.PathLike) -> None:
    strange = [value for value in range(1, 255) if histogram[value]]
    if strange:
        raise DataError(
            f"expected a mask of 0 and 255, found the value {strange[0]} in {path}: was it resized "
            "smoothly, or saved as JPEG? fetch it again"
        )
