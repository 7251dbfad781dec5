"""Charts of scores: training curves, precision, counts, intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from ..errors import ParameterError
from ..metrics import THRESHOLDS, Interval
from .display import DASHES, MARKERS, SERIES, WIDTH

if TYPE_CHECKING:
    import pandas as pd

SCORE_NAMES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "dice": "Dice",
    "median_dice": "median Dice",
    "slice_dice": "Dice of slices with tumour",
    "false_positive_area": "false-positive area (pixels)",
    "dice_csf": "Dice of CSF",
    "dice_gm": "Dice of grey matter",
    "dice_wm": "Dice of white matter",
    "iou": "IoU",
    "thresholded_iou": "thresholded Jaccard",
    "miou": "mIoU",
    "boundary_f1": "boundary F1",
    "boundary_px": "boundary distance (pixels)",
    "hd95_mm": "95 % Hausdorff distance (mm)",
    "ap50": "AP at IoU 0.5",
    "map": "mean AP, IoU 0.5 to 0.95",
    "pq": "panoptic quality",
    "count_error": "count error",
}
"""Names of ``metrics.json`` as a reader should see them."""


def open_axes(ax: Axes | None, size: tuple[float, float] = (6.4, 3.8)) -> Axes:
    """Return the axes, or new ones, with the frame open above and to the right."""
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def series_style(i: int) -> dict[str, Any]:
    """Return colour, marker and line style of the i-th series, no two alike among the first 64."""
    again = i // len(SERIES)  # when the colours start again, markers and dashes are others
    return {
        "color": SERIES[i % len(SERIES)],
        "marker": MARKERS[(i + again) % len(MARKERS)],
        "linestyle": DASHES[(i + again) % len(DASHES)],
    }


def curves(
    history: Any, metric: str = "loss", ax: Axes | None = None, best: str | None = None
) -> Axes:
    """Draw a number over the epochs, for training and validation, the best epoch marked.

    Parameters
    ----------
    history : keras History or mapping
        ``history.history``, or a mapping of names to one number an epoch.
    metric : str
        The name; ``val_<metric>`` is drawn as well when it is there.
    ax : matplotlib.axes.Axes, optional
    best : str, optional
        The name by which the best epoch was chosen: its lowest value when "loss" is in the name,
        else its highest. Without it, the validation's `metric`, or the training's.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        When the history has no such name.
    """
    numbers = getattr(history, "history", history)
    drawn = [name for name in (metric, f"val_{metric}") if name in numbers]
    best = best or (drawn or [metric])[-1]
    for name in (metric, best):
        if name not in numbers:
            raise ParameterError(
                f"the history has no {name!r}, found {', '.join(sorted(numbers))}: pick one of them"
            )
    ax = open_axes(ax)
    for i, name in enumerate(drawn):
        epochs = np.arange(1, len(numbers[name]) + 1)
        label = "validation" if name.startswith("val_") else "training"
        ax.plot(epochs, numbers[name], **series_style(i) | {"markersize": 3.5}, label=label)
    _mark_best(ax, np.asarray(numbers[best], dtype=float), best)
    named = SCORE_NAMES.get(metric, metric.replace("_", " "))
    ax.set(xlabel="epoch", ylabel=named)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, len(numbers[metric]) + 0.5)
    ax.set_title(f"{named[0].upper()}{named[1:]} over the epochs", fontsize=11)
    legend_below(ax)
    return ax


def legend_below(ax: Axes) -> None:
    """Put the legend under the name of the x axis, where it hides no line."""
    below = ScaledTranslation(0, -34 / 72, ax.figure.dpi_scale_trans)  # 34 points
    wide = ax.get_position().width * ax.figure.get_figwidth() > 3.2  # inches
    ax.legend(
        frameon=False, fontsize=9, ncols=2 if wide else 1, borderaxespad=0,
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=ax.transAxes + below,
    )  # fmt: skip


def _mark_best(ax: Axes, values: np.ndarray, name: str) -> None:
    """Mark the epoch with the best value by a line, named in the legend."""
    if np.isfinite(values).any():
        at = int(np.nanargmin(values) if "loss" in name else np.nanargmax(values))
        label = f"best epoch {at + 1}: {name.replace('_', ' ')} {values[at]:.3f}"
        ax.axvline(at + 1, color="0.3", linewidth=1.2, linestyle=(0, (6, 2)), zorder=0, label=label)


def ap_curve(
    methods: Mapping[str, ArrayLike],
    thresholds: ArrayLike = THRESHOLDS,
    ax: Axes | None = None,
    title: str = "How many nuclei are found, the stricter the outline is judged",
) -> Axes:
    """Draw average precision against the IoU asked for, one line a method.

    Parameters
    ----------
    methods : mapping of str to array, shape (n_thresholds,) or (n_cases, n_thresholds)
        What `metrics.average_precision` returned; cases are averaged.
    thresholds : array_like of float, shape (n_thresholds,)
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax, (WIDTH, 3.8))
    for i, (name, values) in enumerate(methods.items()):
        mean = np.atleast_2d(np.asarray(values, dtype=float)).mean(axis=0)
        label = f"{name} (mean {mean.mean():.3f})"
        ax.plot(thresholds, mean, **series_style(i), markersize=5, label=label)
    ax.set(xlabel="IoU a match has to exceed", ylabel="AP = TP / (TP + FP + FN)", ylim=(0, 1.02))
    ax.set_title(title, fontsize=11)
    ax.grid(axis="y", color="0.9")
    ax.legend(frameon=False, fontsize=9, handlelength=3, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def bland_altman(
    truth: ArrayLike,
    prediction: ArrayLike,
    kinds: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str = "Do predicted counts agree with true counts?",
    labels: tuple[str, str] = ("true", "predicted"),
    unit: str = "count",
    ratio: bool = False,
) -> Axes:
    """Draw the difference of two measurements against their mean, with the limits of agreement.

    Parameters
    ----------
    truth, prediction : array_like, shape (n_cases,)
        True and predicted number of instances of each image, or any two measurements of a case.
    kinds : sequence of str, shape (n_cases,), optional
        Kind of each image: one marker and colour each, in the order of the alphabet.
    ax : matplotlib.axes.Axes, optional
    title : str
    labels : (str, str)
        What the two measurements are called on the axes.
    unit : str
        What is measured, such as ``"count"`` or ``"volume (ml)"``.
    ratio : bool
        Draw ``prediction / truth`` instead, for differences that grow with what is measured: the
        mean and the limits are those of the logarithm. A count of 0 is drawn as a half.

    Returns
    -------
    matplotlib.axes.Axes

    References
    ----------
    J. M. Bland, D. G. Altman, "Statistical methods for assessing agreement between two methods of
    clinical measurement", The Lancet 327, 1986: limits are mean +- 1.96 standard deviations.
    """
    truth, prediction = np.asarray(truth, dtype=float), np.asarray(prediction, dtype=float)
    ax = open_axes(ax)
    middle, difference = (truth + prediction) / 2, prediction - truth
    if ratio:
        truth, prediction = np.maximum(truth, 0.5), np.maximum(prediction, 0.5)
        middle, difference = np.sqrt(truth * prediction), prediction / truth
        ax.set_yscale("log")
    kinds = np.full(len(truth), "images") if kinds is None else np.asarray(kinds)
    for i, kind in enumerate(np.unique(kinds).tolist()):
        which = kinds == kind
        how = series_style(i) | {"linestyle": "none", "alpha": 0.75, "markersize": 5}
        ax.plot(middle[which], difference[which], **how, label=f"{kind} ({which.sum()})")
    _agreement_lines(ax, difference, ratio)
    if middle.min() > 0 and middle.max() > 20 * middle.min():
        log_ticks(ax)
    first, second = labels
    sign, mean = ("/", "geometric mean") if ratio else ("-", "mean")
    ax.set(
        xlabel=f"{mean} of {first} and {second} {unit}", ylabel=f"{second} {sign} {first} {unit}"
    )
    if ratio:
        low, high = ax.get_ylim()
        wide = high > 3 * low
        ax.yaxis.set_major_locator(LogLocator(subs=[1, 2, 5]) if wide else MaxNLocator(6))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.set_title(title, fontsize=11)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17)}
    ax.legend(frameon=False, fontsize=9, ncols=4, **below)
    return ax


