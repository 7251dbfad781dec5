"""Slices of lessons 1 to 3: what preparing and reading them costs, against the tutorials' ways.

    python benchmarks/brain_prepare.py [--rounds 5] [LESSON ...]

- Lessons 1 and 2 read their TIFF slices once and pack them; the tutorial reads and resizes every
  slice and mask again in every epoch.
- Lesson 3 reads its volumes once and packs them; the tutorial saves every slice of a view and its
  labels as a PNG file through a colour map, and reads these files again in every epoch.
- An epoch of lesson 3's network through its feed, against the very same batches in memory.

All on the offline twins, timed in turn. The result: ``benchmarks/results/brain_prepare.json``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from compare import paired, write_each
from matplotlib import pyplot as plt
from PIL import Image
from staged import stage
from training import grey_slice

from course_utils import datasets, generators, samples
from course_utils.datasets import oasis

Names = dict[str, Any]
AXIS = 1  # coronal


def packed(cases: list, read: Callable, folder: str) -> dict[str, list[np.ndarray]]:
    """Read every case and pack it, as a lesson does at its first start; return the arrays."""
    return generators.pack(cases, read, Path(folder) / "packed", progress=False)


def packed_anew(cases: list, read: Callable) -> None:
    """Pack the cases in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        packed(cases, read, folder)


def slices(rounds: int) -> dict:
    """Return what lessons 1 and 2 save."""
    table = datasets.index("lgg_mri", samples.make("lgg_mri", seed=0))
    rows = [row for _, row in table.iterrows()]

    def read_again() -> None:
        for k in range(len(table)):
            grey_slice({"table": table}, k)

    with tempfile.TemporaryDirectory() as folder:
        cache = packed(rows, datasets.read_slice, folder)
        return {
            "LGG: slices read and resized one after another / read once and packed": paired(
                read_again,
                lambda: packed_anew(rows, datasets.read_slice),
                rounds,
            ),
            "LGG, every further epoch: slices read and resized / packed arrays": paired(
                read_again,
                lambda: [np.array(one) for arrays in cache.values() for one in arrays],
                rounds,
            ),
            "LGG slices": len(rows),
        }


def save_slices(rows: list, folder: Path) -> list[tuple[Path, Path]]:
    """Save each slice and its labels as the tutorial of lesson 3 does; return the files."""
    files = []
    for row in rows:
        volumes = [
            np.asarray(nibabel.load(row[kind]).dataobj).squeeze() for kind in ("image", "automatic")
        ]
        for k in range(volumes[0].shape[AXIS]):
            pair = tuple(folder / f"{row['case']}_{kind}{k}.png" for kind in ("image", "label"))
            for file, volume, colours in zip(pair, volumes, ("gray", "viridis")):
                plt.imsave(file, volume.take(k, AXIS), cmap=colours)
            files.append(pair)
    return files


def read_slice(pair: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read a saved slice as the tutorial does in every epoch."""
    image, label = (np.asarray(Image.open(file).convert("L"), np.float32) for file in pair)
    return (image - image.mean()) / (image.std() + 1e-6), label


def volumes(names: Names, rounds: int) -> dict:
    """Return what lesson 3 saves; ``names`` are its own, just before its first training."""
    rows = [row for _, row in names["table"].iterrows()]

    def lesson() -> None:
        packed_anew(rows, oasis.read_brain)
        for k in range(len(rows)):
            names["framed"](k)

    def tutorial() -> None:
        with tempfile.TemporaryDirectory() as folder:
            save_slices(rows, Path(folder))

    def slices_of_all() -> None:
        for k in range(len(rows)):
            for name in ("image", "automatic"):
                np.array(names["slices_of"](k, "coronal", name))

    with tempfile.TemporaryDirectory() as folder:
        files = save_slices(rows, Path(folder))
        return {
            "OASIS: slices saved through a colour map / volumes packed and framed": paired(
                tutorial, lesson, rounds
            ),
            "OASIS, every epoch: saved slices read / slices of the volumes": paired(
                lambda: [read_slice(pair) for pair in files], slices_of_all, rounds
            ),
            "OASIS slices": len(files),
        }


def feed(names: Names, rounds: int, steps: int) -> dict:
    """Return an epoch of lesson 3's network through its feed against the same batches in memory."""
    network = names["fresh"]()
    optimizer = names["sgd"](network, 0.01)
    _, weights = names["classes_of"](network, names["train"], "automatic")
    drawn, chosen = names["batches"], (names["train"], "automatic")
    held = list(drawn(chosen[0], "coronal", chosen[1], 0, steps))
    names["settings"]["steps"] = steps

    def epoch(source: Callable) -> None:
        names["batches"] = source
        names["one_epoch"](network, optimizer, weights, "coronal", *chosen, 0)

    return {
        "epoch: feed / same arrays in memory": paired(
            lambda: epoch(drawn), lambda: epoch(lambda *_: held), rounds
        )
    }


def brains(rounds: int, steps: int) -> dict:
    """Return the comparisons of lesson 3."""
    with tempfile.TemporaryDirectory() as folder:
        names = stage("03_quicknat_brain_structures", "pretrain-expected", folder=folder)
        return volumes(names, rounds) | feed(names, rounds, steps)


MEASURES = {
    "01_brain_tumor_classification": lambda rounds, steps: slices(rounds),
    "03_quicknat_brain_structures": brains,
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", default=list(MEASURES), metavar="LESSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    chosen = parser.parse_args()
    write_each(
        "brain_prepare", chosen.lessons,
        lambda lesson: MEASURES[lesson](chosen.rounds, chosen.steps),
    )  # fmt: skip


if __name__ == "__main__":
    main()
