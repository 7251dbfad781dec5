"""What tests ask of folders: the same content as another, and where real data lies."""

import hashlib
from pathlib import Path

import pytest

from course_utils import paths


def digests(folder: Path) -> dict[str, str]:
    """Return path and hash of every file in a folder, so that a difference names its file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def real_data(pattern: str) -> Path:
    """Return the folder of real datasets (COURSE_DATA, else ``data``), or skip the test.

    ``pattern`` is what must lie in it.
    """
    root = paths.data_root()
    if not any(root.glob(pattern)):
        pytest.skip(f"needs real data: set COURSE_DATA to a folder that holds {pattern}")
    return root
