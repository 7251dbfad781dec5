"""Panels with images: montages, instances in colour, outlines of hits and errors."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from .. import metrics
from ..errors import ParameterError
from .display import OKABE_ITO, WIDTH

INSTANCE_COLOURS = np.array(
    [
        [230, 159, 0],  # orange
        [86, 180, 233],  # sky
        [0, 158, 115],  # green
        [240, 228, 66],  # yellow
        [0, 114, 178],  # blue
        [213, 94, 0],  # vermillion
        [204, 121, 167],  # purple
    ],
    dtype=np.uint8,
)
"""Okabe and Ito's colours for instances; no grey, which is the picture's own."""

OUTLINES = {
    "matched": {"color": OKABE_ITO["sky"], "linestyle": "-"},
    "missed": {"color": OKABE_ITO["vermillion"], "linestyle": (0, (4, 1.5))},
    "extra": {"color": OKABE_ITO["yellow"], "linestyle": (0, (1, 1))},
}
"""How hits and errors are drawn: a colour and a line style each."""


def displayable(image: ArrayLike, low: float = 0.1, high: float = 99.9) -> np.ndarray:
    """Return an image with its brightness stretched for the eye, alpha dropped.

    Dark fluorescence images use a small part of the 256 grey values and look black otherwise.
    The same stretch is used for all channels. For looking only, never for measuring.

    Parameters
    ----------
    image : array_like, shape (y, x) or (y, x, channel) with 1, 3 or 4 channels
    low, high : float
        Percentiles that become black and white.

    Returns
    -------
    numpy.ndarray of float, shape (y, x) or (y, x, 3)
        Between 0 and 1.

    Raises
    ------
    ParameterError
        When the array is no image.

    Examples
    --------
    >>> displayable([[10, 20], [30, 20]], low=0, high=100)
    array([[0. , 0.5],
           [1. , 0.5]])
    """
    image = np.asarray(image, dtype=float)
    if image.ndim == 3 and image.shape[2] in (1, 3, 4):
        image = image[..., 0] if image.shape[2] == 1 else image[..., :3]
    elif image.ndim != 2:
        raise ParameterError(
            f"an image has axes (y, x) or (y, x, channel), found shape {image.shape}: "
            "pick one image of the batch, or one slice of the volume"
        )
    black, white = np.percentile(image, [low, high])
    if white <= black:
        black, white = image.min(), max(image.max(), image.min() + 1)
    return np.clip((image - black) / (white - black), 0, 1)


def colour_instances(labels: ArrayLike, gap: int = 4) -> np.ndarray:
    """Return a label map as colours, different ones for instances that lie side by side.

    Each instance, in the order of the labels, takes the colour its neighbours use least and,
    among those, the one used least so far.

    Parameters
    ----------
    labels : array_like of int, shape (y, x)
        Label map, 0 is background and stays black.
    gap : int
        Instances at most about twice this many pixels apart are neighbours.

    Returns
    -------
    numpy.ndarray of uint8, shape (y, x, 3)

    Examples
    --------
    >>> colours = colour_instances([[1, 2, 0, 3]])[0]
    >>> bool((colours[0] != colours[1]).any()), colours[2].tolist()
    (True, [0, 0, 0])
    """
    found, index = np.unique(np.append(np.ravel(labels), 0), return_inverse=True)
    index = index[:-1].reshape(np.shape(labels))
    neighbours = _neighbours(index, gap)
    chosen = np.zeros(len(found), dtype=int)
    used = np.zeros(len(INSTANCE_COLOURS), dtype=int)
    for instance in range(1, len(found)):
        near = [chosen[other] for other in neighbours.get(instance, ()) if other < instance]
        crowding = np.bincount(near, minlength=len(used)) if near else np.zeros_like(used)
        chosen[instance] = np.lexsort((used, crowding))[0]
        used[chosen[instance]] += 1
    table = np.vstack([np.zeros((1, 3), np.uint8), INSTANCE_COLOURS[chosen[1:]]])
    return table[index]


def _neighbours(index: np.ndarray, gap: int) -> dict[int, set[int]]:
    """Return the instances next to each instance once all have grown by `gap` pixels."""
    from skimage.segmentation import expand_labels

    grown = expand_labels(index, gap)
    found: dict[int, set[int]] = {}
    for one, other in ((grown[:, 1:], grown[:, :-1]), (grown[1:], grown[:-1])):
        meet = (one != other) & (one > 0) & (other > 0)
        for a, b in np.unique(np.stack([one[meet], other[meet]], axis=1), axis=0).tolist():
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def scale_bar(ax: Axes, width: int) -> None:
    """Draw a bar about a fifth of the image long into its lower right corner, with its length.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Holds an image drawn with `imshow`.
    width : int
        Width of the image in pixels.
    """
    lengths = [n * 10**power for power in range(5) for n in (1, 2, 5)]
    length = max(n for n in lengths if n <= max(width / 5, 1))
    bottom = max(ax.get_ylim())
    height = bottom - min(ax.get_ylim())
    x, y = width * 0.96 - 0.5, bottom - 0.05 * height
    halo = [withStroke(linewidth=3.5, foreground="black")]
    ax.plot([x - length, x], [y, y], color="white", linewidth=2, path_effects=halo)
    ax.text(
        x - length / 2,
        y - 0.025 * height,
        f"{length} px",
        color="white",
        fontsize=7.5,
        ha="center",
        va="bottom",
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )


def _image_axes(image: np.ndarray, ax: Axes | None, title: str = "", **how) -> Axes:
    """Draw an image without ticks, with a scale bar and a title."""
    if ax is None:
        _, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
    how = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"} | how
    ax.imshow(image, **how)
    ax.set_xticks([])
    ax.set_yticks([])
    scale_bar(ax, image.shape[1])
    ax.set_title(title, fontsize=9.5)
    return ax


def _grid(
    n: int, columns: int, panel: float = 1.0, extra: float = 0.0, label: float = 0.0
) -> tuple[Figure, list]:
    """Return a figure of `n` panels in rows, each `panel` times as high as wide.

    `extra` inches are added to the figure, `label` inches to each row.
    """
    columns = max(1, min(columns, n))
    rows = ceil(n / columns)
    width = WIDTH if columns > 2 else WIDTH * 0.45 * columns
    height = rows * (width / columns * panel + 0.25 + label) + extra
    fig, axes = plt.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[n:]:
        ax.set_axis_off()
    return fig, list(axes.flat[:n])


def montage(
    images: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    title: str = "",
    stretch: bool = True,
) -> Figure:
    """Return a figure of images side by side, each with a title and a scale bar.

    Parameters
    ----------
    images : sequence of arrays, shape (y, x) or (y, x, channel)
        They may differ in size; numbers outside 0 to 1 need ``stretch=True``.
    titles : sequence of str, optional
        One an image.
    columns : int
        Images in a row.
    title : str
        What to see, above all of them.
    stretch : bool
        Whether brightness is stretched by `displayable`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ParameterError
        When there is no image, or not one title an image.
    """
    titles = _one_each("title", titles, images, "")
    heights = [np.shape(image)[0] / np.shape(image)[1] for image in images]
    fig, axes = _grid(len(images), columns, max(heights), 0.4 if title else 0)
    for ax, image, name in zip(axes, images, titles, strict=True):
        _image_axes(displayable(image) if stretch else np.asarray(image), ax, name)
    fig.suptitle(title, fontsize=11)
    return fig


def _one_each(what: str, given: Sequence | None, images: Sequence, default) -> Sequence:
    """Return one of something for each image, checked."""
    if len(images) == 0:
        raise ParameterError("a figure of images needs at least one, found none: check the filter")
    if given is None:
        return [default] * len(images)
    if len(given) != len(images):
        raise ParameterError(
            f"each image needs one {what}, found {len(given)} for {len(images)} images: "
            "take both from the same rows"
        )
    return given


def instance_overlay(
    image: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    alpha: float = 0.45,
    title: str | None = None,
) -> Axes:
    """Draw an image in grey with its instances laid over it in colours, outlined.

    Parameters
    ----------
    image : array_like, shape (y, x) or (y, x, channel)
    labels : array_like of int, shape (y, x)
        Label map.
    ax : matplotlib.axes.Axes, optional
    alpha : float
        How much the colour covers inside an instance; outlines cover fully.
    title : str, optional
        Without it, the number of instances.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from skimage.segmentation import find_boundaries

    labels = np.asarray(labels)
    grey = displayable(image)
    rgb = np.dstack([grey if grey.ndim == 2 else grey.mean(axis=-1)] * 3)
    inside = np.where(find_boundaries(labels, mode="inner"), 1.0, alpha * (labels > 0))[..., None]
    mixed = (1 - inside) * rgb + inside * colour_instances(labels) / 255
    count = np.count_nonzero(np.unique(labels))
    return _image_axes(mixed, ax, f"{count} instances" if title is None else title)


