"""How soon a lesson's recipe reaches a stated quality, and how soon the tutorial's does.

    python benchmarks/quality.py [--factor 4] [LESSON ...]
    python benchmarks/quality.py --profile cpu --data-dir FOLDER [--goal G] [--to-goal]
                                 [--trainings N] LESSON ...

Each lesson is carried to its training and trained as it trains itself. Then a network is trained as
the tutorial does it: its architecture and size, its optimizer and rate, float32, every file read
and resized again for each batch. Both are scored alike, on the same cases, every few seconds of
training; scoring is not counted. The tutorial's training gets `factor` times what the lesson needed
for all of its training, and is stopped then. With ``--to-goal`` each training ends where the goal
is reached, and the tutorial's gets `factor` times what the lesson needed for that: how soon, but
not how well in the end, for data on which a whole training takes long. The tutorial's training may
be broken off (Ctrl-C or SIGTERM to the process of one lesson): what it reached until then is kept.
With ``--trainings`` both train several times, with the lesson's own seed and then with 1, 2, ...,
and the median of the ratios counts: where a score swings, one training says little.

The tutorials that begin with weights from ImageNet begin here with random ones.
"""

from __future__ import annotations

import argparse
import math
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from compare import leave, write_each
from staged import execute, picture, stage

from course_utils import metrics

Names = dict[str, Any]
Score = Callable[[Any], float]  # of a network


