"""The figures: what they say in words, that they stay small, and what a notebook stores of them."""

from __future__ import annotations

import base64
import io
import sys
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from course_utils import plotting
from course_utils.errors import ParameterError
from course_utils.metrics import Interval
from course_utils.plotting import display, images, viewers
from course_utils.plotting.charts import series_style


@pytest.fixture(autouse=True)
def no_figure_left_over():
    yield
    plt.close("all")


@pytest.fixture
def case():
    """Return image (y, x, 4), truth and prediction: one matched, one missed, one extra."""
    truth, prediction = np.zeros((2, 48, 64), dtype=int)
    truth[5:20, 5:20], prediction[6:20, 5:20] = 1, 4
    truth[30:40, 5:20], prediction[30:40, 40:60] = 2, 9
    image = np.zeros((48, 64, 4), np.uint8)
    image[..., :3] = np.where(truth > 0, 40, 5)[..., None]
    image[..., 3] = 255
    return image, truth, prediction


@pytest.fixture
def displayed(monkeypatch):
    """Return the list of what is displayed from here on."""
    import IPython.display

    found = []
    monkeypatch.setattr(IPython.display, "display", found.append)
    return found


def texts(ax):
    return [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]


# -- pictures and alt text -------------------------------------------------------------------------


def test_show_displays_a_png_with_alt_text_once(displayed):
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    plotting.show(fig, "A line\n    goes up.")
    (picture,) = displayed
    data, metadata = picture._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata == {"image/png": {"alt": "A line goes up."}}
    assert data["text/plain"] == repr(picture) == "Figure: A line goes up."
    assert not plt.get_fignums()


@pytest.mark.parametrize("alt", ["", "  ", None])
def test_show_wants_alt_text(alt):
    with pytest.raises(ParameterError, match="needs alt text"):
        plotting.show(plt.figure(), alt)


def test_show_keeps_the_picture_with_the_lesson(displayed, tmp_path):
    plotting.show(plt.figure(), "Nothing.", name="empty", lesson=SimpleNamespace(folder=tmp_path))
    kept = (tmp_path / "figures" / "empty.png").read_bytes()
    assert kept == displayed[0].data


def test_a_photograph_keeps_its_colours_and_a_chart_takes_little_room():
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    fig = plt.figure(figsize=(0.8, 0.6), dpi=100)
    fig.figimage(photograph)
    stored = Image.open(io.BytesIO(plotting.png(fig, dpi=100)))
    assert (np.asarray(stored.convert("RGB")) == photograph).all()

    chart, ax = plt.subplots()
    for i, colour in enumerate(display.OKABE_ITO.values()):
        ax.axhline(i, color=colour, antialiased=False)
    drawn = np.asarray(display._drawn(chart, display.DPI))
    stored = Image.open(io.BytesIO(plotting.png(chart)))
    assert stored.mode == "P" and (np.asarray(stored.convert("RGB")) == drawn).all()


@pytest.mark.parametrize("width", [4.6, 9.5, 3.4, 7.3])
def test_no_picture_is_sheared_by_a_pixel(width):
    """4.6 inches at 100 dots are 459.99 columns, of which 460 are drawn."""
    fig = plt.figure(figsize=(width, 2))
    fig.add_artist(plt.Line2D([0.5, 0.5], [0, 1], color="black", linewidth=4))
    pixels = np.asarray(Image.open(io.BytesIO(plotting.png(fig, dpi=100))).convert("L"))
    assert (pixels == pixels[0]).all() and pixels.min() == 0


def test_a_label_that_nobody_would_see_is_refused():
    fig, ax = plt.subplots()
    ax.set_axis_off()
    plotting.png(fig)
    ax.set_xlabel("FLAIR")
    with pytest.raises(ParameterError, match="shows no label, found 'FLAIR'"):
        plotting.png(fig)


@pytest.mark.parametrize(("value", "static"), [("1", True), ("0", True), ("", True)])
def test_without_a_kernel_everything_is_static(monkeypatch, value, static):
    monkeypatch.setenv("COURSE_STATIC", value)
    assert plotting.is_static() is static


def test_a_live_notebook_is_static_only_when_told_so(monkeypatch):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=True))
    for value, static in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("COURSE_STATIC", value)
        assert plotting.is_static() is static


