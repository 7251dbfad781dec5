"""Unpacking archives that nobody here has packed: no path escapes, no links, a bound on size.

Only plain files and folders are written, below the target and nowhere else. What is refused is
refused before or while it is written into a temporary folder, so nothing of it is left.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ..errors import DownloadError
from ..manifests import Archive, Members
from .disk import check_room, plain_os_errors

_CHUNK = 1 << 20
_DRIVE_OR_STREAM = re.compile(r"[\\:\x00-\x1f]")


class FileHash(NamedTuple):
    """One file of a dataset: its path relative to the folder, its sha256 and its size in bytes."""

    path: str
    sha256: str
    size: int


class BadArchive(DownloadError):
    """An archive that is damaged, or that would do what an archive must not do."""


class Unsafe(Exception):
    """A reason to refuse an archive."""


_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # also what Python cannot unpack
    ValueError,
    OverflowError,
    KeyError,
    struct.error,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
)


def is_whole(path: Path, kind: str) -> bool:
    """Tell whether a file is a zip (with its closing directory) or a tar, without unpacking it."""
    try:
        return zipfile.is_zipfile(path) if kind == "zip" else tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error):
        return False


def unpack(path: Path, archive: Archive, target: Path) -> list[FileHash]:
    """Unpack ``path`` below ``target`` as its manifest entry says; return what was written.

    Raises
    ------
    BadArchive
        The archive is damaged, or has a member that is absolute, leaves the folder, is a link or a
        device, is encrypted or there twice, or it unpacks to more than ``unpacked_bytes_max``.
    DownloadError
        The disk is full, or the folder cannot be written.
    """
    writer = Writer(target, archive.unpacked_bytes_max, archive.members)
    with plain_os_errors(target), refusing(path):
        if archive.unpack == "zip":
            _unpack_zip(path, writer)
        else:
            _unpack_tar(path, writer)
    return writer.written


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a foreign archive into one line that names it."""
    try:
        yield
    except Unsafe as error:
        raise BadArchive(f"{path} was refused: {error}") from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadArchive(f"{path} is damaged: {reason}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # not of the disk: a seek to a wrong place
            raise
        raise BadArchive(f"{path} is damaged: {error}") from error


@dataclass
class Writer:
    """Writes members below one folder and keeps the rules that hold for every kind of archive.

    Parameters
    ----------
    target : Path
        The folder that nothing leaves.
    bytes_max : int
        How many bytes may be written in all.
    members : list of Members
        Which members to write and under which name; empty means all.
    """

    target: Path
    bytes_max: int
    members: list[Members] = field(default_factory=list)
    written: list[FileHash] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _bytes: int = 0

    def place(self, name: str) -> str | None:
        """Return where a member belongs, or None when it is not wanted.

        Raises
        ------
        Unsafe
            The name leaves the folder or was there before, letter case and accents aside.
        """
        name = safe_name(name)
        key = unicodedata.normalize("NFC", name).casefold()
        if key in self._names:
            raise Unsafe(f"it holds {name!r} twice")
        self._names.add(key)
        if name.startswith("__MACOSX/") or name.endswith(".DS_Store"):
            return None
        if not self.members:
            return name
        for rule in self.members:
            if name.startswith(rule.prefix):
                return safe_name(rule.into + name.removeprefix(rule.prefix))
        return None

    def claim(self, size: int) -> None:
        """Raise when ``size`` more bytes would pass the bound."""
        if self._bytes + size > self.bytes_max:
            raise Unsafe(f"it unpacks to more than the {self.bytes_max} bytes the manifest allows")

    def write(self, place: str, source: IO[bytes]) -> None:
        """Copy one member; the bound holds for what comes out, whatever the archive declared."""
        path = self.target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with open(path, "xb") as file:
            while chunk := source.read(_CHUNK):
                self.claim(len(chunk))
                self._bytes += len(chunk)
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
        self.written.append(FileHash(place, digest.hexdigest(), size))


def safe_name(name: str) -> str:
    """Return a member's name without ``./``.

    Raises
    ------
    Unsafe
        The name is empty, absolute, has ``..``, a drive, a backslash or a control character.

    Examples
    --------
    >>> safe_name("./a/b.png")
    'a/b.png'
    >>> safe_name("../b.png")
    Traceback (most recent call last):
    course_utils.downloads.archives.Unsafe: it would write outside its folder, '../b.png'
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or _DRIVE_OR_STREAM.search(name):
        raise Unsafe(f"it would write outside its folder, {name!r}")
    if not path.parts:
        raise Unsafe(f"it has a member without a name, {name!r}")
    return str(path)


def copy(source: Path, archive: Archive, target: Path) -> list[FileHash]:
    """Copy what the manifest names from a folder to ``target``, under the rules for archives.

    Raises
    ------
    BadArchive
        The folder holds a link, or more than the manifest allows.
    """
    writer = Writer(target, archive.unpacked_bytes_max, archive.members)
    with plain_os_errors(target), refusing(source):
        for path in sorted(source.rglob("*")):
            if path.is_symlink():
                raise Unsafe(f"it holds a link or a device, {path.name!r}")
            place = writer.place(path.relative_to(source).as_posix()) if path.is_file() else None
            if place:
                with open(path, "rb") as file:
                    writer.write(place, file)
    return writer.written


def _unpack_zip(path: Path, writer: Writer) -> None:
    with zipfile.ZipFile(path) as source:
        wanted = []
        for info in source.infolist():
            _check_zip_member(info)
            if info.is_dir():
                safe_name(info.filename)
            elif place := writer.place(info.filename):
                wanted.append((place, info))
        total = sum(info.file_size for _, info in wanted)
        writer.claim(total)
        check_room(writer.target, total)
        for place, info in wanted:
            with source.open(info) as file:
                writer.write(place, file)


def _check_zip_member(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x1:
        raise Unsafe(f"it is encrypted ({info.filename!r})")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Unsafe(f"it holds a link or a device, {info.filename!r}")


def _unpack_tar(path: Path, writer: Writer) -> None:
    with _decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as source:
        for info in source:
            if info.isdir():
                continue
            if not info.isreg():
                raise Unsafe(f"it holds a link or a device, {info.name!r}")
            place = writer.place(info.name)
            if place:
                writer.claim(info.size)
                check_room(writer.target, info.size)
                writer.write(place, source.extractfile(info))
        _read_rest(stream, writer)


def _decompressed(path: Path) -> IO[bytes]:
    """Open a tar of any compression; tarfile's own stream compares no checksum."""
    with open(path, "rb") as file:
        head = file.read(6)
    for start, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open)):
        if head.startswith(start):
            return opener(path, "rb")
    return open(path, "rb")


def _read_rest(stream: IO[bytes], writer: Writer) -> None:
    """Read what follows the last member: the checksum of the whole stands behind it."""
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        writer.claim(size)
