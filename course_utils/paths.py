"""Where things lie: the checkout, the datasets, the offline twins, the results.

Nothing here depends on the working folder: papermill runs in the caller's, JupyterLab in the
notebook's.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from .errors import DataError

HOME = "medical-imaging-course"


def checkout() -> Path | None:
    """Return the root of the clone, or None when the package was installed without it."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def _base() -> Path:
    return checkout() or Path.home() / HOME


def data_root(data_dir: str | os.PathLike = "") -> Path:
    """Return the folder that holds datasets: ``data_dir``, else ``COURSE_DATA``, else ``data/``."""
    chosen = os.fspath(data_dir) or os.environ.get("COURSE_DATA", "")
    return Path(chosen).expanduser().resolve() if chosen else _base() / "data"


def twin_root() -> Path:
    """Return the folder in which the offline twins are written (``COURSE_TWINS`` overrides it)."""
    chosen = os.environ.get("COURSE_TWINS", "")
    return Path(chosen).expanduser().resolve() if chosen else _base() / "data" / "twins"


def cache_root() -> Path:
    """Return the folder for prepared arrays (``COURSE_CACHE`` overrides it)."""
    chosen = os.environ.get("COURSE_CACHE", "")
    return Path(chosen).expanduser().resolve() if chosen else _base() / "data" / "cache"


def lesson_output(lesson: str, output_dir: str | os.PathLike = "") -> Path:
    """Return the folder for the results of one lesson, made if it is not there."""
    chosen = os.fspath(output_dir)
    folder = (
        Path(chosen).expanduser().resolve() if chosen else _base() / "runs" / "notebook" / lesson
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"OUTPUT_DIR must be a folder that can be written, found {folder} ({error.strerror}): "
            "choose another folder"
        ) from error
    return folder


def notebooks_dir() -> Path:
    """Return the folder of the lessons; only a checkout has one."""
    root = checkout()
    if root is None:
        raise DataError(
            "the lessons lie in a clone of the repository, and this is an installed copy of "
            "course_utils alone: clone the repository and run the command there"
        )
    return root / "notebooks"


def without_home(text: str) -> str:
    """Return a text with the home folder written as ``~``: results are passed on to others.

    Examples
    --------
    >>> without_home(f'"DATA_DIR": "{(Path.home() / "scans").as_posix()}"')
    '"DATA_DIR": "~/scans"'
    """
    home = Path.home()
    if home == Path(home.anchor):
        return text
    forms = {str(home), home.as_posix(), json.dumps(str(home))[1:-1]}
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    return re.sub(f"({'|'.join(longest_first)})(?![\\w.-])", "~", text)


def atomic_write(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file whole or not at all: into a temporary neighbour, then moved over the target."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
