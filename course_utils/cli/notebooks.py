"""``course save``, ``check``, ``students`` and ``links``: the stored lessons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import lessons, paths, publish, rules, runs, save
from ..errors import NotebookError
from ..runtime import minutes
from .runs import Display, Lessons


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("save")(store)
    app.command("check")(check)
    app.command("students")(students)
    app.command("links")(links)


def store(lesson: Lessons = None) -> None:
    """Run lessons on the sample profile and store them with their outputs."""
    for path in runs.find(paths.notebooks_dir(), lesson or ()):
        with Display() as display:
            outcome = save.save(path, display.of(path.stem))
        print(f"{path.stem:32} stored  {minutes(outcome.seconds)}")


def check(lesson: Lessons = None) -> None:
    """Hold the stored lessons against the rules."""
    notebooks = runs.find(paths.notebooks_dir(), lesson or ())
    findings = [finding for path in notebooks for finding in rules.check_file(path)]
    for finding in findings:
        print(finding)
    if findings:
        raise NotebookError(
            f"expected lessons that keep every rule, found {len(findings)} breaches"
        )
    print(f"{len(notebooks)} lesson{'s' * (len(notebooks) != 1)}: every rule is kept")


def students(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where the copies go")],
    force: Annotated[
        bool, typer.Option("--force", help="replace files there; each is kept, with the date")
    ] = False,
) -> None:
    """Copy the lessons for a class: without solutions and without outputs."""
    lessons_here = runs.find(paths.notebooks_dir())
    for path, kept in publish.students(lessons_here, folder, force).items():
        print(f"{path.name} is new; what was there is kept as {kept.name}")
    count = len(lessons_here)
    print(f"{count} lesson{'s' * (count != 1)} without solutions in {folder}")


def links(
    repository: Annotated[str, typer.Argument(metavar="OWNER/REPO", help="on GitHub")],
    ref: Annotated[str, typer.Option(help="branch or tag")] = "main",
) -> None:
    """Name the repository from which Colab and Binder take the course, wherever it is linked."""
    published = lessons.checked(repository, ref)
    root = paths.notebooks_dir().parent
    publish.link(root, published)
    print(f"the lessons link to {repository} at {ref}")
