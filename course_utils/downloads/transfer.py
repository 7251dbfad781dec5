"""One file from one address: resumed where it broke off, never taken for whole when it is not.

The bytes grow in ``<file>.part``, with its address, validator and length in ``<file>.part.json``
beside it. Only a complete part is handed on, and pooch then compares the checksum.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from ..paths import atomic_write
from .disk import check_room, plain_os_errors

_CHUNK = 1 << 20
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Refused(Exception):
    """This address will not give the file: go on to the next mirror."""


class Interrupted(Exception):
    """The transfer broke in a way that may pass: try the same address again.

    ``wait`` is the number of seconds the server asked for, if it did.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How long to wait for servers; all times in seconds.

    A server that sends nothing for ``read`` seconds, or over that long fewer than ``slowest`` bytes
    a second, counts as stalled. After ``attempts`` failures without progress the next mirror is
    tried; ``pause`` doubles from one to the next, up to ``longest_pause``.
    """

    connect: float = 10.0
    read: float = 30.0
    slowest: float = 1024.0
    attempts: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0


@dataclass
class Part:
    """A file that is still growing, with what must hold for it to be continued."""

    path: Path

    @property
    def _notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        """Return the number of bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def notes(self, url: str) -> dict:
        """Return validator and total of the part if it came from ``url``, else an empty dict."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) and notes.get("url") == url else {}

    def start(self, url: str, validator: str | None, total: int | None) -> None:
        """Begin anew; the old bytes go first, so they never meet the new notes."""
        self.discard()
        notes = {"url": url, "validator": validator, "total": total}
        atomic_write(self._notes, json.dumps(notes))

    def discard(self) -> None:
        """Remove the part and its notes."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)


@dataclass
class Downloader:
    """A downloader for :func:`pooch.retrieve` that resumes, retries and gives up on time.

    Parameters
    ----------
    part : Part
        Where the bytes grow.
    expected_bytes : int or None
        The exact length of the file where the manifest knows it.
    patience : Patience
        Timeouts and attempts.
    progress : bool
        Whether to show a progress bar.
    """

    part: Part
    expected_bytes: int | None = None
    patience: Patience = field(default_factory=Patience)
    progress: bool = True
    resumed: bool = False

    def __call__(self, url: str, output_file: str, pooch: object = None) -> None:
        """Bring ``url`` to ``output_file``, whole.

        Raises
        ------
        Refused
            The address does not give the file, or no longer makes progress.
        DownloadError
            The disk is full, or the folder cannot be written.
        """
        self.resumed = False
        with requests.Session() as session, plain_os_errors(self.part.path):
            session.max_redirects = 10
            self._persist(session, url)
            self._look_inside()
            os.replace(self.part.path, output_file)
            self.part.discard()

    def _persist(self, session: requests.Session, url: str) -> None:
        """Try until the part is whole; only failures that brought nothing new are counted."""
        failures, most = 0, self.part.size
        while True:
            try:
                return self._attempt(session, url)
            except Interrupted as reason:
                failures = 1 if self.part.size >= most + _CHUNK else failures + 1
                most = max(most, self.part.size)
                if failures >= self.patience.attempts:
                    raise Refused(f"{reason}, {failures} times") from reason
                pause = max(self.patience.pause * 2 ** (failures - 1), reason.wait)
                time.sleep(min(pause, self.patience.longest_pause))

    def _attempt(self, session: requests.Session, url: str) -> None:
        """Ask for what is missing and write it; return only when the part is whole."""
        notes, size = self.part.notes(url), self.part.size
        if notes and size and size == notes.get("total"):
            return
        headers = {"Accept-Encoding": "identity"}
        if size and notes.get("validator"):
            headers |= {"Range": f"bytes={size}-", "If-Range": notes["validator"]}
        times = (self.patience.connect, self.patience.read)
        with (
            _telling_errors(),
            session.get(url, headers=headers, stream=True, timeout=times) as response,
        ):
            total = self._accept(response, url, notes)
            self._write(response, total)

    def _accept(self, response: requests.Response, url: str, notes: dict) -> int | None:
        """Judge the answer before any byte of it is kept; return the length of the whole file."""
        if response.status_code == 416:
            self.part.discard()
            raise Interrupted("the server has no bytes after those that are here")
        _check_status(response)
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise Refused(f"sends on to {response.url}, which is not https")
        if "text/html" in response.headers.get("Content-Type", ""):
            raise Refused("gave a web page (a login or consent page?) instead of the file")
        if response.status_code == 206:
            return self._continue(response, notes)
        total = _number(response.headers.get("Content-Length"))
        if self.expected_bytes and total not in (None, self.expected_bytes):
            raise Refused(f"has {total} bytes, the manifest says {self.expected_bytes}")
        self.part.start(url, _validator(response), total)
        check_room(self.part.path.parent, total or 0)
        return total

    def _continue(self, response: requests.Response, notes: dict) -> int:
        """Check that a partial answer goes on exactly where the part ends."""
        start, total = _content_range(response.headers.get("Content-Range", ""))
        if start != self.part.size or total is None or total != (notes.get("total") or total):
            self.part.discard()
            raise Interrupted("the server answered with another range than was asked for")
        self.resumed = True
        return total

    def _write(self, response: requests.Response, total: int | None) -> None:
        """Append the body to the part, watching speed and length."""
        limit = total or self.expected_bytes
        bar = tqdm(
            total=limit,
            initial=self.part.size,
            unit="B",
            unit_scale=True,
            desc=self.part.path.stem,
            disable=not self.progress,
        )
        with bar, open(self.part.path, "ab") as file:
            for chunk in _steady(response, self.patience):
                file.write(chunk)
                bar.update(len(chunk))
                if self.expected_bytes and file.tell() > self.expected_bytes:
                    break
        self._check_length(total)

    def _check_length(self, total: int | None) -> None:
        size, wanted = self.part.size, self.expected_bytes or total
        if wanted is not None and size < wanted:
            raise Interrupted(f"the connection ended after {size} of {wanted} bytes")
        if wanted is not None and size > wanted:
            self.part.discard()
            raise Refused(f"gave more than the {wanted} bytes that were expected")

    def _look_inside(self) -> None:
        """Refuse a web page that was sent under another content type."""
        with open(self.part.path, "rb") as file:
            head = file.read(512).lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html")):
            self.part.discard()
            raise Refused("gave a web page (a login or consent page?) instead of the file")


