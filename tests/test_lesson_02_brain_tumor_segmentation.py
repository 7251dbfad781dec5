"""Lesson 2: the functions that the student builds, and what a run of the lesson ends with."""

import numpy as np
import pandas as pd
import pytest
from lesson_run import check_exercise, learned, run, wrongly_answered

from course_utils import lessons, losses

LESSON = "02_brain_tumor_segmentation"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ("imports", "blocks", "resunet", "loss", "slope", "augment", "prepare", "baseline")
    cells += ("leak", "adam", "train", "gate", "gate-after", "doubt-table", "size", "metric")
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


def batch(*logits):
    return np.stack(logits).astype("float32")


def test_the_published_loss_breaks_at_a_perfect_batch_and_ours_does_not(taught):
    mask = np.eye(6, dtype="float32")
    masks, logits = mask[None], batch(np.where(mask > 0, 40, -200))
    _, published = taught["slopes"](taught["published_loss"], masks, logits)
    _, ours = taught["slopes"](taught["batch_loss"], masks, logits)
    assert not np.isfinite(published).all() and np.isfinite(ours).all()


def test_the_published_loss_takes_the_batch_as_one_so_one_perfect_slice_does_no_harm(taught):
    mask = np.eye(6, dtype="float32")
    logits = batch(np.where(mask > 0, 40, -200), np.full((6, 6), -7))
    value, slope = taught["slopes"](taught["published_loss"], np.stack([mask, mask]), logits)
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_the_slopes_are_those_of_the_loss(taught):
    from keras import ops

    rng = np.random.default_rng(3)
    masks, logits = (rng.random((2, 4, 4)) < 0.5).astype("float32"), rng.normal(size=(2, 4, 4))
    logits = logits.astype("float32")
    _, slope = taught["slopes"](lambda truth, guess: ops.sum(guess), masks, logits)
    inside = 1 / (1 + np.exp(-logits.ravel()))
    assert np.allclose(slope, inside * (1 - inside), atol=1e-4)


def test_the_length_of_a_step_is_that_of_keras_own_adam(taught, monkeypatch):
    import keras

    slope = np.array([1e-5, 1e-4, 1e-3, 1e-2], "float32")
    monkeypatch.setitem(taught, "constant", slope)
    plain = taught["step_length"](keras.optimizers.Adam(0.001), 1)
    first, later = (
        taught["step_length"](keras.optimizers.Adam(0.05, epsilon=0.1), step) for step in (1, 72)
    )
    small = slope <= 1e-3  # far below epsilon
    assert np.allclose(plain[1:], 0.001, rtol=0.05)
    assert np.allclose(first[small], 0.5 * np.sqrt(1 - 0.999) * slope[small], rtol=0.02)
    assert np.allclose(later[small], 0.5 * np.sqrt(1 - 0.999**72) * slope[small], rtol=0.02)


@pytest.mark.parametrize(("ill", "well"), [(40, 60), (16, 16), (9, 200), (3, 50), (60, 2)])
@pytest.mark.parametrize("size", [8, 16])
def test_every_validation_batch_holds_slices_with_and_without_tumour(
    taught, monkeypatch, ill, well, size
):
    masks = np.zeros((ill + well, 8, 8), bool)
    masks[:ill, 2:4, 2:4] = True  # one after the other, as in a patient
    monkeypatch.setitem(taught, "image", {"p": np.zeros((ill + well, 8, 8, 3), np.uint8)})
    monkeypatch.setitem(taught, "truth", {"p": masks})
    pictures, kept = taught["held_out"](["p"], size)
    assert len(pictures) == len(kept) and len(kept) % size == 0
    for start in range(0, len(kept), size):
        there = kept[start : start + size].any(axis=(1, 2, 3))
        assert there.sum() == size // 2


def test_a_split_of_slices_leaves_neighbours_and_one_by_patient_does_not(taught, monkeypatch):
    slices = pd.DataFrame({"patient": np.repeat(list("ab"), 5), "slice": [*range(5)] * 2})
    monkeypatch.setitem(taught, "positive", slices)
    every_second = np.arange(10) % 2 == 0
    assert taught["beside_training"](every_second) == 1
    assert taught["beside_training"]((slices.patient == "a").to_numpy()) == 0


