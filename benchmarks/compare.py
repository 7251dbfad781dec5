"""What every benchmark does alike: time work in turn, and write the result with its machine.

Ratios, not seconds: what is compared runs in turn in one process, the ratio of each round is taken,
and the median of the ratios is the result.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import generators, lessons, runtime

RESULTS = Path(__file__).with_name("results")
Work = Callable[[], object]


def seconds(work: Work) -> float:
    """Return the time that a piece of work takes, on the wall."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rounds_of(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Run each piece of work once untimed, then all in turn; return the seconds of every round."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


def ratio(first: list[float], second: list[float]) -> dict:
    """Return medians in seconds, and the median and the range of the ratios round by round."""
    ratios = sorted(a / b for a, b in zip(first, second))
    return {
        "first_s": round(statistics.median(first), 4),
        "second_s": round(statistics.median(second), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min_max": [round(ratios[0], 3), round(ratios[-1], 3)],
        "rounds": len(ratios),
    }


def paired(first: Work, second: Work, rounds: int) -> dict:
    """Time two pieces of work in turn; return `ratio` of their times."""
    return ratio(*rounds_of({"first": first, "second": second}, rounds).values())


def begin_as_a_lesson(dimensions: int = 2) -> None:
    """Set the framework up as a lesson does, for benchmarks that stage none.

    ``dimensions``: 2 where the network convolves images, 3 where it convolves volumes.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        runtime.start("benchmark", {"PROFILE": "sample", "SEED": 0, "OUTPUT_DIR": folder})
    keras.config.set_dtype_policy(runtime.precision(dimensions))


def feed_against_memory(network: Any, feed: Any, batch: int, rounds: int, steps: int = 0) -> dict:
    """Compare an epoch of a Keras network through a feed with one on the same arrays in memory.

    The second of two epochs counts, as in a training of many: what begins once, such as the first
    look at a feed, is left out. ``steps``: only the first so many of the feed; 0: all.
    """
    held = [feed[k] for k in range(min(steps or len(feed), len(feed)))]
    x, y = (np.concatenate(part) for part in zip(*held))
    return epochs_in_turn(
        through(network, feed, len(held)),
        lambda **more: network.fit(x, y, batch_size=batch, shuffle=False, verbose=0, **more),
        rounds,
    )


def through(network: Any, feed: Any, steps: int, anew: bool = False) -> Callable:
    """Return the training of a Keras network on a feed's first batches, for `epochs_in_turn`.

    As the lessons train, without a pause between epochs, or ``anew`` in each.
    """
    some = _beginning_of(feed, steps)
    how = {"x": some, "shuffle": False} if anew else generators.endless(some)
    return lambda **more: network.fit(**how, verbose=0, **more)


def epochs_in_turn(first: Callable, second: Callable, rounds: int) -> dict:
    """Return `ratio` of the second epochs of two trainings, each a ``fit`` without its epochs."""
    _second_epoch(first), _second_epoch(second)
    times = [(_second_epoch(first), _second_epoch(second)) for _ in range(rounds)]
    return ratio(*map(list, zip(*times)))


def _second_epoch(fit: Callable) -> float:
    import keras

    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    fit(epochs=2, callbacks=[clock])
    return ends[1] - ends[0]


def _beginning_of(feed: Any, steps: int) -> Any:
    import keras

    class Beginning(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return steps

        def __getitem__(self, step):
            return feed[step]

    return Beginning()


def write(name: str, result: dict, part: bool = False) -> None:
    """Print a result and write it to ``results/<name>.json`` with the machine and the versions.

    With ``part`` the file's other results stay, if they come from such a machine and such versions.
    """
    file = RESULTS / f"{name}.json"
    machine = f"{platform.machine()}, {runtime.device()}, {runtime.precision()}"
    versions = runtime.versions()
    if part and file.is_file():
        before = json.loads(file.read_text())
        older = before["versions"]
        if before["machine"] == machine and older == older | _shared(versions, older):
            result, versions = before | result, older | versions
    text = json.dumps(result | {"machine": machine, "versions": versions}, indent=1)
    file.write_text(text + "\n")
    print(text)


def write_each(name: str, chosen: Sequence[str], measure: Callable, processes: int = 1) -> None:
    """Measure lesson after lesson and write each at once: what is done stays when it is stopped.

    Lessons that are not among the chosen keep their results, see `write`. Several are measured by
    this script called again for each, in a process of its own: TensorFlow and a PyTorch built for a
    GPU do not get on in one, it can crash.

    ``processes``: measure each lesson so many times, in a new process each time, and write what is
    `merged`. The script must know an option ``--processes``.
    """
    if len(chosen) == 1 and processes == 1:
        lesson = lessons.get(chosen[0]).id
        write(name, {lesson: measure(lesson)}, part=True)
        return
    options = [given for given in sys.argv[1:] if given not in chosen]
    options += ["--processes", "1"] * (processes > 1)
    file = RESULTS / f"{name}.json"
    for one in chosen:
        lesson, found = lessons.get(one).id, []
        for _ in range(processes):
            subprocess.run([sys.executable, sys.argv[0], one, *options], check=True)
            whole = json.loads(file.read_text())
            found.append(whole[lesson])
        if processes > 1:
            file.write_text(json.dumps(whole | {lesson: merged(found)}, indent=1) + "\n")


def merged(results: Sequence[Any]) -> Any:
    """Return the medians of what several processes found; the range is that of their medians.

    Examples
    --------
    >>> row = {"first_s": 2.0, "second_s": 1.0, "ratio": 2.0, "ratio_min_max": [1, 9], "rounds": 5}
    >>> merged([row, row | {"ratio": 3.0}, row | {"ratio": 4.0}])["ratio_min_max"]
    [2.0, 4.0]
    """
    first = results[0]
    if not isinstance(first, dict):
        return statistics.median(results)
    if "ratio" not in first:
        return {name: merged([result[name] for result in results]) for name in first}
    columns = {name: [result[name] for result in results] for name in first}
    middle = {name: statistics.median(columns[name]) for name in ("first_s", "second_s", "ratio")}
    ratios = columns["ratio"]
    return middle | {
        "ratio_min_max": [min(ratios), max(ratios)],
        "rounds": sum(columns["rounds"]),
        "processes": len(results),
    }


def leave() -> None:
    """End this process at once, with what it has printed.

    TensorFlow can wait for ever at the end for a batch that a broken-off training has asked for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _shared(versions: dict, others: dict) -> dict:
    return {package: version for package, version in versions.items() if package in others}
