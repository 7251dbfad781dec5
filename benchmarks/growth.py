"""How preparation grows with the number of cases: time should be linear, memory flat.

    python benchmarks/growth.py [--rounds 5]

Twins of once, four and sixteen times the cases are made first. Then, in turn, a fresh process
reads, prepares and packs each of them as the lesson does; its seconds of processor time and its
peak memory are noted. Beside them is the cost of a case, compared with that of the smallest twin.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import write

from course_utils import samples

TIMES = (1, 4, 16)
SMALLEST = {"bbbc038": 12, "isic2017": 16, "mosmed": 10, "lgg_mri": 65}

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    write("growth", {name: growth(name, size, rounds) for name, size in SMALLEST.items()})


if __name__ == "__main__":
    main()