def contour_overlay(
    image: ArrayLike,
    truth: ArrayLike,
    prediction: ArrayLike,
    ax: Axes | None = None,
    threshold: float = 0.5,
    title: str | None = None,
) -> Axes:
    """Draw the outlines of what was found, what was missed and what is too much, with the counts.

    Found instances show the *predicted* outline, so that its fit can be judged. The legend is
    drawn when the figure is new (``ax=None``); several panels share one in `gallery`.

    Parameters
    ----------
    image : array_like, shape (y, x) or (y, x, channel)
    truth, prediction : array_like of int, shape (y, x)
        Label maps.
    ax : matplotlib.axes.Axes, optional
    threshold : float
        IoU above which two instances match.
    title : str, optional
        Without it, the average precision at this IoU.

    Returns
    -------
    matplotlib.axes.Axes
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    found = metrics.match(truth, prediction, threshold)
    if title is None:
        (ap,) = metrics.average_precision(truth, prediction, [threshold])
        title = f"AP {ap:.2f} at IoU {threshold:g}"
    given, ax = ax, _image_axes(displayable(image), ax, title)
    _outline(ax, prediction, found.pairs[:, 1], "matched")
    _outline(ax, truth, np.setdiff1d(truth, [0, *found.pairs[:, 0]]), "missed")
    _outline(ax, prediction, np.setdiff1d(prediction, [0, *found.pairs[:, 1]]), "extra")
    ax.set_xlabel(f"{found.tp} matched, {found.fn} missed, {found.fp} extra", fontsize=8)
    if ax is not given:
        _outline_legend(ax.figure)
    return ax


def _outline(ax: Axes, labels: np.ndarray, which: np.ndarray, kind: str) -> None:
    """Draw the outlines of some instances in the style of their kind."""
    from scipy.ndimage import find_objects
    from skimage.measure import find_contours

    boxes = find_objects(labels) if len(which) else []
    lines = []
    for label in which:
        box = boxes[label - 1]
        corner = np.array([part.start - 1 for part in box])
        mask = np.pad(labels[box] == label, 1).astype(float)
        lines += [(line + corner)[:, ::-1] for line in find_contours(mask, 0.5)]
    width = 1.3 if labels.shape[1] <= 512 else 0.8
    halo = [withStroke(linewidth=width + 0.9, foreground="black", alpha=0.5)]
    style = OUTLINES[kind] | {"linewidths": width, "path_effects": halo}
    ax.add_collection(LineCollection(lines, **style))


def _outline_legend(fig: Figure) -> None:
    """Explain the outlines below all images of a figure."""
    names = {"matched": "matched (predicted outline)", "missed": "missed", "extra": "extra"}
    handles = [Line2D([], [], linewidth=2, label=names[kind], **OUTLINES[kind]) for kind in names]
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        fontsize=8.5,
        facecolor="0.15",
        labelcolor="white",
        framealpha=1,
        columnspacing=1.2,
    )


def gallery(
    images: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    predictions: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    columns: int = 4,
    title: str = "",
    threshold: float = 0.5,
) -> Figure:
    """Return a figure of outlines over several images, with one legend for all.

    Parameters
    ----------
    images : sequence of arrays, shape (y, x) or (y, x, channel)
    truths, predictions : sequence of int arrays, shape (y, x)
        Label maps.
    titles : sequence of str, optional
        One an image; without it, the average precision.
    columns : int
        Images in a row.
    title : str
        What to see, above all of them.
    threshold : float
        IoU above which two instances match.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ParameterError
        When there is no image, or not one of everything an image.
    """
    titles = _one_each("title", titles, images, None)
    _one_each("truth", truths, images, None)
    _one_each("prediction", predictions, images, None)
    heights = [np.shape(image)[0] / np.shape(image)[1] for image in images]
    fig, axes = _grid(len(images), columns, max(heights), 0.7, 0.2)
    for ax, *panel, name in zip(axes, images, truths, predictions, titles, strict=True):
        contour_overlay(*panel, ax=ax, threshold=threshold, title=name)
    _outline_legend(fig)
    fig.suptitle(title, fontsize=11)
    return fig


def watershed_steps(
    image: ArrayLike,
    probability: ArrayLike,
    landscape: ArrayLike,
    markers: ArrayLike,
    instances: ArrayLike,
    title: str = "From a probability to instances, step by step",
    landscape_name: str = "distance to the edge",
    truth: ArrayLike | None = None,
) -> Figure:
    """Return a figure of the five steps of a watershed, left to right.

    Parameters
    ----------
    image : array_like, shape (y, x) or (y, x, channel)
    probability : array_like of float, shape (y, x)
        Of being foreground, 0 to 1; a mask will do.
    landscape : array_like of float, shape (y, x)
        What is flooded: the distance to the edge in pixels, or a predicted map.
    markers, instances : array_like of int, shape (y, x)
        Label maps: where the flood starts, and what it ends with.
    title, landscape_name : str
    truth : array_like of int, shape (y, x), optional
        Label map of what is there: a sixth panel, to compare.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shape = np.shape(image)
    panels = 5 if truth is None else 6
    fig, axes = _grid(panels, panels, shape[0] / shape[1], 0.85)
    _image_axes(displayable(image), axes[0], "1. image")
    _image_axes(np.asarray(probability), axes[1], "2. foreground", cmap="cividis")
    _colour_bar(fig, axes[1], "probability")
    _image_axes(
        np.asarray(landscape), axes[2], "3. landscape", cmap="cividis", vmin=None, vmax=None
    )
    _colour_bar(fig, axes[2], landscape_name)
    marked = displayable(image) * 0.5
    _image_axes(marked, axes[3], f"4. {np.count_nonzero(np.unique(markers))} markers")
    _draw_markers(axes[3], np.asarray(markers))
    count = np.count_nonzero(np.unique(instances))
    _image_axes(colour_instances(instances), axes[4], f"5. {count} instances")
    if truth is not None:
        there = np.count_nonzero(np.unique(truth))
        _image_axes(colour_instances(truth), axes[5], f"truth: {there} instances")
    fig.suptitle(title, fontsize=11)
    return fig


def _colour_bar(fig: Figure, ax: Axes, label: str) -> None:
    below = ax.inset_axes([0, -0.09, 1, 0.05])  # takes no room from the image, as ax=ax would
    bar = fig.colorbar(ax.images[0], cax=below, orientation="horizontal")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_markers(ax: Axes, markers: np.ndarray) -> None:
    """Draw each marker as a ring around its middle, visible however small it is."""
    from scipy.ndimage import center_of_mass

    labels = np.setdiff1d(markers, [0])
    middles = np.array(center_of_mass(markers > 0, markers, labels)).reshape(-1, 2)
    ax.scatter(
        middles[:, 1], middles[:, 0], s=14, color=OKABE_ITO["yellow"], edgecolor="black", lw=0.6
    )
