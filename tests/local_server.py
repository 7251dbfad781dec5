"""A web server on this machine that misbehaves on request, for the tests of downloads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 14


@dataclass
class Answer:
    """How to answer one request.

    ``cut_at`` and ``stall_at`` count bytes of this answer's body, ``claim`` is the Content-Length
    to state, ``drip`` the seconds between single bytes, ``ranges`` whether Range headers are heeded
    and ``range_start`` the start to state in place of the true one; ``encoding`` is the
    Content-Encoding to state, ``pause`` the seconds between pieces of 2000 bytes.
    """

    body: bytes = b""
    status: int = 200
    etag: str | None = '"one"'
    kind: str = "application/octet-stream"
    location: str | None = None
    cut_at: int | None = None
    stall_at: int | None = None
    claim: int | None = None
    drip: float = 0.0
    ranges: bool = True
    range_start: int | None = None
    chunked: bool = False
    encoding: str | None = None
    pause: float = 0.0


@dataclass
class Seen:
    """One request that came in."""

    path: str
    headers: dict[str, str]


@dataclass
class LocalServer:
    """Serves given answers by path; the last answer of a path is given again and again.

    Examples
    --------
    >>> import requests
    >>> with LocalServer() as server:
    ...     url = server.put("/a.bin", Answer(b"abc"))
    ...     requests.get(url, timeout=5).content
    b'abc'
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> LocalServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def put(self, path: str, *answers: Answer) -> str:
        """Set the answers of a path, in order, and return its address."""
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def asked(self, path: str) -> int:
        """Return how many requests came for a path."""
        return sum(one.path == path for one in self.seen)

    def next_answer(self, path: str) -> Answer:
        """Return the answer that is due for a path."""
        due = self.answers.get(path) or [Answer(status=404)]
        return due.pop(0) if len(due) > 1 else due[0]


def _handler(server: LocalServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.seen.append(Seen(self.path, dict(self.headers)))
            answer = server.next_answer(self.path)
            start = self._start(answer)
            body = answer.body[start:]
            self.send_response(206 if start and answer.status == 200 else answer.status)
            for name, value in self._headers(answer, start, len(body)).items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            try:
                self._send(body, answer)
            except OSError:
                return

        def _start(self, answer: Answer) -> int:
            wanted = self.headers.get("Range")
            fits = self.headers.get("If-Range") in (None, answer.etag)
            if not wanted or not answer.ranges or not fits:
                return 0
            return int(wanted.removeprefix("bytes=").rstrip("-"))

        def _headers(self, answer: Answer, start: int, length: int) -> dict[str, str]:
            headers = {"Content-Type": answer.kind, "Connection": "close"}
            if answer.chunked:
                headers["Transfer-Encoding"] = "chunked"
            else:
                headers["Content-Length"] = str(length if answer.claim is None else answer.claim)
            if answer.encoding:
                headers["Content-Encoding"] = answer.encoding
            if answer.etag:
                headers["ETag"] = answer.etag
            if answer.location:
                headers["Location"] = answer.location
            if start:
                shown = start if answer.range_start is None else answer.range_start
                total = len(answer.body)
                headers["Content-Range"] = f"bytes {shown}-{total - 1}/{total}"
            return headers

        def _send(self, body: bytes, answer: Answer) -> None:
            if answer.cut_at is not None:
                body = body[: answer.cut_at]
            if answer.stall_at is not None:
                self._write(body[: answer.stall_at], answer)
                server.closing.wait(30)
                return
            self._write(body, answer)
            if answer.chunked and answer.cut_at is None:
                self.wfile.write(b"0\r\n\r\n")

        def _write(self, body: bytes, answer: Answer) -> None:
            step = 1 if answer.drip else 2000 if answer.pause else _PIECE
            for at in range(0, len(body), step):
                piece = body[at : at + step]
                if answer.chunked:
                    piece = b"%x\r\n%s\r\n" % (len(piece), piece)
                self.wfile.write(piece)
                self.wfile.flush()
                if answer.drip or answer.pause:
                    time.sleep(answer.drip or answer.pause)

    return Handler
