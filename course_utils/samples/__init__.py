"""The offline twins: generated datasets in the layout, formats and label values of the real ones.

A lesson reads a twin exactly as it reads the release; a twin is never evidence about patients.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, ParameterError
from ..paths import twin_root
from . import chest, lgg, nuclei, oasis, skin

STAMP = ".twin.json"
ABANDONED = 3600  # seconds after which a half-made folder belongs to nobody any more

# write(folder, seed, cases) fills an empty folder and returns what the stamp should hold besides
# the name, at least "cases"; its module has a VERSION
REGISTRY: dict[str, Callable[[Path, int, int | None], dict]] = {
    "bbbc038": nuclei.write,
    "isic2017": skin.write_2017,
    "isic2018": skin.write_2018,
    "lgg_mri": lgg.write,
    "malf": oasis.write_malf,
    "oasis1_disc1": oasis.write_disc1,
    "mosmed": chest.write,
}


def make(
    name: str,
    folder: str | os.PathLike | None = None,
    *,
    seed: int = 0,
    cases: int | None = None,
) -> Path:
    """Write the offline twin of a dataset, whole or not at all, and return its folder.

    A twin with the same name, seed, cases and version that is already there is returned at once.
    The twin is built in a hidden folder beside its place and moved there when it is whole; of two
    processes that build the same twin, one wins and both return it.

    Parameters
    ----------
    name : str
        A dataset that has a twin: a key of ``REGISTRY``.
    folder : path, optional
        Where it goes; a folder that holds anything but a twin is refused. Default: a folder named
        after dataset, seed and (when given) cases in ``paths.twin_root()``.
    seed : int
        The same seed gives the same files, byte for byte.
    cases : int, optional
        How many cases; None: the twin's own number.

    Returns
    -------
    pathlib.Path
        The dataset's folder, laid out as its publisher does.

    Raises
    ------
    DataError
        For a dataset without a twin, a folder in use, or one that cannot be written.
    ParameterError
        For a seed or a number of cases out of range.
    """
    write = _writer(name)
    if not isinstance(seed, int) or seed < 0:
        raise ParameterError(f"seed must be a whole number from 0 up, found {seed!r}: pass seed=0")
    wanted = {"name": name, "seed": seed, "cases": cases, "version": version(name)}
    if folder is None:
        folder = twin_root() / "-".join(
            str(part) for part in (name, seed, cases) if part is not None
        )
    folder = Path(os.path.abspath(os.path.expanduser(folder)))
    if _is_whole(folder, wanted):
        return folder
    _refuse_foreign(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        _build(folder, wanted, write)
    except OSError as error:
        raise DataError(
            f"the twin of {name} must go into a folder that can be written, found {folder} "
            f"({error.strerror or error}): name another folder"
        ) from error
    return folder


def version(name: str) -> int:
    """Return the version of a twin's drawing: it changes when the same seed gives other files.

    Examples
    --------
    >>> version("bbbc038") >= 1
    True
    """
    return sys.modules[_writer(name).__module__].VERSION


def stamp(folder: str | os.PathLike) -> dict | None:
    """Return what a twin's stamp says (name, seed, cases, ...), or None where there is no twin."""
    try:
        found = json.loads((Path(folder) / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "name" in found else None


def _writer(name: str) -> Callable[[Path, int, int | None], dict]:
    if name not in REGISTRY:
        raise DataError(
            f"no offline twin is named {name!r}, there are {', '.join(sorted(REGISTRY))}: "
            "take one of them, or get the real data with `course data get`"
        )
    return REGISTRY[name]


def _is_whole(folder: Path, wanted: dict) -> bool:
    """Say whether the folder holds the wanted twin with none of its top-level entries missing."""
    found = stamp(folder)
    if found is None or found.get("asked") != wanted:
        return False
    return all((folder / entry).exists() for entry in found.get("entries", ["missing"]))


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"a twin needs a folder, found the file {folder}: name another folder")
    if folder.is_dir() and stamp(folder) is None and any(folder.iterdir()):
        raise DataError(
            f"a twin goes into a new folder or over another twin, found other files in {folder}: "
            "name another folder, real data is never overwritten"
        )


def _sweep(folder: Path) -> None:
    """Remove what killed processes left beside the folder."""
    for left in folder.parent.glob(f".{folder.name}.making-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


def _build(folder: Path, wanted: dict, write: Callable[[Path, int, int | None], dict]) -> None:
    """Write the twin beside its place, then move it there."""
    room = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.making-"))
    try:
        fresh = room / "twin"
        fresh.mkdir()
        facts = write(fresh, wanted["seed"], wanted["cases"])
        entries = sorted(path.relative_to(fresh).as_posix() for path in fresh.glob("*/*"))
        content = {
            "what": "generated data, not from any patient: an offline twin for the course",
            **{key: wanted[key] for key in ("name", "seed", "version")},
            **facts,
            "asked": wanted,
            "entries": entries,
        }
        (fresh / STAMP).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        _move(fresh, folder, wanted, room)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _move(fresh: Path, folder: Path, wanted: dict, room: Path) -> None:
    """Put the whole twin in its place; where another process did so first, keep the other's."""
    for attempt in range(20):
        if _is_whole(folder, wanted):
            return
        try:
            if folder.exists():
                _refuse_foreign(folder)
                os.rename(folder, room / f"old-{attempt}")
            os.rename(fresh, folder)
            return
        except OSError:
            if attempt == 19:
                raise
            time.sleep(0.05)
