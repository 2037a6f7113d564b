"""HTTP servers under the control of a test: slow, broken or malformed answers."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answering = Callable[["ReceivedRequest"], None]


class ReceivedRequest(BaseHTTPRequestHandler):
    """A request; the server's function answers."""

    def do_GET(self) -> None:
        """Pass the request to the test."""
        self.server.answering(self)  # type: ignore[attr-defined]

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Send a complete answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401  - the signature of the standard library
        """Log nothing."""


class _AnsweringServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answering: Answering) -> None:
        super().__init__(("127.0.0.1", 0), ReceivedRequest)
        self.answering = answering

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401  - the signature of the standard library
        """Ignore clients that close the connection."""


@contextmanager
def answering(answer: Answering) -> Iterator[str]:
    """Run a server with this function as its answer; yield the address."""
    with _AnsweringServer(answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


LOOPBACK = "127.0.0.1"


class Listening:
    """Answers every connection with the same pieces of bytes, and keeps each request."""

    def __init__(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Wait ``pause_s`` seconds after each piece."""
        self.asked: list[bytes] = []
        self._pieces = pieces
        self._pause_s = pause_s
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def answers(self, *pieces: bytes) -> None:
        """Answer with other pieces from now on."""
        self._pieces = pieces

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            self.asked.append(connection.recv(4_096))
            try:
                for piece in self._pieces:
                    connection.sendall(piece)
                    time.sleep(self._pause_s)
            except OSError:
                return


@contextmanager
def listening(*pieces: bytes, pause_s: float = 0.0) -> Iterator[Listening]:
    """Listen until the block ends."""
    found = Listening(*pieces, pause_s=pause_s)
    try:
        yield found
    finally:
        found.close()
