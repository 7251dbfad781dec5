"""The lessons of a batch on a Dask cluster, whose workers see the same folders as this machine.

A worker that dies takes its kernel with it, and the scheduler gives the lesson to another one,
where it goes on from its checkpoint.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import CancelledError, Future
from typing import Any, Self

from . import execution
from .errors import CourseError
from .execution import Job, Outcome, Report

TOPIC = "course-progress"
GPU = {"GPU": 1}  # how dask-jobqueue and `dask worker --resources GPU=1` call it


class Cluster:
    """A cluster in a ``with`` block: what `runs.run` hands its lessons to.

    Parameters
    ----------
    address
        Of the scheduler, for example ``tcp://10.0.0.1:8786``.

    Raises
    ------
    CourseError
        If dask.distributed is not installed, or no scheduler answers there.
    """

    def __init__(self, address: str):
        try:
            from distributed import Client
        except ImportError as error:
            raise CourseError(
                "--scheduler needs dask.distributed, found none: "
                "pip install 'medical-imaging-course[cluster]'"
            ) from error
        try:
            self.client = Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise CourseError(
                f"--scheduler must be the address of a Dask scheduler, found none at {address}: "
                "start one"
            ) from error
        self._reports: dict[str, Report | None] = {}  # by the target of the job
        self._remote: list[Any] = []

    def __enter__(self) -> Self:
        self.client.subscribe_topic(TOPIC, self._hear)
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def submit(self, job: Job, report: Report | None = None) -> Future:
        """Hand a job over, once, and return a standard future of its outcome.

        With the profile ``gpu`` it goes to workers that offer the resource ``GPU`` only.
        """
        self._reports[job.target] = report
        outcome: Future = Future()
        resources = GPU if job.parameters.get("PROFILE") == "gpu" else None
        remote = self.client.submit(run_here, job, pure=False, resources=resources)
        remote.add_done_callback(lambda done: outcome.set_result(_outcome(job, done)))
        self._remote.append(remote)
        return outcome

    def offers_gpu(self) -> bool:
        """Say whether any worker that is there now offers a GPU."""
        workers = self.client.scheduler_info()["workers"].values()
        return any(worker["resources"].get("GPU") for worker in workers)

    def stop(self) -> None:
        """Take back what waits, and end what runs."""
        self.client.cancel(self._remote)
        self.client.run(execution.stop, list(self._reports))

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, said = event
        report = self._reports.get(said["target"])
        if report:
            report(said["cell"], said["cells"])


def run_here(job: Job) -> Outcome:
    """Run a job on the worker that calls this (Dask's nanny allows its process one thread)."""
    from dask.system import CPU_COUNT
    from distributed import get_worker

    worker = get_worker()

    def report(cell: int, cells: int) -> None:
        worker.log_event(TOPIC, {"target": job.target, "cell": cell, "cells": cells})

    threads = job.threads or max(1, CPU_COUNT // worker.state.nthreads)
    return execution.execute(dataclasses.replace(job, threads=threads), report)


def _outcome(job: Job, done: Any) -> Outcome:
    try:
        return done.result()
    except CancelledError:
        return Outcome(job.lesson, "stopped", error="taken back from the cluster")
    except Exception as error:  # whatever befell the workers is the outcome of this lesson alone
        return Outcome(job.lesson, error=f"{type(error).__name__}: {error}".splitlines()[0])
