"""Batches of lessons: the contract, the order, what is kept of a lesson that fails, the report."""

from __future__ import annotations

import json
import os
import time

import nbformat
import pytest
from tiny_lessons import BODY, NAMES, PARAMETERS, write_lesson

from course_utils import execution, parameters, records, report, runs
from course_utils.errors import NotebookError, ParameterError
from course_utils.execution import Job, Outcome


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    for name in NAMES:
        write_lesson(folder, name, BODY)
    return folder


@pytest.fixture
def pretended(monkeypatch):
    """Let no kernel start: every lesson ends well at once, and is noted."""
    noted: list[Job] = []

    def execute(job, progress=None):
        noted.append(job)
        return Outcome(job.lesson, "done", seconds=1.0)

    monkeypatch.setattr(execution, "execute", execute)
    return noted


def test_a_lesson_comes_after_those_it_needs(notebooks):
    names = [path.stem[:2] for path in runs.find(notebooks)]
    assert names == ["01", "02", "05"]
    assert runs.in_order(["b", "a"]) == ["a", "b"]


def test_lessons_are_found_by_name_with_or_without_ending(notebooks):
    found = runs.find(notebooks, ["05_unet_nuclei.ipynb", "05_unet_nuclei"])
    assert [path.stem for path in found] == ["05_unet_nuclei"]


@pytest.mark.parametrize("number", ["05", "5"])
def test_a_number_is_enough_to_name_a_lesson(notebooks, number):
    assert [path.stem for path in runs.find(notebooks, [number])] == ["05_unet_nuclei"]


def test_a_misspelt_lesson_is_answered_with_the_nearest(notebooks):
    with pytest.raises(ParameterError, match="05_unet_nucleus is not a lesson: did you mean 05_un"):
        runs.find(notebooks, ["05_unet_nucleus"])


