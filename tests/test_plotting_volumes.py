"""The three-plane viewer: directions of the body, mm, colours of labels, static and live."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from course_utils import plotting
from course_utils.errors import ParameterError

matplotlib.use("agg")
NAMES = {0: "background", 1: "CSF", 2: "grey matter", 3: "white matter"}


def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A volume bright on the right, at the front and at the top, labels, and a 2 mm affine."""
    image = np.zeros((10, 14, 8))
    image[2:8, 2:12, 2:6] = 1
    image[6:8, 10:12, 4:6] = 9
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -9, -13, -7
    return image, (image > 0) * 2, affine


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_each_plane_says_its_place_and_directions():
    image, labels, affine = head()
    fig = plotting.three_planes(image, {"manual": labels}, affine, (5, 7, 4), NAMES)
    titles = [ax.get_title() for ax in fig.axes[:3]]
    assert titles == ["coronal, y = 1 mm", "axial, z = 1 mm", "sagittal, x = 1 mm"]
    assert "L ← x (mm) → R" in fig.axes[0].get_xlabel()
    assert "I ← z (mm) → S" in fig.axes[0].get_ylabel()
    assert "P ← y (mm) → A" in fig.axes[2].get_xlabel()


def test_right_front_and_top_are_where_the_axes_say():
    image, _, affine = head()
    fig = plotting.three_planes(image, None, affine, (7, 11, 5))
    for ax, place in zip(fig.axes[:3], ((4, 2), (4, 8), (8, 2))):
        (picture,) = ax.get_images()
        shown = picture.get_array()[..., 0]
        row, column = np.argwhere(shown == shown.max()).mean(0)
        left, right, low, high = picture.get_extent()
        assert picture.origin == "lower"
        across = left + (column + 0.5) / shown.shape[1] * (right - left)
        up = low + (row + 0.5) / shown.shape[0] * (high - low)
        assert (round(across), round(up)) == place


def test_labels_are_named_in_the_legend_and_the_background_is_not():
    image, labels, affine = head()
    fig = plotting.three_planes(image, {"manual": labels}, affine, names=NAMES)
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == list(NAMES.values())[1:]


def test_what_does_not_fit_is_named():
    image, labels, _ = head()
    with pytest.raises(ParameterError, match=r"\(x, y, z\)"):
        plotting.three_planes(image[0])
    with pytest.raises(ParameterError, match="'FAST'"):
        plotting.three_planes(image, {"FAST": labels[1:]})


def test_an_empty_volume_is_drawn_too():
    plotting.three_planes(np.zeros((4, 5, 6)))


def test_the_viewer_shows_a_picture_and_sliders_when_live(capsys):
    ipywidgets = pytest.importorskip("ipywidgets")
    image, labels, affine = head()
    plotting.plane_viewer(image, {"manual": labels}, affine, NAMES, interactive=False)
    assert "sliders" in capsys.readouterr().out
    plotting.plane_viewer(image, {"manual": labels}, affine, NAMES, interactive=True)
    sliders = [w for w in ipywidgets.Widget.widgets.values() if isinstance(w, ipywidgets.IntSlider)]
    assert {slider.description for slider in sliders} >= {"x", "y", "z"}
