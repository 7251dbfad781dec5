"""Lesson 6: the functions that the student builds, and what a run of the lesson ends with."""

import numpy as np
import pytest
from lesson_run import check_exercise, learned, wrongly_answered
from scipy import ndimage

from course_utils import datasets, generators, lessons
from course_utils.samples import chest, chest_drawing

LESSON = "06_ct_classification_3d"
PROFILES = lessons.defined_by(LESSON, ["profiles"])["PROFILES"]


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "prepare-tutorial", "tutorial", "network", "feed", "ppv", "lungs",
             "lungs-close", "lungs-area", "cam-share", "erase")  # fmt: skip
    return lessons.defined_by(LESSON, cells, {"passed": False})


def prepared_chest(label, number, profile):
    """Return a generated scan as a profile prepares it, and the share of lung in each voxel."""
    volume, scan = chest.draw(2018, label, number)
    drawn = chest_drawing.Chest.draw(np.random.default_rng([2018, label, number]), label)
    size = (scan.pixel, scan.pixel, scan.step)
    axes = chest_drawing.grid(volume.shape, size)
    lung = np.clip(chest_drawing._lungs(drawn, *axes) * 12 + 0.5, 0, 1)
    lung = (lung * (1 - chest_drawing._heart(drawn, *axes))).astype(np.float32)
    affine = np.diag([-scan.pixel, -scan.pixel, scan.step, 1.0])
    grid = PROFILES[profile]["shape"], PROFILES[profile]["spacing"]
    unit = generators.prepare(volume, affine, *grid)
    return np.rint(255 * unit).astype(np.uint8), generators.prepare(lung, affine, *grid, (0, 1))


def still(label):
    """Return the numbers of scans in which nobody breathed: there the drawing is the truth."""
    draws = [chest.draw_scan(np.random.default_rng([2018, 2, label, k])) for k in range(40)]
    return [k for k, scan in enumerate(draws) if scan.shift == 0]


def test_the_tutorials_network_has_its_published_size_and_shapes(taught):
    network = taught["tutorial_network"]()
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert (network.count_params(), trainable) == (1_352_897, 1_351_873)
    shapes = [tuple(layer.output.shape[1:]) for layer in network.layers]
    for shape in ((126, 126, 62, 64), (30, 30, 14, 64), (12, 12, 4, 256), (6, 6, 2, 256), (512,)):
        assert shape in shapes


def test_the_tutorials_way_does_not_change_its_input_here(taught):
    volume = np.random.default_rng(0).integers(-1200, 900, (32, 32, 8)).astype(np.int16)
    before = volume.copy()
    assert taught["tutorial_way"](volume).shape == (128, 128, 64)
    assert np.array_equal(volume, before)


@pytest.mark.parametrize("norm", ["published", "group", "batch"])
def test_the_mean_of_the_contributions_is_the_logit(taught, norm):
    import keras
    from keras import ops

    model = taught["network"]((16, 16, 8), norm)
    volume = np.random.default_rng(0).random((1, 16, 16, 8, 1)).astype("float32")
    maps = keras.Model(model.input, model.get_layer("maps").output)(volume)
    weight, bias = (ops.convert_to_numpy(w) for w in model.get_layer("head").weights)
    mean = ops.convert_to_numpy(ops.cast(maps, "float32"))[0] @ weight[:, 0]
    logit = float(ops.convert_to_numpy(model(volume, training=False))[0, 0])
    assert mean.mean() + bias[0] == pytest.approx(logit, abs=0.02 * max(1, abs(logit)))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("profile, cases", [("sample", 12), ("cpu", 12), ("gpu", 2)])
def test_the_lungs_are_right_slice_by_slice_on_the_grid_of_every_profile(
    taught, profile, cases, label
):
    spacing = PROFILES[profile]["spacing"]
    for number in still(label)[:cases]:
        volume, share = prepared_chest(label, number, profile)
        lungs = taught["lungs_of"](volume, spacing)
        drawn = (share > 0.9).sum((0, 1))
        large = drawn * spacing[0] * spacing[1] > 2000  # mm2
        found = (lungs & (share > 0.9)).sum((0, 1))
        assert large.sum() * spacing[2] > 120 and (found[large] > 0.8 * drawn[large]).all(), number
        assert (lungs & (share == 0)).sum() < 0.08 * lungs.sum(), number
        assert 0.85 < lungs.sum() / share.sum() < 1.2, number


