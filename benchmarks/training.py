"""What training costs in the five Keras lessons: the feed, and a step.

    python benchmarks/training.py [--rounds 5] [--steps 32] [--processes 3] [LESSON ...]

Each lesson is carried to its training on its own sample; then, timed in turn:

- an epoch of some steps through the lesson's feed against the same batches as arrays in memory;
- drawing those batches against the tutorial's way: every image and mask read and resized again;
- an epoch through the feed, begun anew, against one that goes on from the epoch before, as in the
  lesson; and with a call of Keras for each step against the lesson's several steps a call;
- a step of the lesson's network in the lesson's precision against the same network in float32, with
  the time that its multiplications alone would take (`arithmetic`) beside it; and, where it
  normalises batches, against Keras' own layer (`normalization`).

One process gives much the same ratio every time, and another process another one: each lesson is
measured in several, and the median of their medians counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from arithmetic import matrix_rate, operations
from compare import epochs_in_turn, feed_against_memory, paired, through, write_each
from scipy import ndimage
from staged import picture, stage

from course_utils import runtime

Names = dict[str, Any]


def grey_slice(names: Names, k: int) -> None:
    """Read a slice and its mask as the tutorials of lessons 1 and 2 do, and standardise it."""
    scan, mask = (picture(names["table"][kind][k], 256) for kind in ("image", "mask"))
    scan -= scan.mean()
    scan /= scan.std() + 1e-6
    mask /= 255


def photograph(names: Names, k: int) -> None:
    """Read a photograph and its mask as the tutorial of lesson 4 does."""
    for kind in ("image", "mask"):
        picture(names["table"][kind][k], names["side"])


def nuclei(names: Names, k: int) -> None:
    """Read an image and each of its nuclei as the tutorials of lesson 5 do."""
    picture(names["table"]["image"][k], 128)
    for mask in names["table"]["masks"][k]:
        picture(mask, 128)


def turned_scan(names: Names, k: int) -> None:
    """Turn a scan in memory by the spline of the tutorial of lesson 6."""
    volume = names["volumes"][k] / np.float32(255)
    np.clip(ndimage.rotate(volume, 10, reshape=False), 0, 1)


@dataclass(frozen=True)
class Recipe:
    """How a lesson is carried to its training, and what is timed then."""

    last: str  # cell
    without: tuple[str, ...]  # cells
    network: Callable[[Names], Any]  # what learns, not compiled
    loss: Callable[[Names], Any]
    feed: Callable[[Names], Any]
    plain: Callable[[Names, int], None]  # the tutorial's way to one case


RECIPES = {
    "01_brain_tumor_classification": Recipe(
        "augment", ("tutorial", "tutorial-count", "frozen-proof"), lambda names: names["network"],
        lambda names: names["loss"], lambda names: names["Slices"](names["train"], names["vary"]),
        grey_slice,
    ),
    "02_brain_tumor_segmentation": Recipe(
        "feed", ("slope", "edges", "adam"),
        lambda names: names["networks"]["this lesson's"],
        lambda names: names["losses"].focal_tversky, lambda names: names["feed"], grey_slice,
    ),
    "04_unet_skin_lesions": Recipe(
        "feed",
        ("dead-figure", "ceiling", "bilinear"),
        lambda names: names["network"], lambda names: names["border_loss"],
        lambda names: names["feed"], photograph,
    ),
    "05_unet_nuclei": Recipe(
        "feed", ("ceiling-scores", "tutorial-train", "tutorial-score", "tutorial-figure"),
        lambda names: names["network"], lambda names: names["nuclei_loss"],
        lambda names: names["feed"], nuclei,
    ),
    "06_ct_classification_3d": Recipe(
        "split", ("prepare-race", "histogram", "histogram-figure", "leak-test"),
        lambda names: names["untrained"], lambda names: names["loss"],
        lambda names: names["feed_of"](names["train"], batch=4, seed=names["SEED"]), turned_scan,
    ),
}  # fmt: skip


@contextmanager
def keras_own_normalization() -> Iterator[None]:
    """Let networks that are traced in a ``with`` block normalise batches as Keras does."""
    import keras

    layer = keras.layers.BatchNormalization
    fused = layer.call
    layer.call = getattr(fused, "__wrapped__", fused)
    try:
        yield
    finally:
        layer.call = fused


def normalizes(network: Any) -> bool:
    """Tell whether a network normalises batches."""
    import keras

    return any(isinstance(part, keras.layers.BatchNormalization) for part in network.layers)


def measured(lesson: str, rounds: int, steps: int) -> dict:
    """Return the comparisons of one lesson."""
    import keras

    recipe = RECIPES[lesson]
    with tempfile.TemporaryDirectory() as folder:
        how = dict(without=recipe.without, folder=folder)
        plain = stage(lesson, recipe.last, precision="float32", **how)
        names = stage(lesson, recipe.last, **how)
        feed = recipe.feed(names)
        steps = min(steps, len(feed))
        x, y = (np.concatenate(part) for part in zip(*(feed[k] for k in range(steps))))
        batch = len(feed[0][0])
        networks = [recipe.network(of) for of in (names, plain)]
        rate = matrix_rate(keras.config.dtype_policy().compute_dtype)
        floor = operations(networks[0], batch, x.shape[1:]) / rate  # before it is compiled
        single, own = (keras.models.clone_model(networks[0]) for _ in range(2))
        several = runtime.steps_at_once(steps)
        for network, of, calls in (
            (networks[0], names, several), (networks[1], plain, several), (single, names, 1),
            (own, names, several),
        ):  # fmt: skip
            network.compile(
                keras.optimizers.AdamW(1e-3), recipe.loss(of), jit_compile=False,
                steps_per_execution=calls,
            )  # fmt: skip
        ours, float32, unfused = (
            lambda network=network: network.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
            for network in (*networks, own)
        )
        cases = np.arange(len(x)) % len(names["table"])
        step = paired(float32, ours, rounds)
        normalization = {}
        if normalizes(own):
            with keras_own_normalization():
                unfused()  # traced here
            normalization["step: Keras' own normalisation / one operation"] = paired(
                unfused, ours, rounds
            )
        return {
            "epoch: feed / same arrays in memory": feed_against_memory(
                networks[0], feed, batch, rounds, steps
            ),
            "epoch: feed begun anew / going on": epochs_in_turn(
                *(through(networks[0], feed, steps, anew) for anew in (True, False)), rounds
            ),
            "epoch: one step a call / several": epochs_in_turn(
                *(through(network, feed, steps) for network in (single, networks[0])), rounds
            ),
            "batches: read and resized each time / this feed": paired(
                lambda: [recipe.plain(names, k) for k in cases],
                lambda: [feed[k] for k in range(steps)],
                rounds,
            ),
            "step: float32 / this lesson": step,
            **normalization,
            "step_ms": round(1000 * step["second_s"] / steps, 1),
            "arithmetic_ms": round(1000 * floor, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", default=list(RECIPES), metavar="LESSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--processes", type=int, default=3)
    chosen = parser.parse_args()
    write_each(
        "training", chosen.lessons,
        lambda lesson: measured(lesson, chosen.rounds, chosen.steps), chosen.processes,
    )  # fmt: skip


if __name__ == "__main__":
    main()