def _agreement_lines(ax: Axes, difference: np.ndarray, ratio: bool = False) -> None:
    """Draw the mean difference and the limits of agreement, labelled at the right end."""
    forth, back, form = (np.log, np.exp, "x {:.2f}") if ratio else (np.array, float, "{:+.1f}")
    values = forth(difference)
    mean = values.mean()
    spread_ = 1.96 * values.std(ddof=1) if len(values) > 1 else 0.0
    ax.axhline(back(0.0), color="0.8", linewidth=1, zorder=0)
    lines = {"mean": mean, "mean + 1.96 SD": mean + spread_, "mean - 1.96 SD": mean - spread_}
    for name, value in lines.items():
        height = back(value)
        ax.axhline(height, color="0.25", linewidth=1, linestyle="-" if name == "mean" else "--")
        ax.annotate(
            f"{name}\n{form.format(height)}",
            (1.01, height),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
        )


def log_ticks(ax: Axes) -> None:
    """Make the x axis logarithmic with plain numbers at 1, 2, 5, 10, 20, ..."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def spread(
    values: ArrayLike,
    kinds: Sequence[str],
    ax: Axes | None = None,
    xlabel: str = "nuclei in an image",
    title: str = "",
    log: bool = False,
) -> Axes:
    """Draw each case's number as a dot, one row a kind, with the median.

    Parameters
    ----------
    values : array_like of float, shape (n_cases,)
    kinds : sequence of str, shape (n_cases,)
    ax : matplotlib.axes.Axes, optional
    xlabel, title : str
    log : bool
        Whether the axis is logarithmic.

    Returns
    -------
    matplotlib.axes.Axes
    """
    values, kinds = np.asarray(values, dtype=float), np.asarray(kinds)
    rows = list(dict.fromkeys(kinds.tolist()))
    ax = open_axes(ax, (6.4, 1.3 + 0.55 * len(rows)))
    rng = np.random.default_rng(0)  # jitter only
    for i, kind in enumerate(rows):
        which = values[kinds == kind]
        how = series_style(i) | {"linestyle": "none", "alpha": 0.5, "markersize": 4}
        ax.plot(which, i + rng.uniform(-0.22, 0.22, len(which)), **how)
        ax.plot([np.median(which)] * 2, [i - 0.34, i + 0.34], color="black", linewidth=2)
    ax.set_yticks(range(len(rows)), [f"{kind} ({np.sum(kinds == kind)})" for kind in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if log:
        log_ticks(ax)
    ax.set(xlabel=f"{xlabel} (bar: median)")
    ax.set_title(title, fontsize=11)
    return ax


def intervals(
    methods: Mapping[str, Interval], ax: Axes | None = None, xlabel: str = "", title: str = ""
) -> Axes:
    """Draw a dot with its interval for each method, first method on top.

    Parameters
    ----------
    methods : mapping of str to metrics.Interval
    ax : matplotlib.axes.Axes, optional
    xlabel : str
        Name of the score.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = open_axes(ax, (6.4, 1.2 + 0.38 * len(methods)))
    written = _written([found.value for found in methods.values()])
    for i, (found, number) in enumerate(zip(methods.values(), written, strict=True)):
        how = series_style(i) | {"linestyle": "-", "markersize": 7}
        ax.plot([found.low, found.high], [i, i], color=how["color"], linewidth=2)
        ax.plot(found.value, i, **how)
        ax.annotate(
            number,
            (found.value, i),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(methods)), list(methods))
    ax.set_ylim(len(methods) - 0.5, -0.7)
    ax.margins(x=0.1)
    ax.grid(axis="x", color="0.9")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set(xlabel=xlabel)
    ax.set_title(title, fontsize=11)
    _fit_words(ax)
    return ax