def _check_status(response: requests.Response) -> None:
    code = response.status_code
    if code in (200, 206):
        return
    reason = f"HTTP {code} {response.reason or ''}".strip()
    if code in _TRY_AGAIN:
        raise Interrupted(reason, _number(response.headers.get("Retry-After")) or 0)
    raise Refused(reason)


def _validator(response: requests.Response) -> str | None:
    """Return what If-Range may hold: a strong ETag, else the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _content_range(text: str) -> tuple[int | None, int | None]:
    """Return (start, total) of a Content-Range header.

    Examples
    --------
    >>> _content_range("bytes 10-99/100")
    (10, 100)
    >>> _content_range("bytes 10-99/*")
    (10, None)
    """
    span, _, total = text.removeprefix("bytes ").partition("/")
    return _number(span.partition("-")[0]), _number(total)


def _steady(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """Yield what arrives as it arrives; raise when too little came in ``patience.read`` seconds."""
    since, arrived = time.monotonic(), 0
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        yield chunk
        arrived += len(chunk)
        elapsed = time.monotonic() - since
        if elapsed >= patience.read:
            if arrived < patience.slowest * elapsed:
                raise Interrupted(f"the server sent only {arrived / elapsed:.0f} bytes a second")
            since, arrived = time.monotonic(), 0


@contextmanager
def _telling_errors() -> Iterator[None]:
    """Turn the many errors of requests and urllib3 into the two that matter here."""
    try:
        yield
    except requests.TooManyRedirects as error:
        raise Refused("sends on in a circle (too many redirects)") from error
    except requests.exceptions.SSLError as error:
        raise Refused("has no valid certificate") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Interrupted("the server stalled") from error
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        raise Interrupted("the connection failed or broke off") from error
    except requests.RequestException as error:
        raise Refused(f"cannot be fetched ({type(error).__name__})") from error
