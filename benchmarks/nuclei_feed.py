"""What the feed of lesson 5 costs: an epoch through it against one on the same arrays in memory.

    python benchmarks/nuclei_feed.py [--rounds 7] [--folder DATASET]

Both epochs train the lesson's own network, taken from the notebook, on the very same batches; they
are timed in turn, and the ratio of each pair is taken. The second pair is the cost of reading: the
release's mask files again each epoch, as the tutorials do, against the packed arrays. The result
goes to ``benchmarks/results/nuclei_feed.json`` with the machine and the versions.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from compare import begin_as_a_lesson, feed_against_memory, paired, write

from course_utils import datasets, generators, lessons, runtime, samples

STEPS, BATCH, CROP = 32, 8, 128


def an_epoch(names: dict, cases: dict, rounds: int) -> dict:
    maps = [names["targets"](labels[..., 0]) for labels in cases["labels"]]
    feed = generators.crops(
        cases["image"], maps, size=CROP, batch=BATCH, steps=STEPS, seed=0, zoom=1.4,
        augment=names["augment"],
    )  # fmt: skip
    begin_as_a_lesson()
    network = names["unet"]([16, 32, 64, 128, 256], outputs=3)
    network.compile("adamw", names["nuclei_loss"], steps_per_execution=runtime.steps_at_once(STEPS))
    return feed_against_memory(network, feed, BATCH, rounds)


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

    names = lessons.defined_by("05_unet_nuclei", ("imports", "prepare", "unet", "loss", "feed"))
    with tempfile.TemporaryDirectory() as cache:
        cases = generators.pack(rows, read, Path(cache) / "packed", progress=False)
        result = {
            "epoch: feed / same arrays in memory": an_epoch(names, cases, chosen.rounds),
            "read an epoch: mask files / packed arrays": reading_again(rows, cases, chosen.rounds),
            "cases": len(rows),
            "data": "given folder" if chosen.folder else "offline twin",
        }
    write("nuclei_feed", result)


if __name__ == "__main__":
    main()
