"""Lesson 2: the functions that the student builds, and what a run of the lesson ends with."""

import numpy as np
import pytest
from lesson_run import check_exercise, learned, run

from course_utils import lessons, losses

LESSON = "02_brain_tumor_segmentation"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "blocks", "resunet", "loss", "slope", "augment", "prepare", "baseline")
    cells += ("batch-loss",)
    return lessons.defined_by(LESSON, cells)


def test_the_tutorials_network_has_its_published_size(taught):
    network = taught["resunet"]([16, 32, 64, 128, 256])
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert (network.count_params(), trainable) == (1_210_513, 1_206_129)


@pytest.mark.parametrize(("widths", "stem"), [([4, 8, 8], 1), ([4, 8, 8], 2), ([4, 8], 4)])
def test_a_mask_has_the_size_of_its_slice(taught, widths, stem):
    network = taught["resunet"](widths, stem, dropout=0.2)
    assert network.compute_output_shape((2, 64, 96, 3)) == (2, 64, 96, 1)


def test_dropout_that_is_always_on_shares_the_weights_and_leaves_normalisation_alone(taught):
    calm, doubtful = (taught["resunet"]([4, 8], dropout=0.5, always=how) for how in (False, True))
    doubtful.set_weights(calm.get_weights())
    slices = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    means = [np.array(weight) for weight in doubtful.non_trainable_weights]
    passes = [np.asarray(doubtful.predict_on_batch(slices)) for _ in range(3)]
    assert not all(np.allclose(passes[0], other) for other in passes[1:])
    assert all(np.array_equal(a, b) for a, b in zip(means, doubtful.non_trainable_weights))


def test_the_losses_built_by_hand_are_those_of_the_module(taught):
    rng = np.random.default_rng(1)
    truth = (rng.random((3, 8, 8, 1)) < 0.2).astype("float32")
    guess = rng.random((3, 8, 8, 1)).astype("float32")
    index = np.asarray(taught["tversky_index"](truth, guess))
    assert np.allclose((1 - index) ** 0.75, np.asarray(losses.focal_tversky(truth, guess)))


def test_the_published_loss_breaks_at_a_perfect_prediction_and_ours_does_not(taught):
    mask = np.eye(6, dtype="float32")
    logits = np.where(mask > 0, 40, -200).astype("float32")
    _, published = taught["slopes"](taught["published_loss"], mask, logits)
    _, ours = taught["slopes"](losses.focal_tversky, mask, logits)
    assert not np.isfinite(published).all() and np.isfinite(ours).all()


def test_nothing_outlined_is_cheap_slice_by_slice_and_dear_over_the_batch(taught):
    truth = np.zeros((8, 32, 32, 1), "float32")
    truth[:4, 8:16, 8:16] = 1
    nothing = np.zeros_like(truth)
    assert np.mean(np.asarray(losses.focal_tversky(truth, nothing))) == pytest.approx(0.5, abs=0.02)
    assert float(taught["batch_loss"](truth, nothing)[0]) == pytest.approx(1, abs=0.01)
    assert float(taught["batch_loss"](truth, truth)[0]) == pytest.approx(0, abs=1e-4)


def test_standardising_undoes_a_change_of_scale(taught):
    volume = np.random.default_rng(2).integers(20, 100, (3, 32, 32, 3)).astype(np.uint8)
    volume[:, :8] = 0
    one, other = taught["standardise"](volume), taught["standardise"](2 * volume)
    assert one.dtype == np.uint8 and np.abs(one[:, 8:].astype(int) - other[:, 8:]).max() <= 2


def test_image_and_mask_are_moved_alike(taught):
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[20:40, 10:30] = 255
    picture = np.repeat(mask, 3, axis=-1)
    for seed in range(5):
        moved, where = taught["move"](np.random.default_rng(seed), picture, mask)
        assert np.mean((moved[..., 0] > 127) == (where[..., 0] > 0)) > 0.97
        assert 0.5 < (where > 0).sum() / 400 < 2


def test_the_largest_piece_is_kept_and_nothing_stays_nothing(taught):
    mask = np.zeros((3, 9, 9), bool)
    mask[0, :2, :2], mask[:, 5:, 5:] = True, True
    assert taught["largest_component"](mask).sum() == 48
    assert not taught["largest_component"](np.zeros((2, 4, 4), bool)).any()


@pytest.mark.parametrize("name", ["dice", "area", "mask", "slope", "risk"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_learns_its_task_on_generated_brains(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    assert gain["brightest FLAIR region"]["low"] > 0, f"Dice gained over the baseline: {gain}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 9


def test_the_lesson_runs_on_pytorch(tmp_path):
    short = ("-p", "EPOCHS", "1", "-p", "LOSS_SEEDS", "1", "-p", "PASSES", "2")
    result = run(LESSON, tmp_path, *short, KERAS_BACKEND="torch")
    # Keras imports an installed TensorFlow whatever its backend; PyTorch only when it computes.
    assert "torch" in result["versions"]


def test_real_images_run_from_their_folder(tmp_path, real_slices):
    short = ("-p", "EPOCHS", "1", "-p", "LOSS_SEEDS", "1", "-p", "PASSES", "2")
    result = run(LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_slices), *short)
    assert result["data"]["release_cases"] == 3929
    assert result["data"]["cases"] <= 3929
