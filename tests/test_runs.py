"""Batches of lessons: the contract, the order, what is kept of a lesson that fails, the report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils import execution, lessons, parameters, report, runs, save
from course_utils.errors import CourseError, LessonFailed, NotebookError, ParameterError
from course_utils.execution import Job, Outcome

PARAMETERS = """\
PROFILE: str = "sample"  # sample, cpu or gpu
OUTPUT_DIR: str = ""  # where results go
SEED: int = 0  # of every random draw
EPOCHS: int = 0  # 0: what the profile says
RATE: float = 0.1  # of learning
FLIP: bool = True  # mirror the images"""
BODY = """\
from course_utils import runtime
values = dict(PROFILE=PROFILE, OUTPUT_DIR=OUTPUT_DIR, SEED=SEED)
lesson = runtime.start("lesson", values)
(lesson.folder / "figures").mkdir(exist_ok=True)
(lesson.folder / "figures" / "curve.png").write_bytes(b"PNG")
lesson.write_metrics(
    main_metric="dice", metrics={"dice": dict(value=0.8, low=0.7, high=0.9, n=5)},
    baseline={"Otsu": {"dice": 0.5}}, gain={"Otsu": dict(value=0.3, low=0.2, high=0.4, n=5)},
    data=dict(name="bbbc038", source="twin", cases=5, release_cases=670))
print("seed", SEED, FLIP)"""


