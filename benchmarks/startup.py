"""What Keras on TensorFlow spends around the steps, with and without what the course does about it.

    python benchmarks/startup.py [--rounds 5] [--epochs 3]

With the network and the feed of lesson 2, timed in turn:

- the first step with Keras' own schedule and an optimizer that makes its variables while it is
  traced, against the looked-up schedule and variables made before;
- some epochs while pipelines tune themselves, against pipelines that do not (`runtime.start`).
"""

from __future__ import annotations

import argparse
import tempfile

from compare import paired, write
from staged import stage

LESSON = "02_brain_tumor_segmentation"


def first_steps(names: dict, rounds: int) -> dict:
    """Compare the first step of a network, compiled anew each time."""
    import keras

    batch = names["feed"][0]
    plain = keras.optimizers.schedules.CosineDecay(
        0.003 / 20, 900, alpha=0.01, warmup_target=0.003, warmup_steps=100
    )

    def first(schedule, build: bool) -> None:
        network = names["resunet"](names["ours"], names["settings"]["stem"], dropout=0.2)
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=1.0)
        network.compile(optimizer, names["batch_loss"])
        if build:
            optimizer.build(network.trainable_variables)
        network.train_on_batch(*batch)

    looked_up = names["runtime"].warm_cosine(0.003, 1000, warm=100)
    return paired(lambda: first(plain, False), lambda: first(looked_up, True), rounds)


def epochs(names: dict, rounds: int, number: int) -> dict:
    """Compare epochs whose pipelines tune themselves with the same epochs without."""
    import tensorflow as tf

    network, feed = names["compiled"](names["networks"]["this lesson's"]), names["feed"]
    untuned = tf.data.Dataset.__iter__

    def fit(begin) -> None:
        tf.data.Dataset.__iter__ = begin
        try:
            network.fit(feed, epochs=number, verbose=0, shuffle=False)
        finally:
            tf.data.Dataset.__iter__ = untuned

    return paired(lambda: fit(untuned.__wrapped__), lambda: fit(untuned), rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        without = ("slope", "edges", "adam")
        names = stage(LESSON, "fit", without=without, folder=folder)
        result = {
            "first step: as Keras does it / this lesson": first_steps(names, chosen.rounds),
            "epochs: pipelines that tune themselves / that do not": epochs(
                names, chosen.rounds, chosen.epochs
            ),
        }
    write("startup", result)


if __name__ == "__main__":
    main()
