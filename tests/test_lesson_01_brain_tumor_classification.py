"""Lesson 1: the functions that the student builds, and what a run of the lesson ends with.

What lesson 2 takes from a run: ``classifier.keras`` (from (n, 256, 256, 3) float32, grey levels 0
to 255 as read, to (n, 1) calibrated probabilities), ``classifier.json`` (its threshold) and
``patients.csv`` (the split).
"""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from lesson_run import check_exercise, learned, run, wrongly_answered
from scipy import ndimage

from course_utils import datasets, lessons, splits

LESSON = "01_brain_tumor_classification"


@pytest.fixture(scope="module")
def taught():
    """Names defined by the cells of the lesson that build things, without running the lesson."""
    cells = ["imports", "preprocess", "tutorial", "network", "body-resnet", "build"]
    cells += ["frozen-proof", "feed", "schedule", "leak-cheat", "augment", "baseline"]
    return lessons.defined_by(LESSON, cells, {"settings": {"batch": 16}, "SEED": 3})


def test_the_tutorials_network_has_its_published_sizes(taught):
    base, published = taught["tutorial_network"]()
    assert published.count_params() == 25_817_218
    layers = taught["layers"]
    try:
        for _layer in base.layers:
            layers.trainable = False  # as published
        assert taught["trainable"](published) == 25_764_098
    finally:
        del layers.trainable
    base.trainable = False
    assert taught["trainable"](published) == 2_229_506
    cells = lessons.sources(LESSON)
    for cell in ("tutorial-count", "exercise-freeze-cell"):
        assert "layers.trainable = False" in cells[cell]


def test_freezing_leaves_the_last_stage_and_no_batch_normalisation(taught):
    base, _ = taught["tutorial_network"]()
    taught["learn_from"](base, "conv5")
    learning = {layer.name for layer in base.layers if layer.trainable and layer.weights}
    assert learning and all(name.startswith("conv5") for name in learning)
    assert not any("bn" in name for name in learning)
    taught["learn_from"](base, "conv4")
    assert any(layer.trainable for layer in base.layers if layer.name.startswith("conv4"))


def test_the_resnet_is_flat_saved_whole_and_expects_raw_grey_levels(taught, tmp_path):
    keras = taught["keras"]
    body = taught["resnet_body"]
    taught["resnet_body"] = lambda inputs: body(inputs, pretrained=False)
    try:
        network = taught["build"]("resnet50", 64, 16)
    finally:
        taught["resnet_body"] = body
    assert not any(isinstance(layer, keras.Model) for layer in network.layers)
    inside = keras.Model(network.input, network.get_layer("preprocess").output)
    pixel = np.tile(np.array([10.0, 20.0, 30.0], "float32"), (1, 64, 64, 1))
    found = inside.predict(pixel, verbose=0)[0, 0, 0]
    np.testing.assert_allclose(found, [30 - 103.939, 20 - 116.779, 10 - 123.68], atol=0.5)
    taught["learn_from"](network, "features")
    assert [layer.name for layer in network.layers if layer.trainable and layer.weights] == [
        "logit"
    ]
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(
        again.predict(pixel, verbose=0), network.predict(pixel, verbose=0), atol=1e-3
    )


def test_the_small_network_has_as_many_convolutions_as_the_lesson_says(taught):
    kinds = [type(layer).__name__ for layer in taught["build"]("small", 64, 4).layers]
    assert kinds.count("Conv2D") == 10
    assert "ten convolutions" in lessons.sources(LESSON)["profiles-lead"]


def test_the_network_for_the_unseen_site_is_trained_like_the_first():
    cells = lessons.sources(LESSON)
    assert 'learn(network, train, validation, "patients", settings["epochs"])' in cells["fit"]
    assert 'learn(stranger, near, spare, "site", settings["epochs"])' in cells["site"]
    profiles = lessons.defined_by(LESSON, ["profiles"])["PROFILES"]
    assert not any("site" in profile for profile in profiles.values())


def test_lessons_1_and_2_say_the_same_of_left_and_right():
    second = lessons.sources("02_brain_tumor_segmentation")["data-figure-lead"]
    for text in (lessons.sources(LESSON)["data-read-lead"], second):
        assert "carry no orientation" in " ".join(text.split())


def test_the_viewer_names_its_sequences():
    cell = lessons.sources(LESSON)["viewer"]
    assert "set_title(name" in cell and "set_xlabel" not in cell  # an axis that is off has no label


def test_the_small_network_ignores_brightness_and_contrast_of_a_sequence(taught):
    network = taught["build"]("small", 64, 4)
    slices = np.random.default_rng(0).uniform(20, 200, (2, 64, 64, 3)).astype("float32")
    brighter = slices * np.array([0.5, 1.2, 1.0], "float32") + np.array([9, 0, 5], "float32")
    before, after = (network.predict(x, verbose=0) for x in (slices, brighter))
    np.testing.assert_allclose(before, after, atol=0.05)