# -- images ----------------------------------------------------------------------------------------


def test_displayable_stretches_and_drops_alpha(case):
    shown = plotting.displayable(case[0])
    assert shown.shape == (48, 64, 3)
    assert (shown.min(), shown.max()) == (0, 1)
    assert plotting.displayable(np.zeros((4, 5, 1))).shape == (4, 5)
    assert plotting.displayable(np.full((4, 5), 7)).max() == 0
    with pytest.raises(ParameterError, match=r"found shape \(2, 4, 5, 3\)"):
        plotting.displayable(np.zeros((2, 4, 5, 3)))


@settings(max_examples=40, deadline=None)
@given(arrays(np.int64, (9, 9), elements=st.sampled_from([0, 0, 1, 2, 3, 70, 2**40])))
def test_instances_that_touch_have_different_colours(labels):
    colours = plotting.colour_instances(labels)
    assert (colours[labels == 0] == 0).all()
    for label in np.unique(labels[labels > 0]):
        assert len(np.unique(colours[labels == label], axis=0)) == 1
    different = labels[:, 1:] != labels[:, :-1]
    same_colour = (colours[:, 1:] == colours[:, :-1]).all(axis=-1)
    assert not (different & same_colour).any()


def test_colours_are_given_out_evenly():
    labels = np.arange(1, 65).reshape(8, 8).repeat(20, 0).repeat(20, 1)
    _, counts = np.unique(
        plotting.colour_instances(labels).reshape(-1, 3), axis=0, return_counts=True
    )
    assert len(counts) == 7
    assert counts.max() < 1.6 * counts.mean()


def test_no_instance_is_grey_like_the_picture_under_it():
    labels = np.arange(1, 65).reshape(8, 8).repeat(20, 0).repeat(20, 1)
    colours = plotting.colour_instances(labels)
    assert (np.ptp(colours.reshape(-1, 3), axis=1) > 0).all()


def test_contours_tell_hits_from_errors_by_colour_and_line(case):
    ax = plotting.contour_overlay(*case)
    assert ax.get_title() == "AP 0.33 at IoU 0.5"
    assert ax.get_xlabel() == "1 matched, 1 missed, 1 extra"
    matched, missed, extra = (c for c in ax.collections)
    assert [len(c.get_paths()) for c in (matched, missed, extra)] == [1, 1, 1]
    assert len({tuple(c.get_edgecolor()[0]) for c in (matched, missed, extra)}) == 3
    assert len({str(c.get_linestyle()) for c in (matched, missed, extra)}) == 3
    x, y = matched.get_paths()[0].vertices.T
    assert (x.min(), x.max(), y.min(), y.max()) == (4.5, 19.5, 5.5, 19.5)  # the predicted outline
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["matched (predicted outline)", "missed", "extra"]


def test_contours_of_empty_maps(case):
    image, truth, _ = case
    empty = np.zeros_like(truth)
    assert plotting.contour_overlay(image, empty, empty).get_title().startswith("AP 1.00")
    assert plotting.contour_overlay(image, truth, empty).get_xlabel().startswith("0 matched, 2")


def test_an_instance_at_the_border_or_in_two_parts_is_outlined_whole(case):
    labels = np.zeros((48, 64), int)
    labels[0:5, 0:5] = labels[40:, 60:] = 1
    ax = plotting.contour_overlay(case[0], labels, labels)
    assert len(ax.collections[0].get_paths()) == 2


def test_overlay_draws_on_given_axes_and_counts(case):
    _, ax = plt.subplots()
    assert plotting.instance_overlay(case[0], case[1], ax=ax) is ax
    assert ax.get_title() == "2 instances"
    assert any(text.get_text() == "10 px" for text in ax.texts)  # the scale bar


def test_montage_and_gallery_have_one_titled_panel_an_image(case):
    image, truth, prediction = case
    fig = plotting.montage([image, image[:20]], ["one", "two"], title="Two images")
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]
    assert fig.get_suptitle() == "Two images"
    fig = plotting.gallery([image] * 3, [truth] * 3, [prediction] * 3, columns=2)
    assert [ax.get_title() for ax in fig.axes if ax.axison] == ["AP 0.33 at IoU 0.5"] * 3
    assert len(fig.legends) == 1


