"""Dataset folders: where one lies, how much of the release it holds, whether it is intact."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import manifests, paths
from ..errors import DataError, ManifestError
from ..manifests import Layout, Manifest
from .archives import FileHash
from .record import digest

MARKER = ".files.csv"
_COLUMNS = ["path", "sha256", "size"]


@dataclass(frozen=True)
class Found:
    """How many files of one kind are in a folder, and how many a release has (None: not known)."""

    what: str
    found: int
    expected: int | None


@dataclass(frozen=True)
class Coverage:
    """How much of a release a folder holds.

    Attributes
    ----------
    cases, release : int
        Cases found, and cases of the whole release.
    parts : tuple of Found
        The same for each kind of file in the manifest's layout.
    """

    name: str
    folder: Path
    unit: str
    cases: int
    release: int
    parts: tuple[Found, ...]

    @property
    def complete(self) -> bool:
        """Whether every kind of file is there in the number the release has."""
        return all(
            part.found == part.expected if part.expected else part.found for part in self.parts
        )

    def __str__(self) -> str:
        whole = "the whole release" if self.complete else "a part of the release"
        parts = ", ".join(
            f"{part.found} of {part.expected or '?'} {part.what}" for part in self.parts
        )
        return (
            f"{self.name} in {self.folder}: {whole}, {self.cases} of {self.release} "
            f"{self.unit}s ({parts})"
        )


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found.

    Attributes
    ----------
    basis : str
        "published hashes", "hashes recorded at download" or "counts".
    checked : int
        How many files were there and compared.
    missing, altered : tuple of str
        Paths relative to the folder, sorted. What is missing makes a copy partial, not wrong.
    """

    coverage: Coverage
    basis: str
    checked: int
    missing: tuple[str, ...]
    altered: tuple[str, ...]

    @property
    def status(self) -> str:
        """Return "altered", "partial" or "complete"."""
        if self.altered:
            return "altered"
        return "complete" if self.coverage.complete and not self.missing else "partial"


def manifest_of(name: str | Manifest) -> Manifest:
    """Return the manifest of a name; a manifest passes through."""
    return name if isinstance(name, Manifest) else manifests.load(name)


def find(name: str | Manifest, root: str | os.PathLike | None = None) -> Path | None:
    """Return the folder of a dataset below ``root``, whole or partial, or None.

    Both ``root/<name>`` and ``root`` itself are looked at, so that an archive unpacked straight
    into the data folder is found too.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     image = Path(root, "stage1_train", "a", "images", "a.png")
    ...     image.parent.mkdir(parents=True)
    ...     image.touch()
    ...     find("bbbc038", root) == Path(root).resolve()
    True
    """
    manifest = manifest_of(name)
    root = paths.data_root(root or "")
    candidates = [root / manifest.name, *([root] if manifest.loose else [])]
    return next((folder for folder in candidates if _holds_cases(manifest, folder)), None)


def _holds_cases(manifest: Manifest, folder: Path) -> bool:
    return folder.is_dir() and any(True for _ in folder.glob(manifest.cases.glob))


def coverage(name: str | Manifest, folder: str | os.PathLike) -> Coverage:
    """Count what a folder holds of each kind of file, against what the release has.

    Raises
    ------
    DataError
        ``folder`` is no folder.
    """
    manifest, folder = manifest_of(name), Path(folder)
    if not folder.is_dir():
        raise DataError(f"expected the folder of {manifest.name} at {folder}, found none")
    cases = manifest.cases
    return Coverage(
        name=manifest.name,
        folder=folder,
        unit=cases.unit,
        cases=sum(1 for _ in folder.glob(cases.glob)),
        release=cases.release,
        parts=tuple(_count(folder, part) for part in manifest.layout),
    )


def _count(folder: Path, part: Layout) -> Found:
    return Found(part.what, sum(1 for _ in folder.glob(part.glob)), part.count)


def verify(name: str | Manifest, root: str | os.PathLike | None = None) -> Verification:
    """Compare a dataset folder, file by file, with the hashes that are known of it.

    Published hashes (``file_hashes`` of the manifest) come first, then those recorded when the
    dataset was downloaded; without either only the counts can be compared.

    Raises
    ------
    DataError
        No folder of the dataset was found, or its table of hashes cannot be read.
    """
    manifest = manifest_of(name)
    root = paths.data_root(root or "")
    folder = find(manifest, root)
    if folder is None:
        raise DataError(
            f"expected {manifest.name} in {root / manifest.name}, found no file like "
            f"{manifest.cases.glob}: fetch it with 'course data get {manifest.name}'"
        )
    basis, table = _table(manifest, folder)
    present = [row for row in table if (folder / row.path).is_file()]
    altered = tuple(sorted(row.path for row in present if not _same(folder / row.path, row)))
    missing = tuple(sorted({row.path for row in table} - {row.path for row in present}))
    return Verification(coverage(manifest, folder), basis, len(present), missing, altered)


def _table(manifest: Manifest, folder: Path) -> tuple[str, list[FileHash]]:
    """Return the best table of hashes there is, and what it is based on."""
    if manifest.file_hashes:
        return "published hashes", read_table(manifests.folder() / manifest.file_hashes)
    if (folder / MARKER).is_file():
        return "hashes recorded at download", read_table(folder / MARKER)
    return "counts", []


def _same(path: Path, row: FileHash) -> bool:
    return path.stat().st_size == row.size and digest(path) == f"sha256:{row.sha256}"


def table_text(rows: Iterable[FileHash]) -> str:
    """Return a table of hashes as CSV text, sorted by path.

    Examples
    --------
    >>> table_text([FileHash("b.png", "00", 2), FileHash("a.png", "ff", 1)])
    'path,sha256,size\\na.png,ff,1\\nb.png,00,2\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(sorted(rows))
    return text.getvalue()


def table_digest(rows: Iterable[FileHash]) -> str:
    """Return one checksum for a whole folder: that of its table of hashes."""
    return "sha256:" + hashlib.sha256(table_text(rows).encode()).hexdigest()


def read_table(path: Path) -> list[FileHash]:
    """Read a table of hashes with the columns path, sha256 and size (bytes).

    Raises
    ------
    ManifestError
        It is not there, or a row is not of that form; the line is named.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"the table of hashes {path} cannot be read ({error})") from error
    if not rows or rows[0] != _COLUMNS:
        raise ManifestError(f"{path}, line 1: expected the columns {','.join(_COLUMNS)}")
    return [_row(path, number, row) for number, row in enumerate(rows[1:], start=2)]


def _row(path: Path, number: int, row: list[str]) -> FileHash:
    if len(row) != len(_COLUMNS) or len(row[1]) != 64 or not row[2].isdigit():
        raise ManifestError(
            f"{path}, line {number}: expected a path, 64 hex digits and a size, found {row}"
        )
    return FileHash(row[0], row[1].lower(), int(row[2]))
