"""Checks of the exercises of lesson 5, counting nuclei."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from . import Wrong, exercise, returned


@exercise
def seeding(seeded_draw: Callable[[int], Any]) -> str:
    """Check a function that draws random numbers from a seed.

    A published recipe writes ``seed = 2019`` and ``np.random.seed = seed``, which puts a number in
    the place of a function and seeds nothing.

    Parameters
    ----------
    seeded_draw : callable
        ``seeded_draw(seed)`` returns an array of at least four random numbers: the same for the
        same seed, others for another, and leaves numpy's global state as it was.

    Returns
    -------
    Verdict
    """
    with _NumpyGuard() as guard:
        draws = [_draw(seeded_draw, seed) for seed in (1, 2, 1)]
        broken, touched = guard.broken(), guard.touched()
    if broken:
        raise Wrong(
            "after your function, np.random.seed is no function any more: look at what = does, "
            "compared with a call (it has been repaired)"
        )
    if not np.array_equal(draws[0], draws[2]):
        raise Wrong("the same seed gave two different draws: does the seed reach the generator?")
    if np.array_equal(draws[0], draws[1]):
        raise Wrong("two different seeds gave the same draw: is the argument used at all?")
    if touched:
        raise Wrong(
            "the draws are right, but numpy's global state has changed, and with it every other "
            "draw in the notebook: make a generator that belongs to your function alone"
        )
    return "the draw depends on the seed and on nothing else, and disturbs nothing else"


class _NumpyGuard:
    """Watches numpy's global random state while a student's function runs, and repairs it after."""

    def __enter__(self) -> _NumpyGuard:
        self.seed, self.get_state = np.random.seed, np.random.get_state
        self.state = self.get_state()
        return self

    def broken(self) -> bool:
        return np.random.seed is not self.seed

    def touched(self) -> bool:
        return any(
            not np.array_equal(was, now)
            for was, now in zip(self.state, self.get_state(), strict=True)
        )

    def __exit__(self, *_error: object) -> None:
        np.random.seed = self.seed
        np.random.set_state(self.state)  # noqa: NPY002 (what is guarded is the old global state)


def _draw(function: Callable[[int], Any], seed: int) -> np.ndarray:
    draw = np.array(returned(function(seed)))
    if draw.size < 4 or draw.dtype.kind not in "biuf":
        raise Wrong(f"an array of at least four random numbers was expected, found {draw!r:.60}")
    return draw


@exercise
def steps_per_epoch(batch_indices: Callable[[int, int, int], Any]) -> str:
    """Check which images are in which batch of an epoch.

    A published recipe shrinks its own batch size when it comes to the last, smaller batch, and
    never grows it again.

    Parameters
    ----------
    batch_indices : callable
        ``batch_indices(n_images, batch_size, step)`` returns the positions 0 ... ``n_images - 1``
        of the images in batch number ``step``, with ``step`` from 0 to
        ``ceil(n_images / batch_size) - 1``. Over an epoch each image comes exactly once, in any
        order; all batches but the last hold ``batch_size`` images; the next epoch is as whole as
        the first.

    Returns
    -------
    Verdict
    """
    for n_images, batch_size in ((10, 4), (8, 4), (3, 16), (21, 5)):
        first = _epoch(batch_indices, n_images, batch_size)
        second = _epoch(batch_indices, n_images, batch_size)
        _check_epoch(first, n_images, batch_size, "the first epoch")
        _check_epoch(second, n_images, batch_size, "the second epoch")
    return "each image is seen once an epoch, in this epoch and in the next"


def _epoch(batch_indices: Callable, n_images: int, batch_size: int) -> list[np.ndarray]:
    steps = range(ceil(n_images / batch_size))
    batches = [np.atleast_1d(returned(batch_indices(n_images, batch_size, s))) for s in steps]
    if any(batch.size and batch.dtype.kind not in "iu" for batch in batches):
        raise Wrong("positions of images are whole numbers: return a list, a range or an array")
    return batches


def _check_epoch(batches: list[np.ndarray], n_images: int, batch_size: int, epoch: str) -> None:
    """Raise the hint for the first thing that is wrong with an epoch."""
    case = f"{n_images} images in batches of {batch_size}, {epoch}"
    sizes = [len(batch) for batch in batches]
    seen = np.concatenate(batches)
    if seen.size and not 0 <= seen.min() <= seen.max() < n_images:
        wrong = seen.max() if seen.max() >= n_images else seen.min()
        raise Wrong(f"{case}: there is no image {wrong}: where should the last batch end?")
    counts = np.bincount(seen.astype(int), minlength=n_images)
    if counts.max() > 1:
        raise Wrong(f"{case}: image {counts.argmax()} comes {counts.max()} times")
    if any(size < batch_size for size in sizes[:-1]):
        raise Wrong(f"{case}: the batches hold {sizes} images: what became of the batch size?")
    if counts.min() == 0:
        raise Wrong(f"{case}: {np.sum(counts == 0)} images never come: is the remainder left out?")


@exercise
def ap_at(function: Callable[[np.ndarray, float], Any]) -> str:
    """Check the average precision at one IoU threshold.

    Parameters
    ----------
    function : callable
        ``function(iou, threshold)`` takes the IoU of every true (row) with every predicted
        (column) nucleus and returns TP / (TP + FP + FN), where a pair needs an IoU *above* the
        threshold, a nucleus belongs to one pair only, and nothing there and nothing predicted
        scores 1.

    Returns
    -------
    Verdict
    """
    _plain_cases(function)
    found = _number(function(np.array([[0.5]]), 0.5))
    if not np.isclose(found, 0):
        raise Wrong("an IoU of exactly the threshold is not above it: look at the comparison")
    if not np.isclose(_number(function(np.array([[0.4, 0.35]]), 0.3)), 1 / 2):
        raise Wrong(
            "one true nucleus and two predicted halves, threshold 0.3: a nucleus can be matched "
            "once only, so what is the other half?"
        )
    if not np.isclose(_number(function(np.array([[0.4], [0.35]]), 0.3)), 1 / 2):
        raise Wrong(
            "two true nuclei and one prediction over both, threshold 0.3: a prediction can be "
            "matched once only, so what is the other nucleus?"
        )
    _empty_cases(function)
    return "every nucleus counts once: found, missed or extra"


def _plain_cases(function: Callable) -> None:
    """Raise a hint when a wrong formula is seen where each nucleus has at most one partner."""
    iou = np.array([[0.8, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]])
    tp, n_truth, n_prediction = 2, 4, 3
    found = _number(function(iou.copy(), 0.5))
    typical = {
        tp / n_prediction: "nuclei that were missed change nothing in your score: is that fair?",
        tp / n_truth: "predictions that hit nothing change nothing in your score: is that fair?",
        2 * tp / (n_truth + n_prediction): "that is F1, in which a pair counts twice",
        tp / (n_truth + n_prediction): "a matched pair is one thing, not two: what is in the sum?",
    }
    for wrong, hint in typical.items():
        if np.isclose(found, wrong):
            raise Wrong(hint)
    if not np.isclose(found, tp / (n_truth + n_prediction - tp)):
        raise Wrong(
            "four true and three predicted nuclei of which two match: count TP, FP and FN by hand "
            f"and compare with your {found:.3f}"
        )


def _empty_cases(function: Callable) -> None:
    """Raise a hint when an image without nuclei, or without predictions, is not handled."""
    for shape, expected in (((0, 0), 1), ((0, 3), 0), ((3, 0), 0)):
        try:
            found = _number(function(np.zeros(shape), 0.5))
        except (ZeroDivisionError, ValueError, IndexError) as error:
            raise Wrong(
                f"{shape[0]} true and {shape[1]} predicted nuclei: the function stopped with "
                f"{type(error).__name__}: treat the empty image on its own"
            ) from error
        if not np.isclose(found, expected):
            raise Wrong(
                f"{shape[0]} true and {shape[1]} predicted nuclei: what should an image score on "
                f"which {'nothing was to be found and nothing was' if expected else 'all is wrong'}"
                f"? Yours says {found:g}"
            )


def _number(value: Any) -> float:
    with np.errstate(all="ignore"):
        number = np.asarray(returned(value), dtype=float)
    if number.size != 1:
        raise Wrong(f"one number was expected, found an array of shape {number.shape}")
    return float(number.ravel()[0])


@exercise
def resize_mask(resize: Callable[[np.ndarray, tuple[int, int]], Any]) -> str:
    """Check a function that resizes a label map.

    Parameters
    ----------
    resize : callable
        ``resize(labels, shape)`` takes a label map (y, x) and the new (y, x), and returns the
        resized map in whole numbers with no label that was not there before.

    Returns
    -------
    Verdict
    """
    labels = np.zeros((24, 36), dtype=np.int32)
    labels[3:12, 4:16], labels[12:21, 4:16], labels[8:20, 22:34] = 10, 40, 300
    for shape in ((12, 18), (48, 72), (16, 48)):
        resized = np.asarray(returned(resize(labels.copy(), shape)))
        _check_resized(labels, resized, shape)
    return "labels are names, not amounts: there is nothing between nucleus 10 and nucleus 40"


def _check_resized(labels: np.ndarray, resized: np.ndarray, shape: tuple[int, int]) -> None:
    """Raise the hint for the first thing that is wrong with a resized label map."""
    if resized.shape == shape[::-1]:
        raise Wrong(
            f"asked for {shape} rows and columns, got {resized.shape}: some libraries want the "
            "width first"
        )
    if resized.shape != shape:
        raise Wrong(f"asked for a map of shape {shape}, got {resized.shape}")
    strangers = np.setdiff1d(resized, labels)
    if strangers.size:
        raise Wrong(
            f"the resized map holds {strangers[0]:g}, a label that was not there before: what "
            "does your resizing do on the line between two nuclei?"
        )
    lost = np.setdiff1d(labels, resized)
    if lost.size:
        raise Wrong(f"nucleus {lost[0]} is lost: does the data type hold all labels?")
    if resized.dtype.kind not in "iu":
        raise Wrong(f"the labels came back as {resized.dtype}: a label map holds whole numbers")
    rows, columns = (np.arange(n) * old // n for n, old in zip(shape, labels.shape, strict=True))
    if np.mean(resized == labels[np.ix_(rows, columns)]) < 0.85:
        raise Wrong("the nuclei are not where they were: compare both maps side by side")


@exercise
def split_touching(markers: Callable[[np.ndarray], Any]) -> str:
    """Check a function that finds one marker a nucleus.

    Parameters
    ----------
    markers : callable
        ``markers(mask)`` takes a boolean mask (y, x) and returns a label map with one marker for
        each nucleus: two for two discs that touch, one for a disc alone, also when its edge is
        ragged, none for an empty mask.

    Returns
    -------
    Verdict
    """
    lonely, touching, ragged = _disc(24, 24), _disc(24, 20) | _disc(24, 39), _ragged_nucleus()
    if _count_markers(markers, touching) == 1:
        raise Wrong(
            "two discs that touch got one marker: they are one connected piece, so what else "
            "tells them apart? Look at the distance to the edge"
        )
    for mask, what, expected in (
        (lonely, "one round disc", 1),
        (touching, "two discs that touch", 2),
        (ragged, "one longish nucleus with a ragged edge", 1),
        (np.zeros_like(lonely), "an empty mask", 0),
        (touching | _disc(60, 70), "two discs that touch and one apart", 3),
        (lonely | _disc(60, 70, radius=4), "a large disc and a small one", 2),
    ):
        found = _count_markers(markers, mask)
        if found > expected:
            raise Wrong(
                f"{what} got {found} markers: a distance map has many small peaks; which of them "
                "are worth a nucleus?"
            )
        if found < expected:
            raise Wrong(f"{what} got {found} markers: are some peaks smoothed or cut away?")
    return "one marker a nucleus, and a watershed makes the line between them"


def _disc(y: int, x: int, radius: int = 10) -> np.ndarray:
    rows, columns = np.mgrid[:80, :90]
    return np.hypot(rows - y, columns - x) <= radius


def _ragged_nucleus() -> np.ndarray:
    """Return one longish nucleus with waves in its edge, and so several peaks of the distance."""
    rows, columns = np.mgrid[:80, :90]
    y, x = rows - 40, (columns - 45) / 1.4
    return np.hypot(y, x) <= 12 + 1.5 * np.sin(7 * np.arctan2(y, x))


def _count_markers(markers: Callable, mask: np.ndarray) -> int:
    """Return the number of different markers, after checking that they lie in the mask."""
    found = np.asarray(returned(markers(mask.copy())))
    if found.shape != mask.shape:
        raise Wrong(
            f"a label map of shape {mask.shape} was expected, found shape {found.shape}: a list of "
            "peaks has to be drawn into a map first"
        )
    if found.dtype == bool:
        raise Wrong("the markers are True and False: number them, one label a nucleus")
    if not mask.any() and found.any():
        raise Wrong("an empty mask got markers: there is nothing to mark")
    labels = np.setdiff1d(found, [0])
    if not np.isin(labels, found[mask]).all():
        raise Wrong("a marker lies outside the mask: is 0 kept for the background?")
    return len(labels)