@pytest.mark.parametrize("profile", PROFILES)
def test_the_lungs_of_a_real_chest_are_found_on_the_grid_of_every_profile(taught, real_ct, profile):
    spacing = PROFILES[profile]["spacing"]
    unit = generators.prepare(*datasets.read_ct(real_ct), PROFILES[profile]["shape"], spacing)
    volume = np.rint(255 * unit).astype(np.uint8)
    lungs, dark = taught["lungs_of"](volume, spacing), taught["enclosed"](volume)
    assert 2.5 < lungs.sum() * np.prod(spacing) / 1e6 < 3.5  # litres
    area, kept = dark.sum((0, 1)), (dark & lungs).sum((0, 1))
    chest_slices = area >= area.max() / 2
    assert (kept[chest_slices] > 0.9 * area[chest_slices]).all()


@pytest.mark.parametrize("profile", ["sample", "cpu"])
def test_dense_lung_belongs_to_the_lung(taught, profile):
    spacing = np.array(PROFILES[profile]["spacing"])
    for number in still(0)[:4]:
        volume, share = prepared_chest(0, number, profile)
        deep = ndimage.distance_transform_edt(share > 0.9, spacing)
        middle = np.array(np.unravel_index(deep.argmax(), deep.shape))
        places = np.indices(volume.shape).reshape(3, -1).T - middle
        ball = (((places * spacing) ** 2).sum(1) <= 15**2).reshape(volume.shape)
        volume[ball] = 190  # as dense as muscle
        assert taught["lungs_of"](volume, spacing)[ball].all(), number


@pytest.mark.parametrize("profile", ["sample", "cpu"])
def test_erasing_leaves_next_to_nothing_and_the_control_takes_as_much_elsewhere(taught, profile):
    names = taught | {"settings": PROFILES[profile]}
    elsewhere = lessons.defined_by(LESSON, ["erase"], names)["elsewhere"]
    for label in (0, 1):
        for number in still(label)[:6]:
            volume, share = prepared_chest(label, number, profile)
            lungs = taught["lungs_of"](volume, PROFILES[profile]["spacing"])
            hole, dark = ndimage.binary_dilation(lungs), taught["enclosed"](volume)
            assert (dark & ~hole).sum() < 0.03 * dark.sum()
            assert ((share > 0.5) & ~hole).sum() < 0.03 * (share > 0.5).sum()
            other = elsewhere(volume, hole)
            assert other.sum() == hole.sum() and not (other & hole).any()
            assert taught["is_tissue"](volume)[other].all()


def test_neither_the_table_nor_the_air_around_is_lung_however_thin_the_wall(taught):
    volume = np.zeros((40, 40, 12), np.uint8)
    volume[5:35, 4:36] = 190
    volume[6:28, 8:18, 2:10] = volume[6:28, 22:32, 2:10] = 30  # a wall of one voxel in front
    volume[18:21, 11:13, 5] = 190  # a vessel
    volume[36:39] = 90
    volume[37, 2:-2] = 0  # a hollow table
    lungs = taught["lungs_of"](volume, (10, 10, 14))
    assert lungs[6:28, 8:18, 2:10].all() and lungs[6:28, 22:32, 2:10].all()
    assert not lungs[:5].any() and not lungs[35:].any() and not lungs[:, :4].any()
    assert lungs.sum() < 1.1 * 2 * 22 * 10 * 8


def test_a_place_of_the_heat_map_covers_its_own_voxels(taught):
    heat = np.zeros((4, 4, 4))
    heat[0, 3, 1] = 1
    large = taught["enlarged"](heat, (16, 16, 16))
    middle = ndimage.center_of_mass(large)
    assert np.allclose(middle, [1.5, 13.5, 5.5], atol=0.5)
    assert large.mean() == pytest.approx(heat.mean(), rel=0.15)
    assert np.allclose(taught["enlarged"](heat[::-1], (16, 16, 16)), large[::-1])


def test_the_predictive_value_of_the_whole_set_depends_on_ct_1(taught):
    values = [taught["over_ct1"](called, 0.97, 0.93) for called in (0, 0.5, 0.75, 1)]
    assert np.allclose(values, [0.90, 0.32, 0.24, 0.19], atol=0.006)
    assert taught["over_ct1"](0, 0.0, 1.0) == 0  # a network that calls nobody abnormal


def test_a_varied_volume_keeps_its_shape_and_range(taught):
    volume = np.random.default_rng(0).random((12, 12, 4)).astype(np.float32)
    varied = taught["vary"](np.random.default_rng(1), volume)
    assert varied.shape == volume.shape and varied.min() >= 0 and varied.max() <= 1


@pytest.mark.parametrize("name", ["hounsfield", "normalise", "rate", "ppv"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_beats_the_histogram_on_generated_scans(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    assert gain["HU histogram"]["low"] > 0, f"AUC gained over the histogram: {gain}"
    assert gain["header alone"]["low"] > 0
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10


def test_a_copy_with_wrong_answers_runs_on_pytorch(tmp_path):
    result = wrongly_answered(LESSON, tmp_path, REPEATS=1)
    assert "torch" in result["versions"]
