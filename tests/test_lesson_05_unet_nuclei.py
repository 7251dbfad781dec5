"""Lesson 5: the functions that the student builds, and what a run of the lesson ends with."""

import inspect

import numpy as np
import pytest
from lesson_run import check_exercise, learned, run, wrongly_answered

from course_utils import lessons, metrics

LESSON = "05_unet_nuclei"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "baseline", "ceiling", "prepare", "unet", "loss", "predict", "instances",
             "flood")  # fmt: skip
    return lessons.defined_by(LESSON, cells)


def discs(gap: int = 0, radius: int = 9) -> np.ndarray:
    """A label map of two discs side by side, ``gap`` pixels apart."""
    y, x = np.mgrid[:40, :60]
    labels = np.zeros((40, 60), np.int32)
    for label, centre in ((1, 20), (2, 20 + 2 * radius + 1 + gap)):
        labels[(y - 20) ** 2 + (x - centre) ** 2 <= radius**2] = label
    return labels


def test_the_tutorials_network_has_its_published_size(taught):
    network = taught["unet"]([16, 32, 64, 128, 256], outputs=1)
    assert network.count_params() == 1_962_625


def test_targets_mark_the_gap_only_where_nuclei_touch(taught):
    nucleus, touching, _ = np.moveaxis(taught["targets"](discs()), -1, 0)
    assert np.array_equal(nucleus > 0, discs() > 0)
    assert touching.any() and np.abs(np.nonzero(touching)[1] - 29).max() <= 4
    assert not taught["targets"](discs(gap=12))[..., 1].any()
    assert not taught["targets"](np.where(discs() == 1, 1, 0))[..., 1].any()


def test_depth_reaches_one_in_every_nucleus_however_small(taught):
    labels = discs()
    labels[2, 2] = 7
    depth = taught["targets"](labels)[..., 2]
    assert all(depth[labels == label].max() == 255 for label in (1, 2, 7))
    assert not depth[labels == 0].any()


def test_targets_do_not_ask_for_consecutive_labels(taught):
    labels = discs()
    renumbered = np.where(labels == 2, 40, labels)
    assert np.array_equal(taught["targets"](labels), taught["targets"](renumbered))


@pytest.mark.parametrize(
    "rung", ["watershed on distance", "watershed on depth", "watershed on gaps"]
)
def test_perfect_maps_give_the_nuclei_back_on_every_rung_but_the_first(taught, rung):
    labels = discs()
    maps = taught["targets"](labels) / 255
    assert np.count_nonzero(np.unique(taught["instances_of"]("components", maps))) == 1
    found = taught["instances_of"](rung, maps, rise=0.1)
    assert np.count_nonzero(np.unique(found)) == 2
    assert np.mean((found > 0) == (labels > 0)) == 1
    one, other = (np.bincount(found[labels == label]).argmax() for label in (1, 2))
    assert one != other


def test_the_touching_map_alone_can_part_two_nuclei(taught):
    labels = discs()
    maps = np.where(labels[..., None] > 0, [0.95, 0.05, 0.5], [0.05, 0.05, 0.0])
    maps[taught["targets"](labels)[..., 1] > 0, 1] = 0.9
    rises = {"components": np.inf, "watershed on depth": 0.2, "watershed on gaps": 0.2}
    parts = {rung: taught["instances_of"](rung, maps, rise=rise) for rung, rise in rises.items()}
    count = {rung: np.count_nonzero(np.unique(found)) for rung, found in parts.items()}
    assert count == {"components": 1, "watershed on depth": 1, "watershed on gaps": 2}


def test_what_is_smaller_than_ten_pixels_goes_on_every_rung(taught):
    labels = np.zeros((30, 30), int)
    labels[3:6, 3:6], labels[12:24, 12:24] = 1, 2
    maps = taught["targets"](labels) / 255
    for rung in taught["LADDER"]:
        assert np.array_equal(taught["instances_of"](rung, maps, rise=0.1) > 0, labels == 2)


def test_a_perfect_small_mask_parts_its_nuclei_once_a_gap_is_drawn(taught):
    labels = np.kron(discs(), np.ones((8, 8), int))  # more than twice 128 pixels either way
    iou = {
        gap: metrics.average_precision(labels, taught["shrunk"](labels, gap=gap), [0.5])[0]
        for gap in (False, True)
    }
    assert iou == {False: 0.0, True: 1.0}
    assert np.count_nonzero(taught["with_gap"](discs()) != discs()) < 12
    assert np.array_equal(taught["with_gap"](discs(gap=3)), discs(gap=3))


