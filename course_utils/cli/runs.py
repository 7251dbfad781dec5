"""``course run`` and ``course report``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import typer

from .. import cluster, lessons, paths, records, report, runs, sweeps
from ..errors import LessonFailed, ParameterError, Stopped
from ..execution import Outcome, Report
from ..runtime import minutes

Lessons = Annotated[
    list[str] | None, typer.Argument(metavar="[LESSON ...]", help="which lessons; all if none")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("run")(run)
    app.command("report")(make_report)


def run(
    lesson: Lessons = None,
    profile: Annotated[str, typer.Option(help="sample, cpu or gpu")] = "sample",
    out: Annotated[Path | None, typer.Option(help="folder for the results")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="how many lessons run at once")] = 1,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME VALUE", help="a parameter; may be given several times"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on: leave alone what is done and unchanged")
    ] = False,
    sweep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML of parameter sets; see the README")
    ] = None,
    max_minutes: Annotated[float, typer.Option(min=0, help="end a lesson that takes longer")] = 0,
    max_memory: Annotated[
        float, typer.Option(metavar="GB", min=0, help="end a lesson that takes more memory")
    ] = 0,
    scheduler: Annotated[str, typer.Option(help="address of a Dask scheduler")] = "",
    record: Annotated[
        bool, typer.Option("--record", help="keep time and memory for the box of each lesson")
    ] = False,
) -> None:
    """Run lessons with papermill, in the order they need each other, and write a report."""
    out = out or paths.notebooks_dir().parent / "runs" / "latest"
    if sweep and record:
        raise ParameterError("--record keeps one run a lesson, found --sweep too: use one of them")
    sets = sweeps.read(sweep) if sweep else None
    limits = runs.Limits(max_minutes, max_memory, jobs)
    notebooks = runs.find(paths.notebooks_dir(), lesson or ())
    tasks = runs.plan(notebooks, out, _given(profile, parameter or []), limits, sets)
    at_once = len(tasks) if scheduler else jobs
    with records.locked(out):
        print(f"{_lessons(len(tasks))}, profile {profile}, into {out}")
        try:
            with (
                cluster.Cluster(scheduler) if scheduler else runs.Here(jobs) as place,
                Display() as display,
            ):
                if scheduler and profile == "gpu" and not place.offers_gpu():
                    print("the lessons wait for a worker that offers a GPU (--resources GPU=1)")
                options = {"resume": resume, "progress": display.cell, "place": place}
                outcomes = runs.run(tasks, jobs=at_once, **options)
        except KeyboardInterrupt:
            raise Stopped("stopped: the same command with --resume goes on from here") from None
        finally:
            page = report.write(out)
    if record:
        for task, outcome in zip(tasks, outcomes):
            lessons.record(profile, outcome, records.results(task.folder))
    _conclude(tasks, outcomes, page)


def _lessons(count: int) -> str:
    return f"{count} lesson{'s' * (count != 1)}"


def joined(words: Sequence[str]) -> list[str]:
    """Write each ``-p NAME VALUE`` of a command line as ``-p NAME=VALUE``: one word, for typer.

    Examples
    --------
    >>> joined(["run", "-p", "SEED", "3", "-p", "EPOCHS=2"])
    ['run', '-p', 'SEED=3', '-p', 'EPOCHS=2']
    """
    found: list[str] = []
    for word in words:
        if len(found) > 1 and found[-2] == "-p" and "=" not in found[-1]:
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _given(profile: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return the parameters by name; each may be given once."""
    given = {"PROFILE": profile}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(
                f"-p must be followed by NAME VALUE, found {name} alone: add a value"
            )
        if name in given:
            hint = "use --profile" if name == "PROFILE" else "give it once"
            raise ParameterError(f"{name} was given twice: {hint}")
        given[name] = value
    return given


def _conclude(tasks: list[records.Task], outcomes: list[Outcome], page: Path) -> None:
    for task, outcome in zip(tasks, outcomes):
        spent = f"{minutes(outcome.seconds)}, {outcome.peak_rss_mb / 1024:.1f} GB"
        print(f"{task.name:32} {outcome.status:7} {spent} {outcome.error}".rstrip())
    print(f"report: {page}")
    failed = [task.name for task, outcome in zip(tasks, outcomes) if outcome.status != "done"]
    if failed:
        raise LessonFailed(
            f"{len(failed)} of {len(outcomes)} lessons failed ({', '.join(failed)}): "
            f"see {page} and the partial notebook beside it"
        )


class Display:
    """Shows one line a lesson: bars on a terminal, else a line every half minute."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        text = TextColumn("{task.description:32} cell {task.completed}/{task.total}")
        self.bars = Progress(
            text, BarColumn(), TimeElapsedColumn(), disable=not sys.stdout.isatty()
        )
        self.tasks: dict[str, int] = {}
        self.began: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def of(self, lesson: str) -> Report:
        """Return what shows the cells of one lesson."""
        return lambda cell, cells: self.cell(lesson, cell, cells)

    def cell(self, lesson: str, cell: int, cells: int) -> None:
        """Show that a cell of a lesson starts; called from several threads."""
        if sys.stdout.isatty():
            self._bar(lesson, cell, cells)
        else:
            self._line(lesson, cell, cells)

    def _bar(self, lesson: str, cell: int, cells: int) -> None:
        if lesson not in self.tasks:
            self.tasks[lesson] = self.bars.add_task(lesson, total=cells)
        self.bars.update(self.tasks[lesson], completed=cell)

    def _line(self, lesson: str, cell: int, cells: int) -> None:
        now = time.monotonic()
        began = self.began.setdefault(lesson, now)
        if cell in (1, cells) or now - self.told.get(lesson, now) >= 30:
            self.told[lesson] = now
            print(f"{lesson:32} cell {cell}/{cells}  {minutes(now - began)}", flush=True)


def make_report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the folder of a batch")],
) -> None:
    """Write report.html and summary.json from what the lessons of a batch left."""
    print(f"report: {report.write(folder)}")