def _fit_words(ax: Axes) -> None:
    """Break the x label into lines as wide as the panel, and keep the numbers off its edges."""
    wide = 72 * ax.get_position().width * ax.figure.get_figwidth()  # points
    letter = 0.6 * ax.xaxis.label.get_fontsize()
    label = textwrap.fill(ax.get_xlabel(), max(1, int(wide / letter)), break_long_words=False)
    ax.set_xlabel(label)
    needs = {text.xy[0]: 0.32 * 8 * (len(text.get_text()) + 1) / wide for text in ax.texts}
    for _ in range(4):  # a wider range needs more room on both sides
        low, high = ax.get_xlim()
        lows = [x - share * (high - low) for x, share in needs.items()]
        highs = [x + share * (high - low) for x, share in needs.items()]
        ax.set_xlim(min([low, *lows]), max([high, *highs]))


def _written(values: Sequence[float]) -> list[str]:
    """Return scores with as many digits as say something: shares three decimals, pixels none.

    All of them get the digits of the largest.

    Examples
    --------
    >>> _written([0.8371, 0.9]), _written([4.2, 51.293]), _written([12.3, 856.016])
    (['0.837', '0.900'], ['4.2', '51.3'], ['12', '856'])
    """
    most = max((abs(value) for value in values if np.isfinite(value)), default=0.0)
    digits = 3 if most < 10 else 1 if most < 100 else 0
    return [f"{value:.{digits}f}" for value in values]


def compare(
    scores: Mapping[str, Mapping[str, Interval]],
    title: str = "Each method's scores with 95 % intervals",
) -> Figure:
    """Return a figure with one panel a score, each with a dot and an interval a method.

    Parameters
    ----------
    scores : mapping of method name to mapping of score name to metrics.Interval
        All methods have the same scores; names of ``metrics.json`` are written out.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(next(iter(scores.values())))
    size = (WIDTH, 1.3 + 0.42 * len(scores))
    fig, axes = plt.subplots(
        1, len(names), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, name in zip(axes.flat, names, strict=True):
        methods = {method: found[name] for method, found in scores.items()}
        intervals(methods, ax, xlabel=SCORE_NAMES.get(name, name))
        ax.xaxis.set_major_locator(MaxNLocator(max(2, 10 // len(names))))
    fig.suptitle(title, fontsize=11)
    fig.draw_without_rendering()  # only now the panels are as narrow as the names leave them
    for ax in axes.flat:
        _fit_words(ax)
    return fig


def table(scores: Mapping[str, Mapping[str, Interval]]) -> pd.DataFrame:
    """Return the same scores as text, "0.742 (0.701 to 0.780)": a row a method, a column a score.

    Parameters
    ----------
    scores : mapping of method name to mapping of score name to metrics.Interval
        Names of ``metrics.json`` are written out.

    Returns
    -------
    pandas.DataFrame of str

    Examples
    --------
    >>> table({"Otsu": {"dice": Interval(0.857, 0.81, 0.9, n=44)}}).loc["Otsu", "Dice"]
    '0.857 (0.810 to 0.900)'
    """
    import pandas as pd

    rows = {
        method: {SCORE_NAMES.get(name, name): str(value) for name, value in found.items()}
        for method, found in scores.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
