"""A volume in three planes, with its label maps over it: coronal, axial, sagittal.

Arrays have axes (x, y, z) that run to the right, to the front and to the top (RAS), and the affine
says where in mm. The person's left is on the left of the picture (as neurologists look; the
pictures of radiologists are the other way round).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..errors import ParameterError
from .display import OKABE_ITO, show
from .viewers import explore

PLANES = {"coronal": (0, 2), "axial": (0, 1), "sagittal": (1, 2)}
"""Name to the two axes that the picture shows: across, and up."""

DIRECTIONS = (("L", "R"), ("P", "A"), ("I", "S"))
COLOURS = [OKABE_ITO[name] for name in ("sky", "orange", "green")]


def three_planes(
    image: ArrayLike,
    labels: Mapping[str, ArrayLike] | None = None,
    affine: ArrayLike | None = None,
    at: Sequence[int] | None = None,
    names: Mapping[int, str] | None = None,
    title: str = "",
) -> Figure:
    """Return a figure of one voxel's three planes: a row for the image, one for each label map.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
    labels : mapping of str to array_like of int, shape (x, y, z)
        Title of the row to label map.
    affine : array_like, shape (4, 4), optional
        Voxel indices to mm; without it voxels are 1 mm and the origin is the first.
    at : (x, y, z), optional
        Voxel indices; without it the middle of the brain (what is above 0).
    names : mapping of int to str, optional
        Label values and their names, for the legend; 0 is not drawn.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ParameterError
        When the image has not three axes, or a label map another shape.
    """
    image, labels = np.asarray(image), {k: np.asarray(v) for k, v in (labels or {}).items()}
    _check(image, labels)
    affine = np.eye(4) if affine is None else np.asarray(affine, float)
    at = _middle(image) if at is None else tuple(int(i) for i in at)
    names = names or {}
    rows = {"image": None, **labels}
    sides = [n * s for n, s in zip(image.shape, np.diag(affine)[:3])]
    widths = [sides[across] for across, _ in PLANES.values()]
    height = 1.6 * max(sides[up] for _, up in PLANES.values()) / max(widths) * 1.7
    fig, axes = plt.subplots(
        len(rows), 3, figsize=(9.5, 0.7 + height * len(rows)), squeeze=False,
        gridspec_kw={"width_ratios": widths}, layout="constrained",
    )  # fmt: skip
    for row, (name, found) in zip(axes, rows.items()):
        for ax, plane in zip(row, PLANES):
            _draw(ax, plane, image, found, affine, at, names)
        row[0].set_ylabel(f"{name}\n{row[0].get_ylabel()}")
    for ax, plane in zip(axes[0], PLANES):
        ax.set_title(f"{plane}, {_place(plane, affine, at)}", fontsize=10)
    _legend(fig, names, labels)
    fig.suptitle(title, fontsize=11)
    return fig


def _check(image: np.ndarray, labels: Mapping[str, np.ndarray]) -> None:
    if image.ndim != 3:
        raise ParameterError(
            f"expected a volume with axes (x, y, z), found shape {image.shape}: choose one volume"
        )
    for name, found in labels.items():
        if found.shape != image.shape:
            raise ParameterError(
                f"expected labels of the image's shape {image.shape}, found {found.shape} for "
                f"{name!r}: bring them onto the image's grid"
            )


def _middle(image: np.ndarray) -> tuple[int, ...]:
    inside = np.argwhere(image > 0)
    if not len(inside):
        return tuple(n // 2 for n in image.shape)
    return tuple(int(i) for i in (inside.min(0) + inside.max(0)) // 2)


def _draw(
    ax: Axes,
    plane: str,
    image: np.ndarray,
    labels: np.ndarray | None,
    affine: np.ndarray,
    at: Sequence[int],
    names: Mapping[int, str],
) -> None:
    """Draw one plane, labels over the image, axes in mm with the directions of the body."""
    across, up = PLANES[plane]
    through = 3 - across - up
    cut = np.take(image, at[through], axis=through).T.astype(float)
    grey = np.clip(cut / max(np.percentile(image, 99.8), 1e-6), 0, 1)
    shown = np.repeat(grey[..., None], 3, axis=-1)
    if labels is not None:
        shown = _tinted(shown, np.take(labels, at[through], axis=through).T, names)
    step, start = np.diag(affine)[:3], affine[:3, 3]
    low = start - step / 2
    high = low + step * image.shape
    extent = (low[across], high[across], low[up], high[up])
    ax.imshow(shown, origin="lower", extent=extent, interpolation="nearest")
    ax.tick_params(labelsize=7)
    for set_label, axis in ((ax.set_xlabel, across), (ax.set_ylabel, up)):
        back, front = DIRECTIONS[axis]
        set_label(f"{back} ← {'xyz'[axis]} (mm) → {front}", fontsize=8)


def _tinted(shown: np.ndarray, labels: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    values = [value for value in (names or np.unique(labels)) if value]
    for k, value in enumerate(values):
        where = labels == value
        shown[where] = 0.45 * shown[where] + 0.55 * np.array(to_rgb(_colour(k, len(values))))
    return shown


def _colour(k: int, number: int) -> Any:
    return COLOURS[k] if number <= len(COLOURS) else plt.get_cmap("turbo")((k + 0.5) / number)


def _place(plane: str, affine: np.ndarray, at: Sequence[int]) -> str:
    through = 3 - sum(PLANES[plane])
    mm = affine[through, through] * at[through] + affine[through, 3]
    return f"{'xyz'[through]} = {mm:.0f} mm"


def _legend(fig: Figure, names: Mapping[int, str], labels: Mapping[str, np.ndarray]) -> None:
    from matplotlib.patches import Patch

    drawn = [name for value, name in names.items() if value]
    if labels and drawn:
        patches = [Patch(color=_colour(k, len(drawn)), label=n) for k, n in enumerate(drawn)]
        columns = min(len(patches), 6)
        fig.legend(
            handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
        )


def plane_viewer(
    image: ArrayLike,
    labels: Mapping[str, ArrayLike] | None = None,
    affine: ArrayLike | None = None,
    names: Mapping[int, str] | None = None,
    title: str = "Three planes through one point",
    alt: str = "",
    interactive: bool | None = None,
    **keep: Any,
) -> None:
    """Show three planes through the middle, and in a live notebook a slider for each axis.

    Parameters
    ----------
    image, labels, affine, names, title
        As for `three_planes`.
    alt : str
        What comes out, for a reader who cannot see the figure; the title without it.
    interactive : bool, optional
        As for `explore`.
    **keep
        ``name`` and ``lesson`` for `show`.
    """
    image = np.asarray(image)
    middle = _middle(image)
    show(three_planes(image, labels, affine, middle, names, title), alt or title, **keep)

    def draw(**at: int) -> Figure:
        return three_planes(image, labels, affine, [at[axis] for axis in "xyz"], names, title)

    sliders = {axis: (0, n - 1, 1, start) for axis, n, start in zip("xyz", image.shape, middle)}
    explore(draw, sliders, interactive)
