"""Sets of parameters from YAML, and the runs made from them."""

from __future__ import annotations

import json

import pytest
from tiny_lessons import BODY, PARAMETERS, write_lesson

from course_utils import execution, report, runs, sweeps
from course_utils.errors import ParameterError
from course_utils.execution import Outcome


def read(tmp_path, text: str) -> dict[str, dict[str, str]]:
    (tmp_path / "sweep.yml").write_text(text)
    return sweeps.read(tmp_path / "sweep.yml")


def test_a_list_stands_for_one_set_a_value(tmp_path):
    found = read(tmp_path, "seeds: {SEED: [1, 2]}\nwide: {WIDTH: 32, FLIP: no}")
    assert found == {
        "seeds-SEED=1": {"SEED": "1"}, "seeds-SEED=2": {"SEED": "2"},
        "wide": {"WIDTH": "32", "FLIP": "False"},
    }  # fmt: skip


def test_two_lists_stand_for_every_combination(tmp_path):
    found = read(tmp_path, "all:\n  SEED: [1, 2]\n  LOSS: [dice, a/b]")
    assert list(found) == [
        "all-SEED=1-LOSS=dice", "all-SEED=1-LOSS=a_b", "all-SEED=2-LOSS=dice",
        "all-SEED=2-LOSS=a_b",
    ]  # fmt: skip
    assert found["all-SEED=2-LOSS=a_b"]["LOSS"] == "a/b"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "must hold sets such as"),
        ("- SEED: 1", "must hold sets such as"),
        ("a: {SEED: [1", "must be a YAML file"),
        ("a: 3", "a set must hold parameters such as {SEED: 1}, found a: 3"),
        ("a: {SEED: []}", "must not be empty"),
        ("a: {SEED: {b: 1}}", "SEED must be a number, a text or a truth"),
        ("A: {SEED: 1}\na: {SEED: 2}", "two sets that are called a"),
        ("a: {SEED: [1, 1]}", "two sets that are called a-SEED=1"),
        ("a: {A: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], B: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "
         "C: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}", "at most 1000 sets, found more"),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_one_line(tmp_path, text, line):
    with pytest.raises(ParameterError, match="(?s)" + line.replace("{", r"\{")) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ParameterError, match="--sweep must be a YAML file, found"):
        sweeps.read(tmp_path / "nothing.yml")


@pytest.fixture
def notebooks(tmp_path):
    for name in ("01_brain_tumor_classification", "02_brain_tumor_segmentation"):
        write_lesson(tmp_path / "notebooks", name, BODY, declared=PARAMETERS)
    return runs.find(tmp_path / "notebooks")


def test_each_set_runs_every_lesson_in_a_folder_of_its_own(notebooks, tmp_path, monkeypatch):
    noted = []

    def execute(job, report=None):
        noted.append((job.lesson[:2], job.parameters["SEED"], job.parameters["FLIP"]))
        return Outcome(job.lesson, "failed" if noted[-1] == ("01", 2, False) else "done")

    monkeypatch.setattr(execution, "execute", execute)
    sets = read(tmp_path, "seeds: {SEED: [1, 2], FLIP: no}")
    tasks = runs.plan(notebooks, tmp_path / "out", {}, sets=sets)
    assert [task.name for task in tasks] == [
        "seeds-SEED=1/01_brain_tumor_classification", "seeds-SEED=1/02_brain_tumor_segmentation",
        "seeds-SEED=2/01_brain_tumor_classification", "seeds-SEED=2/02_brain_tumor_segmentation",
    ]  # fmt: skip
    assert tasks[3].needs == (tasks[2].name,)
    outcomes = runs.run(tasks)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed", "done"]
    assert noted == [("01", 1, False), ("02", 1, False), ("01", 2, False), ("02", 2, False)]

    runs.run(tasks, resume=True)
    assert noted[4:] == [("01", 2, False)]
    page = report.write(tmp_path / "out").read_text()
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["lessons"]
    assert [entry["name"] for entry in found] == [task.name for task in tasks]
    assert 'id="seeds-SEED=2/01_brain_tumor_classification"' in page


def test_a_parameter_is_given_in_one_place(notebooks, tmp_path):
    sets = {"a": {"SEED": "1"}}
    with pytest.raises(ParameterError, match="SEED is set by the sweep and was given too"):
        runs.plan(notebooks, tmp_path, {"SEED": "2"}, sets=sets)


def test_a_typo_in_a_sweep_is_answered_with_the_nearest(notebooks, tmp_path):
    sets = {"a": {"SEED": "1"}, "b": {"SEDE": "1"}}
    with pytest.raises(ParameterError, match=r"SEDE is not a parameter of any .* mean SEED"):
        runs.plan(notebooks, tmp_path / "out", {}, sets=sets)
    assert not (tmp_path / "out").exists()
