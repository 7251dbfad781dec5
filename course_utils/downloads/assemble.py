"""From a manifest to a complete dataset folder, by one writer at a time.

Archives and everything unfinished lie in ``<root>/downloads``; ``<root>/<name>`` appears in one
move, when all of it is there. Whatever a killed process leaves is continued or swept away by the
next one.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from .. import paths
from ..errors import DataError, DownloadError
from ..manifests import RECORD, Archive, Manifest
from . import archives, kaggle
from .archives import BadArchive, FileHash
from .disk import check_room, plain_os_errors
from .folders import MARKER, coverage, find, manifest_of, table_digest, table_text
from .record import FOLDER, Record, digest
from .transfer import Downloader, Part, Patience, Refused


def get(
    name: str | Manifest,
    root: str | os.PathLike | None = None,
    *,
    progress: bool = True,
    notify: Callable[[str], None] = print,
    confirm: Callable[[str], bool] | None = None,
    patience: Patience | None = None,
) -> Path:
    """Return the complete folder of a dataset, downloading what is not there.

    Parameters
    ----------
    name : str or Manifest
        The dataset.
    root : path, optional
        The folder that holds datasets; default is :func:`course_utils.paths.data_root`.
    progress : bool
        Whether to show a progress bar for each file.
    notify : callable
        Takes a line for the reader: the licence (once, before the first byte), a wait, a note.
    confirm : callable, optional
        Takes the licence when it is shown for the first time and says whether to go on.
    patience : Patience, optional
        Timeouts and attempts.

    Raises
    ------
    DownloadError
        No mirror gave the file, or what came is not what the manifest promises; the line names
        address, file and the folder in which a file fetched by hand is picked up.
    DataError
        The folder's place is taken by something else, or by a part of the dataset.
    """
    manifest, root = manifest_of(name), paths.data_root(root or "")
    patience = patience or Patience()
    whole = _whole(manifest, root)
    if whole is not None:
        _drop_archives(manifest, root)
        return whole
    job = _Job(manifest, root, progress, notify, confirm, patience)
    with plain_os_errors(root), job.only_writer():
        return _whole(manifest, root) or job.run()


def licence_text(manifest: Manifest) -> str:
    """Return the licence of a dataset in lines to read before its first download.

    Examples
    --------
    >>> from course_utils import manifests
    >>> print(licence_text(manifests.load("mosmed")).splitlines()[0])
    MosMedData, chest CT, the parts CT-0 and CT-23: CC BY-NC-ND 3.0
    """
    licence = manifest.licence
    lines = [f"{manifest.title}: {licence.name}", f"  {licence.url}"]
    lines += [f"  not allowed: {what}" for what in licence.forbids]
    return "\n".join([*lines, f"  please cite: {manifest.citation}"])


def _whole(manifest: Manifest, root: Path) -> Path | None:
    """Return the dataset's folder if it is complete: marked by a download, or by its counts."""
    folder = find(manifest, root)
    if folder is None:
        return None
    complete = (folder / MARKER).is_file() or coverage(manifest, folder).complete
    return folder if complete else None


def _drop_archives(manifest: Manifest, root: Path) -> None:
    """Remove the archives of a dataset that is in place: a process was killed before it did."""
    if (root / manifest.name / MARKER).is_file():
        shutil.rmtree(root / FOLDER / manifest.name, ignore_errors=True)


