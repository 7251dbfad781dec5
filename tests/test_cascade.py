"""How lesson 2 finds and reads the classifier of lesson 1."""

import json

import numpy as np
import pandas as pd
import pytest

from course_utils import cascade
from course_utils.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run in which lesson 1 has left a classifier that answers with the mean brightness."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("run") / cascade.FIRST
    folder.mkdir()
    inputs = keras.Input((256, 256, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, layers.Dense(1, "sigmoid")(x)).save(folder / cascade.MODEL)
    keras.Model(inputs, layers.Dense(2)(x)).save(folder / "two.keras")
    (folder / cascade.SETTINGS).write_text(json.dumps({"threshold": 0.3}))
    return folder


def test_the_classifier_of_the_same_run_is_found(made, tmp_path):
    assert cascade.find_classifier(made.parent / "02_x") == made / cascade.MODEL
    assert cascade.find_classifier(tmp_path / "02_x") is None


def test_a_file_or_its_folder_can_be_given(made, tmp_path):
    expected = made / cascade.MODEL
    assert cascade.find_classifier(tmp_path, str(expected)) == expected
    assert cascade.find_classifier(tmp_path, str(made)) == expected


@pytest.mark.parametrize(("split", "fits"), [("a,train", True), ("b,test", False), ("", False)])
def test_a_classifier_of_other_patients_is_passed_over(made, tmp_path, split, fits):
    beside = tmp_path / cascade.FIRST
    beside.mkdir()
    (beside / cascade.MODEL).write_bytes(b"")
    (beside / cascade.SPLIT).write_text(f"patient,part\n{split}\n" if split else "")
    table = pd.DataFrame({"patient": ["a", "a"]})
    found = cascade.find_classifier(tmp_path / "02_x", table=table)
    assert found == (beside / cascade.MODEL if fits else None)


def test_the_classifiers_of_all_rounds_are_found_in_their_order(tmp_path):
    for number in range(3):
        folder = cascade.round_folder(tmp_path, number)
        folder.mkdir(exist_ok=True)
        (folder / cascade.MODEL).write_bytes(b"")
    first = tmp_path / cascade.MODEL
    assert cascade.find_rounds(first) == [first]  # no split: nobody knows whom it has not seen
    (tmp_path / cascade.SPLIT).write_text("patient,part\n")
    found = [path.parent.name for path in cascade.find_rounds(first)]
    assert found == [tmp_path.name, "round-2", "round-3"]
    (tmp_path / "round-2" / cascade.MODEL).unlink()
    assert cascade.find_rounds(first) == [first]


def test_a_given_file_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(ParameterError, match=r"found no file at .*nothing\.keras: run lesson 1"):
        cascade.find_classifier(tmp_path, str(tmp_path / "nothing.keras"))


def test_model_threshold_and_probabilities(made):
    model, threshold = cascade.load_classifier(made / cascade.MODEL)
    assert threshold == 0.3
    slices = np.random.default_rng(0).integers(0, 256, (5, 256, 256, 3), np.uint8)
    by_two, at_once = (cascade.probabilities(model, slices, batch) for batch in (2, 8))
    assert by_two.shape == (5,) and np.allclose(by_two, at_once, atol=1e-5)
    assert cascade.probabilities(model, slices[:0]).shape == (0,)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_classifier_is_one_clear_line(tmp_path, content):
    path = tmp_path / cascade.MODEL
    path.write_bytes(content)
    with pytest.raises(DataError, match="found a file that is none") as error:
        cascade.load_classifier(path)
    assert "\n" not in str(error.value) and "lesson 1" in str(error.value)


def test_another_model_is_refused(made):
    with pytest.raises(DataError, match=r"found one from .* to \(None, 2\)"):
        cascade.load_classifier(made / "two.keras")


@pytest.mark.parametrize("text", ["{}", "no json", '{"threshold": "high"}', '{"threshold": 7}'])
def test_a_broken_threshold_is_one_clear_line(made, tmp_path, text):
    path = tmp_path / cascade.MODEL
    path.write_bytes((made / cascade.MODEL).read_bytes())
    path.with_name(cascade.SETTINGS).write_text(text)
    with pytest.raises(DataError, match="expected a threshold"):
        cascade.load_classifier(path)
