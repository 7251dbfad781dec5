"""What TensorFlow is told before a lesson computes: its threads, its memory, its pipelines.

A framework is asked only if the lesson has imported it already; nothing here imports one.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from contextlib import suppress

__all__ = ["name", "prepare", "processors"]

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def name() -> str:
    """Return the framework that computes in this process, or ``""`` if none was imported."""
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    return next((name for name in ("torch", "tensorflow") if name in sys.modules), "")


def prepare() -> None:
    """Set TensorFlow up for small networks; without it, or called again, change nothing.

    - On one or two processors each operation runs in one thread, and two operations side by side,
      instead of each in two threads that wait for each other. What the variables
      ``TF_NUM_INTRAOP_THREADS`` and ``TF_NUM_INTEROP_THREADS`` say counts more.
    - On a GPU it takes memory as it needs it.
    - Its input pipelines do not tune themselves, which can make the end of an epoch wait for
      seconds.
    - Freed memory is used again instead of being handed back at every step.
    """
    if name() != "tensorflow":
        return
    _side_by_side()
    _grow_gpu_memory()
    _end_epochs_at_once()
    _keep_freed_memory()


def _side_by_side() -> None:
    """Let operations of a step run beside each other, each in one thread.

    On the way back a layer's two gradients need nothing of each other. Shared among the threads of
    one operation, a step of 20 ms changes threads a thousand times.
    """
    config = sys.modules["tensorflow"].config
    if processors() > 2 or any(os.environ.get(one) for one in THREADS):
        return
    if config.list_physical_devices("GPU"):
        return
    with suppress(RuntimeError):  # it has computed already: the number cannot be changed any more
        config.threading.set_intra_op_parallelism_threads(1)


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _grow_gpu_memory() -> None:
    config = sys.modules["tensorflow"].config
    for gpu in config.list_physical_devices("GPU"):
        try:
            config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # the GPU is in use already: its memory cannot be changed any more
            return


def _end_epochs_at_once() -> None:
    """Let an iterator of ``tf.data`` end without waiting for the thread that tunes the pipeline.

    That thread sleeps 10, 20, 40 ... ms. The end of an iterator is to wake it, but the thread looks
    for the sign before it is set (``CancellationManager::StartCancel`` calls its callbacks first)
    and sleeps on, so that an epoch of 3 s often ends after 5. The pipelines of the lessons have
    nothing to tune: one thread reads ahead.
    """
    data = sys.modules["tensorflow"].data
    begin = data.Dataset.__iter__
    if getattr(begin, "untuned", False):
        return

    @functools.wraps(begin)
    def untuned(dataset):
        options = data.Options()
        options.autotune.enabled = False
        return begin(dataset.with_options(options))

    untuned.untuned = True
    data.Dataset.__iter__ = untuned


def _keep_freed_memory() -> None:
    """Let TensorFlow use memory again that it has freed, instead of asking the system each time.

    Its first data set from a generator, which is how Keras reads a feed, sets glibc's
    ``M_TRIM_THRESHOLD`` to 128 kB for the whole process. That ends glibc's own adjustment too: from
    then on an array larger than this is mapped anew each time, and its pages are filled with zeros.
    So this data set is made here, and both limits are then set as high as glibc would let them grow
    by itself (mallopt(3)).
    """
    if not sys.platform.startswith("linux"):
        return
    tensorflow = sys.modules["tensorflow"]
    number = tensorflow.TensorSpec((), "int32")
    for _ in tensorflow.data.Dataset.from_generator(lambda: [0], output_signature=number):
        pass
    trim_threshold, mmap_threshold = -1, -3  # their names in malloc.h
    with suppress(OSError, AttributeError):  # another C library
        glibc = ctypes.CDLL(None)
        glibc.mallopt(mmap_threshold, 32 * 2**20)
        glibc.mallopt(trim_threshold, 64 * 2**20)
