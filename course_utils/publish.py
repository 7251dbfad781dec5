"""What is made of stored lessons: the copies for a class, and the links of a fork."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat

from . import frames, lessons, paths
from .errors import CourseError
from .parameters import tagged
from .save import put_frame

BEGIN, END = "<!-- links, written by `course links` -->\n", "<!-- end of links -->\n"


def for_students(notebook) -> nbformat.NotebookNode:
    """Return a copy without the solutions and without outputs."""
    notebook = copy.deepcopy(notebook)
    solutions = {i for i, _ in tagged(notebook, "solution")}
    notebook.cells = [cell for i, cell in enumerate(notebook.cells) if i not in solutions]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def students(notebooks: Iterable[Path], folder: Path) -> list[Path]:
    """Write the copies for a class into a folder; return their paths.

    Raises
    ------
    CourseError
        If the folder is the one of the lessons themselves.
    """
    written = []
    for path in notebooks:
        if path.parent.resolve() == folder.resolve():
            raise CourseError(f"expected another folder than that of the lessons, found {folder}")
        copied = for_students(nbformat.read(path, as_version=4))
        paths.atomic_write(folder / path.name, nbformat.writes(copied) + "\n")
        written.append(folder / path.name)
    return written


def link(root: Path, published: lessons.Source) -> None:
    """Write where the course is published into ``pyproject.toml``, every lesson and the README.

    Parameters
    ----------
    root
        Of the checkout.
    published
        Where the links lead; an empty one takes them out again.

    Raises
    ------
    CourseError
        If ``pyproject.toml`` has no lines ``repository`` and ``ref`` in ``[tool.course]``, or the
        README has no place for links. Nothing is written then.
    """
    settings, readme = root / "pyproject.toml", root / "README.md"
    changed = {settings: _settings(settings, published), readme: _readme(readme, published)}
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        put_frame(notebook, frames.frame(lessons.get(path.stem), published))
        changed[path] = nbformat.writes(notebook) + "\n"
    for path, text in changed.items():
        paths.atomic_write(path, text)


def _settings(path: Path, published: lessons.Source) -> str:
    head, table, body = path.read_text(encoding="utf-8").partition("[tool.course]\n")
    for key in ("repository", "ref"):
        line = f'{key} = "{getattr(published, key)}"'
        body, found = re.subn(rf"^{key}\s*=.*$", line, body, count=1, flags=re.MULTILINE)
        if not table or not found:
            raise CourseError(f"expected {key} in [tool.course] of {path.name}, found none: add it")
    return head + table + body


def _readme(path: Path, published: lessons.Source) -> str:
    head, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise CourseError(
            f"expected the lines {BEGIN.strip()} and {END.strip()} in {path.name}, found none: "
            "add them"
        )
    return head + begin + frames.overview(published) + end + tail
