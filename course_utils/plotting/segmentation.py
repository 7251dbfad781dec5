"""Figures of one mask an image: five panels, Dice against size, risk against coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..metrics.selective import RiskCoverage
from .charts import legend_below, log_ticks, open_axes, series_style
from .display import OKABE_ITO, WIDTH
from .images import displayable

PANELS = ("FLAIR", "true mask", "predicted mask", "FLAIR + true mask", "FLAIR + predicted mask")
TRUE, PREDICTED = OKABE_ITO["orange"], OKABE_ITO["sky"]


def tinted(image: ArrayLike, mask: ArrayLike, colour: str, share: float = 0.45) -> np.ndarray:
    """Return an image as RGB with a mask laid over it.

    Parameters
    ----------
    image : array_like of float, shape (y, x) or (y, x, 3)
        Between 0 and 1.
    mask : array_like of bool, shape (y, x)
    colour : str
        Any colour that matplotlib knows.
    share : float
        Of the colour in the pixels of the mask.

    Returns
    -------
    numpy.ndarray of float, shape (y, x, 3)

    Examples
    --------
    >>> tinted([[0.0, 1.0]], [[True, False]], "white", share=0.5)[0, :, 0].tolist()
    [0.5, 1.0]
    """
    image = np.asarray(image, dtype=float)
    image = np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image.copy()
    inside = np.asarray(mask, dtype=bool)
    image[inside] = (1 - share) * image[inside] + share * np.array(to_rgb(colour))
    return image


def five_panels(
    images: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    predictions: Sequence[ArrayLike],
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """Return a figure with a row an image: image, both masks, and each mask over the image.

    Parameters
    ----------
    images : sequence of arrays, shape (y, x) or (y, x, channel)
        Stretched for the eye.
    truths, predictions : sequence of bool arrays, shape (y, x)
    names : sequence of str
        Written beside each row.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    size = (WIDTH, 0.6 + (WIDTH - 0.3) / 5 * len(images))
    fig, axes = plt.subplots(len(images), 5, figsize=size, squeeze=False, layout="constrained")
    for row, image, truth, prediction, name in zip(
        axes, images, truths, predictions, names, strict=True
    ):
        shown = displayable(image)
        row[0].imshow(shown, cmap="gray", vmin=0, vmax=1)
        for ax, mask, colour in ((row[1], truth, TRUE), (row[2], prediction, PREDICTED)):
            ax.imshow(np.asarray(mask) > 0, cmap=ListedColormap(["black", colour]), vmin=0, vmax=1)
        row[3].imshow(tinted(shown, truth, TRUE))
        row[4].imshow(tinted(shown, prediction, PREDICTED))
        row[0].set_ylabel(name, fontsize=8)
    for ax, name in zip(axes[0], PANELS, strict=True):
        ax.set_title(name, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.suptitle(title, fontsize=11)
    return fig


def dice_against_size(
    sizes: ArrayLike,
    methods: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    xlabel: str = "size of the object (pixels)",
    title: str = "Small objects are the hard ones?",
) -> Axes:
    """Draw each object's Dice against its size, on a logarithmic axis.

    Parameters
    ----------
    sizes : array_like of float, shape (n_objects,)
        Above 0.
    methods : mapping of str to array_like of float, shape (n_objects,)
        The Dice of each object by each method.
    ax : matplotlib.axes.Axes, optional
    xlabel, title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax)
    for i, (name, values) in enumerate(methods.items()):
        how = series_style(i) | {"linestyle": "none", "alpha": 0.75, "markersize": 5}
        ax.plot(sizes, values, **how, label=name)
    log_ticks(ax)
    ax.set(xlabel=xlabel, ylabel="Dice", ylim=(-0.03, 1.03))
    ax.set_title(title, fontsize=11)
    ax.grid(axis="y", color="0.9")
    legend_below(ax)
    return ax


def risk_coverage(
    doubts: Mapping[str, RiskCoverage],
    ax: Axes | None = None,
    ylabel: str = "mean risk of the cases kept",
    title: str = "What refusing the doubtful cases gains",
) -> Axes:
    """Draw the risk of what is kept against the share kept, one line a kind of doubt.

    Parameters
    ----------
    doubts : mapping of str to metrics.RiskCoverage
    ax : matplotlib.axes.Axes, optional
    ylabel, title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax)
    for i, (name, found) in enumerate(doubts.items()):
        how = series_style(i) | {"marker": ""}
        ax.plot(100 * found.coverage, found.risk, **how, label=f"{name} (area {found.area:.3f})")
    whole = next(iter(doubts.values()))
    ax.axhline(whole.risk[-1], color="0.6", linewidth=1, label="no use: the mean risk")
    ax.set(xlabel="cases kept, the surest first (%)", ylabel=ylabel, xlim=(0, 100))
    ax.set_ylim(bottom=0)
    ax.set_title(title, fontsize=11)
    legend_below(ax)
    return ax
