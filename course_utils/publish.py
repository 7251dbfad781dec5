"""What is made of stored lessons: the copies for a class, and the links of a fork."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from datetime import datetime
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


def students(notebooks: Iterable[Path], folder: Path, force: bool = False) -> dict[Path, Path]:
    """Write the copies for a class into a folder, and never over somebody's work.

    A file that is there already and differs from the new copy may hold answers. Without `force`
    nothing is written then; with it such a file is kept beside the new one, under its name with
    the date.

    Parameters
    ----------
    notebooks
        The lessons.
    folder
        Where the copies go; made if it is not there.
    force
        Write although there are other files of these names.

    Returns
    -------
    dict of Path to Path
        What was set aside: the file that is new now, and where the earlier one is kept.

    Raises
    ------
    CourseError
        If the folder is the one of the lessons themselves, or a file there differs.
    """
    copies: dict[Path, str] = {}
    for path in notebooks:
        if path.parent.resolve() == folder.resolve():
            raise CourseError(f"expected another folder than that of the lessons, found {folder}")
        copied = for_students(nbformat.read(path, as_version=4))
        copies[folder / path.name] = nbformat.writes(copied) + "\n"
    worked_on = [path for path, text in copies.items() if _differs(path, text)]
    if worked_on and not force:
        names = ", ".join(path.name for path in worked_on)
        raise CourseError(
            f"expected a folder without work in it, found {names} in {folder}: name another "
            "folder, or add --force, which keeps what is there under its name with the date"
        )
    kept = {path: _dated(path) for path in worked_on}
    for path, backup in kept.items():
        path.rename(backup)
    for path, text in copies.items():
        paths.atomic_write(path, text)
    return kept


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() != text.encode("utf-8")


def _dated(path: Path) -> Path:
    """Return a name that is free: 01_x.ipynb becomes 01_x.2026-11-28-143005.ipynb."""
    moment = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    free = path.with_name(f"{path.stem}.{moment}{path.suffix}")
    while free.exists():  # twice within a second
        free = free.with_stem(f"{free.stem}+")
    return free


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
