"""One lesson, run once: in a process of its own (`worker`), watched from here.

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
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .training import STATIC

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
    max_seconds: float = 0.0  # 0: as long as it takes
    max_rss_mb: float = 0.0  # 0: as much memory as there is


@dataclass
class Outcome:
    """How a run ended; times in seconds, memory in MiB over the kernel and all it started."""

    lesson: str
    status: str = "failed"  # "done", "failed", "stopped", "out of time" or "out of memory"
    seconds: float = 0.0
    peak_rss_mb: float = 0.0
    cells: int = 0
    slowest_cell_seconds: float = 0.0
    failing_cell: str = ""
    error: str = ""


Report = Callable[[int, int], None]  # which cell runs, of how many
_running: dict[subprocess.Popen, str] = {}  # each with the target of its job


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
    command = [sys.executable, "-m", "course_utils.worker"]
    with tempfile.TemporaryDirectory() as kernels:
        _write_kernel(Path(kernels))
        process = subprocess.Popen(
            command, env=_environment(job, kernels), text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends that one
        )  # fmt: skip
        _running[process] = job.target
        try:
            return _follow(process, job, report)
        finally:
            _stop(process)
            del _running[process]


def stop(targets: Iterable[str] | None = None) -> None:
    """End lessons that this process has started, and their kernels.

    Parameters
    ----------
    targets
        The targets of their jobs; None means all.
    """
    for process, target in tuple(_running.items()):
        if targets is None or target in targets:
            _stop(process)


def _follow(process: subprocess.Popen, job: Job, report: Report | None) -> Outcome:
    outcome = Outcome(job.lesson, error="the run ended without a word")
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr), daemon=True)
    reader.start()
    with suppress(BrokenPipeError):  # it was stopped before it had begun
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
    end_children(process.pid)
    process.kill()
    process.wait()


def end_children(pid: int) -> None:
    """End every process that another one has started, and what those started in turn."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()


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
