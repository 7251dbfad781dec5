"""Reading image files, with one clear line for what is missing or damaged."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from ..errors import DataError


def open_image(path: str | os.PathLike) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise DataError(f"expected an image at {path}, found no file: fetch it again") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike, error: Exception) -> DataError:
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"expected a whole PNG image, found a damaged one at {path} ({cause}): fetch it again"
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
