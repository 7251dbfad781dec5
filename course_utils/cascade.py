"""How lesson 2 finds what lesson 1 made: the classifier, its threshold, the patient split."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .errors import DataError, ParameterError

FIRST = "01_brain_tumor_classification"
MODEL, SETTINGS, SPLIT = "classifier.keras", "classifier.json", "patients.csv"
SIDE = 256  # pixels; the slices of LGG MRI


def find_classifier(
    folder: str | os.PathLike, given: str = "", table: pd.DataFrame | None = None
) -> Path | None:
    """Return the classifier to use: the one given, else the one that the same run left.

    Parameters
    ----------
    folder : path-like
        The output folder of the lesson that asks; lesson 1's lies beside it in a run.
    given : str
        A file ``classifier.keras``, or the folder that holds it; empty: look beside ``folder``.
    table : DataFrame, optional
        One row a slice, with a column ``patient``. A classifier that merely lies beside ``folder``
        is passed over when its split names other patients: it comes from another run.

    Returns
    -------
    Path or None
        None when nothing was given and lesson 1 left none there that fits.

    Raises
    ------
    ParameterError
        When ``given`` names no file.

    Examples
    --------
    >>> find_classifier("no/such/run/02_brain_tumor_segmentation") is None
    True
    """
    beside = Path(folder).parent / FIRST / MODEL
    if not given:
        return beside if beside.is_file() and _same_patients(beside, table) else None
    path = Path(given).expanduser()
    path = path / MODEL if path.is_dir() else path
    if not path.is_file():
        raise ParameterError(
            f"CLASSIFIER must be the {MODEL} that lesson 1 writes, found no file at {path}: "
            "run lesson 1, or leave CLASSIFIER empty"
        )
    return path


def round_folder(folder: str | os.PathLike, number: int) -> Path:
    """Return where lesson 1 puts what round ``number`` of its splits made, counted from 0.

    Examples
    --------
    >>> [round_folder("run", number).as_posix() for number in range(3)]
    ['run', 'run/round-2', 'run/round-3']
    """
    return Path(folder) / f"round-{number + 1}" if number else Path(folder)


def find_rounds(classifier: Path) -> list[Path]:
    """Return the classifiers of all rounds, given that of the first: with one round, just that.

    Parameters
    ----------
    classifier : Path
        What `find_classifier` returned. One without the file of its split has one round only.

    Returns
    -------
    list of Path
        Each lies beside the file of the split it was trained on.
    """
    found = [Path(classifier)]
    if not found[0].with_name(SPLIT).is_file():
        return found
    while (more := round_folder(found[0].parent, len(found)) / MODEL).is_file():
        found.append(more)
    return found


def _same_patients(classifier: Path, table: pd.DataFrame | None) -> bool:
    split = classifier.with_name(SPLIT)
    if table is None or not split.is_file():
        return True
    try:
        return set(pd.read_csv(split)["patient"]) >= set(table["patient"])
    except (ValueError, KeyError):
        return False


def load_classifier(path: str | os.PathLike) -> tuple[Any, float]:
    """Load a slice classifier and the threshold chosen for it.

    Parameters
    ----------
    path : path-like
        A Keras model from (slice, 256, 256, 3), values 0 to 255 as read, to (slice, 1)
        probabilities; beside it ``classifier.json`` with its ``threshold``, 0.5 if there is none.

    Returns
    -------
    model : keras.Model
    threshold : float

    Raises
    ------
    DataError
        The file is no such model, or the threshold is none.
    """
    import keras

    if Path(path).suffix != ".keras":
        raise DataError(
            f"expected a model in a .keras file, found {path}: other formats can hold code that is "
            "run when they are opened; run lesson 1 again, or leave CLASSIFIER empty"
        )
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zip, JSON, HDF5 and Keras each raise their own
        said = " ".join(str(error).split())[:80] or type(error).__name__
        raise DataError(
            f"expected a Keras model at {path}, found a file that is none ({said}): "
            "run lesson 1 again, or leave CLASSIFIER empty"
        ) from error
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    fits = len(takes or ()) == 4 and takes[1:3] in ((SIDE, SIDE), (None, None))
    if not fits or takes[3] != 3 or gives != (None, 1):
        raise DataError(
            f"expected a classifier from (n, {SIDE}, {SIDE}, 3) to (n, 1) at {path}, found one "
            f"from {takes} to {gives}: give the {MODEL} of lesson 1"
        )
    return model, _threshold(Path(path).with_name(SETTINGS))


def _threshold(path: Path) -> float:
    if not path.is_file():
        return 0.5
    try:
        found = float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"expected a threshold in {path}, found none ({error}): run lesson 1 again"
        ) from error
    if not 0 <= found <= 1:
        raise DataError(
            f"expected a threshold from 0 to 1 in {path}, found {found}: run lesson 1 again"
        )
    return found


def probabilities(model: Any, images: Any, batch: int = 16) -> np.ndarray:
    """Return a classifier's probability for each slice.

    Parameters
    ----------
    model : keras.Model
        As `load_classifier` returns it.
    images : sequence of ndarray, uint8, (256, 256, 3)
    batch : int
        Slices at once.

    Returns
    -------
    ndarray of float, shape (n_slices,)
    """
    found = np.zeros(len(images))
    for at in range(0, len(images), batch):
        some = np.stack(images[at : at + batch]).astype("float32")
        # Always whole batches: a compiled model is compiled anew for every size.
        whole = np.concatenate([some, np.zeros((batch - len(some), *some.shape[1:]), "float32")])
        found[at : at + batch] = np.asarray(model.predict_on_batch(whole))[: len(some), 0]
    return found
