"""Lesson 6: the functions that the student builds, and what a run of the lesson ends with."""

import numpy as np
import pytest
from lesson_run import check_exercise, learned, run

from course_utils import lessons

LESSON = "06_ct_classification_3d"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "prepare-tutorial", "tutorial", "network", "feed", "lungs")
    return lessons.defined_by(LESSON, cells)


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


def test_lungs_are_found_inside_the_body_only(taught):
    volume = np.zeros((40, 40, 12), np.uint8)
    volume[5:35, 4:36] = 190
    volume[12:28, 8:18, 2:10] = volume[12:28, 22:32, 2:10] = 30
    volume[18:21, 11:13, 5] = 190  # a vessel
    lungs = taught["lungs_of"](volume)
    assert lungs[12:28, 8:18, 3:9].all() and lungs[12:28, 22:32, 3:9].all()
    assert not lungs[:5].any() and not lungs[:, :4].any() and lungs.mean() < 0.2


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
    assert gain["slices and spacing"]["low"] > 0
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10


def test_the_lesson_runs_on_pytorch(tmp_path):
    result = run(LESSON, tmp_path, "-p", "EPOCHS", "1", "-p", "REPEATS", "1", KERAS_BACKEND="torch")
    assert "torch" in result["versions"]
