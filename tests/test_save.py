"""What is stored of a lesson."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils import execution, frames, lessons, save
from course_utils.errors import LessonFailed, NotebookError
from course_utils.execution import Outcome


@pytest.fixture
def savable(tmp_path, monkeypatch):
    """Return a lesson that keeps every rule once it was run, in a course of its own."""
    from test_rules import make

    monkeypatch.setattr(lessons, "MEASURED", tmp_path / "measured.json")
    monkeypatch.setattr(frames, "frame", lambda lesson, published=None, times=None: make.FRAME)
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
