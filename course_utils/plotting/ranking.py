"""Charts of a score that ranks cases: ROC, precision-recall, reliability, histogram; heat maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from numpy.typing import ArrayLike

from ..errors import ParameterError
from ..metrics import ranking
from .charts import legend_below, open_axes, series_style
from .display import OKABE_ITO

SQUARE = (4.6, 4.2)  # inches

BLUE_HEAT = LinearSegmentedColormap.from_list("blue heat", ["#003060", "#0072B2", "#56D4FF"])
"""For heat over a grey slice whose outlines are orange: each is seen on the other."""


def roc(
    truth: ArrayLike,
    scores: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    ax: Axes | None = None,
    title: str = "ROC: positives found against false alarms",
) -> Axes:
    """Draw ROC curves, the first with the band of its resamples.

    Parameters
    ----------
    truth : array_like, (cases,)
    scores : mapping of str to array_like, (cases,)
        One curve each; its AUC stands in the legend.
    groups : array_like, (cases,), optional
        What is drawn with replacement for the band: patients.
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax, SQUARE)
    for i, (name, score) in enumerate(scores.items()):
        curve = ranking.roc_curve(truth, score)
        label = f"{name}: AUC {ranking.auc(truth, score):.3f}"
        how = series_style(i) | {"marker": ""}
        ax.plot(curve.x, curve.y, **how, linewidth=1.8, label=label)
        if i == 0:
            x, low, high = ranking.roc_band(truth, score, groups)
            ax.fill_between(x, low, high, color=how["color"], alpha=0.18, linewidth=0)
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle=":", label="chance")
    ax.set(xlabel="false-positive rate (1 - specificity)", ylabel="sensitivity")
    return _square(ax, title)


def precision_recall(
    truth: ArrayLike,
    scores: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    title: str = "Precision against recall",
) -> Axes:
    """Draw precision-recall curves; the dotted line is the share of positive cases.

    Parameters
    ----------
    truth : array_like, (cases,)
    scores : mapping of str to array_like, (cases,)
        One curve each; its average precision stands in the legend.
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax, SQUARE)
    for i, (name, score) in enumerate(scores.items()):
        curve = ranking.precision_recall_curve(truth, score)
        label = f"{name}: AP {ranking.average_precision(truth, score):.3f}"
        how = series_style(i) | {"marker": ""}
        # Up to each recall, the precision of its own threshold: so the area is the AP.
        found = curve.x > 0
        recall, precision = np.append(0, curve.x[found]), curve.y[found]
        precision = np.append(precision[0], precision)
        ax.step(recall, precision, where="pre", **how, linewidth=1.8, label=label)
    share = float(np.mean(truth))
    ax.axhline(share, color="0.7", linewidth=1, linestyle=":", label=f"chance: {share:.3f}")
    ax.set(xlabel="recall (sensitivity)", ylabel="precision")
    return _square(ax, title)


def _square(ax: Axes, title: str) -> Axes:
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), aspect="equal")
    ax.set_title(title, fontsize=11)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return ax


def reliability(
    diagrams: Mapping[str, ranking.Reliability],
    ax: Axes | None = None,
    title: str = "Reliability: is 0.7 right seven times in ten?",
) -> Axes:
    """Draw reliability diagrams: the larger the marker, the more cases in its bin.

    Parameters
    ----------
    diagrams : mapping of str to metrics.ranking.Reliability
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax, SQUARE)
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle=":", label="as it should be")
    for i, (name, found) in enumerate(diagrams.items()):
        how = series_style(i)
        ax.plot(found.predicted, found.observed, **how | {"marker": ""}, linewidth=1.2)
        sizes = 15 + 160 * found.count / found.count.sum()
        look = {"color": how["color"], "marker": how["marker"], "alpha": 0.8}
        ax.scatter(found.predicted, found.observed, s=sizes, **look, label=name)
    ax.set(xlabel="mean predicted probability", ylabel="share that has a tumour")
    _square(ax, title)
    legend_below(ax)
    return ax