def test_figures_of_images_want_one_of_everything(case):
    image, truth, _ = case
    with pytest.raises(ParameterError, match="at least one"):
        plotting.montage([])
    with pytest.raises(ParameterError, match="one title, found 1 for 2 images"):
        plotting.montage([image, image], ["one"])
    with pytest.raises(ParameterError, match="one prediction, found 2 for 1 images"):
        plotting.gallery([image], [truth], [truth, truth])


def test_watershed_steps_are_numbered(case):
    image, truth, _ = case
    fig = plotting.watershed_steps(image, truth > 0, truth * 1.0, truth, truth)
    titles = [ax.get_title() for ax in fig.axes if ax.get_title()]
    assert titles == ["1. image", "2. foreground", "3. landscape", "4. 2 markers", "5. 2 instances"]
    empty = np.zeros_like(truth)
    plotting.png(plotting.watershed_steps(image, empty, empty, empty, empty))
    beside = plotting.watershed_steps(image, empty, empty, empty, empty, truth=truth)
    assert [ax.get_title() for ax in beside.axes if ax.get_title()][-1] == "truth: 2 instances"


# -- charts ----------------------------------------------------------------------------------------


def test_curves_mark_the_best_epoch():
    history = SimpleNamespace(history={"loss": [3, 2, 1], "val_loss": [3, 1.5, 2]})
    ax = plotting.curves(history)
    assert texts(ax) == ["Loss over the epochs", "epoch", "loss"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch 2: val loss 1.500"]
    ax = plotting.curves({"dice": [0.1, 0.6, float("nan")]}, "dice")
    assert "best epoch 2: dice 0.600" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts(plotting.curves({"iou": [0.1, 0.6]}, "iou"))[0] == "IoU over the epochs"
    with pytest.raises(ParameterError, match="no 'iou', found loss, val_loss"):
        plotting.curves(history, "iou")
    with pytest.raises(ParameterError, match="no 'val_dice', found loss, val_loss"):
        plotting.curves(history, best="val_dice")
    ax = plotting.curves({"loss": [3, 2, 1], "val_ap": [0.1, 0.3, 0.2]}, best="val_ap")
    assert "best epoch 2: val ap 0.300" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_ap_curve_averages_cases_and_tells_methods_apart():
    ax = plotting.ap_curve({"Otsu": np.full((4, 10), 0.25), "U-Net": np.linspace(0.9, 0, 10)})
    first, second = ax.get_lines()
    assert first.get_label() == "Otsu (mean 0.250)"
    assert second.get_label() == "U-Net (mean 0.450)"
    for get in ("get_color", "get_marker", "get_linestyle"):
        assert getattr(first, get)() != getattr(second, get)()
    assert all(texts(ax))


def test_eight_methods_look_different_each_in_colour_marker_and_dash_and_the_legend_hides_none():
    ax = plotting.ap_curve({f"method {k}": np.linspace(0.9, 0, 10) for k in range(8)})
    for get in ("get_color", "get_marker"):
        assert len({getattr(line, get)() for line in ax.get_lines()}) == 8
    assert len({str(series_style(i)["linestyle"]) for i in range(8)}) == 8
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1


def test_no_two_of_64_series_look_alike():
    assert len({str(series_style(i)) for i in range(64)}) == 64


def test_bland_altman_draws_mean_and_limits_of_agreement():
    truth, predicted = np.array([10, 20, 30, 40]), np.array([12, 20, 33, 41])
    ax = plotting.bland_altman(truth, predicted, ["dark", "dark", "stained", "stained"])
    difference = predicted - truth
    half = 1.96 * difference.std(ddof=1)
    written = " ".join(text.get_text() for text in ax.texts).replace("\n", " ")
    for value in (difference.mean(), difference.mean() + half, difference.mean() - half):
        assert f"{value:+.1f}" in written
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["dark (2)", "stained (2)"]
    assert all(texts(ax))


def test_a_kind_keeps_its_colour_whatever_comes_first():
    colours = []
    for kinds in (["dark", "stained"], ["stained", "dark"]):
        ax = plotting.bland_altman([10, 20], [11, 19], kinds)
        colours.append({line.get_label(): line.get_color() for line in ax.lines[:2]})
    assert colours[0] == colours[1] and len(set(colours[0].values())) == 2


def test_bland_altman_names_what_is_measured():
    volumes = [10.0, 20.0], [11.0, 19.0]
    ax = plotting.bland_altman(*volumes, labels=("manual", "predicted"), unit="volume (ml)")
    assert ax.get_xlabel() == "mean of manual and predicted volume (ml)"
    assert ax.get_ylabel() == "predicted - manual volume (ml)"
    ax = plotting.bland_altman(*volumes)
    assert ax.get_xlabel() == "mean of true and predicted count"
    assert ax.get_ylabel() == "predicted - true count"


def test_bland_altman_of_ratios_has_the_limits_of_their_logarithms():
    truth, predicted = np.array([10, 20, 100, 400, 5]), np.array([12, 20, 80, 500, 0])
    ax = plotting.bland_altman(truth, predicted, ratio=True)
    logs = np.log([1.2, 1, 0.8, 1.25, 0.1])  # none counted is drawn as a half
    half = 1.96 * logs.std(ddof=1)
    written = " ".join(text.get_text() for text in ax.texts).replace("\n", " ")
    for value in (logs.mean(), logs.mean() + half, logs.mean() - half):
        assert f"x {np.exp(value):.2f}" in written
    assert ax.get_ylabel() == "predicted / true count" and ax.get_yscale() == "log"
    assert ax.get_xlabel() == "geometric mean of true and predicted count"
    plotting.png(ax.figure)


def test_bland_altman_of_one_image_and_of_none_counted():
    plotting.png(plotting.bland_altman([0], [3]).figure)
    plotting.png(plotting.bland_altman([1, 300], [0, 300]).figure)


def test_spread_has_a_row_a_kind():
    ax = plotting.spread([1, 3, 100, 400], ["dark", "dark", "grey", "grey"], title="t", log=True)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["dark (2)", "grey (2)"]
    assert ax.get_xlabel() == "nuclei in an image (bar: median)"


SCORES = {
    "Otsu": {"dice": Interval(0.8, 0.7, 0.9, 9), "ap50": Interval(0.5, 0.4, 0.6, 9)},
    "U-Net": {"dice": Interval(0.9, 0.85, 0.95, 9), "ap50": Interval(0.7, np.nan, np.nan, 9)},
}


def test_compare_has_a_panel_a_score_and_a_row_a_method():
    fig = plotting.compare(SCORES)
    assert [ax.get_xlabel() for ax in fig.axes] == ["Dice", "AP at IoU 0.5"]
    assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == ["Otsu", "U-Net"]
    assert fig.axes[0].get_lines()[0].get_xdata().tolist() == [0.7, 0.9]
    plotting.png(fig)


def test_labels_and_numbers_of_scores_stay_within_their_panels():
    """A wide label takes two lines, and 0.000 does not lie across the left axis."""
    names = ("dice", "thresholded_iou", "boundary_f1", "boundary_px")
    rows = {"untrained encoder, epochs: 1": 0.0, "U-Net": 0.8, "Otsu on blue": 14.02}
    scores = {
        row: {name: Interval(value, value, value + 0.1, 9) for name in names}
        for row, value in rows.items()
    }
    fig = plotting.compare(scores)
    fig.draw_without_rendering()
    labels = [ax.xaxis.label.get_window_extent() for ax in fig.axes]
    assert all(one.x1 < other.x0 for one, other in pairwise(labels))
    assert labels[-1].x1 < fig.bbox.x1
    for ax in fig.axes:
        for text in ax.texts:
            box = text.get_window_extent()
            assert ax.bbox.x0 < box.x0 and box.x1 < fig.bbox.x1, text.get_text()
    assert [text.get_text() for text in fig.axes[0].texts] == ["0.0", "0.8", "14.0"]


def test_table_reads_as_text():
    found = plotting.table(SCORES)
    assert found.loc["Otsu", "Dice"] == "0.800 (0.700 to 0.900)"
    assert found.loc["U-Net", "AP at IoU 0.5"] == "0.700 (no interval)"


# -- viewers ---------------------------------------------------------------------------------------


def test_static_gallery_shows_the_worst_first_and_one_line(displayed, case):
    image, truth, prediction = case
    plotting.gallery_viewer(
        [image] * 3,
        [truth] * 3,
        [prediction, truth, prediction * 0],
        [0.33, 1.0, 0.0],
        names=["a", "b", "c"],
        shown=2,
        interactive=False,
    )
    picture, remark = displayed
    assert picture.alt.startswith(
        "The 2 lowest of 3 by AP at IoU 0.5, the worst first, from 0.00 to 0.33."
    )
    assert "JupyterLab or Colab" in repr(remark)
    assert "\n" not in repr(remark)


def test_live_gallery_redraws_when_the_slider_moves(displayed, case):
    image, truth, prediction = case
    plotting.gallery_viewer(
        [image] * 2, [truth] * 2, [prediction, truth], [0.33, 1.0], interactive=True
    )
    _, box = displayed
    slider, picture = box.children
    before = bytes(picture.value)
    slider.value = 2
    assert (slider.min, slider.max) == (1, 2)
    assert bytes(picture.value) != before
    assert bytes(picture.value).startswith(b"\x89PNG")
    assert not plt.get_fignums()


def test_watershed_explorer_shows_three_settings(displayed, case):
    image, truth, _ = case
    plotting.watershed_explorer(image, (truth > 0) * 1.0, truth=truth, interactive=True)
    picture, box = displayed
    for setting in ("smoothing 0", "smoothing 1.5", "smoothing 6"):
        assert f"{setting}: " in picture.alt
    assert "AP 1.00 at IoU 0.5" in picture.alt
    assert [child.description for child in box.children[:-1]] == ["threshold", "smoothing"]


def test_watershed_explorer_takes_the_lessons_own_split(displayed, case):
    image, truth, _ = case
    asked = []

    def split(probability, depth):
        asked.append(depth)
        return probability, truth, truth

    plotting.watershed_explorer(
        image, truth * 1.0, split, {"depth": (1, 9, 1, 2)}, interactive=False
    )
    assert asked == [1, 2, 9]


@pytest.mark.parametrize("smoothing", [1.0, 2.0])
def test_default_watershed_splits_touching_discs(smoothing):
    y, x = np.mgrid[:40, :60]
    discs = np.hypot(y - 20, x - 20) < 11, np.hypot(y - 20, x - 39) < 11
    _, markers, instances = viewers._distance_watershed((discs[0] | discs[1]) * 1.0, 0.5, smoothing)
    assert markers.max() == instances.max() == 2


NOTEBOOK = """
import numpy as np
from course_utils import plotting
disc = np.hypot(*(np.mgrid[:40, :40] - 20)) < 9
plotting.watershed_explorer(disc, disc * 1.0)
"""


def test_a_stored_notebook_holds_the_picture_its_alt_text_and_no_widget(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    from nbconvert import HTMLExporter

    static = nbformat.v4.new_code_cell("import os; os.environ['COURSE_STATIC'] = '1'" + NOTEBOOK)
    live = nbformat.v4.new_code_cell("import os; os.environ['COURSE_STATIC'] = '0'" + NOTEBOOK)
    notebook = nbformat.v4.new_notebook(cells=[static, live])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()

    picture, remark = static.outputs
    alt = picture.metadata["image/png"]["alt"]
    assert alt.startswith("The same prediction, split with less and with more smoothing.")
    assert set(picture.data) == {"image/png", "text/plain"}
    assert set(remark.data) == {"text/markdown", "text/plain"}
    assert any("application/vnd.jupyter.widget-view+json" in out.data for out in live.outputs)

    notebook.cells = [static]
    html, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert f'alt="{alt}"' in html


def test_no_deep_learning_framework_is_imported():
    import subprocess

    code = (
        "import sys, course_utils.plotting, course_utils.metrics, course_utils.losses; "
        "print([m for m in ('keras', 'tensorflow', 'torch', 'monai') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there():
    assert all(hasattr(plotting, name) for name in plotting.__all__)
    assert set(images.OUTLINES) == {"matched", "missed", "extra"}


def test_a_score_in_pixels_is_written_without_digits_that_say_nothing():
    pixels = plotting.intervals({"one": Interval(856.016, 378.0, 1335.0, n=9)})
    share = plotting.intervals({"one": Interval(0.8371, 0.8, 0.9, n=9)})
    assert [text.get_text() for axes in (pixels, share) for text in axes.texts] == ["856", "0.837"]
