"""Reading files and folders, with one clear line for what is missing or damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError

KINDS = {
    ".png": "PNG image",
    ".tif": "TIF image",
    ".jpg": "JPEG image",
    ".jpeg": "JPEG image",
    ".nii": "NIfTI file",
    ".img": "Analyze file",
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


def open_image(path: str | os.PathLike) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise DataError(f"expected an image at {path}, found no file: fetch it again") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike, error: Exception) -> DataError:
    """Return the error for a file that cannot be read; it names file, kind and cause."""
    cause = (str(error) or type(error).__name__).splitlines()[0]
    kind = KINDS.get(Path(str(path).lower().removesuffix(".gz")).suffix, "file")
    return DataError(
        f"expected a whole {kind}, found a damaged one at {path} ({cause}): "
        "fetch it again, or remove it"
    )


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
    image = open_image(path)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise DataError(
            f"expected 8 bits a channel, found mode {image.mode!r} in {path}: "
            "convert the image to 8 bits first"
        )
    try:
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error
