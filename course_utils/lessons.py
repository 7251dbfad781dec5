"""The table of the lessons, what was measured of them, and where the course is published."""

from __future__ import annotations

import ast
import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import comparison, paths
from .errors import CourseError, ParameterError
from .execution import Outcome
from .parameters import nearest

TABLE = Path(__file__).with_name("lessons.yml")
MEASURED = Path(__file__).with_name("measured.json")
Measures = dict[str, Any]  # "seconds", "peak_rss_mb" and what `comparison.kept` returns


@dataclass(frozen=True)
class Lesson:
    """One row of the table; the fields are explained at the top of ``lessons.yml``."""

    id: str
    title: str
    promise: str
    goals: tuple[str, ...]
    know: str
    datasets: tuple[str, ...]
    needs: tuple[str, ...]
    main_metric: str
    baseline: str
    twin: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Source:
    """Where the course is published: ``owner/repo`` and a branch or tag; empty until it is set."""

    repository: str = ""
    ref: str = ""


@functools.cache
def table() -> dict[str, Lesson]:
    """Return the lessons by id, in the order of the course."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Lesson(id=name, **row) for name, row in rows.items()}


def get(name: str) -> Lesson:
    """Return one lesson of the table.

    Raises
    ------
    ParameterError
        If there is none of that name (the nearest is suggested).
    """
    if name not in table():
        raise ParameterError(f"{name} is not a lesson of lessons.yml{nearest(name, table())}")
    return table()[name]


def sources(lesson: str) -> dict[str, str]:
    """Return the source of every cell of a lesson's notebook, by the id of the cell."""
    import nbformat

    notebook = nbformat.read(paths.notebooks_dir() / f"{lesson}.ipynb", as_version=4)
    return {cell.id: cell.source for cell in notebook.cells}


def defined_by(
    lesson: str, cells: Iterable[str], names: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the names that cells of a lesson define, without running the lesson.

    Of each cell only its imports, functions, classes and constants in capitals are executed: tests
    and benchmarks take from a notebook what is built in it.

    Parameters
    ----------
    lesson : str
        Id of the lesson.
    cells : iterable of str
        Ids of its cells, in the order of the lesson.
    names : dict, optional
        Names that the definitions read, such as ``SEED``; they are in the result too.

    Raises
    ------
    ParameterError
        The notebook has no cell of that id.
    """
    names = {} if names is None else dict(names)
    found = sources(lesson)
    for cell in cells:
        if cell not in found:
            raise ParameterError(f"{cell} is not a cell of {lesson}{nearest(cell, found)}")
        module = ast.parse(found[cell])
        module.body = [statement for statement in module.body if _defines(statement)]
        exec(compile(module, f"{lesson}, cell {cell}", "exec"), names)
    return names


def _defines(statement: ast.stmt) -> bool:
    """Say whether a statement imports, defines a function or a class, or sets a constant."""
    if isinstance(statement, ast.With):
        return all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in statement.body)
    if isinstance(statement, ast.Assign):
        return all(isinstance(to, ast.Name) and to.id.isupper() for to in statement.targets)
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    return isinstance(statement, kinds)


def measured() -> dict[str, dict[str, Measures]]:
    """Return lesson -> profile -> what was measured of its last stored run."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.is_file() else {}


def source() -> Source:
    """Return where this copy of the course is published, from ``pyproject.toml`` of the checkout.

    Raises
    ------
    CourseError
        If only one of the two is set, or one has characters that do not belong into an address.
    """
    root = paths.checkout()
    if root is None:
        return Source()
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    found = settings.get("tool", {}).get("course", {})
    return checked(found.get("repository", ""), found.get("ref", ""))


def checked(repository: str, ref: str) -> Source:
    """Return a `Source` if it is whole and safe to put into an address and a command.

    Examples
    --------
    >>> checked("someone/course", "main")
    Source(repository='someone/course', ref='main')
    """
    if not repository and not ref:
        return Source()
    name = r"[A-Za-z0-9][\w.-]*"
    if not re.fullmatch(f"{name}/{name}", repository, re.ASCII):
        raise CourseError(
            f"the repository of the course must read owner/repo, found {repository!r}: mend it"
        )
    if not re.fullmatch(f"{name}(/{name})*", ref, re.ASCII):
        raise CourseError(
            f"the ref of the course must be a branch or a tag, found {ref!r}: mend it"
        )
    return Source(repository, ref)


def with_outcome(
    profile: str, outcome: Outcome, results: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Measures]]:
    """Return `measured` with one more lesson that ended well.

    Parameters
    ----------
    profile
        With which it ran.
    outcome
        Gives time and memory.
    results
        What it wrote as ``metrics.json``, for later runs to be held against.
    """
    found = measured()
    measures = {"seconds": outcome.seconds, "peak_rss_mb": outcome.peak_rss_mb}
    results = comparison.kept(results) if results else {}
    found.setdefault(outcome.lesson, {})[profile] = measures | results
    return found


def record(profile: str, outcome: Outcome, results: Mapping[str, Any] | None = None) -> None:
    """Keep in ``measured.json`` what a lesson took and reached, if it ended well."""
    if outcome.status == "done" and outcome.lesson in table():
        kept = with_outcome(profile, outcome, results)
        paths.atomic_write(MEASURED, json.dumps(kept, indent=1, sort_keys=True) + "\n")
