"""What the tests of the lessons share: their runs, and the check of an exercise.

A lesson runs whole three times: as it is stored, by nbval; as a student's copy with nothing solved
and every cell run twice, at another seed; and as a copy with wrong answers, for one epoch, on
PyTorch. So each run proves two things.
"""

import ast
import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

from course_utils import execution, lessons, parameters, publish

ROOT = Path(__file__).resolve().parents[1]
STORED = {"PROFILE": "sample", "SEED": 2018, "EPOCHS": 0}  # what the stored notebooks run with
WRONG = (
    "return 0",  # a number where an array is expected, or the other way round
    "return args[0]",  # the question as the answer
    "raise RuntimeError('unfinished')",
)


def run(lesson: str, folder: Path, *arguments: str, **environment: str) -> dict:
    """Run one lesson into ``folder`` and return its metrics; fails with what the run printed."""
    command = [sys.executable, "-m", "course_utils", "run", lesson, "--out", str(folder)]
    done = subprocess.run(
        [*command, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / lesson / "metrics.json").read_text())


def learned(lesson: str, seed: int, folder: Path) -> tuple[dict, Path]:
    """Return the metrics of a lesson on its sample, and the folder of the run.

    `make test` has just run every notebook from top to bottom with nbval, at the seed it is stored
    with: that run serves for that seed when nothing it depends on has changed since. At another
    seed a student's copy runs, nothing solved and every cell run twice.
    """
    if seed == STORED["SEED"]:
        return _run_by_nbval(lesson) or (run(lesson, folder), folder / lesson)
    copied = _students_copy(lesson)
    _run_cells_twice(copied)
    return _run_copy(lesson, copied, folder, {"SEED": seed}), folder


def wrongly_answered(lesson: str, folder: Path, **values) -> dict:
    """Run a student's copy with a wrong answer to every exercise, on PyTorch; return its metrics.

    ``values`` are parameters of the lesson; unless they say so, every training has one epoch.
    """
    copied = _students_copy(lesson)
    _answer_wrongly(copied)
    short = {name: 1 for name in parameters.contract(copied) if name.endswith("EPOCHS")}
    return _run_copy(lesson, copied, folder, {**short, **values}, KERAS_BACKEND="torch")


def _students_copy(lesson: str):
    path = ROOT / "notebooks" / f"{lesson}.ipynb"
    return publish.for_students(nbformat.read(path, as_version=4))


def _answer_wrongly(notebook) -> None:
    """Give the function of every exercise another wrong body, in place."""
    for k, (_, cell) in enumerate(parameters.tagged(notebook, "exercise")):
        tree = ast.parse(cell.source)
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
        function.args = ast.arguments([], [], ast.arg("args"), [], [], None, [])
        function.body = ast.parse(f"def _():\n    {WRONG[k % len(WRONG)]}").body[0].body
        cell.source = ast.unparse(tree)


def _run_cells_twice(notebook) -> None:
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


def _run_copy(lesson: str, notebook, folder: Path, values: dict, **environment: str) -> dict:
    """Run a copy to its metrics; fails where it stops and where an unsolved exercise passes."""
    source, target = folder / f"{lesson}.ipynb", folder / "notebook.ipynb"
    nbformat.write(notebook, source)
    values = {**values, "OUTPUT_DIR": str(folder)}
    environment = {"COURSE_DATA": "", **environment}
    job = execution.Job(lesson, str(source), str(target), values, environment=environment)
    outcome = execution.execute(job)
    assert outcome.status == "done", f"{outcome.failing_cell}: {outcome.error}"
    verdicts = [
        output.data["text/plain"]
        for _, cell in parameters.tagged(nbformat.read(target, as_version=4), "exercise")
        for output in cell.outputs
        if "text/plain" in output.get("data", {})
    ]
    assert len(verdicts) >= 3 and all(said.startswith("✗") for said in verdicts), verdicts
    return json.loads((folder / "metrics.json").read_text())


def _run_by_nbval(lesson: str) -> tuple[dict, Path] | None:
    folder = ROOT / "runs" / "notebook" / lesson
    written = folder / "metrics.json"
    if not written.is_file():
        return None
    sources = [ROOT / "notebooks" / f"{lesson}.ipynb", *(ROOT / "course_utils").rglob("*.py")]
    if written.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        return None
    metrics = json.loads(written.read_text())
    same = all(metrics["parameters"].get(name) == value for name, value in STORED.items())
    return (metrics, folder) if same else None


def check_exercise(lesson: str, name: str, taught: dict) -> None:
    """Fail unless the solution of an exercise passes its check and the placeholder does not.

    ``taught`` holds the names that the student has by then, as `lessons.defined_by` returns them.
    """
    cells = lessons.sources(lesson)
    for cell, passes in ((f"exercise-{name}-cell", False), (f"solution-{name}", True)):
        *definition, call = cells[cell].rstrip().split("\n")
        names = dict(taught)
        exec("\n".join(definition), names)
        verdict = eval(call, names)
        assert verdict.passed is passes, verdict
