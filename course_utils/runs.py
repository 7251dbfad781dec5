"""Batches of lessons: which, in what order, with which parameters, and what came of them.

A failed lesson never stops the others, and what it had written is kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import nbformat

from . import execution, lessons, parameters, records
from .errors import NotebookError, ParameterError
from .execution import Job, Outcome, Report
from .records import NOTEBOOK, Task

Progress = Callable[[str, int, int], None]  # name of the task, cell that starts, number of cells


@dataclass(frozen=True)
class Limits:
    """What each lesson may take: minutes and GB, 0 for no limit; and how many share the cores."""

    minutes: float = 0.0
    memory_gb: float = 0.0
    jobs: int = 1

    @property
    def threads(self) -> int:
        """How many threads a lesson may use; 0 leaves it to the libraries."""
        return max(1, (os.cpu_count() or 1) // self.jobs) if self.jobs > 1 else 0


def find(notebooks: Path, names: Iterable[str] = ()) -> list[Path]:
    """Return the notebooks of the lessons named, or of all that there are, in the order to run.

    Parameters
    ----------
    notebooks
        The folder of the lessons.
    names
        Lessons, with or without ``.ipynb``, or their numbers; none means all.

    Raises
    ------
    ParameterError
        If there is no such lesson (the nearest is suggested), or none at all.
    """
    there = {path.stem: path for path in sorted(notebooks.glob("[0-9]*.ipynb"))}
    if not there:
        raise ParameterError(f"expected lessons such as 05_*.ipynb in {notebooks}, found none")
    numbers = {number: stem for stem in there for number in (stem[:2], stem[:2].lstrip("0"))}
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names] or list(there)
    wanted = [numbers.get(name, name) for name in wanted]
    for name in wanted:
        if name not in there:
            raise ParameterError(f"{name} is not a lesson{parameters.nearest(name, there)}")
    return [there[name] for name in in_order(dict.fromkeys(wanted))]


def in_order(names: Iterable[str]) -> list[str]:
    """Sort lessons so that each comes after those it needs.

    Examples
    --------
    >>> in_order(["02_brain_tumor_segmentation", "01_brain_tumor_classification"])
    ['01_brain_tumor_classification', '02_brain_tumor_segmentation']
    """
    names, ordered = sorted(names), []
    table = lessons.table()

    def place(name: str) -> None:
        if name in names and name not in ordered:
            for need in table[name].needs if name in table else ():
                place(need)
            ordered.append(name)

    for name in names:
        place(name)
    return ordered


def plan(
    notebooks: Iterable[Path],
    out: Path,
    given: Mapping[str, str],
    limits: Limits = Limits(),
    sets: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Task]:
    """Check the parameters of every lesson and say what is to be run; nothing is run or written.

    Parameters
    ----------
    notebooks
        The lessons, in order.
    out
        The folder of the batch; each lesson gets a folder of its own in it.
    given
        Parameter to its text on the command line, ``PROFILE`` among them.
    limits
        What each lesson may take.
    sets
        For a sweep: name of a folder in ``out`` to the parameters with which all lessons run there.

    Raises
    ------
    ParameterError, NotebookError
        If a parameter is unknown or of a wrong type, or a notebook cannot be read.
    """
    paths = {path.stem: path for path in notebooks}
    contracts = {name: _contract(path) for name, path in paths.items()}
    tasks: list[Task] = []
    for chosen, values in (sets or {"": {}}).items():
        for name in values:
            if name in given:
                raise ParameterError(f"{name} is set by the sweep and was given too: give it once")
        bound = parameters.bind(contracts, {**given, **values})
        tasks += _tasks(paths, contracts, bound, out.resolve() / chosen, chosen, limits)
    return tasks


def _contract(path: Path) -> dict[str, parameters.Parameter]:
    try:
        return parameters.contract(nbformat.read(path, as_version=4))
    except NotebookError as error:
        raise NotebookError(f"{path.name}: {error}") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path.name} must be a notebook, found: {error}: mend it") from error


def _tasks(
    paths: Mapping[str, Path],
    contracts: Mapping[str, Mapping],
    bound: Mapping[str, dict[str, Any]],
    out: Path,
    chosen: str,
    limits: Limits,
) -> list[Task]:
    """Return the tasks of one set of parameters, each with those that it needs."""
    table, tasks = lessons.table(), {}
    for lesson, path in paths.items():
        folder, values = out / lesson, bound[lesson]
        wanted = table[lesson].needs if lesson in table else ()
        needs = [tasks[name] for name in wanted if name in tasks]
        key = records.key(path, values, [task.key for task in needs])
        if "OUTPUT_DIR" in contracts[lesson]:
            values = {**values, "OUTPUT_DIR": str(folder)}
        job = Job(
            lesson, str(path.resolve()), str(folder / NOTEBOOK), values, limits.threads,
            max_seconds=60 * limits.minutes, max_rss_mb=1024 * limits.memory_gb,
        )  # fmt: skip
        name = f"{chosen}/{lesson}" if chosen else lesson
        tasks[lesson] = Task(name, job, folder, key, tuple(task.name for task in needs))
    return list(tasks.values())


class Place(Protocol):
    """Where lessons run: here, or on a cluster."""

    def submit(self, job: Job, report: Report | None = None) -> Future:
        """Start a job and return the future of its `Outcome`."""

    def stop(self) -> None:
        """End everything that was started."""


class Here:
    """This machine: each lesson in a process of its own, ``jobs`` of them at once."""

    def __init__(self, jobs: int = 1):
        self.pool = ThreadPoolExecutor(jobs)
        self.futures: list[Future] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown()

    def submit(self, job: Job, report: Report | None = None) -> Future:
        """Start a job and return the future of its `Outcome`."""
        self.futures.append(self.pool.submit(execution.execute, job, report))
        return self.futures[-1]

    def stop(self) -> None:
        """End everything that was started, and what is about to start."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in self.futures):
            execution.stop()
            time.sleep(0.05)


