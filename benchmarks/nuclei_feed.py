"""What the feed of lesson 5 costs: an epoch through it against one on the same arrays in memory.

    python benchmarks/nuclei_feed.py [--rounds 7] [--folder DATASET]

Both epochs train the lesson's own network, taken from the notebook, on the very same batches; they
are timed in turn, and the ratio of each pair is taken. The second pair is the cost of reading: the
release's mask files again each epoch, as the tutorials do, against the packed arrays. The result
goes to ``benchmarks/results/nuclei_feed.json`` with the machine and the versions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np

from course_utils import datasets, generators, runtime, samples

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "05_unet_nuclei.ipynb"
STEPS, BATCH, CROP = 32, 8, 128


def taught() -> dict:
    """Return the names that the lesson's building cells define."""
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, 4).cells}
    names: dict = {}
    for cell in ("imports", "prepare", "unet", "loss"):
        exec(compile(cells[cell], cell, "exec"), names)
    feed_cell = cells["feed"].split("\n\n\n")[0]
    exec(compile(feed_cell, "feed", "exec"), names)
    return names


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def paired(first, second, rounds: int) -> dict:
    """Time two pieces of work in turn; return medians and the median of the ratios."""
    first(), second()
    pairs = [(seconds(first), seconds(second)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    return {
        "first_s": round(statistics.median(a for a, _ in pairs), 4),
        "second_s": round(statistics.median(b for _, b in pairs), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min_max": [round(ratios[0], 3), round(ratios[-1], 3)],
        "rounds": rounds,
    }


def feed_against_memory(names: dict, cases: dict, rounds: int) -> dict:
    import keras

    images = cases["image"]
    maps = [names["targets"](labels[..., 0]) for labels in cases["labels"]]
    feed = generators.crops(
        images,
        maps,
        size=CROP,
        batch=BATCH,
        steps=STEPS,
        seed=0,
        zoom=1.4,
        augment=names["augment"],
    )
    x, y = (np.concatenate(part) for part in zip(*(feed[step] for step in range(STEPS))))
    keras.config.set_dtype_policy(runtime.precision())
    network = names["unet"]([16, 32, 64, 128, 256], outputs=3)
    network.compile("adamw", names["nuclei_loss"])
    return paired(
        lambda: network.fit(feed, verbose=0),
        lambda: network.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0),
        rounds,
    )


def reading_again(rows: list, cases: dict, rounds: int) -> dict:
    return paired(
        lambda: [datasets.read_nuclei(row) for row in rows],
        lambda: [np.array(array) for arrays in cases.values() for array in arrays],
        rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", help="a folder with stage1_train; left out: the offline twin")
    chosen = parser.parse_args()
    folder = chosen.folder or samples.make("bbbc038", seed=0)
    table = datasets.index("bbbc038", folder)
    rows = [row for _, row in table.iterrows()]

    def read(row):
        case = datasets.read_nuclei(row)
        return case | {"image": generators.normalise(case["image"])}

    with tempfile.TemporaryDirectory() as cache:
        cases = generators.pack(rows, read, Path(cache) / "packed", progress=False)
        result = {
            "epoch: feed / same arrays in memory": feed_against_memory(
                taught(), cases, chosen.rounds
            ),
            "read an epoch: mask files / packed arrays": reading_again(rows, cases, chosen.rounds),
            "cases": len(rows),
            "data": "given folder" if chosen.folder else "offline twin",
            "machine": f"{platform.machine()}, {runtime.device()}, {runtime.precision()}",
            "versions": runtime.versions(),
        }
    text = json.dumps(result, indent=1)
    (ROOT / "benchmarks" / "results" / "nuclei_feed.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
