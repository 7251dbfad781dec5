"""Slices of CT volumes: Hounsfield windows, a montage, and a viewer that scrolls through them.

Volumes have axes (y, x, z): rows from front to back, columns from the patient's right to the left,
slices from foot to head, as `generators.turn` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .display import WIDTH, show
from .viewers import explore

HU_WINDOWS = {"lung": (-600, 1500), "soft tissue": (40, 400), "bone": (400, 1800)}
"""Centre and width in HU, as radiologists set them for a chest."""


def windowed(hu: ArrayLike, window: str | tuple[float, float]) -> np.ndarray:
    """Return HU as grey values: 0 below a window, 1 above it.

    Parameters
    ----------
    hu : array_like, any shape
    window : str or (centre, width)
        A name of `HU_WINDOWS`, or numbers in HU.

    Returns
    -------
    numpy.ndarray of float32, shape as ``hu``

    Raises
    ------
    ParameterError
        The name is not known, or the width is not above 0.

    Examples
    --------
    >>> windowed([-1000, 40, 240], "soft tissue").tolist()
    [0.0, 0.5, 1.0]
    """
    if isinstance(window, str) and window not in HU_WINDOWS:
        raise ParameterError(
            f"expected a window named {', '.join(HU_WINDOWS)}, found {window!r}: choose one, or "
            "give centre and width in HU"
        )
    centre, width = HU_WINDOWS[window] if isinstance(window, str) else window
    if not width > 0:
        raise ParameterError(f"expected a window wider than 0 HU, found {width}: widen it")
    grey = (np.asarray(hu, np.float32) - np.float32(centre - width / 2)) / np.float32(width)
    return np.clip(grey, 0, 1)


def slice_montage(
    volume: ArrayLike,
    rows: int = 4,
    columns: int = 10,
    title: str = "",
    marks: Mapping[int, str] | None = None,
) -> Figure:
    """Return a figure of slices without gaps between them, evenly taken from foot to head.

    Parameters
    ----------
    volume : array_like, shape (y, x, z)
        Between 0 and 1. Where it has fewer slices than there are places, places stay empty.
    rows, columns : int
    title : str
    marks : mapping of int to str, optional
        Text for a slice, by its index.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ParameterError
        The array has not three axes.
    """
    volume = _volume(volume)
    places = rows * columns
    chosen = np.unique(np.linspace(0, volume.shape[2] - 1, places).round().astype(int))
    height, width = volume.shape[:2]
    sheet = np.zeros((rows * height, columns * width), np.float32)
    fig, ax = plt.subplots(
        figsize=(WIDTH, WIDTH * rows * height / (columns * width) + 0.3), layout="constrained"
    )
    for place, k in enumerate(chosen):
        row, column = divmod(place, columns)
        top, left = row * height, column * width
        sheet[top : top + height, left : left + width] = volume[..., k]
        text = f"{k}" if not marks or k not in marks else f"{k} {marks[k]}"
        ax.text(left + 0.04 * width, top + 0.14 * height, text, color="white", fontsize=7)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(title, fontsize=11)
    return fig


def slice_image(
    image: ArrayLike, aspect: float = 1.0, ax: Axes | None = None, title: str = "",
    sides: str = "RL",
) -> Axes:  # fmt: skip
    """Draw one grey slice with the patient's sides written at its edges.

    Parameters
    ----------
    image : array_like, shape (rows, columns)
        Between 0 and 1.
    aspect : float
        Height of a voxel over its width.
    ax : matplotlib.axes.Axes, optional
    title : str
    sides : str
        Two letters, for the left and the right edge of the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect)
    for side, place, align in ((sides[0], 0.02, "left"), (sides[1], 0.98, "right")):
        letter = ax.text(place, 0.5, side, color="#F0E442", transform=ax.transAxes, ha=align)
        letter.set(fontsize=9, path_effects=[withStroke(linewidth=2, foreground="black")])
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9.5)
    return ax


def three_windows(
    volume: ArrayLike, spacing: tuple[float, float, float], slice: int, title: str = ""
) -> Figure:
    """Return a figure of one slice in the lung, soft-tissue and bone window, and a frontal cut.

    Parameters
    ----------
    volume : array_like, shape (y, x, z)
        HU.
    spacing : (y, x, z)
        mm.
    slice : int
        Counted from 0 at the feet; the line in the frontal cut shows where it lies.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    volume = _volume(volume)
    fig, axes = plt.subplots(1, 4, figsize=(WIDTH + 1, 3.2), layout="constrained")
    for ax, (name, (centre, width)) in zip(axes, HU_WINDOWS.items()):
        grey = windowed(volume[..., slice], name)
        low, high = centre - width // 2, centre + width // 2
        heading = f"{name}: {low} to {high} HU"
        slice_image(grey, spacing[0] / spacing[1], ax, heading)
    cut = windowed(volume[volume.shape[0] // 2, :, ::-1].T, "lung")
    slice_image(cut, spacing[2] / spacing[1], axes[3], "frontal cut, head up")
    axes[3].axhline(volume.shape[2] - 1 - slice, color="#F0E442", lw=1, ls="--")
    fig.suptitle(title or f"Slice {slice + 1} of {volume.shape[2]}, from foot to head", fontsize=11)
    return fig


def slice_viewer(
    volume: ArrayLike,
    spacing: tuple[float, float, float],
    title: str = "",
    interactive: bool | None = None,
    **keep: Any,
) -> None:
    """Show the middle slice in three windows, and a slider through all slices.

    Parameters
    ----------
    volume : array_like, shape (y, x, z)
        HU.
    spacing : (y, x, z)
        mm.
    title : str
    interactive : bool, optional
        As for `explore`.
    **keep
        ``name`` and ``lesson`` for `show`.
    """
    volume = _volume(volume)
    count = volume.shape[2]
    heading = f"{title}: " if title else ""

    def draw(slice: int) -> Figure:
        return three_windows(volume, spacing, slice - 1, f"{heading}slice {slice} of {count}")

    middle = count // 2 + 1
    alt = (
        f"{heading}slice {middle} of {count} in the lung, soft-tissue and bone window, and a "
        "frontal cut with a line where the slice lies."
    )
    show(draw(middle), alt, **keep)
    explore(draw, {"slice": (1, count, 1, middle)}, interactive)


def _volume(volume: ArrayLike) -> np.ndarray:
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise ParameterError(
            f"a volume has axes (y, x, z), found shape {volume.shape}: pick one volume of the batch"
        )
    return volume