def test_a_perfect_mask_is_split_by_the_rule_of_every_method(taught):
    """Joined by sides only, the perfect mask kept nuclei apart that each method joins."""
    corner = np.zeros((20, 20), int)
    corner[2:10, 2:10], corner[10:18, 10:18] = 1, 2
    by_method = taught["without_specks"](taught["measure"].label(corner > 0))
    assert by_method.max() == taught["CEILINGS"]["native size"](corner).max() == 1
    for labels in (corner, corner[:, ::-1]):  # a gap parts what touches at a corner, too
        assert taught["measure"].label(taught["with_gap"](labels)).max() == 2


def test_strips_overlap_by_what_the_network_can_see(taught):
    """The old margin of 32 pixels was a third of that: the result had seams between its strips."""
    reach = taught["reach"]()
    overlap = inspect.signature(taught["maps_of"]).parameters["overlap"].default
    assert 90 < reach <= overlap and overlap % 16 == 0
    taught["network"] = taught["unet"]([4, 4, 4, 4, 4], outputs=3, at_full_size=1)
    picture = np.random.default_rng(0).integers(0, 256, (300, 40, 3)).astype(np.uint8)
    whole = taught["maps_of"](picture, strip=1024)
    assert whole.shape == (300, 40, 3)
    np.testing.assert_allclose(taught["maps_of"](picture, strip=128), whole, atol=1e-5)


def test_views_are_turned_back_as_they_were_turned():
    names = lessons.defined_by(LESSON, ("imports", "predict", "views"))
    picture = np.arange(60).reshape(4, 5, 3)
    views = list(names["views_of"](picture, 8, look=lambda turned: turned))
    assert len(views) == 8 and all(np.array_equal(view, picture) for view in views)
    seen = {names["turned"](picture, view).tobytes() for view in range(8)}
    assert len(seen) == 8


def test_distance_watershed_separates_discs_and_keeps_one_whole(taught):
    assert taught["watershed"](discs() > 0).max() == 2
    assert taught["watershed"](discs() == 1).max() == 1


def test_a_region_beside_a_higher_peak_keeps_its_marker(taught):
    mask = np.zeros((40, 40), bool)
    mask[5:14, 5:14] = True
    mask[7:12, 15:18] = True  # its peak lies lower, and near
    labels = taught["watershed"](mask)
    assert (labels[mask] > 0).all()


def test_specks_under_ten_pixels_are_dropped(taught):
    labels = np.zeros((40, 40), int)
    labels[5:15, 5:15] = 1
    labels[30:33, 30:33] = 2  # nine pixels
    labels[20:22, 20:25] = 3  # ten
    assert np.unique(taught["without_specks"](labels)).tolist() == [0, 1, 3]


def test_otsu_takes_the_smaller_side(taught):
    dark_on_bright = np.full((20, 20, 3), 220, np.uint8)
    dark_on_bright[5:9, 5:9] = 30
    assert taught["otsu"](dark_on_bright).sum() == 16
    assert taught["otsu"](255 - dark_on_bright).sum() == 16


def test_the_loss_is_least_at_the_truth_and_finite_at_the_edges(taught):
    truth = (taught["targets"](discs())[None] / 255).astype("float32")
    loss = taught["nuclei_loss"]
    right, wrong = float(loss(truth, truth)), float(loss(truth, 1 - truth))
    assert np.isfinite([right, wrong]).all() and right < 0.5 < wrong
    assert np.isfinite(float(loss(np.zeros_like(truth), np.zeros_like(truth))))


@pytest.mark.parametrize("name", ["ap", "resize", "steps", "seed", "markers"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_learns_its_task_on_generated_images(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    (rung,) = [name for name in result["baseline"] if name.endswith(", chosen on validation")]
    assert result["baseline"][rung] == result["metrics"]
    assert len([name for name in gain if name.startswith(("watershed on", "components"))]) == 6
    assert gain["tutorial U-Net"]["low"] > 0, f"mean AP gained over the tutorial: {gain}"
    assert gain["Otsu + watershed"]["low"] > 0, f"mean AP gained over the baseline: {gain}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10


def test_a_copy_with_wrong_answers_runs_on_pytorch(tmp_path):
    result = wrongly_answered(LESSON, tmp_path)
    # Keras imports an installed TensorFlow whatever its backend; PyTorch only when it computes.
    assert "torch" in result["versions"]


def test_real_images_run_from_their_folder(tmp_path, real_nuclei):
    result = run(
        LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_nuclei),
        "-p", "EPOCHS", "1", "-p", "TUTORIAL_EPOCHS", "1",
    )  # fmt: skip
    assert result["data"]["release_cases"] == 670
    assert result["data"]["cases"] <= 670
