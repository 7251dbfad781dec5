"""Reading files and folders, with one clear line for what is missing or damaged."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..errors import DataError

KINDS = {
    ".png": "PNG image",
    ".tif": "TIF image",
    ".jpg": "JPEG image",
    ".jpeg": "JPEG image",
    ".nii": "NIfTI file",
    ".img": "Analyze file",
    ".hdr": "Analyze header",
    ".csv": "CSV table",
}
"""What a file is, by the ending of its name (``.gz`` left out)."""


def none_in(
    folder: str | os.PathLike, what: str, advice: str = "unpack the archive again"
) -> DataError:
    """Return the error for a folder in which nothing of what was expected lies."""
    return DataError(f"expected {what} in {folder}, found none: {advice}")


def point_at(holds: str) -> str:
    """Return the advice for a folder that is the wrong one."""
    return f"point DATA_DIR at the folder that holds {holds}"


def subfolder(folder: Path, name: str, holds: str, needed: str = "") -> Path:
    """Return a folder of a layout.

    Parameters
    ----------
    folder : Path
        Where it must lie.
    name : str
        Its name.
    holds : str
        What lies in it, such as ``"one folder a case"``.
    needed : str
        What DATA_DIR must hold, if that is not just ``name``.

    Raises
    ------
    DataError
        There is no such folder.
    """
    if not (folder / name).is_dir():
        raise DataError(
            f"expected {folder / name} with {holds}, found no such folder: "
            f"{point_at(needed or name)}"
        )
    return folder / name


@contextmanager
def decoding(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever a library raises while it reads a file into one line.

    For a broken file Pillow, nibabel and pandas raise errors of many kinds, and of other kinds in
    their next version: each of them means that the file is not what its name says.

    Raises
    ------
    DataError
        It names file, kind and cause.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"expected a {_kind(path)} at {path}, found no file: fetch it again"
        ) from error
    except Exception as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike, error: Exception) -> DataError:
    """Return the error for a file that cannot be read; it names file, kind and cause."""
    cause = " ".join(str(error).split())[:160] or type(error).__name__
    return DataError(
        f"expected a whole {_kind(path)}, found a damaged one at {path} ({cause}): "
        "fetch it again, or remove it"
    )


def _kind(path: str | os.PathLike) -> str:
    return KINDS.get(Path(str(path).lower().removesuffix(".gz")).suffix, "file")


def open_image(path: str | os.PathLike) -> Image.Image:
    """Open an image; its pixels are read later, within `decoding`.

    Raises
    ------
    DataError
        The file is missing or no image.
    """
    with decoding(path):
        return Image.open(path)


def open_sealed(path: str | os.PathLike) -> Image.Image:
    """Open an image after its checksums were compared, where it has some.

    Pillow decodes a PNG whose pixels were changed and never looks at them.
    """
    image = open_image(path)
    if image.format == "PNG":
        with image, decoding(path):
            image.verify()
        image = open_image(path)
    return image


def check_gzip(path: str | os.PathLike) -> None:
    """Compare the checksum of a ``.gz``, which no reader does that stops after the last voxel.

    Raises
    ------
    DataError
        It is another one.
    """
    if str(path).lower().endswith(".gz"):
        with decoding(path), gzip.open(path) as file:
            while file.read(1 << 20):
                pass


def check_numbers(path: str | os.PathLike, array: np.ndarray) -> None:
    """Raise `DataError` unless an array holds real, finite numbers."""
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"expected one number a voxel, found {array.dtype} in {path}: save one channel alone"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = np.count_nonzero(~np.isfinite(array))
        raise DataError(
            f"expected finite numbers, found {count} voxels that are not in {path}: fetch it again"
        )


def read_csv(path: str | os.PathLike, columns: int, **how) -> pd.DataFrame:
    """Read a table as text.

    Raises
    ------
    DataError
        The file is missing, no table, or has fewer columns.
    """
    with decoding(path):
        table = pd.read_csv(path, dtype=str, **how)
    if len(table.columns) < columns:
        raise DataError(
            f"expected at least {columns} columns in {path}, found {len(table.columns)}: "
            "fetch it again"
        )
    return table


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an 8-bit image of any mode (grey, RGB, RGBA, palette) as RGB.

    Returns
    -------
    ndarray, uint8, shape (y, x, 3)
        Alpha is dropped: it is 255 everywhere in BBBC038.

    Raises
    ------
    DataError
        The file is missing, damaged, or not 8 bits a channel.
    """
    image = open_sealed(path)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise DataError(
            f"expected 8 bits a channel, found mode {image.mode!r} in {path}: "
            "convert the image to 8 bits first"
        )
    with decoding(path):
        return np.asarray(image.convert("RGB"))