def test_a_doubt_that_says_nothing_is_not_shown_to_be_of_use(taught, monkeypatch):
    rng = np.random.default_rng(5)
    risk = rng.random(60)
    monkeypatch.setitem(taught, "risk", risk)
    monkeypatch.setitem(taught, "group", np.repeat(np.arange(12), 5))
    monkeypatch.setitem(taught, "judged", np.ones(60, bool))
    random_size = rng.random(60)
    honest, random = (taught["area_of"](doubt, less=1.0) for doubt in (risk, rng.random(60)))
    assert honest.high < 0 < random.high and random.low <= random.value <= random.high
    beyond, same = (taught["area_of"](doubt, rival=random_size) for doubt in (risk, random_size))
    assert beyond.high < 0 and (same.low, same.value, same.high) == (0, 0, 0)


def test_a_correlation_is_that_of_the_ranks_ties_shared(taught):
    from scipy import stats

    rng = np.random.default_rng(6)
    size = rng.integers(1, 9, 40)
    score = np.clip(size / 9 + rng.normal(0, 0.2, 40), 0, 1)
    found = taught["rank_correlation"](size, score, np.repeat(np.arange(10), 4))
    assert found.value == pytest.approx(stats.spearmanr(size, score).statistic)
    assert found.low < found.value < found.high
    assert taught["rank_correlation"](size, 0 * score, np.arange(40)).value == 0


def test_pieces_apart_from_the_largest_are_counted_as_lost(taught):
    mask = np.zeros((3, 9, 9), bool)
    mask[:, 5:, 5:], mask[0, :2, :2] = True, True
    assert taught["outside"](mask) == pytest.approx(4 / 52)


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


def test_a_replaced_sequence_is_an_exact_copy_of_flair(taught, monkeypatch):
    monkeypatch.setitem(taught, "move", lambda rng, picture, mask: (picture, mask))
    picture = np.random.default_rng(4).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    copies = np.zeros(3, int)
    for seed in range(60):
        drawn, _ = taught["augment"](np.random.default_rng(seed), picture, picture[..., :1])
        for channel in (0, 2):
            alike = np.corrcoef(drawn[..., channel].ravel(), drawn[..., 1].ravel())[0, 1] > 0.5
            assert np.array_equal(drawn[..., channel], drawn[..., 1]) == alike
            copies[channel] += alike
    assert 5 < copies[0] < 30 and 5 < copies[2] < 30  # a quarter of the draws each


def test_of_equally_good_thresholds_the_strictest_is_chosen(taught, monkeypatch):
    mask = np.zeros((3, 9, 9), bool)
    mask[0, 2:6, 2:6] = True
    monkeypatch.setitem(taught, "truth", {"p": mask})
    outlined = mask.copy()
    outlined[2, :2, :2] = True  # a piece on a healthy slice, which the largest component drops
    chance = {"p": np.array([0.35, 0.35, 0.35])}
    gates = taught["compare_gates"](["p"], {"p": outlined}, chance, 0.5)
    assert taught["choice"](gates) == (0.3, True)
    assert gates.loc[0.0, "false-positive area"] == 2
    assert gates.loc[0.0, "false-positive area, largest component"] == 0
    nearly = gates.copy()
    nearly.loc[0.0, "Dice, largest component"] += 1e-12  # the last digit decides nothing
    assert taught["choice"](nearly) == (0.3, True)


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


def test_a_copy_with_wrong_answers_runs_on_pytorch(tmp_path):
    result = wrongly_answered(LESSON, tmp_path, LOSS_SEEDS=1, PASSES=2)
    # Keras imports an installed TensorFlow whatever its backend; PyTorch only when it computes.
    assert "torch" in result["versions"]


def test_real_images_run_from_their_folder(tmp_path, real_slices):
    short = ("-p", "EPOCHS", "1", "-p", "LOSS_SEEDS", "1", "-p", "PASSES", "2")
    result = run(LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_slices), *short)
    assert result["data"]["release_cases"] == 3929
    assert result["data"]["cases"] <= 3929
