"""What preparing a CT scan costs, and feeding prepared ones: lesson 6 against the tutorial's way.

    python benchmarks/ct_prepare.py [--rounds 5] [--file SCAN.nii.gz]

The first pair prepares one volume of 512 x 512 x 40 in the published recipe's geometry: its own
steps (clip, spline turn by 90 degrees, zoom) against `generators.prepare_corners`; the largest
difference of the results stands beside the ratio. The second is the course's own preparation, by
the affine and in millimetres. The third pair trains the lesson's network for an epoch through its
feed, augmentation included, and on the very same batches as arrays in memory. Both of a pair are
timed in turn, and the ratio of each round is taken.
"""

from __future__ import annotations

import argparse

import numpy as np
from compare import begin_as_a_lesson, feed_against_memory, paired, write
from scipy import ndimage

from course_utils import datasets, generators, lessons, runtime, samples

SHAPE = (512, 512, 40)


def published(volume: np.ndarray) -> np.ndarray:
    """Prepare a scan by the tutorial's steps."""
    unit = ((np.clip(volume.astype(float), -1000, 400) + 1000) / 1400).astype("float32")
    turned = ndimage.rotate(unit, 90, reshape=False)
    return ndimage.zoom(turned, [128 / 512, 128 / 512, 64 / 40], order=1)


def full_size(file: str | None) -> np.ndarray:
    """Return a volume of 512 x 512 x 40 in HU: of a file, else the twin's, repeated."""
    if file is None:
        volume, _ = samples.chest.draw(0, 1, 0)
    else:
        volume, _ = datasets.read_ct(file)
    times = [-(-to // n) for to, n in zip(SHAPE, volume.shape)]
    return np.ascontiguousarray(np.tile(volume, times)[: SHAPE[0], : SHAPE[1], : SHAPE[2]])


def preparation(file: str | None, rounds: int) -> dict:
    volume = full_size(file)
    affine = np.diag([-0.7, -0.7, 8.0, 1.0])
    difference = np.abs(published(volume) - generators.prepare_corners(volume)).max()
    return {
        "prepare: tutorial / same geometry": paired(
            lambda: published(volume), lambda: generators.prepare_corners(volume), rounds
        ),
        "largest difference": float(difference),
        "prepare: tutorial / by the affine, in mm": paired(
            lambda: published(volume),
            lambda: generators.prepare(volume, affine, (128, 128, 64), (2.8, 2.8, 5)),
            rounds,
        ),
    }


def an_epoch(rounds: int, cases: int = 64) -> dict:
    import keras

    names = lessons.defined_by("06_ct_classification_3d", ("imports", "network", "feed"))
    shape = (32, 36, 20)
    rng = np.random.default_rng(0)
    volumes = [rng.integers(0, 256, shape, np.uint8) for _ in range(cases)]
    feed = generators.volumes(volumes, np.arange(cases) % 2, batch=4, seed=0, vary=names["vary"])
    begin_as_a_lesson(dimensions=3)
    model = names["network"](shape)
    model.compile(
        "adamw", keras.losses.BinaryCrossentropy(from_logits=True),
        steps_per_execution=runtime.steps_at_once(len(feed)),
    )  # fmt: skip
    return feed_against_memory(model, feed, 4, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", help="a CT scan; left out: one of the offline twin")
    chosen = parser.parse_args()
    result = preparation(chosen.file, chosen.rounds)
    result["epoch: feed / same arrays in memory"] = an_epoch(chosen.rounds)
    result["data"] = "given file" if chosen.file else "offline twin"
    write("ct_prepare", result)


if __name__ == "__main__":
    main()
