"""A class works in copies without solutions: each runs whole, solved or not, cells run twice."""

import ast
import copy
import json

import nbformat
import pytest

from course_utils import execution, lessons, parameters, paths, publish
from course_utils.execution import Job

WRONG = (
    "return 0",  # a number where an array is expected, or the other way round
    "return args[0]",  # the question as the answer
    "raise RuntimeError('unfinished')",
)


def with_wrong_answers(notebook) -> None:
    """Give the function of every exercise another wrong body, in place."""
    for k, (_, cell) in enumerate(parameters.tagged(notebook, "exercise")):
        tree = ast.parse(cell.source)
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
        function.args = ast.arguments([], [], ast.arg("args"), [], [], None, [])
        function.body = ast.parse(f"def _():\n    {WRONG[k % len(WRONG)]}").body[0].body
        cell.source = ast.unparse(tree)


def with_cells_run_twice(notebook) -> None:
    """Put every cell that trains nothing twice, in place, as if it had been run again."""
    once = {id(cell) for _, cell in parameters.tagged(notebook, parameters.TAG)}
    twice = []
    for cell in notebook.cells:
        twice.append(cell)
        trains = any(words in cell.source for words in (".fit(", 'stopwatch("fit")'))
        if cell.cell_type == "code" and not trains and id(cell) not in once:
            again = copy.deepcopy(cell)
            again.id = f"{cell.id[:58]}-again"
            twice.append(again)
    notebook.cells = twice


def run_copy(lesson: str, answers: str, folder) -> tuple[execution.Outcome, list[str]]:
    """Run a student's copy for one epoch; return how it ended and what its checks said."""
    path = paths.notebooks_dir() / f"{lesson}.ipynb"
    copied = publish.for_students(nbformat.read(path, as_version=4))
    if answers == "wrong":
        with_wrong_answers(copied)
    else:
        with_cells_run_twice(copied)
    source, target = folder / f"{lesson}.ipynb", folder / "notebook.ipynb"
    nbformat.write(copied, source)
    short = {name: 1 for name in parameters.contract(copied) if name.endswith("EPOCHS")}
    values = {**short, "OUTPUT_DIR": str(folder)}
    job = Job(lesson, str(source), str(target), values, environment={"COURSE_DATA": ""})
    outcome = execution.execute(job)
    ran = nbformat.read(target, as_version=4)
    said = [
        output.data["text/plain"]
        for _, cell in parameters.tagged(ran, "exercise")
        for output in cell.outputs
        if "text/plain" in output.get("data", {})
    ]
    return outcome, said


@pytest.mark.parametrize("answers", ["unsolved", "wrong"])
@pytest.mark.parametrize("lesson", lessons.table())
def test_a_copy_runs_to_its_metrics_whatever_is_answered(lesson, answers, tmp_path):
    outcome, said = run_copy(lesson, answers, tmp_path)
    assert outcome.status == "done", f"{outcome.failing_cell}: {outcome.error}"
    assert json.loads((tmp_path / "metrics.json").read_text())["lesson"] == lesson
    assert len(said) >= 3 and all(verdict.startswith("✗") for verdict in said), said
