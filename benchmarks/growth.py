"""How preparation and whole runs grow with the number of cases: time linear, memory flat.

    python benchmarks/growth.py [--rounds 5]

Twins of once, four and sixteen times the cases are made first. Then, in turn, a fresh process
reads, prepares and packs each of them as the lesson does; its seconds of processor time and its
peak memory are noted. Beside them is the cost of a case, compared with that of the smallest twin.

Then two lessons run whole on such twins, once each, with an empty cache and one epoch of each
training: their seconds on the wall, the peak memory of the kernel, the same without mapped files,
and what each further case cost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from compare import write

from course_utils import datasets, downloads, manifests, samples

TIMES = (1, 4, 16)
SMALLEST = {"bbbc038": 12, "isic2017": 16, "mosmed": 10, "lgg_mri": 65}
RUNS = {  # lesson: the data it reads, its parameters, cases of the smallest
    "05_unet_nuclei": ("bbbc038", {"EPOCHS": 1, "TUTORIAL_EPOCHS": 1}, 24),
    "06_ct_classification_3d": ("mosmed", {"EPOCHS": 1}, 20),
}

PREPARE = """
import json, resource, sys, tempfile
from course_utils import datasets, generators, runtime

name, folder = sys.argv[1:]
table = datasets.index(name, folder)
read = {
    "bbbc038": lambda row: datasets.read_nuclei(row),
    "isic2017": lambda row: datasets.read_lesion(row, 128),
    "lgg_mri": lambda row: datasets.read_slice(row),
    "mosmed": lambda row: {
        "volume": generators.prepare(*datasets.read_ct(row["file"]), (48, 56, 32), (7, 7, 9))
    },
}[name]
rows = [row for _, row in table.iterrows()]
first = [time for time in resource.getrusage(resource.RUSAGE_SELF)[:2]]
with tempfile.TemporaryDirectory() as cache:
    generators.pack(rows, read, cache + "/packed", progress=False)
last = resource.getrusage(resource.RUSAGE_SELF)[:2]
seconds = sum(last) - sum(first)
print(json.dumps({"cases": len(rows), "cpu_s": seconds, "peak_mb": runtime.peak_rss_mb()}))
"""


def prepared(name: str, folder: Path) -> dict:
    """Prepare a twin in a process of its own; return its cases, seconds and peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, name, str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def growth(name: str, smallest: int, rounds: int) -> dict:
    """Return, for each size, the medians over the rounds and the cost of a case."""
    with tempfile.TemporaryDirectory() as base:
        folders = [
            samples.make(name, Path(base) / f"{times}x", seed=0, cases=times * smallest)
            for times in TIMES
        ]
        found = [[prepared(name, folder) for folder in folders] for _ in range(rounds)]
    rows = {}
    for number, times in enumerate(TIMES):
        column = [row[number] for row in found]
        cost = [
            (one["cpu_s"] / one["cases"]) / (row[0]["cpu_s"] / row[0]["cases"])
            for one, row in zip(column, found)
        ]
        rows[f"{times}x"] = {
            "cases": column[0]["cases"],
            "cpu_s": round(statistics.median(one["cpu_s"] for one in column), 2),
            "peak_mb": round(statistics.median(one["peak_mb"] for one in column)),
            "cost of a case": round(statistics.median(cost), 2),
        }
    return rows


def ran(lesson: str, parameters: dict, data: Path) -> dict:
    """Run a lesson whole on the data in a folder; return its seconds and peak memory."""
    given = [text for pair in parameters.items() for text in ("-p", *map(str, pair))]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "course_utils", "run", lesson, "--profile", "cpu", *given,
             "-p", "DATA_DIR", str(data), "--out", f"{folder}/run"],
            stdout=subprocess.DEVNULL, env=os.environ | {"COURSE_CACHE": folder},
        )  # fmt: skip
        own = 0.0
        while process.poll() is None:
            own = max([own, *map(own_mb, psutil.Process(process.pid).children(recursive=True))])
            time.sleep(0.2)
        if process.returncode:
            raise RuntimeError(f"{lesson} ended with {process.returncode}")
        (row,) = json.loads(Path(folder, "run", "summary.json").read_text())["lessons"]
    return {"seconds": row["seconds"], "peak_mb": row["peak_rss_mb"], "own_mb": round(own)}


def own_mb(process: psutil.Process) -> float:
    """Return the memory of a process that no file stands behind, MiB: mapped arrays are left out.

    The system takes back the pages of mapped files when others need them. 0 where the process has
    ended; where the system does not tell them apart, all of its memory.
    """
    try:
        held = process.memory_info()
    except psutil.NoSuchProcess:
        return 0.0
    return (held.rss - getattr(held, "shared", 0)) / 2**20


def growth_of_run(lesson: str, name: str, parameters: dict, smallest: int) -> dict:
    """Return seconds, peak memory and the seconds of each further case for each size."""
    rows: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as base:
        for times in TIMES:
            cases = times * smallest
            folder = samples.make(name, Path(base) / f"{times}x", seed=0, cases=cases)
            cases -= without_large(name, folder)
            case = next(folder.rglob(manifests.load(name).cases.glob))
            data = next(up for up in case.parents if downloads.find(name, up))
            rows[f"{times}x"] = {"cases": cases} | ran(lesson, parameters, data)
    return with_slopes(rows)


def without_large(name: str, folder: Path) -> int:
    """Delete the nuclei images beyond 400,000 pixels; return how many there were.

    Only large twins have some of them, and memory goes with the largest image.
    """
    if name != "bbbc038":
        return 0
    table = datasets.index(name, folder)
    large = table.image[table.height * table.width > 400_000]
    for image in large:
        shutil.rmtree(Path(image).parents[1])
    return len(large)


def with_slopes(rows: dict[str, dict]) -> dict[str, dict]:
    """Add to each row what a case beyond those of the row before it cost.

    Examples
    --------
    >>> rows = {"1x": {"cases": 10, "seconds": 30.0}, "4x": {"cases": 40, "seconds": 45.0}}
    >>> with_slopes(rows)["4x"]["seconds a further case"]
    0.5
    """
    ordered = list(rows.values())
    for before, row in itertools.pairwise(ordered):
        more = row["seconds"] - before["seconds"]
        row["seconds a further case"] = round(more / (row["cases"] - before["cases"]), 3)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    result = {name: growth(name, size, rounds) for name, size in SMALLEST.items()}
    result |= {
        f"{lesson}, whole run": growth_of_run(lesson, *given) for lesson, given in RUNS.items()
    }
    write("growth", result)


if __name__ == "__main__":
    main()
