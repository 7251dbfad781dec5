"""One lesson, run once: papermill in a process of its own, watched from here.

The process gives its kernel a clean environment and this interpreter, whatever kernels the machine
has registered. What it has to say comes back as lines of JSON on its standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import nbformat

from .training import STATIC, out_of_memory

KERNEL = "python3"
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
UNSET = ("PYTHONWARNINGS", "MPLBACKEND", "PYTHONSTARTUP")  # the caller's taste, not the lesson's


@dataclass(frozen=True)
class Job:
    """What to run: everything a worker needs, in plain values."""

    lesson: str
    source: str  # path of the notebook
    target: str  # path of the executed notebook
    parameters: dict[str, Any] = field(default_factory=dict)
    threads: int = 0  # 0: as many as the libraries choose
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a run ended; times in seconds, memory in MiB over the kernel and all it started."""

    lesson: str
    status: str = "failed"  # "done", "failed" or "stopped"
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    cells: int = 0
    slowest_cell_seconds: float = 0.0
    failing_cell: str = ""
    error: str = ""


Report = Callable[[int, int], None]  # which cell runs, of how many
_running: set[subprocess.Popen] = set()


def execute(job: Job, report: Report | None = None) -> Outcome:
    """Run a lesson in a fresh process and return how it ended; never raises for a failing lesson.

    Parameters
    ----------
    job
        What to run. The executed notebook is written while it runs, so that a part of it is kept
        whatever happens.
    report
        Called with the number of the cell that starts and the number of cells.
    """
    command = [sys.executable, "-m", "course_utils.execution"]
    with tempfile.TemporaryDirectory() as kernels:
        _write_kernel(Path(kernels))
        process = subprocess.Popen(
            command, env=_environment(job, kernels), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        _running.add(process)
        try:
            return _follow(process, job, report)
        finally:
            _stop(process)
            _running.discard(process)


def stop_all() -> None:
    """End every lesson that this process has started, and the kernels of all of them."""
    for process in tuple(_running):
        _stop(process)


def _follow(process: subprocess.Popen, job: Job, report: Report | None) -> Outcome:
    outcome = Outcome(job.lesson, error="the run ended without a word")
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)
    reader.start()
    process.stdin.write(json.dumps(asdict(job)))
    process.stdin.close()
    for line in process.stdout:
        message = json.loads(line)
        if "cell" in message and report:
            report(message["cell"], message["cells"])
        outcome = Outcome(**message["outcome"]) if "outcome" in message else outcome
    process.wait()
    reader.join()
    if process.returncode:
        outcome.error = (errors or [outcome.error])[-1].strip()
    return outcome


def _stop(process: subprocess.Popen) -> None:
    """End the process and the kernel that it started, if they are still there."""
    import psutil

    try:
        family = [*psutil.Process(process.pid).children(recursive=True), process]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _write_kernel(folder: Path) -> None:
    """Write a kernel specification for this interpreter.

    It keeps no history in the home folder. What compiled libraries log goes to the terminal and
    not into the notebook; what Python writes to standard error still does.
    """
    spec = {
        "argv": [
            sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}",
            "--HistoryManager.enabled=False",
            "--IPKernelApp.capture_fd_output=False",
        ],
        "display_name": "Python 3",
        "language": "python",
    }  # fmt: skip
    kernel = folder / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _environment(job: Job, kernels: str) -> dict[str, str]:
    """Return the variables under which the lesson runs."""
    package = str(Path(__file__).resolve().parents[1])
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env["JUPYTER_PATH"] = os.pathsep.join(filter(None, [kernels, env.get("JUPYTER_PATH")]))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package, env.get("PYTHONPATH")]))
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    env[STATIC] = "1"
    if job.threads:
        env |= dict.fromkeys(THREADS, str(job.threads))
    return env | job.environment


def _work(job: Job, say: Callable[..., None]) -> Outcome:
    """Execute the notebook in this process and describe how it went (runs in the worker)."""
    outcome, began = Outcome(job.lesson), time.monotonic()
    with _Memory() as memory:
        _run_papermill(job, outcome, say)
    outcome.seconds = round(time.monotonic() - began, 1)
    outcome.peak_rss_mb = round(memory.peak_mb)
    advice = out_of_memory(outcome.error)
    outcome.error += f" ({advice})" if advice else ""
    if Path(job.target).is_file():
        cells = nbformat.read(job.target, as_version=4).cells
        outcome.cells = len(cells)
        outcome.slowest_cell_seconds = round(max(map(_duration, cells), default=0.0), 1)
    return outcome


def _run_papermill(job: Job, outcome: Outcome, say: Callable[..., None]) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError

    try:
        papermill.execute_notebook(
            job.source, job.target, job.parameters, kernel_name=KERNEL, language="python",
            progress_bar=False, on_cell_start=_starts(job, say),
        )  # fmt: skip
        outcome.status = "done"
    except papermill.PapermillExecutionError as error:
        outcome.failing_cell = error.source
        outcome.error = f"{error.ename}: {error.evalue}".strip()
    except DeadKernelError:
        outcome.error = "the kernel died: it was killed, most often because memory ran out"


def _duration(cell) -> float:
    return cell.metadata.get("papermill", {}).get("duration") or 0.0


def _starts(job: Job, say: Callable[..., None]) -> Callable:
    """Return the hook that says which cell starts; papermill adds one cell for parameters."""
    cells = len(nbformat.read(job.source, as_version=4).cells) + bool(job.parameters)
    return lambda cell, cell_index: say(cell=cell_index + 1, cells=cells)


class _Memory:
    """Watches, from a thread, the memory of everything that this process has started."""

    def __init__(self, every: float = 0.2):
        self.every, self.peak_mb = every, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self._over.wait(self.every):
            held = 0
            for child in me.children(recursive=True):
                try:
                    held += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mb = max(self.peak_mb, held / 2**20)


def _end_with(parent: int, every: float = 1.0) -> None:
    """End this process when the one that started it is gone; its kernel notices and ends too."""
    while os.getppid() == parent:
        time.sleep(every)
    os._exit(1)


def _main() -> None:
    """Run the job read from standard input; say how it goes on what was standard output."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the kernel inherits standard output and may print there: keep it apart

    def say(**message: Any) -> None:
        print(json.dumps(message), file=channel, flush=True)

    say(outcome=asdict(_work(Job(**json.load(sys.stdin)), say)))


if __name__ == "__main__":
    _main()
