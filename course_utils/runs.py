"""Batches of lessons: which, in what order, with which parameters, and what came of them.

A failed lesson never stops the others, and what it had written is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat

from . import execution, lessons, parameters
from .errors import CourseError, NotebookError, ParameterError
from .execution import Job, Outcome
from .paths import atomic_write

NOTEBOOK, RECORD, METRICS, CHECKPOINT = "notebook.ipynb", "run.json", "metrics.json", "checkpoint"
Progress = Callable[[str, int, int], None]  # lesson, cell that starts, number of cells


@dataclass(frozen=True)
class Task:
    """One lesson of a batch; ``key`` is equal when running it again would change nothing."""

    job: Job
    folder: Path
    key: str
    needs: tuple[str, ...] = ()


def find(notebooks: Path, names: Iterable[str] = ()) -> list[Path]:
    """Return the notebooks of the lessons named, or of all that there are, in the order to run.

    Parameters
    ----------
    notebooks
        The folder of the lessons.
    names
        Lessons, with or without ``.ipynb``; none means all.

    Raises
    ------
    ParameterError
        If there is no such lesson (the nearest is suggested), or none at all.
    """
    there = {path.stem: path for path in sorted(notebooks.glob("[0-9]*.ipynb"))}
    if not there:
        raise ParameterError(f"expected lessons such as 05_*.ipynb in {notebooks}, found none")
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names] or list(there)
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
    notebooks: Iterable[Path], out: Path, given: Mapping[str, str], jobs: int = 1
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
    jobs
        How many lessons run at once: they share the cores.

    Raises
    ------
    ParameterError, NotebookError
        If a parameter is unknown or of a wrong type, or a notebook cannot be read.
    """
    paths = {path.stem: path for path in notebooks}
    contracts = {name: _contract(path) for name, path in paths.items()}
    values = parameters.bind(contracts, given)
    return [_task(path, out, contracts[name], values[name], jobs) for name, path in paths.items()]


def _contract(path: Path) -> dict[str, parameters.Parameter]:
    try:
        return parameters.contract(nbformat.read(path, as_version=4))
    except NotebookError as error:
        raise NotebookError(f"{path.name}: {error}") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path.name} must be a notebook, found: {error}: mend it") from error


def _task(path: Path, out: Path, declared: Mapping, values: dict[str, Any], jobs: int) -> Task:
    folder = out.resolve() / path.stem
    key = _key(path, values)
    if "OUTPUT_DIR" in declared:
        values = {**values, "OUTPUT_DIR": str(folder)}
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0
    job = Job(path.stem, str(path.resolve()), str(folder / NOTEBOOK), values, threads)
    row = lessons.table().get(path.stem)
    return Task(job, folder, key, tuple(row.needs) if row else ())


def _key(path: Path, values: Mapping[str, Any]) -> str:
    """Digest what decides a lesson's result: its code, the package, parameters, data, backend."""
    digest = hashlib.sha256()
    for cell in nbformat.read(path, as_version=4).cells:
        digest.update(f"{cell.cell_type}\0{cell.source}\0".encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    around = {name: os.environ.get(name) for name in ("COURSE_DATA", "KERAS_BACKEND")}
    digest.update(json.dumps([values, around], sort_keys=True).encode())
    return digest.hexdigest()


def prepare_folder(out: Path) -> None:
    """Make the folder of a batch and see that it can be written.

    Raises
    ------
    ParameterError
        If the path is a file, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / ".writable", "")
        (out / ".writable").unlink()
    except OSError as error:
        raise ParameterError(
            f"--out must be a folder that can be written, found {out} "
            f"({error.strerror}): choose another folder"
        ) from error


def run(
    tasks: list[Task],
    *,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress | None = None,
    submit: Callable[[Job], Future] | None = None,
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
        Called from threads with lesson, cell and number of cells.
    submit
        Hands a job to a cluster and returns its future; None runs it here.
    """
    with ThreadPoolExecutor(jobs) as pool:

        def start(task: Task) -> Future:
            _clear(task, keep_checkpoint=resume)
            if submit:
                return submit(task.job)
            return pool.submit(execution.execute, task.job, _reporter(task.job.lesson, progress))

        try:
            return _run_all(tasks, jobs, resume, start)
        except BaseException:  # Ctrl-C: the pool would wait for every lesson to end by itself
            execution.stop_all()
            raise


def _run_all(tasks: list[Task], jobs: int, resume: bool, start: Callable) -> list[Outcome]:
    """Start each task as soon as there is room and what it needs has ended."""
    outcomes = {task.job.lesson: _finished(task) for task in tasks} if resume else {}
    outcomes = {lesson: outcome for lesson, outcome in outcomes.items() if outcome}
    waiting = [task for task in tasks if task.job.lesson not in outcomes]
    running: dict[Future, Task] = {}
    while waiting or running:
        open_lessons = {task.job.lesson for task in (*waiting, *running.values())}
        for task in [task for task in waiting if not open_lessons & set(task.needs)]:
            if len(running) < jobs:
                waiting.remove(task)
                running[start(task)] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            outcomes[task.job.lesson] = _record(task, future.result())
    return [outcomes[task.job.lesson] for task in tasks]


def _reporter(lesson: str, progress: Progress | None) -> execution.Report | None:
    return (lambda cell, cells: progress(lesson, cell, cells)) if progress else None


def _clear(task: Task, keep_checkpoint: bool) -> None:
    """Remove what an earlier run of the lesson left, so that nothing old is taken for new."""
    task.folder.mkdir(parents=True, exist_ok=True)
    for name in (NOTEBOOK, RECORD, METRICS):
        (task.folder / name).unlink(missing_ok=True)
    shutil.rmtree(task.folder / "figures", ignore_errors=True)
    if not keep_checkpoint:
        shutil.rmtree(task.folder / CHECKPOINT, ignore_errors=True)


def _record(task: Task, outcome: Outcome) -> Outcome:
    record = {"key": task.key, "parameters": task.job.parameters, "outcome": asdict(outcome)}
    atomic_write(task.folder / RECORD, json.dumps(record, indent=1) + "\n")
    return outcome


def _finished(task: Task) -> Outcome | None:
    """Return the outcome of an earlier run with the same key that ended well, if there is one."""
    try:
        record = json.loads((task.folder / RECORD).read_text(encoding="utf-8"))
        same = record["key"] == task.key and record["outcome"]["status"] == "done"
        return Outcome(**record["outcome"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def cluster(address: str) -> Iterator[Callable[[Job], Future]]:
    """Give, within a ``with`` block, the function that hands a job to a Dask cluster, for `run`.

    The workers must see the same folders as this machine.

    Parameters
    ----------
    address
        Of the scheduler, for example ``tcp://10.0.0.1:8786``.

    Raises
    ------
    CourseError
        If dask.distributed is not installed, or no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise CourseError(
            "--scheduler needs dask.distributed, found none: pip install distributed"
        ) from error
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise CourseError(
            f"--scheduler must be the address of a Dask scheduler, found none at {address}: "
            "start one"
        ) from error
    with client:
        yield lambda job: _hand_over(client, job)


def _hand_over(client: Any, job: Job) -> Future:
    """Submit a job once and return a standard future of its outcome."""
    outcome: Future = Future()
    remote = client.submit(execution.execute, job, pure=False)

    def finish(done: Any) -> None:
        error = done.exception()
        if error is None:
            outcome.set_result(done.result())
        else:
            outcome.set_result(Outcome(job.lesson, error=f"{type(error).__name__}: {error}"))

    remote.add_done_callback(finish)
    return outcome
