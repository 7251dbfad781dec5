"""What a data folder remembers: checksums seen at the first download, and licences shown.

All of it lies in ``<root>/downloads/record.json``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

from filelock import FileLock

from ..errors import DataError
from ..paths import atomic_write

FOLDER = "downloads"
FILE = "record.json"

_CHUNK = 1 << 20


class Record:
    """The record of one data folder.

    Parameters
    ----------
    root : Path
        The folder that holds the datasets.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / FOLDER / FILE

    def checksum(self, name: str, file: str) -> str | None:
        """Return the checksum seen when ``file`` of dataset ``name`` first came, or None."""
        return self._read()["checksums"].get(name, {}).get(file)

    def keep_checksum(self, name: str, file: str, checksum: str) -> None:
        """Remember a checksum for all later downloads."""
        with self._only_writer():
            self._sweep()
            content = self._read()
            content["checksums"].setdefault(name, {})[file] = checksum
            atomic_write(self.path, json.dumps(content, indent=2) + "\n")

    def licence_shown(self, name: str) -> bool:
        """Tell whether the licence of ``name`` was shown before."""
        return name in self._read()["licences_shown"]

    def keep_licence_shown(self, name: str) -> None:
        """Remember that the licence of ``name`` was shown, and on which day."""
        with self._only_writer():
            self._sweep()
            content = self._read()
            content["licences_shown"][name] = date.today().isoformat()
            atomic_write(self.path, json.dumps(content, indent=2) + "\n")

    def _only_writer(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{FILE}.lock"))

    def _sweep(self) -> None:
        """Remove what a process left that was killed while it wrote; the caller holds the lock."""
        for leftover in self.path.parent.glob(f".{FILE}.????????"):
            leftover.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict]:
        empty = {"checksums": {}, "licences_shown": {}}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read as JSON: mend or delete it") from error
        if not isinstance(content, dict):
            raise DataError(f"{self.path} must hold a JSON object: mend or delete it")
        return empty | content


def digest(path: Path, kind: str = "sha256") -> str:
    """Return the checksum of a file in the form ``sha256:<hex>``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     empty = Path(folder, "empty")
    ...     empty.touch()
    ...     digest(empty, "md5")
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    """
    total = hashlib.new(kind)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return f"{kind}:{total.hexdigest()}"