@dataclass(frozen=True)
class _Job:
    """One download of one dataset; see :func:`get` for the fields."""

    manifest: Manifest
    root: Path
    progress: bool
    notify: Callable[[str], None]
    confirm: Callable[[str], bool] | None
    patience: Patience

    @property
    def target(self) -> Path:
        return self.root / self.manifest.name

    @property
    def folder(self) -> Path:
        """Return where archives grow, and where a hand-made download belongs."""
        return self.root / FOLDER / self.manifest.name

    @property
    def staging(self) -> Path:
        return self.root / FOLDER / f"{self.manifest.name}.unpacking"

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold the dataset's lock; a second process waits here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / FOLDER / f".{self.manifest.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.notify(f"another process is fetching {self.manifest.name}, waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def run(self) -> Path:
        """Fetch, check, unpack and move into place; the caller holds the lock."""
        self._sweep()
        self._check_target()
        self._show_licence()
        self._check_room()
        files = self._archives()
        rows = self._unpack_all(files)
        self._check_content(files, rows)
        self._move_into_place(rows)
        return self.target

    def _sweep(self) -> None:
        """Remove what a killed process left half-made; parts stay, they are continued."""
        shutil.rmtree(self.staging, ignore_errors=True)
        for leftover in self.folder.glob("tmp????????"):
            leftover.unlink()

    def _check_target(self) -> None:
        """Never write over a folder that is already there."""
        if not self.target.exists():
            return
        if self.target.is_dir() and not any(self.target.iterdir()):
            self.target.rmdir()
        elif find(self.manifest, self.root) == self.target:
            raise DataError(
                f"{coverage(self.manifest, self.target)}: it was left as it is; use it as a part, "
                "or move it away, or choose another folder with --root"
            )
        else:
            raise DataError(
                f"{self.target} is in the way: it holds no file like {self.manifest.cases.glob}; "
                "move it away, or choose another folder with --root"
            )

    def _show_licence(self) -> None:
        record, name = Record(self.root), self.manifest.name
        if record.licence_shown(name):
            return
        text = licence_text(self.manifest)
        if self.confirm is None:
            self.notify(text)
        elif not self.confirm(text):
            raise DownloadError(f"the licence of {name} was not accepted: nothing was downloaded")
        record.keep_licence_shown(name)

    def _check_room(self) -> None:
        """Ask for room for each archive that is still to come, and for what it unpacks to."""
        needed = 0
        for archive in self.manifest.archives:
            size = archive.bytes or archive.about_bytes or 0
            needed += size if (self.folder / archive.file).exists() else 2 * size
        check_room(self.root, needed)

    def _archives(self) -> dict[Path, Archive]:
        """Return the archives that lie in the folder, fetched or put there by hand.

        One without addresses, which is not there, is Kaggle's: then its folder is returned.
        """
        files = {}
        for archive in self.manifest.archives:
            path = self.folder / archive.file
            if path.exists():
                self._check_file(path, archive)
            elif archive.urls:
                self._fetch(path, archive)
            else:
                path = kaggle.fetch(self.manifest.kaggle, by_hand=path)
            files[path] = archive
        return files

    def _known(self, archive: Archive) -> str | None:
        """Return the checksum to hold a file against: the publisher's, else the recorded one."""
        if archive.checksum != RECORD:
            return archive.checksum
        return Record(self.root).checksum(self.manifest.name, archive.file)

    def _check_file(self, path: Path, archive: Archive) -> None:
        """Check a file that lies in the downloads folder.

        Raises
        ------
        DownloadError
            Its length, checksum or kind is wrong; it is left where it is.
        """
        found, known = path.stat().st_size, self._known(archive)
        if archive.bytes and found != archive.bytes:
            wrong = f"has {found} bytes, expected {archive.bytes}"
        elif known and (found := digest(path, known.partition(":")[0])) != known:
            wrong = f"has the checksum {found}, expected {known}{self._origin(archive)}"
        elif not archives.is_whole(path, archive.unpack):
            wrong = f"is no whole {archive.unpack} file"
        else:
            return
        raise DownloadError(f"{path} {wrong}: delete it and run the command again")

    def _origin(self, archive: Archive) -> str:
        """Say where a checksum is from when it is our own record."""
        if archive.checksum != RECORD:
            return ""
        return (
            f" as at the first download (if the publisher changed it: see {Record(self.root).path})"
        )

    def _fetch(self, path: Path, archive: Archive) -> None:
        """Fetch one archive from the first mirror that gives it."""
        reasons = []
        for url in archive.urls:
            try:
                return self._fetch_from(url, path, archive)
            except Refused as reason:
                reasons.append(f"{url} {reason}")
        raise DownloadError(
            f"{archive.file} of {self.manifest.name} could not be downloaded "
            f"({'; '.join(reasons)}): run the command again later, or put the file into "
            f"{self.folder} by hand"
        )

    def _fetch_from(self, url: str, path: Path, archive: Archive) -> None:
        """Fetch one archive from one mirror; a resumed file that turns out wrong is begun anew."""
        part = Part(path.with_name(path.name + ".part"))
        downloader = Downloader(part, archive.bytes, self.patience, self.progress)
        try:
            self._retrieve(url, path, archive, downloader)
        except Refused:
            if not downloader.resumed:
                raise
            self._retrieve(url, path, archive, downloader)

    def _retrieve(self, url: str, path: Path, archive: Archive, downloader: Downloader) -> None:
        known = self._known(archive)
        try:
            with _quiet_pooch():
                pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=downloader)
        except ValueError as error:
            raise Refused(
                f"gave a file whose checksum is not {known}{self._origin(archive)}"
            ) from error
        if not archives.is_whole(path, archive.unpack):
            path.unlink()
            raise Refused(f"gave a file that is no whole {archive.unpack} file")

    def _unpack_all(self, files: dict[Path, Archive]) -> list[FileHash]:
        """Unpack into the staging folder; an archive that is refused is set aside."""
        rows = []
        try:
            self.staging.mkdir()
            for path, archive in files.items():
                unpack = archives.copy if path.is_dir() else archives.unpack
                rows += unpack(path, archive, self.staging)
        except BaseException as error:
            shutil.rmtree(self.staging, ignore_errors=True)
            if isinstance(error, BadArchive) and path.is_file():
                aside = path.replace(path.with_name(path.name + ".refused"))
                raise BadArchive(f"{error}; it was set aside as {aside}") from error
            raise
        return rows

    def _check_content(self, files: dict[Path, Archive], rows: list[FileHash]) -> None:
        """Compare what was unpacked with the manifest's layout; keep checksums seen first now."""
        content = coverage(self.manifest, self.staging)
        empty = [part.what for part in content.parts if not part.found]
        if empty:
            shutil.rmtree(self.staging)
            raise DownloadError(
                f"{self.manifest.name} was unpacked from {self.folder} and holds none of: "
                f"{', '.join(empty)}; delete the archives there and run the command again"
            )
        if not content.complete:
            self.notify(f"not in the numbers the manifest promises: {content}")
            return
        for path, archive in files.items():
            self._keep(path, archive, rows)

    def _keep(self, path: Path, archive: Archive, rows: list[FileHash]) -> None:
        """Record a checksum that was not known; of a folder from Kaggle, that of its table."""
        record, name = Record(self.root), self.manifest.name
        if path.is_dir():
            found, known = table_digest(rows), record.checksum(name, self.manifest.kaggle)
            if known not in (None, found):
                shutil.rmtree(self.staging)
                raise DownloadError(
                    f"{name} from Kaggle has the checksum {found}, expected {known}"
                    f"{self._origin(archive)}: delete {path} and run the command again"
                )
            record.keep_checksum(name, self.manifest.kaggle, found)
        elif self._known(archive) is None:
            record.keep_checksum(name, archive.file, digest(path))

    def _move_into_place(self, rows: list[FileHash]) -> None:
        """Mark the folder as complete, move it in one step, then drop the archives."""
        paths.atomic_write(self.staging / MARKER, table_text(rows))
        os.replace(self.staging, self.target)
        _drop_archives(self.manifest, self.root)


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch's notes about each download to itself."""
    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
