"""What a run leaves in its folder: a record of every lesson, and a lock while it lasts.

A record is written when a lesson starts, as one that was stopped, and again when it ends: so a run
that was killed says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout

from . import lessons
from .errors import ParameterError
from .execution import Job, Outcome
from .paths import atomic_write, data_root, without_home

NOTEBOOK, RECORD, METRICS, FIGURES = "notebook.ipynb", "run.json", "metrics.json", "figures"
LOCK = ".lock"


@dataclass(frozen=True)
class Task:
    """One lesson of a batch, in the folder in which its results go.

    Attributes
    ----------
    name : str
        The lesson, with the name of its parameter set before it if there is one.
    key : str
        Equal when the same code would run again with the same parameters.
    needs : tuple of str
        Names of the tasks to end before this one.
    """

    name: str
    job: Job
    folder: Path
    key: str
    needs: tuple[str, ...] = ()


def key(notebook: Path, values: Mapping[str, Any], needs: Iterable[str] = ()) -> str:
    """Digest what decides a lesson's result, apart from data: code, package, parameters, backend.

    Parameters
    ----------
    notebook
        The lesson.
    values
        Its parameters.
    needs
        The keys of the lessons it builds on.
    """
    digest = hashlib.sha256()
    for cell in nbformat.read(notebook, as_version=4).cells:
        digest.update(f"{cell.cell_type}\0{cell.source}\0".encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    around = {name: os.environ.get(name) for name in ("COURSE_DATA", "KERAS_BACKEND")}
    digest.update(json.dumps([values, around, sorted(needs)], sort_keys=True).encode())
    return digest.hexdigest()


def data_state(job: Job) -> str:
    """Digest names, sizes and times of the files of a lesson's datasets; ``""`` for the sample."""
    if job.lesson not in lessons.table() or job.parameters.get("PROFILE", "sample") == "sample":
        return ""
    from . import downloads

    root, digest = data_root(job.parameters.get("DATA_DIR", "")), hashlib.sha256()
    for name in lessons.get(job.lesson).datasets:
        folder = downloads.find(name, root)
        for path in sorted(folder.rglob("*")) if folder else ():
            if path.is_file():
                found = path.stat()
                line = f"{path.relative_to(folder)}\0{found.st_size}\0{found.st_mtime_ns}\n"
                digest.update(line.encode())
    return digest.hexdigest()


def begin(task: Task, resume: bool) -> None:
    """Remove what an earlier run of the lesson left, so that nothing old is taken for new.

    Parameters
    ----------
    task
        What is about to start.
    resume
        Keep the checkpoints of an earlier run, if its key is the same.
    """
    earlier = _read(task)
    task.folder.mkdir(parents=True, exist_ok=True)
    for name in (NOTEBOOK, METRICS):
        (task.folder / name).unlink(missing_ok=True)
    shutil.rmtree(task.folder / FIGURES, ignore_errors=True)
    if not (resume and earlier and earlier["key"] == task.key):
        for folder in task.folder.glob("checkpoint*"):
            shutil.rmtree(folder, ignore_errors=True)
    _write(task, Outcome(task.job.lesson, "stopped", error="stopped: --resume goes on from there"))


def end(task: Task, outcome: Outcome) -> Outcome:
    """Keep how a lesson ended."""
    _write(task, outcome)
    return outcome


def finished(task: Task) -> Outcome | None:
    """Return the outcome of an earlier run that would give the same again, if it ended well."""
    record = _read(task)
    if not record or record["key"] != task.key or record["outcome"]["status"] != "done":
        return None
    return Outcome(**record["outcome"]) if record["data"] == data_state(task.job) else None


def results(folder: Path, since: float = 0.0) -> dict[str, Any] | None:
    """Return the ``metrics.json`` that a lesson wrote, or None if it got not that far.

    Parameters
    ----------
    folder
        Of the lesson's results.
    since
        Seconds since the epoch; what was written earlier does not count.
    """
    path = folder / METRICS
    if not path.is_file() or path.stat().st_mtime < since - 1:  # file systems round
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def _write(task: Task, outcome: Outcome) -> None:
    """Write the record; the data counts as it is now, after a download if there was one."""
    record = {
        "key": task.key,
        "data": data_state(task.job) if outcome.status == "done" else "",
        "parameters": task.job.parameters,
        "outcome": asdict(outcome),
    }
    atomic_write(task.folder / RECORD, without_home(json.dumps(record, indent=1)) + "\n")


def _read(task: Task) -> dict[str, Any] | None:
    """Return the record in the folder of a task, or None if there is none that is whole."""
    try:
        record = json.loads((task.folder / RECORD).read_text(encoding="utf-8"))
        Outcome(**record["outcome"])
        return record if {"key", "data"} <= record.keys() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the folder of a batch and hold it against a second run for a ``with`` block.

    Raises
    ------
    ParameterError
        If the path is a file, the folder cannot be written, or another run holds it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ParameterError(
            f"--out must be a folder in which no other run is at work, found one in {out}: "
            "wait for it or choose another folder"
        ) from error
    except OSError as error:
        raise ParameterError(
            f"--out must be a folder that can be written, found {out} "
            f"({error.strerror}): choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
