"""The figures of lesson 2 show what they are given."""

import numpy as np
from matplotlib import pyplot as plt

from course_utils import metrics, plotting


def test_five_panels_a_row():
    image, mask = np.random.default_rng(0).random((2, 16, 16)), np.eye(16, dtype=bool)
    fig = plotting.five_panels(image, [mask] * 2, [~mask] * 2, ["worst", "best"], title="two")
    titles = [ax.get_title() for ax in fig.axes[:5]]
    assert titles == list(plotting.PANELS) and len(fig.axes) == 10
    assert [fig.axes[0].get_ylabel(), fig.axes[5].get_ylabel()] == ["worst", "best"]
    assert fig.axes[3].images[0].get_array().shape == (16, 16, 3)
    plt.close(fig)


def test_a_tint_changes_only_the_mask_and_not_the_image_itself():
    image, mask = np.full((4, 4, 3), 0.5), np.eye(4, dtype=bool)
    coloured = plotting.tinted(image, mask, "red")
    assert (coloured[~mask] == 0.5).all() and (coloured[mask][:, 0] > 0.5).all()
    assert (image == 0.5).all()


def test_dice_against_size_has_a_series_a_method():
    ax = plotting.dice_against_size([10, 500, 90], {"a": [0.1, 0.9, 0.6], "b": [0, 0.5, 0.4]})
    assert ax.get_xscale() == "log" and len(ax.lines) == 2
    assert ax.lines[0].get_xydata().tolist()[1] == [500, 0.9]
    ax.figure.canvas.draw()  # the markers of the legend must not look like two more objects
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0
    plt.close(ax.figure)


def test_risk_coverage_has_a_line_a_doubt_and_the_mean():
    risk = np.linspace(0, 1, 10)
    found = {"good": metrics.risk_coverage(risk, risk), "bad": metrics.risk_coverage(risk, -risk)}
    ax = plotting.risk_coverage(found)
    assert len(ax.lines) == 3 and ax.lines[2].get_ydata()[0] == found["good"].risk[-1]
    assert "good (area" in ax.get_legend().get_texts()[0].get_text()
    plt.close(ax.figure)