def run(
    tasks: list[Task],
    *,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
    place: Place | None = None,
) -> list[Outcome]:
    """Run the lessons, ``jobs`` at a time, and return how each ended, in the order of the tasks.

    Parameters
    ----------
    tasks
        What `plan` returned.
    jobs
        How many run at once.
    resume
        Do not run again what is done with the same key, and let a broken lesson go on from its
        checkpoint. Without it every lesson starts afresh.
    progress
        Called from threads with the name of the task, cell and number of cells.
    place
        Where they run; None means here.
    """
    if place is None:
        with Here(jobs) as here:
            return run(tasks, jobs=jobs, resume=resume, progress=progress, place=here)

    def start(task: Task) -> Future:
        records.begin(task, resume)
        return place.submit(task.job, _reporter(task.name, progress))

    try:
        return _run_all(tasks, jobs, resume, start)
    except BaseException:  # Ctrl-C: else every lesson would go on to its end
        place.stop()
        raise


def _run_all(tasks: list[Task], jobs: int, resume: bool, start: Callable) -> list[Outcome]:
    """Start each task as soon as there is room and what it needs has ended."""
    earlier = {task.name: records.finished(task) for task in tasks} if resume else {}
    outcomes = {name: outcome for name, outcome in earlier.items() if outcome}
    waiting = [task for task in tasks if task.name not in outcomes]
    running: dict[Future, Task] = {}
    while waiting or running:
        still_open = {task.name for task in (*waiting, *running.values())}
        for task in [task for task in waiting if not still_open & set(task.needs)]:
            if len(running) < jobs:
                waiting.remove(task)
                running[start(task)] = task
        # Windows delivers Ctrl-C between waits only.
        for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            outcomes[task.name] = records.end(task, future.result())
    return [outcomes[task.name] for task in tasks]


def _reporter(name: str, progress: Progress | None) -> Report | None:
    return (lambda cell, cells: progress(name, cell, cells)) if progress else None
