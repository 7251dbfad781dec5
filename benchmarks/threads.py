"""Operations of TensorFlow in one thread each, side by side, against its own choice of threads.

    python benchmarks/threads.py [--rounds 5] [--steps 32] [LESSON ...]

How many threads TensorFlow has is settled when a process begins. So each round begins two, one
after the other, first with the threads that TensorFlow takes by itself and then as the lessons
begin (`backend.prepare`); each trains the lesson's network through its feed, and the median of some
epochs counts. Nothing to compare where the lessons leave the choice to TensorFlow: on more than two
processors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from compare import ratio, seconds, through, write_each
from staged import stage
from training import RECIPES

from course_utils import backend, runtime

EPOCHS = 5


def an_epoch(lesson: str, steps: int) -> float:
    """Return the seconds of an epoch of a lesson through its feed, in this process."""
    import keras

    recipe = RECIPES[lesson]
    with tempfile.TemporaryDirectory() as folder:
        names = stage(lesson, recipe.last, without=recipe.without, folder=folder)
        network, feed = recipe.network(names), recipe.feed(names)
        steps = min(steps, len(feed))
        network.compile(
            keras.optimizers.AdamW(1e-3), recipe.loss(names), jit_compile=False,
            steps_per_execution=runtime.steps_at_once(steps),
        )  # fmt: skip
        fit = through(network, feed, steps)
        fit(epochs=2)
        return statistics.median(seconds(lambda: fit(epochs=1)) for _ in range(EPOCHS))


def in_a_process(lesson: str, steps: int, **variables: str) -> float:
    """Return what `an_epoch` gives in a process of its own, begun with these variables."""
    command = [sys.executable, __file__, lesson, "--steps", str(steps), "--once"]
    env = {name: value for name, value in os.environ.items() if name not in backend.THREADS}
    done = subprocess.run(command, env=env | variables, stdout=subprocess.PIPE, check=True)
    return float(done.stdout.split()[-1])


def measured(lesson: str, rounds: int, steps: int) -> dict:
    """Return the comparison for one lesson."""
    own = dict.fromkeys(backend.THREADS, str(backend.processors()))
    pairs = [
        (in_a_process(lesson, steps, **own), in_a_process(lesson, steps)) for _ in range(rounds)
    ]
    return {"epoch: TensorFlow's own threads / one an operation": ratio(*map(list, zip(*pairs)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", default=list(RECIPES), metavar="LESSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--once", action="store_true", help="one epoch in this process")
    chosen = parser.parse_args()
    if chosen.once:
        print(an_epoch(chosen.lessons[0], chosen.steps))
        return
    write_each(
        "threads", chosen.lessons, lambda lesson: measured(lesson, chosen.rounds, chosen.steps)
    )


if __name__ == "__main__":
    main()
