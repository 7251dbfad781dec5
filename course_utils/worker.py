"""The process in which one lesson runs: papermill, and a watch over time and memory.

`execution` starts it as ``python -m course_utils.worker``, hands it a job on standard input and
reads lines of JSON: which cell starts, and at the end the outcome.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from . import startup  # noqa: F401  isort: skip

import nbformat
from filelock import FileLock

from .execution import KERNEL, Job, Outcome, end_children
from .paths import atomic_write, without_home
from .training import out_of_memory


def work(job: Job, say: Callable[..., None]) -> Outcome:
    """Execute the notebook in this process and describe how it went.

    Parameters
    ----------
    job
        What to run.
    say
        Called with ``cell`` and ``cells`` when a cell starts.
    """
    outcome, began = Outcome(job.lesson), time.monotonic()
    with Watch(job.max_seconds, job.max_rss_mb) as watch:
        _run_papermill(job, outcome, watch, say)
    outcome.seconds = round(time.monotonic() - began, 1)
    outcome.peak_rss_mb = round(watch.peak_mb)
    if watch.broken and outcome.status != "done":
        outcome.status, outcome.error = watch.broken
    advice = out_of_memory(outcome.error)
    outcome.error += f" ({advice})" if advice else ""
    if Path(job.target).is_file():
        _hide_home(Path(job.target))
        cells = nbformat.read(job.target, as_version=4).cells
        outcome.cells = len(cells)
        outcome.slowest_cell_seconds = round(max(map(_duration, cells), default=0.0), 1)
    return outcome


def _run_papermill(job: Job, outcome: Outcome, watch: Watch, say: Callable[..., None]) -> None:
    import papermill

    # papermill adds one cell for the parameters
    cells = len(nbformat.read(job.source, as_version=4).cells) + bool(job.parameters)

    def starts(cell, cell_index: int) -> None:
        outcome.failing_cell = cell.source
        watch.count_from_here()
        say(cell=cell_index + 1, cells=cells)

    try:
        papermill.execute_notebook(
            job.source, job.target, job.parameters, kernel_name=KERNEL, language="python",
            progress_bar=False, on_cell_start=starts,
            shutdown_kernel="immediate",  # all is written: TensorFlow takes seconds to say goodbye
        )  # fmt: skip
        outcome.status, outcome.failing_cell = "done", ""
    except papermill.PapermillExecutionError as error:
        outcome.failing_cell = error.source
        outcome.error = f"{error.ename}: {error.evalue}".strip()
    except RuntimeError as error:  # what jupyter_client and nbclient raise for a dead kernel
        if "died" not in str(error):
            raise
        outcome.error = "the kernel died: it was killed, most often because memory ran out"


def _hide_home(notebook: Path) -> None:
    """Write ``~`` for the home folder, which papermill and tracebacks name."""
    text = notebook.read_text(encoding="utf-8")
    if (plain := without_home(text)) != text:
        atomic_write(notebook, plain)


def _duration(cell) -> float:
    return cell.metadata.get("papermill", {}).get("duration") or 0.0


class Watch:
    """Watches, from a thread, the time and the memory of everything that this process started.

    A lesson beyond a limit is ended by ending its kernel; ``broken`` then holds status and error.

    Parameters
    ----------
    max_seconds, max_rss_mb
        The limits; 0 means none.
    every
        Seconds from look to look.
    """

    def __init__(self, max_seconds: float = 0.0, max_rss_mb: float = 0.0, every: float = 0.2):
        self.max_seconds, self.max_rss_mb, self.every = max_seconds, max_rss_mb, every
        self.peak_mb = 0.0
        self.broken: tuple[str, str] | None = None
        self._began: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def count_from_here(self) -> None:
        """Let the time begin, unless it has: until its kernel is up a lesson waits for others."""
        self._began = self._began or time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(self.every):
            self.peak_mb = max(self.peak_mb, self._held_mb())
            self.broken = self.broken or self._beyond()
            if self.broken:
                end_children(os.getpid())

    def _held_mb(self) -> float:
        import psutil

        held = 0
        for child in psutil.Process().children(recursive=True):
            try:
                held += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return held / 2**20

    def _beyond(self) -> tuple[str, str] | None:
        """Return status and error once a limit is passed."""
        seconds = time.monotonic() - self._began if self._began else 0.0
        if self.max_seconds and seconds > self.max_seconds:
            limit = f"{self.max_seconds / 60:g} minutes"
            return "out of time", f"ended at its limit of {limit}: --resume goes on from there"
        if self.max_rss_mb and self.peak_mb > self.max_rss_mb:
            limit = f"{self.max_rss_mb / 1024:g} GB of memory"
            return "out of memory", f"ended beyond its limit of {limit}: choose a smaller profile"
        return None


def _end_with(parent: int, every: float = 0.5) -> None:
    """End this process and its kernel when the one that started it is gone."""
    import psutil

    with_it = psutil.Process(parent)
    while os.getppid() == parent and with_it.is_running():  # the first never changes on Windows
        time.sleep(every)
    end_children(os.getpid())
    os._exit(1)


def main() -> None:
    """Run the job read from standard input; say how it goes on what was standard output."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the kernel inherits standard output and may print there: keep it apart

    def say(**message: Any) -> None:
        print(json.dumps(message), file=channel, flush=True)

    job = Job(**json.load(sys.stdin))
    # On a cluster a lesson is started again while the machine that lost it may still be ending.
    with FileLock(Path(job.target).with_name(".running")):
        say(outcome=asdict(work(job, say)))


if __name__ == "__main__":
    main()