def score_histogram(
    truth: ArrayLike,
    probability: ArrayLike,
    threshold: float | None = None,
    ax: Axes | None = None,
    names: tuple[str, str] = ("no tumour", "tumour"),
    title: str = "Probabilities by truth",
) -> Axes:
    """Draw the probabilities of both classes as bars side by side, the threshold as a line.

    Parameters
    ----------
    truth, probability : array_like, (cases,)
    threshold : float, optional
    ax : matplotlib.axes.Axes, optional
    names : tuple of str
        Of the classes 0 and 1.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    truth, probability = np.asarray(truth, bool), np.asarray(probability, float)
    ax = open_axes(ax)
    which = [probability[~truth], probability[truth]]
    labels = [f"{name} ({len(values)})" for name, values in zip(names, which)]
    colors = [OKABE_ITO["sky"], OKABE_ITO["orange"]]
    look = {"edgecolor": "0.3", "linewidth": 0.5, "color": colors, "label": labels}
    ax.hist(which, np.linspace(0, 1, 11), **look)
    if threshold is not None:
        line = {"color": "black", "linestyle": "--", "linewidth": 1.2}
        ax.axvline(threshold, **line, label=f"threshold {threshold:.2f}")
    ax.set(xlabel="predicted probability", ylabel="slices (log scale above 1)", xlim=(0, 1))
    highest = max(bar.get_height() for bar in ax.patches)
    known = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
    top = next((tick for tick in known if tick >= highest), highest)
    ax.set(yscale="symlog", ylim=(0, 1.1 * top))
    ticks = [tick for tick in known if tick <= top]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_title(title, fontsize=11)
    ax.legend(frameon=False, fontsize=9)
    return ax


def heat_overlay(
    image: ArrayLike,
    heat: ArrayLike,
    mask: ArrayLike | None = None,
    ax: Axes | None = None,
    title: str = "",
    cmap: str | Colormap = "inferno",
    outline: str = OKABE_ITO["sky"],
) -> Axes:
    """Lay a heat map over a grey slice, its highest point as a cross, a mask as an outline.

    Parameters
    ----------
    image : array_like, (y, x)
    heat : array_like, (y, x)
        Not negative; shown from 0 to its largest value.
    mask : array_like of bool, (y, x), optional
    ax : matplotlib.axes.Axes, optional
    title : str
    cmap : str or Colormap
        Of the heat; `heat_bar` draws its scale.
    outline : str
        Colour of the mask's outline.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        When the shapes differ.
    """
    image, heat = np.asarray(image), np.asarray(heat, float)
    shapes = {image.shape, heat.shape} | ({np.shape(mask)} if mask is not None else set())
    if len(shapes) > 1 or image.ndim != 2:
        raise ParameterError(
            f"image, heat and mask need one shape (y, x), found {sorted(shapes)}: resize the heat"
        )
    ax = open_axes(ax, (3.4, 3.4))
    high = max(float(heat.max()), 1e-12)
    ax.imshow(image, cmap="gray")
    share = np.clip(heat / high, 0, 1)
    ax.imshow(share, cmap=cmap, alpha=0.75 * share**0.6, vmin=0, vmax=1)
    if mask is not None and np.any(mask):
        ax.contour(np.asarray(mask, float), [0.5], colors=outline, linewidths=1.4)
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    ax.plot(column, row, "+", color="white", markersize=9, markeredgewidth=1.8)
    ax.set_axis_off()
    ax.set_title(title, fontsize=9)
    return ax


def heat_bar(axes: ArrayLike, cmap: str | Colormap = "inferno") -> Colorbar:
    """Draw the scale of the heat maps of several panels beside them.

    Parameters
    ----------
    axes : array_like of matplotlib.axes.Axes
        The panels, of one figure.
    cmap : str or Colormap
        As given to `heat_overlay`.

    Returns
    -------
    matplotlib.colorbar.Colorbar
    """
    panels = list(np.ravel(axes))
    scale = panels[0].figure.colorbar(ScalarMappable(cmap=cmap), ax=panels, shrink=0.6, pad=0.02)
    scale.set_ticks([0, 1], labels=["none (clear)", "most"])
    scale.set_label("heat, each slice by its own highest")
    return scale
