"""Folders to tables of cases: the only module that knows layouts and what the labels mean.

``locate`` finds (or makes, or downloads) the folder of a dataset, ``index`` turns the folder into a
table with one row a case, the readers turn a row into arrays.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from . import downloads, manifests, paths, samples
from .errors import DataError

KINDS = ("dark fluorescence", "bright grey", "stained colour")
COLOUR_SPREAD = 6.0


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
    readers = {"bbbc038": _index_nuclei, "dsb2018_fixes": _index_nuclei}
    if name not in readers:
        raise DataError(f"expected one of {', '.join(readers)}, found {name!r}: no index knows it")
    return readers[name](Path(folder))


def _index_nuclei(folder: Path) -> pd.DataFrame:
    root = folder / "stage1_train"
    if not root.is_dir():
        raise DataError(
            f"expected {root} with one folder a case, found no such folder: "
            "point DATA_DIR at the folder that holds stage1_train"
        )
    rows = [_nuclei_row(case) for case in sorted(root.iterdir()) if case.is_dir()]
    if not rows:
        raise DataError(
            f"expected folders of cases in {root}, found none: unpack the archive again"
        )
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
    width, height = _open(images[0]).size
    return {
        "case": case.name,
        "height": height,
        "width": width,
        "nuclei": len(masks),
        "image": str(images[0]),
        "masks": [str(mask) for mask in masks],
    }


def _open(path: str | os.PathLike) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise DataError(f"expected an image at {path}, found no file: fetch it again") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str | os.PathLike, error: Exception) -> DataError:
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
    image = _open(path)
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        raise DataError(
            f"expected 8 bits a channel, found mode {image.mode!r} in {path}: "
            "convert the image to 8 bits first"
        )
    try:
        return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error) from error


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
    try:
        array = np.asarray(_open(mask))
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(mask, error) from error
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
