"""Disk errors in one clear line."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DownloadError

_SPARE = 64 << 20


def check_room(folder: Path, needed: int) -> None:
    """Check that ``needed`` bytes, and a little more, are free where ``folder`` lies.

    Raises
    ------
    DownloadError
        They are not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise DownloadError(
            f"{folder} needs {(needed + _SPARE) / 1e9:.2f} GB of free disk, found "
            f"{free / 1e9:.2f} GB: make room, or choose another folder with --root"
        )


@contextmanager
def plain_os_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system below ``path`` into a :class:`DownloadError`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DownloadError(
                f"the disk is full, writing {path}: make room and run the command again"
            ) from error
        raise DownloadError(
            f"{error.filename or path} cannot be written ({error.strerror or error}): choose a "
            "folder of your own with --root"
        ) from error
