"""Figures with sliders for a live notebook, and the same as a picture for everyone else.

A viewer always shows a static overview first, which is what a stored notebook keeps. Below it, a
live notebook gets sliders; anywhere else one line says how to get them. Who decides is
`display.is_static`, or the argument ``interactive``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .. import metrics
from .display import Remark, is_static, png, show
from .images import (
    _grid,
    _outline_legend,
    contour_overlay,
    gallery,
    instance_overlay,
    watershed_steps,
)

Slider = tuple[float, float, float, float]
"""Lowest value, highest value, step, value at the start."""

Split = Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
"""From a probability map and slider values to landscape, markers and instances."""

WATERSHED_SLIDERS: dict[str, Slider] = {
    "threshold": (0.1, 0.9, 0.05, 0.5),
    "smoothing": (0.0, 6.0, 0.5, 1.5),
}


def explore(
    draw: Callable[..., Figure], sliders: Mapping[str, Slider], interactive: bool | None = None
) -> None:
    """Show a figure that is redrawn whenever a slider is let go, or a line where there is none.

    Parameters
    ----------
    draw : callable
        Called with each slider's value under its name; returns a new figure.
    sliders : mapping of str to (low, high, step, start)
        Whole numbers throughout make a slider of whole numbers.
    interactive : bool, optional
        Without it, sliders are shown in a live notebook unless ``COURSE_STATIC`` is set.
    """
    from IPython.display import display

    if interactive is None:
        interactive = not is_static()
    if not interactive:
        display(Remark("Run this cell in JupyterLab or Colab to move the sliders yourself."))
        return
    import ipywidgets

    controls = {name: _slider(name, setting) for name, setting in sliders.items()}
    picture = ipywidgets.Image(format="png")

    def redraw(_change: Any = None) -> None:
        fig = draw(**{name: control.value for name, control in controls.items()})
        picture.value = png(fig)
        plt.close(fig)

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    display(ipywidgets.VBox([*controls.values(), picture]))


def _slider(name: str, setting: Slider) -> Any:
    import ipywidgets

    low, high, step, start = setting
    whole = all(isinstance(number, int) for number in setting)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(
        value=start,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
    )


def gallery_viewer(
    images: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    predictions: Sequence[ArrayLike],
    scores: ArrayLike,
    names: Sequence[str] | None = None,
    shown: int = 8,
    score_name: str = "AP at IoU 0.5",
    interactive: bool | None = None,
    **keep: Any,
) -> None:
    """Show the images with the lowest scores, and a slider through all of them.

    Parameters
    ----------
    images : sequence of arrays, shape (y, x) or (y, x, channel)
    truths, predictions : sequence of int arrays, shape (y, x)
        Label maps.
    scores : array_like of float, shape (n_images,)
        What they are sorted by, lowest first. None is left out.
    names : sequence of str, optional
        Titles of the images.
    shown : int
        How many go into the static figure.
    score_name : str
    interactive : bool, optional
        As for `explore`.
    **keep
        ``name`` and ``lesson`` for `show`.
    """
    order = np.argsort(np.asarray(scores, dtype=float), kind="stable")
    names = [f"image {i}" for i in range(len(images))] if names is None else names

    def heading(i: int) -> str:
        return f"{names[i]}: {scores[i]:.2f}"

    worst = order[:shown]
    parts = [[of[i] for i in worst] for of in (images, truths, predictions)]
    count = f"The {len(worst)} lowest of {len(order)}" if len(worst) < len(order) else "All images"
    title = f"{count} by {score_name}, the worst first"
    low, high = (f"{scores[i]:.2f}" for i in worst[[0, -1]])
    alt = (
        f"{title}, {f'from {low} to {high}' if low != high else f'all {low}'}. Outlines: matched "
        "instances solid blue, missed ones dashed orange, extra ones dotted yellow."
    )
    show(gallery(*parts, [heading(i) for i in worst], title=title), alt, **keep)

    def draw(rank: int) -> Figure:
        i = order[rank - 1]
        title = f"{rank} of {len(order)}: {heading(i)}"
        return _one_of_gallery(images[i], truths[i], predictions[i], title)

    explore(draw, {"rank": (1, len(order), 1, 1)}, interactive)


def _one_of_gallery(
    image: ArrayLike, truth: ArrayLike, prediction: ArrayLike, title: str
) -> Figure:
    """Return a figure of one image: outlines of hits and errors beside the predicted instances."""
    fig, (left, right) = _grid(2, 2, np.shape(image)[0] / np.shape(image)[1], 0.7, 0.2)
    contour_overlay(image, truth, prediction, ax=left)
    _outline_legend(fig)
    instance_overlay(image, prediction, ax=right)
    fig.suptitle(title, fontsize=11)
    return fig


def watershed_explorer(
    image: ArrayLike,
    probability: ArrayLike,
    split: Split | None = None,
    sliders: Mapping[str, Slider] = WATERSHED_SLIDERS,
    truth: ArrayLike | None = None,
    interactive: bool | None = None,
    **keep: Any,
) -> None:
    """Show what a watershed makes of a probability map at several settings, and its sliders.

    The static figure shows the last slider at its lowest, start and highest value; the live one
    all steps at the values chosen.

    Parameters
    ----------
    image : array_like, shape (y, x) or (y, x, channel)
    probability : array_like of float, shape (y, x)
        Of being foreground.
    split : callable, optional
        ``split(probability, **slider values) -> (landscape, markers, instances)``; without it,
        the peaks of the smoothed distance to the edge of ``probability > threshold``.
    sliders : mapping of str to (low, high, step, start)
        The parameters of `split`.
    truth : array_like of int, shape (y, x), optional
        Label map, to give the average precision of each setting.
    interactive : bool, optional
        As for `explore`.
    **keep
        ``name`` and ``lesson`` for `show`.
    """
    image, probability = np.asarray(image), np.asarray(probability)
    split = _distance_watershed if split is None else split
    start = {name: setting[3] for name, setting in sliders.items()}
    *_, (varied, (low, high, _, middle)) = sliders.items()
    fig, axes = _grid(3, 3, image.shape[0] / image.shape[1], 0.35)
    results = []
    for ax, value in zip(axes, (low, middle, high), strict=True):
        *_, instances = split(probability, **start | {varied: value})
        results.append(f"{varied} {value:g}:\n{_summary(instances, truth)}")
        instance_overlay(image, instances, ax=ax, title=results[-1])
    title = f"The same prediction, split with less and with more {varied}"
    fig.suptitle(title, fontsize=11)
    show(fig, f"{title}. {'. '.join(results)}.", **keep)

    def draw(**values: float) -> Figure:
        landscape, markers, instances = split(probability, **values)
        title = _summary(instances, truth)
        return watershed_steps(image, probability, landscape, markers, instances, title)

    explore(draw, sliders, interactive)


def _summary(instances: np.ndarray, truth: ArrayLike | None) -> str:
    """Return the number of instances and, where the truth is known, how right they are."""
    count = np.count_nonzero(np.unique(instances))
    if truth is None:
        return f"{count} instances"
    (ap,) = metrics.average_precision(truth, instances, [0.5])
    return f"{count} instances, AP {ap:.2f} at IoU 0.5"


def _distance_watershed(
    probability: np.ndarray, threshold: float, smoothing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smoothed distance to the edge, its peaks numbered, and the basins around them."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    foreground = probability > threshold
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(foreground), smoothing)
    parts, _ = ndimage.label(foreground)
    peaks = peak_local_max(distance, min_distance=1, labels=parts, exclude_border=False)
    markers = np.zeros(foreground.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return distance, markers, watershed(-distance, markers, mask=foreground)
