"""Slices of CT: windows, montage, viewer."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from course_utils import datasets, generators, plotting
from course_utils.errors import ParameterError


@pytest.fixture(autouse=True)
def no_figure_left_over():
    yield
    plt.close("all")


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(-1000, 900, (16, 18, 12)).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [("lung", -1350, 150), ("soft tissue", -160, 240), ("bone", -500, 1300)],
)
def test_a_window_runs_from_black_to_white(name, black, white):
    grey = plotting.windowed([black - 50, black, (black + white) / 2, white, white + 50], name)
    assert grey.tolist() == [0, 0, 0.5, 1, 1]


def test_a_window_can_be_given_in_numbers():
    assert plotting.windowed(0, (0, 100)) == 0.5


@pytest.mark.parametrize("window", ["brain", (0, 0)])
def test_what_is_no_window_is_refused(window):
    with pytest.raises(ParameterError, match="expected a window"):
        plotting.windowed(0, window)


def test_the_montage_shows_slices_in_order_without_stretching(volume):
    figure = plotting.slice_montage(plotting.windowed(volume, "lung"), rows=2, columns=6)
    (ax,) = figure.axes
    sheet = ax.images[0].get_array()
    assert sheet.shape == (32, 108)
    assert np.array_equal(sheet[16:, 18:36], plotting.windowed(volume, "lung")[..., 7])
    assert [text.get_text() for text in ax.texts] == [str(k) for k in range(12)]


def test_the_montage_of_a_thin_volume_leaves_places_empty(volume):
    figure = plotting.slice_montage(volume, rows=4, columns=10)
    assert len(figure.axes[0].texts) == 12


def test_a_montage_of_a_slice_is_refused():
    with pytest.raises(ParameterError, match=r"axes \(y, x, z\)"):
        plotting.slice_montage(np.zeros((4, 4)))


def test_the_viewer_shows_three_windows_and_says_which(volume, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    plotting.slice_viewer(volume, (2, 2, 8), "a scan", interactive=False)
    assert "slice 7 of 12 in the lung, soft-tissue and bone window" in repr(shown[0])
    assert "sliders" in repr(shown[1])


def test_three_windows_keep_the_voxels_proportions(volume):
    figure = plotting.three_windows(volume, (2.0, 2.0, 8.0), 3)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0].startswith("lung") and titles[3] == "frontal cut, head up"
    assert figure.axes[3].get_aspect() == 4
    assert figure.axes[3].lines[0].get_ydata()[0] == 8


def test_a_real_ct_can_be_viewed(real_ct):
    hu, affine = datasets.read_ct(real_ct)
    figure = plotting.three_windows(*generators.turn(hu, affine), 15)
    assert len(figure.axes) == 4