def write_lesson(folder: Path, name: str, *sources: str, declared: str = PARAMETERS) -> Path:
    """Write a tiny lesson: the parameters cell and the cells given."""
    cells = [new_code_cell(declared, metadata={"tags": ["parameters"]})]
    folder.mkdir(exist_ok=True)
    nbformat.write(
        new_notebook(cells=cells + [new_code_cell(source) for source in sources]),
        folder / f"{name}.ipynb",
    )
    return folder / f"{name}.ipynb"


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    for name in ("01_brain_tumor_classification", "02_brain_tumor_segmentation", "05_unet_nuclei"):
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
    assert {task.job.threads for task in runs.plan(runs.find(notebooks), tmp_path, {}, 2)} == {4}
    assert {task.job.threads for task in runs.plan(runs.find(notebooks), tmp_path, {}, 1)} == {0}
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
    with pytest.raises(ParameterError, match="--out must be a folder that can be written"):
        runs.prepare_folder(tmp_path / "file" / inside)


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
    old = ["metrics.json", "notebook.ipynb", "figures/a.png", "checkpoint/state.json", "notes.txt"]
    for name in old:
        (task.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (task.folder / name).touch()
    runs.run([task], resume=True)
    assert (task.folder / "checkpoint" / "state.json").exists()
    runs.run([task])
    assert {path.name for path in task.folder.iterdir()} == {"run.json", "notes.txt"}


def test_a_lesson_waits_for_what_it_needs_even_with_free_workers(notebooks, tmp_path, monkeypatch):
    running: set[str] = set()
    together: list[set[str]] = []

    def execute(job, progress=None):
        running.add(job.lesson[:2])
        together.append(set(running))
        execution.time.sleep(0.1)
        running.discard(job.lesson[:2])
        return Outcome(job.lesson, "done")

    monkeypatch.setattr(execution, "execute", execute)
    runs.run(runs.plan(runs.find(notebooks), tmp_path, {}, 3), jobs=3)
    assert {"01", "05"} in together
    assert not any({"01", "02"} <= names for names in together)


def test_a_failed_lesson_does_not_stop_the_others_and_is_kept(notebooks, tmp_path):
    write_lesson(notebooks, "05_unet_nuclei", "print('so far')", "1 / 0", "print('never')")
    tasks = runs.plan(runs.find(notebooks)[1:], tmp_path / "out", {"SEED": "4", "FLIP": "no"}, 2)
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


def test_a_missing_scheduler_is_one_clear_line():
    pytest.importorskip("distributed")
    with (
        pytest.raises(CourseError, match="found none at nonsense://nowhere"),
        runs.cluster("nonsense://nowhere"),
    ):
        pass


def test_a_cluster_runs_the_same_jobs(notebooks, tmp_path, pretended):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        tasks = runs.plan(runs.find(notebooks), tmp_path, {})
        with runs.cluster(cluster.scheduler_address) as submit:
            outcomes = runs.run(tasks, jobs=3, submit=submit)
    assert [(outcome.lesson[:2], outcome.status) for outcome in outcomes] == [
        ("01", "done"), ("02", "done"), ("05", "done"),
    ]  # fmt: skip


FRAME = {"header": "# Nuclei", "box": "This is not a medical device.", "setup": "import sys"}


@pytest.fixture
def savable(tmp_path, monkeypatch):
    """Return a lesson that keeps every rule once it was run, in a course of its own."""
    from test_rules import make

    monkeypatch.setattr(lessons, "MEASURED", tmp_path / "measured.json")
    monkeypatch.setattr(lessons, "frame", lambda lesson, published=None, times=None: make.FRAME)
    notebook = make.good()
    start = "import types\nchecks = types.SimpleNamespace(good=types.SimpleNamespace(find=str))"
    replace(
        notebook, "lesson = runtime", f"{start}\ntotal = EPOCHS or len(DATA_DIR)\nSEED, PROFILE"
    )
    replace(notebook, "show(figure)", "print('a', end='')\nprint('\\rb')\nOUTPUT_DIR")
    replace(notebook, "lesson.write_metrics", "write_metrics = print\nwrite_metrics('done')")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells[0].source = "# An old title"
    notebook.metadata = {}
    path = tmp_path / "05_unet_nuclei.ipynb"
    nbformat.write(notebook, path)
    return path


def replace(notebook, words: str, source: str) -> None:
    next(cell for cell in notebook.cells if words in cell.source).source = source


def test_a_lesson_is_stored_clean_with_its_measures(savable):
    before = nbformat.read(savable, as_version=4)
    outcome = save.save(savable)
    stored = nbformat.read(savable, as_version=4)
    assert outcome.status == "done"
    assert [cell.id for cell in stored.cells] == [cell.id for cell in before.cells]
    assert stored.cells[0].source == "# Good\n\nA notebook that keeps every rule."
    assert "papermill" not in savable.read_text()
    assert [output.text for cell in stored.cells for output in cell.get("outputs", [])
            if output.output_type == "stream"][6] == "b\n"  # fmt: skip
    assert json.loads(lessons.MEASURED.read_text())["05_unet_nuclei"]["sample"]["seconds"] > 0


def pretend_to_run(monkeypatch, savable, output=None, status="done"):
    """Let `save` believe that the lesson was run and its last cell gave an output."""

    def execute(job, progress=None):
        notebook = nbformat.read(job.source, as_version=4)
        if output:
            notebook.cells[-1].outputs = [output]
        nbformat.write(notebook, job.target)
        return Outcome(job.lesson, status, error="" if status == "done" else "ValueError: no")

    monkeypatch.setattr(execution, "execute", execute)


def test_what_breaks_a_rule_is_not_stored_and_the_old_is_kept(savable, monkeypatch):
    before = savable.read_bytes()
    warning = new_output("stream", name="stderr", text="UserWarning: slow")
    pretend_to_run(monkeypatch, savable, warning)
    with pytest.raises(NotebookError, match="05_unet_nuclei, cell"):
        save.save(savable)
    assert savable.read_bytes() == before and not lessons.MEASURED.exists()


def test_a_lesson_that_fails_is_not_stored(savable, monkeypatch):
    before = savable.read_bytes()
    pretend_to_run(monkeypatch, savable, status="failed")
    with pytest.raises(LessonFailed, match=r"was not stored, .* ValueError: no"):
        save.save(savable)
    assert savable.read_bytes() == before


def test_cleaning_joins_text_and_drops_views_of_widgets():
    view = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox()"}
    outputs = [
        new_output("stream", name="stdout", text="1\r2\n"),
        new_output("stream", name="stdout", text="3\r\n"),
        new_output("display_data", view),
        new_output("display_data", {**view, "image/png": "AA=="}),
    ]
    notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    cleaned = save.clean(notebook).cells[0].outputs
    assert cleaned[0].text == "2\n3\r\n"
    assert [dict(output.data) for output in cleaned[1:]] == [{"image/png": "AA=="}]
    assert len(notebook.cells[0].outputs) == 4


def test_students_get_neither_solutions_nor_outputs(savable, tmp_path):
    (written,) = save.students([savable], tmp_path / "class")
    cells = nbformat.read(written, as_version=4).cells
    assert not any("solution" in cell.metadata.get("tags", []) for cell in cells)
    assert sum("exercise" in cell.metadata.get("tags", []) for cell in cells) == 3
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    with pytest.raises(CourseError, match="another folder"):
        save.students([savable], savable.parent)


def test_links_are_written_in_one_place_and_into_every_lesson(tmp_path):
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(
        '[a]\nref = "a"\n[tool.course]\nrepository = ""\nref = ""\n[b]\nref = "b"\n'
    )
    lesson = write_lesson(tmp_path / "notebooks", "05_unet_nuclei", "pass")
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells[1].metadata["tags"] = ["setup"]
    nbformat.write(notebook, lesson)
    save.link([lesson], pyproject, lessons.Source("someone/course", "main"))
    written = pyproject.read_text().splitlines()
    assert written[2:5] == ["[tool.course]", 'repository = "someone/course"', 'ref = "main"']
    assert written[:2] == ["[a]", 'ref = "a"'] and written[5:] == ["[b]", 'ref = "b"']
    assert "someone/course@main" in nbformat.read(lesson, as_version=4).cells[1].source
    pyproject.write_text("[tool.course]\n")
    with pytest.raises(CourseError, match="expected repository in"):
        save.link([lesson], pyproject, lessons.Source("someone/course", "main"))
