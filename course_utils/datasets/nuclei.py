"""BBBC038 (Data Science Bowl 2018): one folder a case, one mask file a nucleus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from .files import decoding, none_in, open_image, open_sealed, read_image, subfolder

KINDS = ("dark fluorescence", "bright grey", "stained colour")
COLOUR_SPREAD = 6.0


def index(folder: Path) -> pd.DataFrame:
    root = subfolder(folder, "stage1_train", "one folder a case")
    rows = [_nuclei_row(case) for case in sorted(root.iterdir()) if case.is_dir()]
    if not rows:
        raise none_in(root, "folders of cases")
    return pd.DataFrame(rows)


def _nuclei_row(case: Path) -> dict:
    images = sorted((case / "images").glob("*.png"))
    if len(images) != 1:
        raise DataError(
            f"expected one image in {case / 'images'}, found {len(images)}: "
            "unpack the archive again, or remove the case"
        )
    masks = sorted((case / "masks").glob("*.png"))
    if not masks:
        raise DataError(
            f"expected one mask a nucleus in {case / 'masks'}, found "
            f"{'an empty folder' if (case / 'masks').is_dir() else 'no such folder'}: "
            "unpack the archive again, or remove the case"
        )
    width, height = open_image(images[0]).size
    return {
        "case": case.name,
        "height": height,
        "width": width,
        "nuclei": len(masks),
        "image": str(images[0]),
        "masks": [str(mask) for mask in masks],
    }


def read_instances(masks: list[str], shape: tuple[int, int]) -> np.ndarray:
    """Merge the masks of one case, one file a nucleus, into one instance map.

    Parameters
    ----------
    masks : list of str
        The files, 0 background and anything else nucleus.
    shape : (y, x)
        The shape of the image.

    Returns
    -------
    ndarray, int32, shape (y, x)
        0 background, ``k`` the nucleus of the ``k``-th file. Where masks overlap (six cases of the
        corrected labels) the smaller nucleus keeps its pixels, so that none disappears.

    Raises
    ------
    DataError
        A mask is damaged, empty, or of another shape than the image.
    """
    pixels = [_mask_pixels(mask, shape) for mask in masks]
    labels = np.zeros(shape[0] * shape[1], np.int32)
    for k in sorted(range(len(masks)), key=lambda k: -len(pixels[k])):
        labels[pixels[k]] = k + 1
    return labels.reshape(shape)


def _mask_pixels(mask: str, shape: tuple[int, int]) -> np.ndarray:
    with decoding(mask):
        array = np.asarray(open_sealed(mask))
    array = array[..., 0] if array.ndim == 3 else array
    if array.shape != tuple(shape):
        raise DataError(
            f"expected a mask of the image's shape {tuple(shape)}, found {array.shape} in {mask}: "
            "the mask belongs to another image"
        )
    pixels = np.flatnonzero(array)
    if pixels.size == 0:
        raise DataError(f"expected a nucleus in {mask}, found an empty mask: remove the file")
    return pixels


def read_nuclei(row: pd.Series) -> dict[str, np.ndarray]:
    """Read one row of the table: ``image`` uint8 (y, x, 3) and ``labels`` int32 (y, x, 1)."""
    image = read_image(row["image"])
    return {"image": image, "labels": read_instances(row["masks"], image.shape[:2])[..., None]}


def nuclei_kind(image: np.ndarray) -> str:
    """Name the kind of a microscope image by colour and brightness.

    Parameters
    ----------
    image : ndarray, uint8, shape (y, x, 3)

    Returns
    -------
    str
        One of `KINDS`: colour when the channels differ by more than `COLOUR_SPREAD` grey levels on
        average, else bright when the median grey level is above 127.

    Examples
    --------
    >>> nuclei_kind(np.zeros((4, 4, 3), np.uint8))
    'dark fluorescence'
    """
    spread = np.ptp(image.astype(np.int16), axis=-1).mean()
    if spread > COLOUR_SPREAD:
        return "stained colour"
    return "bright grey" if np.median(image) > 127 else "dark fluorescence"