def test_every_slice_comes_once_an_epoch_and_each_epoch_in_another_order(taught):
    taught["small"] = np.arange(37, dtype="uint8")[:, None, None, None] * np.ones(
        (1, 2, 2, 3), "uint8"
    )
    taught["tumour"] = np.arange(37) % 2 == 1
    feed = taught["Slices"](np.arange(37), lambda rng, one: one.astype("float32"))

    def order():
        batches = [feed[step] for step in range(len(feed))]
        images = np.concatenate([x for x, _ in batches])[:, 0, 0, 0].astype(int)
        labels = np.concatenate([y for _, y in batches])[:, 0]
        assert np.array_equal(labels, images % 2)
        return images.tolist()

    first = order()
    assert sorted(first) == list(range(37)) and order() == first
    feed.epoch = 1
    assert sorted(order()) == list(range(37)) and order() != first


def test_varied_slices_keep_their_size_and_lose_their_contrast(taught):
    picture = np.random.default_rng(1).integers(20, 200, (32, 32, 3)).astype(np.uint8)
    picture = np.repeat(np.repeat(picture[::8, ::8], 8, axis=0), 8, axis=1)  # large blocks
    drawn = [taught["vary"](np.random.default_rng(seed), picture) for seed in range(40)]
    assert all(one.shape == picture.shape and one.dtype == np.float32 for one in drawn)
    assert np.array_equal(drawn[3], taught["vary"](np.random.default_rng(3), picture))

    def alike(one, channel):  # FLAIR in its place: the same picture but for the contrast
        return abs(np.corrcoef(one[..., channel].ravel(), one[..., 1].ravel())[0, 1]) > 0.98

    for channel in (0, 2):
        assert 0 < np.mean([alike(one, channel) for one in drawn]) < 0.5


def test_slice_position_learns_from_the_known_slices_only(taught):
    taught["table"] = pd.DataFrame({"position": [0.0, 0.5, 1.0, 0.5]})
    taught["tumour"] = np.array([False, True, False, False])
    score = taught["by_position"](np.array([0, 1, 2]))
    np.testing.assert_allclose(score, [0, 1, 0, 1], atol=1e-6)  # the last one's own label is not


@pytest.fixture
def two_scanners(taught):
    """Two patients of four slices, the second scanned twice as bright; a lesion in one each."""
    y, x = np.mgrid[:128, :128]
    far = np.hypot(y - 64, x - 64)
    head = np.where(far < 55, 60.0, 0)
    head[(far >= 49) & (far < 55)] = 127  # fat
    heads = np.repeat(head[None], 8, axis=0)
    heads[2:4, 60:72, 80:92] = heads[4:6, 60:72, 80:92] = 100  # lesions, duller than the fat
    heads[4:] *= 2
    small = np.repeat(heads[..., None], 3, axis=-1).astype("uint8")
    patient = np.repeat(["a", "b"], 4)
    return taught | {"small": small, "patient": patient, "block": 2, "ndimage": ndimage}


def test_the_bright_place_is_no_straw_man_it_leaves_out_the_rim_and_the_scanner(two_scanners):
    names = lessons.defined_by(LESSON, ["baseline"], two_scanners)
    for blur in (4, 8, 16):
        row, column = np.unravel_index(names["bright"](2, blur, 24).argmax(), (128, 128))
        assert 60 <= row < 72 and 80 <= column < 92
    assert names["bright"](2, 4, 0).argmax() != names["bright"](2, 4, 24).argmax()  # the fat
    brightest = [names["bright"](k, 4, 24).max() for k in range(8)]
    score = np.array(brightest) / [names["usual"](one) for one in names["patient"]]
    truth = np.isin(np.arange(8), (2, 3, 4, 5))
    assert score[truth].min() > score[~truth].max()
    assert min(np.array(brightest)[truth]) < max(np.array(brightest)[~truth])


def test_the_brightest_place_is_tuned_on_the_held_slices_only(two_scanners):
    names = lessons.defined_by(LESSON, ["imports", "baseline", "flair"], two_scanners)
    options = [(blur, rim) for blur in names["BLURS"] for rim in names["RIMS"]]
    for k in (0, 2):
        plain = [names["bright"](k, *option).max() for option in options]
        np.testing.assert_allclose(names["peaks_of"](k), plain)
    names["tumour"] = np.array([False, True, False, True])
    names["peaks"] = np.array([[1.0, 2], [2, 1], [2, 1], [1, 2]])
    first, last = np.array([0, 1]), np.array([2, 3])
    names["peaks"][:, 1] *= 1000  # another scale: rounds that chose another option can be pooled
    assert names["by_flair"](last, first).tolist() == [0, 0.5, 0.5, 0]
    assert names["by_flair"](first, last).tolist() == [0.5, 0, 0, 0.5]


