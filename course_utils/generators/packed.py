"""Cases read once and kept in flat files, memory-mapped from then on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm.auto import tqdm

from ..errors import DataError

INDEX = "index.json"
QUICK = 0.003  # seconds: a case that is read sooner is read by one thread


def fingerprint(files: Iterable[str | os.PathLike], version: Hashable = 1) -> str:
    """Return a short key that changes when a file or the way of preparing it does.

    Parameters
    ----------
    files : iterable of path-like
        The files that a preparation reads; name, size and time of change count.
    version : hashable
        Anything whose ``repr`` stands for the preparation's own settings.
    """
    digest = hashlib.sha256(repr(version).encode())
    for file in files:
        stat = os.stat(file)
        digest.update(f"{os.fspath(file)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def pack(
    cases: Sequence,
    read: Callable[[object], Mapping[str, np.ndarray]],
    folder: str | os.PathLike,
    *,
    workers: int = 2,
    progress: bool = True,
) -> dict[str, list[np.ndarray]]:
    """Read every case once and keep its arrays in ``folder``; the next call only maps them.

    Parameters
    ----------
    cases : sequence
        What ``read`` is called with, one after another.
    read : callable
        Turns a case into named arrays; names and dtypes are the same for every case, shapes may
        differ.
    folder : path-like
        Named after a `fingerprint`, so that other data or settings make another folder. It is
        written beside its place and moved there whole.
    workers : int
        Threads that read; the memory in use is that of a few cases, however many there are. One is
        enough where the second case takes less than ``QUICK``: several would wait for each other.
    progress : bool
        Show a bar while reading.

    Returns
    -------
    dict of str to list of ndarray
        For each name one read-only memory-mapped array a case.

    Raises
    ------
    DataError
        A case cannot be read (from ``read``), there is none, or the disk is full.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        if len(cases) == 0:
            raise DataError(
                "expected at least one case to prepare, found none: look at the table of cases"
            )
        _write_packed(cases, read, folder, workers, progress)
    return _map_packed(folder)


def _write_packed(cases, read, folder: Path, workers: int, progress: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        entries = _append_cases(cases, read, building, workers, progress)
        (building / INDEX).write_text(json.dumps(entries))
        _move_into_place(building, folder)
    except OSError as error:
        raise DataError(
            f"expected room to prepare {len(cases)} cases in {folder.parent}, found: "
            f"{error.strerror or error}; free some space, or choose another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _append_cases(cases, read, building: Path, workers: int, progress: bool) -> list[dict]:
    entries: list[dict] = []
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        done = _read_in_order(pool, read, cases, ahead=2 * workers)
        for arrays in tqdm(done, "prepare", len(cases), unit="case", disable=not progress):
            entry = {}
            for name, array in arrays.items():
                if array.dtype.kind not in "biuf":
                    raise DataError(
                        f"expected numbers to prepare, found {array.dtype} in {name!r}: convert it"
                    )
                if name not in files:
                    files[name] = stack.enter_context(open(building / f"{name}.bin", "wb"))
                entry[name] = [files[name].tell(), str(array.dtype), list(array.shape)]
                files[name].write(np.ascontiguousarray(array).data)
            entries.append(entry)
    return entries


def _read_in_order(
    pool: ThreadPoolExecutor, read: Callable, cases: Sequence, ahead: int
) -> Iterator[Mapping[str, np.ndarray]]:
    """Yield what is read of each case, in order, by the threads of a pool if that is worth it.

    The first case may have to import something, so the second one is timed.
    """
    quick, rest = True, cases[2:]
    for case in cases[:2]:
        began = time.perf_counter()
        arrays = read(case)
        quick = time.perf_counter() - began < QUICK
        yield arrays
    yield from map(read, rest) if quick else _ordered_map(pool, read, rest, ahead)


def _ordered_map(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int
) -> Iterator:
    """Yield ``function(item)`` in order, with at most ``ahead`` results waiting in memory."""
    items = iter(items)
    waiting = [pool.submit(function, item) for _, item in zip(range(ahead), items)]
    while waiting:
        yield waiting.pop(0).result()
        waiting.extend(pool.submit(function, item) for _, item in zip(range(1), items))


def _move_into_place(building: Path, folder: Path) -> None:
    try:
        os.replace(building, folder)
    except OSError:
        if not (folder / INDEX).is_file():
            raise
        # Another process prepared the same cases meanwhile: its folder is as good.


def _map_packed(folder: Path) -> dict[str, list[np.ndarray]]:
    entries = json.loads((folder / INDEX).read_text())
    flat = {name: np.memmap(folder / f"{name}.bin", np.uint8, "r") for name in entries[0]}
    return {name: [_view(flat[name], *entry[name]) for entry in entries] for name in flat}


def _view(flat: np.memmap, start: int, dtype: str, shape: list[int]) -> np.ndarray:
    stop = start + int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.asarray(flat)[start:stop].view(dtype).reshape(shape)
