"""Lesson 4: the functions that the student builds, and what a run of the lesson ends with."""

import numpy as np
import pytest
from lesson_run import check_exercise, learned, run

from course_utils import lessons

LESSON = "04_unet_skin_lesions"
SIDE = 32


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ["imports", "baseline", "unet-published", "dead-build", "network", "loss", "augment"]
    names = {"side": SIDE, "settings": {"encoder": "none", "encoder_width": 0.25}}
    return lessons.defined_by(LESSON, [*cells, "encoder", "solution-mask", "views"], names)


def disc(centre=(16, 16), radius=6.0) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def test_the_tutorials_network_has_its_published_size(taught):
    assert taught["published"](shape=(64, 64, 3)).count_params() == 31_032_837


def test_the_lessons_network_takes_any_multiple_of_16(taught):
    network = taught["unet"]([4, 8, 12, 16, 24])
    found = network(np.zeros((1, 48, 80, 3), "float32"))
    assert tuple(found.shape) == (1, 48, 80, 1)


def test_otsu_takes_the_central_dark_region_not_the_dark_corner(taught):
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    picture[disc()] = (120, 70, 40)
    picture[:9, :9] = 0
    found = taught["otsu_on_blue"](picture)
    assert (found == disc()).mean() > 0.97 and not found[:9, :9].any()


def test_affine_moves_image_and_mask_together_and_keeps_the_mask_binary(taught):
    picture = np.where(disc()[..., None], 40, 220).astype(np.uint8).repeat(3, -1)
    mask = np.where(disc(), 255, 0).astype(np.uint8)[..., None]
    shifts = []
    for seed in range(8):
        moved, target = taught["affine"](np.random.default_rng(seed), picture, mask)
        assert set(np.unique(target)) == {0, 255} and moved.shape == picture.shape
        inside = target[..., 0] > 0
        assert moved[inside].mean() < 75
        shifts.append(np.argwhere(inside).mean(0) - 16)
    assert np.abs(shifts).max() > 1


def test_augmented_images_keep_their_range_and_differ_by_seed(taught):
    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    mask = np.where(disc(), 255, 0).astype(np.uint8)[..., None]
    first, again, other = (
        taught["augment"](np.random.default_rng(seed), picture, mask)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.dtype.kind == "f" and -0.5 < first.min() < first.max() < 1.6


def test_the_loss_is_least_at_the_truth_and_finite_at_the_edges(taught):
    truth = disc()[None, ..., None].astype("float32")
    loss = taught["border_loss"]
    assert float(loss(truth, truth)) < 0.01 < 1 < float(loss(truth, 1 - truth))
    empty = np.zeros_like(truth)
    assert np.isfinite(float(loss(empty, empty))) and np.isfinite(float(loss(empty, truth)))


def test_views_are_turned_back_before_they_are_averaged(taught):
    class Echo:
        """Says that what is red is lesion: turning must not matter."""

        def predict_on_batch(self, pictures):
            return pictures[..., :1]

    pictures = np.random.default_rng(0).random((3, SIDE, SIDE, 3))
    taught["arrays"] = lambda cases: (pictures[list(cases)], None)
    predict = taught["predict"]
    for views in (1, 8):
        assert np.allclose(predict(Echo(), [0, 1, 2], views), pictures[..., 0])


def test_the_largest_region_stays_and_its_holes_are_filled(taught):
    two = disc((10, 10), 6) | disc((26, 26), 2)
    two[10, 10] = False
    assert np.array_equal(taught["largest"](two), disc((10, 10), 6))
    assert not taught["largest"](np.zeros((4, 4), bool)).any()


def test_without_network_the_encoder_is_an_untrained_one_and_one_line_says_so(
    taught, monkeypatch, capsys
):
    keras = taught["keras"]
    built = keras.applications.MobileNet

    def no_network(weights, **how):
        if weights == "imagenet":
            raise OSError("URL fetch failure: no route to host")
        return built(weights=weights, **how)

    monkeypatch.setattr(keras.applications, "MobileNet", no_network)
    monkeypatch.setitem(taught["settings"], "encoder", "imagenet")
    backbone, origin = taught["encoder"]()
    assert origin == "untrained"
    assert capsys.readouterr().out.count("\n") == 1
    network = taught["with_encoder"](backbone)
    assert network.output_shape == (None, SIDE, SIDE, 1)


@pytest.mark.parametrize("name", ["pairs", "jaccard", "head", "mask"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_learns_its_task_on_generated_images(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    for baseline in ("mean mask", "Otsu on blue"):
        assert gain[baseline]["low"] > 0, f"thresholded Jaccard gained: {gain}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
    saved = folder / "predictions"
    probabilities = np.load(saved / "probabilities.npz")
    names = {f"{case}_segmentation.png" for case in probabilities["case"]}
    assert names == {path.name for path in saved.glob("*.png")}
    assert len(probabilities["ours"]) == len(probabilities["tutorial"]) == len(names)


SHORT = ("-p", "EPOCHS", "1", "-p", "TUTORIAL_EPOCHS", "1")


def test_the_lesson_runs_on_pytorch_and_on_the_year_2018(tmp_path):
    result = run(LESSON, tmp_path, *SHORT, "-p", "DATASET", "isic2018", KERAS_BACKEND="torch")
    # Keras imports an installed TensorFlow whatever its backend; PyTorch only when it computes.
    assert "torch" in result["versions"] and result["data"]["name"] == "isic2018"


def test_real_images_run_from_their_folder(tmp_path, real_skin):
    result = run(
        LESSON, tmp_path, "--profile", "cpu", "-p", "DATA_DIR", str(real_skin), *SHORT,
        "-p", "ENCODER_WEIGHTS", "none",
    )  # fmt: skip
    assert result["data"]["release_cases"] == 2750
    assert 0 < result["metrics"]["dice"]["n"] <= result["data"]["cases"] <= 2750
    assert {"Otsu on blue", "mean mask", "untrained encoder"} <= set(result["baseline"])