def test_the_coins_are_guessed_by_slice_and_by_patient_from_equally_many_slices(capsys):
    rng = np.random.default_rng(0)
    names = {
        "np": np,
        "small": rng.integers(0, 255, (60, 16, 16, 3)).astype("uint8"),
        "settings": {"side": 16},
        "patient": np.repeat(list("abcdefghij"), 6),
        "tumour": rng.random(60) < 0.4,
        "table": range(60),
    }
    names["train"], names["validation"], names["test"] = np.split(np.arange(60), [36, 42])
    exec(lessons.sources(LESSON)["coins-result"], names)
    sizes = {(len(known), len(asked)) for known, asked in names["cuts"].values()}
    assert sizes == {(42, 18)}
    rows = capsys.readouterr().out.splitlines()
    assert [" to " in row for row in rows[1:5]] == [True, True, True, False]  # one fixed split


def test_a_patient_without_both_t1_is_counted_as_such(taught):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 4, 4, 3)).astype("uint8")
    pictures[0, ..., 0] = pictures[0, ..., 2] = pictures[0, ..., 1]
    pictures[1, ..., 2] = pictures[1, ..., 1]
    given = {
        "image": pictures,
        "table": pd.DataFrame({"patient": list("abc"), "case": list("xyz")}),
        "np": np,
        "datasets": datasets,
    }
    names = lessons.defined_by(LESSON, ["missing"], given)
    found = [names["lacks"](given["table"].loc[[k]]) for k in range(3)]
    assert found == ["pre-contrast and post-contrast", "post-contrast", "none"]


def test_a_round_is_answered_without_changing_what_other_cells_hold(taught):
    part = pd.Series(["train", "validation", "test"] * 4)
    probability = np.linspace(0, 1, 12)
    taught |= {
        "parts": ["train", "validation", "test"],
        "baselines": {
            "slice position": np.ones(12),
            "brightest FLAIR": np.ones(12),
            "majority": np.zeros(12),
        },
        "by_position": lambda known: np.full(12, float(len(known))),
        "by_flair": lambda known, held: np.full(12, float(held[0])),
        "threshold_of": lambda score, held: 0.5,
        "calibrated": lambda model, part: (probability * 2, 2.0, probability, 0.5),
    }
    names = lessons.defined_by(LESSON, ["answers"], taught)
    found = names["answer"](part, "network")
    assert found["asked"].tolist() == [2, 5, 8, 11] and found["model"] == "network"
    np.testing.assert_array_equal(found["score"]["slice position"], [4.0] * 4)
    np.testing.assert_array_equal(found["score"]["brightest FLAIR"], [1.0] * 4)
    np.testing.assert_array_equal(found["called"]["this lesson"], [False, False, True, True])
    assert not found["called"]["majority"].any()
    assert taught["baselines"]["slice position"].tolist() == [1.0] * 12


def test_the_cheat_copies_the_nearest_slice_of_the_same_patient(taught):
    taught["table"] = pd.DataFrame(
        {
            "patient": ["a"] * 4 + ["b"] * 2,
            "slice": [1, 2, 3, 4, 1, 2],
            "tumour": [True, False, False, True, True, True],
        }
    )
    training = np.array([True, False, False, True, False, False])
    answers = taught["copy_the_neighbour"](training)
    assert answers.tolist() == [True, True, False, False]  # slices 2, 3; b has nothing to copy


@pytest.mark.parametrize("name", ["split", "freeze", "batches", "pointing", "coins"])
def test_each_solution_passes_its_check_and_each_placeholder_does_not(taught, name):
    check_exercise(LESSON, name, taught)


@pytest.mark.parametrize("seed", [7, 2018])
def test_the_network_learns_its_task_on_generated_heads(tmp_path, seed):
    result, folder = learned(LESSON, seed, tmp_path)
    gain = result["gain"]
    assert gain["slice position"]["low"] > 0, f"AUC gained over the baseline: {gain}"
    assert gain["brightest FLAIR"]["low"] > 0, f"AUC gained over the baseline: {gain}"
    assert result["data"]["source"].startswith("generated")
    assert len(list((folder / "figures").glob("*.png"))) >= 10
    rows = pd.read_csv(folder / splits.SPLIT_FILE)
    assert rows["patient"].is_unique and set(rows["part"]) == set(splits.PATIENT_PARTS)
    assert 0 <= json.loads((folder / "classifier.json").read_text())["threshold"] <= 1
    assert (folder / "classifier.keras").is_file()


def test_a_copy_with_wrong_answers_runs_on_pytorch(tmp_path):
    result = wrongly_answered(LESSON, tmp_path)
    assert "torch" in result["versions"]


def test_a_split_with_a_patient_on_two_sides_is_refused(tmp_path):
    split = tmp_path / "patients.csv"
    split.write_text("patient,part\nTCGA_DU_G000_19990101,train\nTCGA_DU_G000_19990101,test\n")
    command = [sys.executable, "-m", "course_utils", "run", LESSON, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "-p", "SPLIT_FILE", str(split)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "every patient must lie in one part" in done.stdout + done.stderr


def test_real_slices_run_from_their_folder(tmp_path, real_slices):
    part = ("--profile", "cpu", "-p", "EPOCHS", "1")
    result = run(LESSON, tmp_path, *part, "-p", "DATA_DIR", str(real_slices))
    assert result["data"]["release_cases"] == 3929
    assert 0 < result["data"]["cases"] <= 3929
