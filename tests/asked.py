"""A server for those that ask, which answers worse than any real one would, and an outbox for what they then tell."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from fuseboard.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fuseboard.events import Event
    from fuseboard.stores import Entry

    Answering = Callable[["Request"], None]


class Kept:
    """An outbox that keeps everything, or is gone."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.entries: list[Entry] = []
        self.gone = False
        self.refused = 0

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        if self.gone:
            self.refused += 1
            raise StoreUnavailable("redis does not answer")
        self.events.extend(events)
        self.entries.append(entry)


class Request(BaseHTTPRequestHandler):
    """One request; what answers it is the server's."""

    def do_GET(self) -> None:
        """Let the test answer."""
        self.server.answering(self)  # type: ignore[attr-defined]

    def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Send all of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401  - the signature of the standard library
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answering: Answering) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answering = answering

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401  - the signature of the standard library
        """Say nothing of those that hang up."""


@contextmanager
def answering(answer: Answering) -> Iterator[str]:
    """Run a server that answers so; yield its address."""
    with _Server(answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