class Watch:
    """The clock of one training: it stands while the network is scored.

    The training is over after ``limit`` seconds, or once a score is ``enough``.
    """

    def __init__(
        self, score: Score, every: float, limit: float = math.inf, enough: float = math.inf
    ):
        self.score, self.every, self.limit, self.enough = score, every, limit, enough
        self.found: list[tuple[float, float]] = []  # seconds of training, score
        self.spent, self.looked = 0.0, 0.0
        self.since = time.perf_counter()

    def look(self, network) -> None:
        """Score the network now."""
        self.spent += time.perf_counter() - self.since
        self.found.append((self.spent, float(self.score(network))))
        self.looked = self.spent
        self.since = time.perf_counter()

    def tick(self, network) -> bool:
        """After a step: score the network if it is time; tell whether the training is over."""
        now = self.spent + time.perf_counter() - self.since
        if now - self.looked >= self.every or now >= self.limit:
            self.look(network)
        return now >= self.limit or self.good()

    def good(self) -> bool:
        """Tell whether the last score is enough."""
        return bool(self.found) and self.found[-1][1] >= self.enough

    def callback(self):
        """Return the watch as a Keras callback."""
        import keras

        watch = self

        class Watching(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                watch.since = time.perf_counter()

            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training |= watch.tick(self.model)

            def on_train_end(self, logs=None):
                if watch.spent < watch.limit and not watch.good():
                    watch.look(self.model)

        return Watching()

    def summary(self, goal: float) -> dict:
        """Return when the goal was reached (None: never), the best and the last score."""
        reached = next((at for at, score in self.found if score >= goal), None)
        return {
            "reached_s": None if reached is None else round(reached, 1),
            "trained_s": round(self.spent, 1),
            "best": round(max(score for _, score in self.found), 3),
            "last": round(self.found[-1][1], 3),
            "curve": [[round(at, 1), round(score, 3)] for at, score in self.found],
        }


def from_files(read: Callable[[int], tuple], cases, batch: int):
    """Return a Keras data set that reads and prepares its cases anew in every epoch, in order."""
    import keras

    class FromFiles(keras.utils.PyDataset):
        def __len__(self):
            return -(-len(cases) // batch)

        def __getitem__(self, step):
            some = [read(int(k)) for k in cases[step * batch : (step + 1) * batch]]
            return tuple(np.stack(part).astype("float32") for part in zip(*some))

    return FromFiles()


def in_parts(network, arrays, size: int = 16) -> np.ndarray:
    """Return what a network says of some cases, as float32."""
    parts = [
        np.asarray(network.predict_on_batch(np.stack(arrays[at : at + size]).astype("float32")))
        for at in range(0, len(arrays), size)
    ]
    return np.concatenate(parts).astype("float32")


def mean_of(measure: Callable, truth, cases, found) -> float:
    """Return the mean of a measure over some cases; ``truth`` has all, ``found`` these only."""
    return float(np.mean([measure(truth[k], one) for k, one in zip(cases, found)]))


def ap50(truth, labels) -> float:
    """Return the average precision of instances at an IoU of .5."""
    return metrics.average_precision(truth, labels)[0]


def keras_fit(network, feed, watch: Watch) -> None:
    """Train until the watch says that it is enough."""
    network.fit(feed, epochs=10_000, verbose=0, callbacks=[watch.callback()])


# Lesson 1: which slice shows tumour


def slices_ours(names: Names) -> Score:
    asked = np.concatenate([names["validation"], names["test"]])
    truth = names["tumour"][asked]
    return lambda network: auc(truth, in_parts(network, names["small"][asked])[:, 0])


def slices_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    asked = np.concatenate([names["validation"], names["test"]])
    whole = [picture(names["table"].image[k], 256) / 255 for k in asked]
    watch = watch_of(lambda net: auc(names["tumour"][asked], in_parts(net, whole)[:, 1]))
    _, network = names["tutorial_network"]()
    network.compile("adam", "categorical_crossentropy")

    def read(k):
        return picture(names["table"].image[k], 256) / 255, np.eye(2)[int(names["tumour"][k])]

    keras_fit(network, from_files(read, names["train"], 16), watch)
    return watch


def auc(truth, score) -> float:
    """Return the area under the ROC curve; .5 while a network says what is no number."""
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(truth, score) if np.isfinite(score).all() else 0.5


# Lesson 2: where the tumour is


def tumour_ours(names: Names) -> Score:
    asked = names["patients"]["test"]

    def score(network):
        pictures = (names["image"][name] / np.float32(255) for name in asked)
        found = [in_parts(network, some, 8)[..., 0] > 0.5 for some in pictures]
        return mean_of(metrics.dice, names["truth"], asked, found)

    return score


def tumour_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    import keras

    table, asked = names["table"], names["patients"]["test"]

    def standard(path):
        values = picture(path, 256)
        return (values - values.mean()) / (values.std() + 1e-6)

    whole = {name: [standard(p) for p in table.image[table.patient == name]] for name in asked}

    def score(network):
        found = [in_parts(network, whole[name], 8)[..., 0] > 0.5 for name in asked]
        return mean_of(metrics.dice, names["truth"], asked, found)

    def read(k):
        return standard(table.image[k]), picture(table["mask"][k], 256)[..., :1] / 255

    inside = table.patient.isin(names["patients"]["train"]) & (table.tumour == 1)
    watch = watch_of(score)
    network = names["resunet"](names["published"])
    network.compile(keras.optimizers.Adam(0.05, epsilon=0.1), names["published_loss"])
    keras_fit(network, from_files(read, np.flatnonzero(inside), 16), watch)
    return watch


# Lesson 3: brain structures, coronal slices


def brain_ours(names: Names) -> Score:
    def score(network):
        network.eval()
        n, weights = names["classes_of"](network, names["few"], "target")
        found = names["validate"](network, weights, "coronal", n)["val_dice"]
        network.train()
        return found

    return score


class _Over(Exception):
    """Ends a training in a loop that is not ours to leave."""


def brain_train(names: Names, watch: Watch) -> None:
    """Train as the lesson does: on FAST's labels first, then on the manual ones; coronal slices."""
    one_epoch = names["one_epoch"]

    def watched(network, optimizer, *rest):
        step = optimizer.step

        def counted(*given, **named):
            done = step(*given, **named)
            if watch.tick(network):
                raise _Over
            return done

        optimizer.step = counted
        try:
            return one_epoch(network, optimizer, *rest)
        finally:
            optimizer.step = step

    names["one_epoch"], names["THROUGH"] = watched, {"coronal": names["THROUGH"]["coronal"]}
    watch.since = time.perf_counter()
    with suppress(_Over):
        execute("03_quicknat_brain_structures", ["pretrain", "finetune"], names)
    if not watch.good():
        watch.look((names.get("networks") or names["pretrained"])["coronal"])


def brain_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    import torch

    torch.manual_seed(names["SEED"])
    network = names["QuickNAT"](1 + len(names["names"]), 64)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.95, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, gamma=0.1)
    _, weights = names["classes_of"](network, names["few"], "target")
    names["low"], names["layout"] = None, torch.contiguous_format
    names["settings"]["window"] = max(names["frame"])  # whole slices, each as often as any other
    names["disputed"] = lambda k, view: np.zeros(max(names["frame"]))
    watch = watch_of(brain_ours(names))
    watch.since = time.perf_counter()
    for epoch in range(10_000):
        network.train()
        steps = names["settings"]["steps"]
        for x, y in names["batches"](names["few"], "coronal", "target", epoch, steps):
            optimizer.zero_grad()
            names["quicknat_loss"](network(x), y, weights).backward()
            optimizer.step()
            if watch.tick(network):
                return watch
        schedule.step()
    return watch


# Lesson 4: the outline of a lesion


def lesion_ours(names: Names) -> Score:
    asked = names["test"]
    pictures = [names["image"][k] / np.float32(255) for k in asked]

    def score(network):
        found = in_parts(network, pictures)[..., 0] > 0.5
        return mean_of(metrics.iou, names["truth"], asked, found)

    return score


def lesion_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    import keras
    from skimage.transform import resize

    table, asked = names["table"], names["test"]
    whole = [picture(table.image[k], 256) / 255 for k in asked]

    def score(network):
        maps = in_parts(network, whole, 4)[..., 0]
        found = [resize(one, names["truth"][k].shape) > 0.5 for k, one in zip(asked, maps)]
        return mean_of(metrics.iou, names["truth"], asked, found)

    def read(k):
        return picture(table.image[k], 256) / 255, picture(table["mask"][k], 256)[..., :1] / 255

    watch = watch_of(score)
    network = names["published"](1, two_channels=False)  # with two channels it often never learns
    network.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
    keras_fit(network, from_files(read, names["train"], 4), watch)
    return watch


# Lesson 5: every nucleus


def nuclei_ours(names: Names) -> Score:
    def score(network):
        names["network"] = network
        cases = names["validation"]
        maps = [names["maps_of"](names["image"][k]) for k in cases]
        found = [names["instances_of"]("watershed on gaps", each, rise=0.1) for each in maps]
        return mean_of(ap50, names["truth"], cases, found)

    return score


def nuclei_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    import keras
    from skimage import measure
    from skimage.transform import resize

    table, asked, truth = names["table"], names["validation"], names["truth"]
    whole = [picture(table.image[k], 128) / 255 for k in asked]

    def score(network):
        maps = in_parts(network, whole)[..., 0]
        labels = [measure.label(one > 0.5) for one in maps]
        found = [resize(one, truth[k].shape, order=0, preserve_range=True).astype(int)
                 for k, one in zip(asked, labels)]  # fmt: skip
        return mean_of(ap50, truth, asked, found)

    def read(k):
        mask = np.max([picture(path, 128)[..., :1] for path in table.masks[k]], axis=0)
        return picture(table.image[k], 128) / 255, mask / 255

    watch = watch_of(score)
    network = names["tutorial"]
    network.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    keras_fit(network, from_files(read, names["train"], 8), watch)
    return watch


# Lesson 6: a scan normal or not


def scan_ours(names: Names) -> Score:
    asked = names["folds"][0]
    volumes, truth = names["arrays"](asked)
    return lambda network: auc(truth[:, 0], in_parts(network, volumes, 4)[:, 0])


def scan_tutorial(names: Names, watch_of: Callable[[Score], Watch]) -> Watch:
    import keras
    import nibabel
    from scipy import ndimage

    table, labels, asked = names["table"], names["labels"], names["folds"][0]

    def whole(k):
        return names["tutorial_way"](nibabel.load(table.file[k]).get_fdata())[..., None]

    tested = [whole(k) for k in asked]
    watch = watch_of(lambda net: auc(labels[asked], in_parts(net, tested, 2)[:, 0]))
    known = {}  # the tutorial prepares all scans once, before it trains: that counts

    def read(k):
        if k not in known:
            known[k] = whole(k)
        turned = ndimage.rotate(known[k], np.random.default_rng(k).choice([-20, 20]), reshape=False)
        return np.clip(turned, 0, 1), labels[k : k + 1]

    network = names["tutorial_network"]()
    falling = keras.optimizers.schedules.ExponentialDecay(1e-4, 30, 0.96, staircase=True)
    network.compile(keras.optimizers.Adam(falling), "binary_crossentropy")
    keras_fit(network, from_files(read, names["train"], 2), watch)
    return watch


@dataclass(frozen=True)
class Contest:
    """What is reached, and by which cells of the lesson."""

    measure: str
    goal: float
    last: str  # cell before the training
    without: tuple[str, ...]  # cells
    also: tuple[str, ...]  # cells that come later and are needed to score
    fit: tuple[str, ...]  # cells
    ours: Callable[[Names], Score]
    tutorial: Callable[[Names, Callable[[Score], Watch]], Watch]


CONTESTS = {
    "01_brain_tumor_classification": Contest(
        "AUC of slices", 0.85, "schedule", ("tutorial-count", "frozen-proof"), (), ("fit",),
        slices_ours, slices_tutorial,
    ),
    "02_brain_tumor_segmentation": Contest(
        "Dice by patient", 0.6, "fit", ("slope", "edges", "adam"), (),
        ("fit-run",), tumour_ours, tumour_tutorial,
    ),
    "03_quicknat_brain_structures": Contest(
        "mean Dice of three tissues", 0.7, "pretrain-expected", (), (), (),
        brain_ours, brain_tutorial,
    ),
    "04_unet_skin_lesions": Contest(
        "IoU", 0.75, "budget", ("dead-figure", "ceiling", "bilinear"), (),
        ("train", "fit"), lesion_ours, lesion_tutorial,
    ),
    "05_unet_nuclei": Contest(
        "AP at IoU .5", 0.6, "feed",
        ("ceiling-scores", "tutorial-train", "tutorial-score", "tutorial-figure"),
        ("predict", "instances", "flood"),
        ("train", "fit"), nuclei_ours, nuclei_tutorial,
    ),
    "06_ct_classification_3d": Contest(
        "AUC of scans", 0.9, "train", ("prepare-race", "histogram", "histogram-figure",
        "leak-test", "norm-fit", "norm-figure"), (), ("fit",), scan_ours, scan_tutorial,
    ),
}  # fmt: skip


def measured(
    lesson: str, factor: float, every: float, goal: float | None = None, to_goal: bool = False,
    **parameters,
) -> dict:  # fmt: skip
    """Train a lesson's way and the tutorial's way; return when each reached the goal."""
    contest = CONTESTS[lesson]
    if goal is not None:
        contest = replace(contest, goal=goal)
    enough = contest.goal if to_goal else math.inf
    with tempfile.TemporaryDirectory() as folder:
        names = stage(lesson, contest.last, without=contest.without, folder=folder, **parameters)
        execute(lesson, contest.also, names)
        for time in ("fit", "tutorial"):  # the tutorial's network was left out
            names["lesson"].seconds.setdefault(time, 1.0)
        watch = Watch(contest.ours(names), every, enough=enough)
        if contest.fit:
            execute(lesson, contest.fit, names, progress=lambda epochs: watch.callback())
        else:
            brain_train(names, watch)
        ours = watch.summary(contest.goal)
        limit = factor * ours["trained_s"]
        names = stage(
            lesson, contest.last, without=contest.without, folder=folder, precision="float32",
            **parameters,
        )  # fmt: skip
        execute(lesson, contest.also, names)
        plain, broken_off = train_until_stopped(
            lambda begin: contest.tutorial(names, begin),
            lambda score: Watch(score, limit / 15, limit, enough),
        )
        tutorial = plain.summary(contest.goal)
        if broken_off:
            limit, tutorial["broken_off"] = plain.spent, True
        return compared(contest, ours, tutorial, limit)


def train_until_stopped(
    train: Callable[[Callable[[Score], Watch]], Any], watched: Callable[[Score], Watch]
) -> tuple[Watch, bool]:
    """Train with a watch; return it, and whether Ctrl-C or SIGTERM ended the training.

    Raises
    ------
    KeyboardInterrupt
        The training was ended before its first score: there is nothing to keep.
    """
    begun: list[Watch] = []

    def begin(score: Score) -> Watch:
        begun.append(watched(score))
        return begun[0]

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        train(begin)
    except KeyboardInterrupt:
        if not begun or not begun[0].found:
            raise
        return begun[0], True
    finally:
        signal.signal(signal.SIGTERM, before)
    return begun[0], False


def compared(contest: Contest, ours: dict, tutorial: dict, limit: float) -> dict:
    """Return both with their ratio; where the tutorial's way never got there, the least it is."""
    result = {"lesson": ours, "tutorial": tutorial}
    if ours["reached_s"] is None:
        return result
    reached = tutorial["reached_s"] is not None
    seconds = tutorial["reached_s"] if reached else limit
    ratio = round(seconds / max(ours["reached_s"], 0.1), 2)
    name = f"{contest.measure} of {contest.goal:g}: tutorial / lesson"
    result[name if reached else f"{name}, which never got there: at least"] = {
        "first_s": round(seconds, 1), "second_s": ours["reached_s"], "ratio": ratio,
        "ratio_min_max": [ratio, ratio], "rounds": 1,
    }  # fmt: skip
    return result


def repeated(measure: Callable[..., dict], trainings: int) -> dict:
    """Return what ``measure(SEED=...)`` finds with several seeds, and the median of its ratios.

    A training of the lesson that never got there counts as a ratio of 0. Where the tutorial's never
    did, its ratio is the least it can be, and so is the median then.
    """
    if trainings == 1:
        return measure()
    result: dict = {"own seed": measure()}
    result |= {f"seed {seed}": measure(SEED=seed) for seed in range(1, trainings)}
    found = [(name, row) for one in result.values() for name, row in one.items() if "ratio" in row]
    if not found:
        return result
    ratios = sorted([row["ratio"] for _, row in found] + [0.0] * (trainings - len(found)))
    name = max((name for name, _ in found), key=len)  # a bound, if one is
    first, second = (statistics.median(row[s] for _, row in found) for s in ("first_s", "second_s"))
    result[f"{name}, {trainings} trainings"] = {
        "first_s": first, "second_s": second, "ratio": round(statistics.median(ratios), 2),
        "ratio_min_max": [ratios[0], ratios[-1]], "rounds": trainings,
    }  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", default=list(CONTESTS), metavar="LESSON")
    parser.add_argument("--factor", type=float, default=4)
    parser.add_argument("--every", type=float, default=3)
    parser.add_argument("--goal", type=float, help="another goal than the twin's")
    parser.add_argument("--to-goal", action="store_true", help="end where the goal is reached")
    parser.add_argument("--trainings", type=int, default=1, help="of each, with other seeds")
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--data-dir", default="")
    chosen = parser.parse_args()
    given = {"PROFILE": chosen.profile, "DATA_DIR": chosen.data_dir}
    file = "quality" if chosen.profile == "sample" else f"quality_{chosen.profile}"
    write_each(
        file, chosen.lessons,
        lambda lesson: repeated(
            lambda **seed: measured(
                lesson, chosen.factor, chosen.every, chosen.goal, chosen.to_goal, **given, **seed
            ),
            chosen.trainings,
        ),
    )  # fmt: skip
    leave()


if __name__ == "__main__":
    main()
