"""The lessons on a Dask cluster: two workers, one of which dies, GPUs, and what is stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tiny_lessons import BODY, NAMES, PATIENCE, wait_for, write_lesson

from course_utils import cluster, execution, runs
from course_utils.errors import CourseError
from course_utils.execution import Outcome

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[1]
WAITS = """\
import os, pathlib, time
folder = pathlib.Path(OUTPUT_DIR)
with open(folder / "starts.txt", "a") as file:
    file.write("start\\n")
while pathlib.Path(WAIT).exists():
    time.sleep(0.1)"""
ENDS = """\
with open(folder / "ends.txt", "a") as file:
    file.write("end\\n")"""


@pytest.fixture
def scheduler():
    """Return the address of a scheduler without workers."""
    options = {"n_workers": 0, "processes": False, "dashboard_address": None, "protocol": "tcp"}
    with distributed.LocalCluster(**options) as local:
        yield local.scheduler_address


@pytest.fixture
def workers(scheduler, tmp_path):
    """Start two worker processes of one thread each, as on two machines."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny"]
    options = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen([*command, *options], env=environment) for _ in range(2)]
    yield started
    for worker in started:
        execution.end_children(worker.pid)
        worker.kill()
        worker.wait()


@pytest.fixture
def tasks(tmp_path):
    """Three lessons that wait while there is a file ``wait``; the second needs the first."""
    (tmp_path / "wait").touch()
    wait = WAITS.replace("WAIT", repr(str(tmp_path / "wait")))
    for name in NAMES:
        write_lesson(tmp_path / "notebooks", name, wait, ENDS)
    return runs.plan(runs.find(tmp_path / "notebooks"), tmp_path / "out", {})


def kernels(worker: subprocess.Popen) -> list[psutil.Process]:
    children = psutil.Process(worker.pid).children(recursive=True)
    return [child for child in children if "ipykernel_launcher" in " ".join(child.cmdline())]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def in_background(function: Callable[[], list[Outcome]]) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.extend(function()))
    thread.start()
    return thread, outcomes


def test_when_a_worker_dies_every_lesson_still_ends_once(scheduler, workers, tasks, tmp_path):
    seen: set[tuple[str, int, int]] = set()
    with cluster.Cluster(scheduler) as place:
        thread, outcomes = in_background(
            lambda: runs.run(tasks, jobs=3, place=place, progress=lambda *cell: seen.add(cell))
        )
        first, last = (tmp_path / "out" / name / "starts.txt" for name in (NAMES[0], NAMES[2]))
        wait_for(lambda: first.exists() and last.exists(), "the workers never began")
        (orphan,) = kernels(workers[0])
        workers[0].kill()
        wait_for(lambda: not orphan.is_running(), "the dead worker's kernel went on")
        (tmp_path / "wait").unlink()
        thread.join(PATIENCE)
    assert [(outcome.lesson, outcome.status) for outcome in outcomes] == [
        (name, "done") for name in NAMES
    ]
    assert lines(first) + lines(last) == 3, "the lesson of the dead worker was not begun again"
    assert [lines(tmp_path / "out" / name / "ends.txt") for name in NAMES] == [1, 1, 1]
    assert {name for name, _, _ in seen} == set(NAMES) and (NAMES[0], 3, 4) in seen


def test_what_runs_on_a_cluster_can_be_stopped(scheduler, workers, tasks, tmp_path):
    with cluster.Cluster(scheduler) as place:
        thread, outcomes = in_background(lambda: runs.run(tasks[:1], place=place))
        wait_for((tmp_path / "out" / NAMES[0] / "starts.txt").exists, "no worker began")
        place.stop()
        thread.join(PATIENCE)
        assert [outcome.status for outcome in outcomes] == ["stopped"]
        wait_for(lambda: not any(map(kernels, workers)), "a kernel was left")


def test_a_missing_scheduler_is_one_clear_line():
    with pytest.raises(CourseError, match="found none at nonsense://nowhere"):
        cluster.Cluster("nonsense://nowhere")


@pytest.fixture
def one_worker():
    """Return a function that starts a worker in this process and gives the cluster's address."""
    started = []

    def start(**options) -> str:
        local = distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, **options
        )
        started.append(local)
        return local.scheduler_address

    yield start
    for local in started:
        local.close()


def test_a_cluster_runs_the_same_jobs_and_shares_the_cores(one_worker, tmp_path, monkeypatch):
    jobs = []

    def execute(job, report=None):
        jobs.append(job)
        report(1, 2)
        if job.lesson == NAMES[2]:
            raise OSError("the disk\nis full")
        return Outcome(job.lesson, "done")

    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr("dask.system.CPU_COUNT", 8)
    for name in NAMES:
        write_lesson(tmp_path / "notebooks", name, BODY)
    tasks = runs.plan(runs.find(tmp_path / "notebooks"), tmp_path / "out", {"SEED": "3"})
    with cluster.Cluster(one_worker()) as place:
        outcomes = runs.run(tasks, jobs=3, place=place)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    assert outcomes[2].error == "OSError: the disk"
    assert {job.threads for job in jobs} == {4} and {job.parameters["SEED"] for job in jobs} == {3}


@pytest.mark.parametrize(("resources", "offered"), [({"GPU": 1}, True), ({}, False)])
def test_the_gpu_profile_goes_to_workers_that_offer_a_gpu(
    one_worker, tmp_path, monkeypatch, resources, offered
):
    monkeypatch.setattr(execution, "execute", lambda job, report=None: Outcome(job.lesson, "done"))
    write_lesson(tmp_path / "notebooks", NAMES[0], BODY)
    (task,) = runs.plan(runs.find(tmp_path / "notebooks"), tmp_path / "out", {"PROFILE": "gpu"})
    with cluster.Cluster(one_worker(resources=resources)) as place:
        assert place.offers_gpu() is offered
        future = place.submit(task.job)
        if offered:
            assert future.result(PATIENCE).status == "done"
        else:
            with pytest.raises(TimeoutError):
                future.result(1)