def test_a_folder_without_lessons_is_named(tmp_path):
    with pytest.raises(ParameterError, match="found none"):
        runs.find(tmp_path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"EPOCS": "3"}, "EPOCS is not a parameter of any of the lessons: did you mean EPOCHS?"),
        ({"EPOCHS": "three"}, "EPOCHS must be of type int, found 'three': give a value such as 0"),
        ({"RATE": "fast"}, "RATE must be of type float, found 'fast': give a value such as 0.1"),
        ({"FLIP": "2"}, "FLIP must be of type bool, found '2': give a value such as True"),
        ({"PROFILE": "smaple"}, "'smaple' is not a profile: did you mean sample?"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(notebooks, tmp_path, given, line):
    with pytest.raises(ParameterError) as error:
        runs.plan(runs.find(notebooks), tmp_path / "out", given)
    assert str(error.value) == line
    assert not (tmp_path / "out").exists()


def test_parameters_are_given_in_their_declared_type(notebooks, tmp_path):
    given = {"SEED": "7", "RATE": "1", "FLIP": "no", "PROFILE": "cpu"}
    (task,) = runs.plan(runs.find(notebooks, ["05_unet_nuclei"]), tmp_path / "out", given)
    assert task.job.parameters == {
        "SEED": 7, "RATE": 1.0, "FLIP": False, "PROFILE": "cpu",
        "OUTPUT_DIR": str(tmp_path / "out" / "05_unet_nuclei"),
    }  # fmt: skip
    assert isinstance(task.job.parameters["RATE"], float)


def test_a_parameter_of_one_lesson_is_not_forced_upon_another(notebooks, tmp_path):
    declared = f"{PARAMETERS}\nWIDTH: int = 8  # filters"
    write_lesson(notebooks, "05_unet_nuclei", declared=declared)
    tasks = runs.plan(runs.find(notebooks), tmp_path, {"WIDTH": "4"})
    assert ["WIDTH" in task.job.parameters for task in tasks] == [False, False, True]


@pytest.mark.parametrize(
    "line",
    ["SEED = 3", "SEED: int", "SEED: int = 'a'", "SEED: list = []", "print(3)", "SEED: int = f()"],
)
def test_a_line_that_declares_no_parameter_is_refused(line):
    with pytest.raises(NotebookError, match="a parameter must read NAME: int"):
        parameters.read(line)


def test_a_notebook_that_cannot_be_read_is_named(notebooks, tmp_path):
    (notebooks / "05_unet_nuclei.ipynb").write_text("{}")
    with pytest.raises(NotebookError, match=r"05_unet_nuclei\.ipynb must be a notebook"):
        runs.plan(runs.find(notebooks), tmp_path, {})


def test_two_workers_share_the_cores(notebooks, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    two = runs.Limits(jobs=2)
    assert {task.job.threads for task in runs.plan(runs.find(notebooks), tmp_path, {}, two)} == {4}
    assert {task.job.threads for task in runs.plan(runs.find(notebooks), tmp_path, {})} == {0}
    env = execution._environment(Job("a", "", "", threads=4), "kernels")
    assert env["OMP_NUM_THREADS"] == env["TF_NUM_INTRAOP_THREADS"] == "4"


def test_the_environment_of_a_kernel_is_not_the_callers_taste(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    env = execution._environment(Job("a", "", "", environment={"COURSE_DATA": ""}), "kernels")
    assert "PYTHONWARNINGS" not in env
    assert env["COURSE_STATIC"] == "1" and env["COURSE_DATA"] == ""
    assert env["JUPYTER_PATH"].split(os.pathsep)[0] == "kernels"


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_an_output_folder_that_is_a_file_is_refused(tmp_path, inside):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ParameterError, match="--out must be a folder that can be written"),
        records.locked(tmp_path / "file" / inside),
    ):
        pass


def test_two_runs_never_share_a_folder(tmp_path):
    with (
        records.locked(tmp_path / "a"),
        records.locked(tmp_path / "b"),
        pytest.raises(ParameterError, match="no other run is at work, found one"),
        records.locked(tmp_path / "a"),
    ):
        pass
    with records.locked(tmp_path / "a"):  # the first has ended
        pass


def test_resume_leaves_alone_what_is_done_and_unchanged(notebooks, tmp_path, pretended):
    def again(resume=True, **given):
        pretended.clear()
        tasks = runs.plan(runs.find(notebooks), tmp_path / "out", {"SEED": "1", **given})
        outcomes = runs.run(tasks, resume=resume)
        assert [outcome.status for outcome in outcomes] == ["done"] * 3
        return [job.lesson[:2] for job in pretended]

    assert again(resume=False) == ["01", "02", "05"]
    assert again() == []
    assert again(SEED="2") == ["01", "02", "05"]
    write_lesson(notebooks, "05_unet_nuclei", "other = 'code'")
    assert again(SEED="2") == ["05"]
    assert again(resume=False, SEED="2") == ["01", "02", "05"]


def test_what_an_earlier_run_left_is_not_taken_for_new(notebooks, tmp_path, pretended):
    (task,) = runs.plan(runs.find(notebooks, ["05_unet_nuclei"]), tmp_path, {})
    old = ["metrics.json", "notebook.ipynb", "figures/a.png", "checkpoint-1/a", "notes.txt"]
    for name in old:
        (task.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (task.folder / name).touch()
    runs.run([task])
    assert {path.name for path in task.folder.iterdir()} == {"run.json", "notes.txt"}


def test_checkpoints_are_kept_for_resume_and_the_same_code_only(notebooks, tmp_path):
    def left_after(resume):
        (task,) = runs.plan(runs.find(notebooks, ["05_unet_nuclei"]), tmp_path, {})
        for name in ("checkpoint", "checkpoint-fold-1"):
            (task.folder / name).mkdir(parents=True, exist_ok=True)
        records.begin(task, resume)
        return sorted(path.name for path in task.folder.glob("checkpoint*"))

    assert left_after(resume=True) == []  # nobody knows whose they are
    assert left_after(resume=True) == ["checkpoint", "checkpoint-fold-1"]
    assert left_after(resume=False) == []
    write_lesson(notebooks, "05_unet_nuclei", "other = 'code'")
    assert left_after(resume=True) == []


def test_a_lesson_is_run_again_when_its_data_changed(notebooks, tmp_path, pretended):
    image = tmp_path / "data" / "stage1_train" / "a" / "images" / "a.png"
    given = {"PROFILE": "cpu", "DATA_DIR": str(tmp_path / "data")}
    write_lesson(
        notebooks, "05_unet_nuclei", declared=f'{PARAMETERS}\nDATA_DIR: str = ""  # images'
    )

    def again():
        pretended.clear()
        tasks = runs.plan(runs.find(notebooks, ["05_unet_nuclei"]), tmp_path / "out", given)
        runs.run(tasks, resume=True)
        return len(pretended)

    assert (again(), again()) == (1, 0)
    image.parent.mkdir(parents=True)
    image.write_bytes(b"1")
    assert (again(), again()) == (1, 0)
    image.write_bytes(b"two")
    assert (again(), again()) == (1, 0)


def test_a_lesson_waits_for_what_it_needs_even_with_free_workers(notebooks, tmp_path, monkeypatch):
    running: set[str] = set()
    together: list[set[str]] = []

    def execute(job, progress=None):
        running.add(job.lesson[:2])
        together.append(set(running))
        time.sleep(0.1)
        running.discard(job.lesson[:2])
        return Outcome(job.lesson, "done")

    monkeypatch.setattr(execution, "execute", execute)
    runs.run(runs.plan(runs.find(notebooks), tmp_path, {}), jobs=3)
    assert {"01", "05"} in together
    assert not any({"01", "02"} <= names for names in together)


def test_a_failed_lesson_does_not_stop_the_others_and_is_kept(notebooks, tmp_path):
    write_lesson(notebooks, "05_unet_nuclei", "print('so far')", "1 / 0", "print('never')")
    tasks = runs.plan(runs.find(notebooks)[1:], tmp_path / "out", {"SEED": "4", "FLIP": "no"})
    seen: list[tuple[str, int, int]] = []
    good, bad = runs.run(tasks, jobs=2, progress=lambda *cell: seen.append(cell))

    assert (good.status, bad.status) == ("done", "failed")
    assert bad.error == "ZeroDivisionError: division by zero" and bad.failing_cell == "1 / 0"
    assert good.peak_rss_mb > 20 and good.cells == 3
    assert ("05_unet_nuclei", 1, 5) in seen
    kept = nbformat.read(tmp_path / "out" / "05_unet_nuclei" / "notebook.ipynb", as_version=4)
    assert any("so far" in str(cell.get("outputs")) for cell in kept.cells)
    executed = (tmp_path / "out" / good.lesson / "notebook.ipynb").read_text()
    assert "seed 4 False" in executed

    page = report.write(tmp_path / "out").read_text()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["done"], summary["failed"]) == (1, 1)
    assert summary["lessons"][0]["results"]["metrics"]["dice"]["value"] == 0.8
    for words in (
        "0.800 <small>[0.700, 0.900]</small>", "Otsu", "1 / 0", "division by zero",
        "data:image/png;base64,UE5H", "5 cases; the release holds 670 (1 %)",
        "not a medical device",
    ):  # fmt: skip
        assert words in page, words
    assert 'src="http' not in page and 'href="http' not in page


def test_a_report_needs_the_folder_of_a_run(tmp_path):
    with pytest.raises(ParameterError, match="found no folder"):
        report.write(tmp_path / "nothing")


def test_what_a_lesson_says_cannot_break_the_page(tmp_path, notebooks, monkeypatch):
    def execute(job, progress=None):
        return Outcome(job.lesson, "failed", error="<script>$x</script>")

    monkeypatch.setattr(execution, "execute", execute)
    runs.run(runs.plan(runs.find(notebooks), tmp_path / "out", {}))
    page = report.write(tmp_path / "out").read_text()
    assert "<script>" not in page and "&lt;script&gt;$x" in page
