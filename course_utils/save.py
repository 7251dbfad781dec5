"""Storing a lesson: run once, cleaned, held against the rules, and only then written."""

from __future__ import annotations

import copy
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import nbformat

from . import execution, frames, lessons, paths, records, rules
from .errors import LessonFailed
from .execution import Job, Outcome, Report
from .parameters import tagged
from .rules.stored import CELL_METADATA, KERNEL, LANGUAGE, WIDGET


def save(path: Path, report: Report | None = None) -> Outcome:
    """Run a lesson on the sample profile and store it with its outputs, whole or not at all.

    Nothing is changed if the lesson fails or its outputs break a rule.

    Parameters
    ----------
    path
        The notebook of a lesson of the table.
    report
        Called with the number of the cell that starts and the number of cells.

    Raises
    ------
    LessonFailed
        If the lesson ends with an error.
    NotebookError
        If what would be stored breaks a rule; it names the first.
    """
    lesson = lessons.get(path.stem)
    notebook = nbformat.read(path, as_version=4)
    put_frame(notebook, frames.frame(lesson))
    began = time.time()
    executed, outcome = _execute(notebook, lesson.id, report)
    results = records.results(paths.lesson_output(lesson.id), since=began)
    frame = frames.frame(lesson, times=lessons.with_outcome("sample", outcome))
    put_frame(executed, frame)
    cleaned = clean(executed)
    rules.insist(rules.check(cleaned, lesson.id, frame))
    paths.atomic_write(path, nbformat.writes(cleaned) + "\n")
    lessons.record("sample", outcome, results)
    return outcome


def _execute(notebook, name: str, report: Report | None) -> tuple[nbformat.NotebookNode, Outcome]:
    """Run a notebook as it is, with no parameter given and no real data within reach."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"{name}.ipynb", Path(folder) / "executed.ipynb"
        source.write_text(nbformat.writes(notebook), encoding="utf-8")
        job = Job(name, str(source), str(target), environment={"COURSE_DATA": ""})
        outcome = execution.execute(job, report)
        if outcome.status != "done":
            raise LessonFailed(f"{name} was not stored, it ended with an error: {outcome.error}")
        return nbformat.read(target, as_version=4), outcome


def put_frame(notebook, frame: Mapping[str, str]) -> None:
    """Give the cells tagged ``header``, ``box`` and ``setup`` their sources, in place."""
    for tag, source in frame.items():
        for _, cell in tagged(notebook, tag):
            cell.source = source


def clean(notebook) -> nbformat.NotebookNode:
    """Return a copy without what differs from run to run or from machine to machine.

    Metadata of papermill, editors and widgets goes, and what solutions show; printed text comes in
    one piece, a rewritten line in its last state. Text on standard error stays, for the rules to
    find.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key in CELL_METADATA}
        cell.metadata = nbformat.from_dict({key: value for key, value in kept.items() if value})
        if cell.cell_type == "code":
            shown = [] if "solution" in kept.get("tags", []) else cell.outputs
            cell.outputs = [*_merged(_without_widgets(shown))]
    return notebook


def _without_widgets(outputs: list) -> list:
    """Drop the views of widgets, which show nothing without their state."""
    for output in outputs:
        if WIDGET in output.get("data", {}):
            output.data = nbformat.from_dict(
                {kind: data for kind, data in output.data.items() if kind.startswith("image/")}
            )
    return [output for output in outputs if output.get("data") != {}]


def _merged(outputs: list) -> Iterable[nbformat.NotebookNode]:
    """Join neighbouring pieces of printed text and keep the last state of rewritten lines."""
    for name, pieces in groupby(outputs, key=lambda output: output.get("name")):
        if name is None:
            yield from pieces
            continue
        text = "".join(piece.text for piece in pieces)
        text = re.sub(r"[^\n]*\r(?!\n)", "", text)
        yield nbformat.v4.new_output("stream", name=name, text=text)
