"""A lesson carried to the point where its training would begin, without its pictures.

The cells of the notebook are executed in their order, in this process, up to one of them, so that a
benchmark times the very network and the very feed that a student gets. Exercises are left out (they
only answer), and cells that are named, such as the training of another network.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

os.environ.setdefault("COURSE_STATIC", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import nbformat
from matplotlib import pyplot as plt

from course_utils import lessons, paths, runtime


def stage(
    lesson: str,
    last: str,
    *,
    without: Collection[str] = (),
    precision: str | None = None,
    folder: str = "",
    **parameters: Any,
) -> dict[str, Any]:
    """Execute a lesson up to a cell and return the names that are there then.

    Parameters
    ----------
    lesson : str
        Id of the lesson.
    last : str
        Id of the last cell to execute.
    without : collection of str
        Ids of cells that are not executed.
    precision : str, optional
        Keras' dtype policy, such as ``"float32"``; without it the lesson chooses.
    folder : str
        Where the lesson's files go (its ``OUTPUT_DIR``).
    **parameters
        Other parameters of the lesson.
    """
    cells = nbformat.read(paths.notebooks_dir() / f"{lesson}.ipynb", as_version=4).cells
    names: dict[str, Any] = {}
    chosen, runtime.precision = runtime.precision, lambda **how: precision or chosen(**how)
    try:
        for cell in cells:
            tags = cell.metadata.get("tags", [])
            if cell.cell_type != "code" or "exercise" in tags or cell.id in without:
                continue
            _run(lesson, cell.id, cell.source, names)
            if "parameters" in tags:
                names.update(parameters, OUTPUT_DIR=folder)
            if cell.id == last:
                return names
    finally:
        runtime.precision = chosen
    raise LookupError(f"{lesson} has no cell {last}")


def execute(
    lesson: str, cells: Sequence[str], names: dict[str, Any], progress: Callable | None = None
) -> None:
    """Execute more cells of a lesson that was carried this far.

    Parameters
    ----------
    lesson : str
        Id of the lesson.
    cells : sequence of str
        Ids of the cells, in order.
    names : dict
        What `stage` returned; changed.
    progress : callable, optional
        Takes the place of `runtime.progress`: what it returns is a callback of each training.
    """
    sources = lessons.sources(lesson)
    shown, runtime.progress = runtime.progress, progress or runtime.progress
    try:
        for cell in cells:
            _run(lesson, cell, sources[cell], names)
    finally:
        runtime.progress = shown


def picture(path: str, side: int):
    """Read an image as the tutorials do: ndarray, float32, (side, side, 3), 0..255."""
    import keras

    return keras.utils.img_to_array(keras.utils.load_img(path, target_size=(side, side)))


def _run(lesson: str, cell: str, source: str, names: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, f"{lesson}, cell {cell}", "exec"), names)
    plt.close("all")
