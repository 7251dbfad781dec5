"""The rules that every stored lesson keeps, one small function each.

A rule takes a notebook and yields what breaks it: the index of the cell (None for the whole
notebook) and one line that says what was expected and what was found. It reads nothing else and
changes nothing. `tests/fixtures/notebooks` holds a broken notebook for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from .. import frames, lessons
from ..errors import NotebookError, ParameterError
from . import contract, stored, structure

Broken = Iterator[tuple[int | None, str]]
Rule = Callable[[nbformat.NotebookNode], Broken]

RULES: dict[str, Rule] = {
    rule.__name__: rule for module in (stored, contract, structure) for rule in module.RULES
}


@dataclass(frozen=True)
class Finding:
    """One place where a notebook breaks a rule; ``cell`` counts from 0."""

    notebook: str
    rule: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        where = self.notebook if self.cell is None else f"{self.notebook}, cell {self.cell}"
        return f"{where}: {self.message} ({self.rule})"


def check(notebook, name: str, frame: Mapping[str, str]) -> list[Finding]:
    """Hold a notebook against every rule.

    Parameters
    ----------
    notebook
        An ``nbformat`` notebook.
    name
        The lesson's name, for the findings.
    frame
        Tag to the source that the cells made from the table must have (`frames.frame`).
    """
    found = [
        Finding(name, rule, cell, message)
        for rule, function in RULES.items()
        for cell, message in function(notebook)
    ]
    broken = structure.frame(notebook, frame)
    return found + [Finding(name, "frame", cell, message) for cell, message in broken]


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook just as it is: ``nbformat.read`` would give new ids to cells that share one.

    Raises
    ------
    NotebookError
        If the file is not a notebook of format 4.
    """
    try:
        notebook = nbformat.reader.reads(path.read_text(encoding="utf-8"))
    except (nbformat.reader.NotJSONError, UnicodeDecodeError) as error:
        raise NotebookError(
            f"expected a notebook, found {path.name} that is none: mend it"
        ) from error
    if not isinstance(notebook.get("cells"), list):
        raise NotebookError(f"expected a notebook of format 4, found {path.name}: mend it")
    return notebook


def check_file(path: Path) -> list[Finding]:
    """Hold one lesson of the course against every rule, its file name and neighbours too."""
    try:
        notebook = read(path)
        frame = frames.frame(lessons.get(path.stem))
    except (NotebookError, ParameterError) as error:
        return [Finding(path.stem, "readable", None, str(error))]
    return check(notebook, path.stem, frame) + list(only_source(path))


def only_source(path: Path) -> Iterator[Finding]:
    """Yield second copies of a lesson in another format: the notebook is its one source."""
    for other in sorted(path.parent.glob(f"{path.stem}.*")):
        if other != path:
            message = f"the .ipynb is the one source of a lesson, found {other.name} too: remove it"
            yield Finding(path.stem, "only_source", None, message)


def insist(findings: list[Finding]) -> None:
    """Raise the first finding, if there is one.

    Raises
    ------
    NotebookError
        With the first finding and how many more there are.
    """
    if findings:
        more = f", and {len(findings) - 1} more: course check lists them" if findings[1:] else ""
        raise NotebookError(f"{findings[0]}{more}")
