"""Batches for training: gathered in arrays, handed to Keras as a feed, read without a pause."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

ALIGNED = 64  # bytes

Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


def as_unit(array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return an array as float32, in ``out`` if given; uint8 is brought from 0..255 to 0..1.

    Examples
    --------
    >>> as_unit(np.array([0, 255], np.uint8)).tolist()
    [0.0, 1.0]
    """
    scale = np.float32(1 / 255 if array.dtype == np.uint8 else 1)
    return np.multiply(array, scale, out=out, dtype=np.float32)


def batch_of(cases: Iterable[Sequence[np.ndarray]], size: int) -> tuple[np.ndarray, ...]:
    """Gather cases in batches, each as `as_unit` gives it.

    Parameters
    ----------
    cases : iterable of sequences of ndarray
        One sequence a case, such as its image and its target. Each is copied to its place as soon
        as it is drawn, while the processor still holds it: that takes a quarter of the time of
        stacking all of them at the end.
    size : int
        How many cases there are.

    Returns
    -------
    tuple of ndarray, float32, (size, ...)
        One for each array of a case, `aligned`.

    Examples
    --------
    >>> batch_of([[np.array([0, 255], np.uint8)], [np.array([0.5, 2.0])]], 2)[0].tolist()
    [[0.0, 1.0], [0.5, 2.0]]
    """
    gathered: tuple[np.ndarray, ...] = ()
    for k, case in enumerate(cases):
        gathered = gathered or tuple(aligned((size, *part.shape)) for part in case)
        for whole, part in zip(gathered, case):
            as_unit(part, out=whole[k])
    return gathered


def aligned(shape: Sequence[int]) -> np.ndarray:
    """Return room for a batch that TensorFlow takes over as it is, instead of copying it.

    What it shares must begin at a multiple of 64 bytes; numpy's arrays begin at one of 16.

    Parameters
    ----------
    shape : sequence of int

    Returns
    -------
    ndarray, float32, ``shape``
        Not filled.

    Examples
    --------
    >>> aligned((2, 3)).ctypes.data % 64
    0
    """
    length = 4 * math.prod(shape)
    room = np.empty(length + ALIGNED, np.uint8)
    first = -room.ctypes.data % ALIGNED
    return room[first : first + length].view(np.float32).reshape(shape)


def endless(feed) -> dict[str, Any]:
    """Return what Keras' ``fit`` is told to read a feed without a pause between two epochs.

    A data set of known length begins anew in every epoch: everything waits until it is set up and
    its first batch drawn. This one goes on instead, and the next epoch's first batch is drawn while
    the last step of this one computes, or while the network is validated.

    Parameters
    ----------
    feed : keras.utils.PyDataset
        Its batches depend on nothing but its attribute ``epoch`` and their number, as those of
        `crops` and `volumes`. The epoch that it stands at when ``fit`` begins is the first.

    Returns
    -------
    dict
        The arguments ``x``, ``steps_per_epoch`` and ``shuffle`` of ``fit``: an epoch has as many
        batches as the feed, the same ones. Where Keras runs several steps in a call, an epoch must
        have a multiple of them: see `runtime.steps_at_once`.

    Examples
    --------
    ``network.fit(**generators.endless(feed), epochs=20)``
    """
    return {"x": _endless_class()(feed), "steps_per_epoch": len(feed), "shuffle": False}


@functools.cache
def feed_class() -> type:
    """Return the class of the feeds: Keras is imported only where one is used."""
    import keras

    class Feed(keras.utils.PyDataset):
        """Batches as a pure function of ``(epoch, batch)``."""

        def __init__(self, draw: Draw, steps: int):
            super().__init__()
            self.draw, self.steps, self.epoch = draw, steps, 0

        def __len__(self) -> int:
            return self.steps

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            return self.draw(self.epoch, step)

        def on_epoch_end(self) -> None:
            self.epoch += 1

    return Feed


@functools.cache
def _endless_class() -> type:
    import keras

    class Endless(keras.utils.PyDataset):
        """The batches of a feed, epoch after epoch; it keeps count itself."""

        def __init__(self, feed):
            super().__init__()
            self.feed, self.running = feed, copy.copy(feed)

        @property
        def num_batches(self) -> None:
            return None  # Keras' sign for a data set without end

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            if step == 0:
                self.first = self.feed.epoch
            later, within = divmod(step, len(self.feed))
            self.running.epoch = self.first + later
            return self.running[within]

    return Endless
