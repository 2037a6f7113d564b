"""A function behind a Trigger, in the process of the test: it keeps what it gets, and may reply."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Self

import urllib3

from tests.cluster.dns_proxy import read_body

DELIVERY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Message:
    """An event in binary mode: its attributes, without the prefix `ce-`, and its data."""

    attributes: dict[str, str]
    data: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)  # as they came

    def to_headers(self) -> dict[str, str]:
        """Return the headers that carry the attributes."""
        prefixed = {f"ce-{name}": value for name, value in self.attributes.items()}
        return {"Content-Type": "application/json", "ce-specversion": "1.0"} | prefixed


Handle = Callable[[Message], Message | None]


def keep_silent(_: Message) -> None:
    """Reply with nothing."""


class Function:
    """A local HTTP server that stands for a function."""

    def __init__(self, handle: Handle = keep_silent) -> None:
        """Choose a free port."""
        self._received: Queue[Message] = Queue()
        self._server = _Server(handle, self._received)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        """Serve."""
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def next(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> Message:
        """Return the next event that was delivered."""
        try:
            return self._received.get(timeout=timeout_s)
        except Empty:
            raise AssertionError(f"no event was delivered to {self.url} within {timeout_s:.0f} s") from None

    def has_more(self) -> bool:
        """Tell whether there are events that were delivered and not asked for."""
        return not self._received.empty()


def send(url: str, message: Message) -> None:
    """Post an event; a broker that has not heard of a new Trigger yet is asked again."""
    retries = urllib3.Retry(
        total=30,
        backoff_factor=0.05,
        backoff_max=1,
        status_forcelist=(404, 500),
        allowed_methods=None,
    )
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, body=message.data, headers=message.to_headers(), retries=retries)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # the broker keeps its connections

    def __init__(self, handle: Handle, received: Queue[Message]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.handle = handle
        self.received = received


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        data = read_body(self.rfile, self.headers.get("Transfer-Encoding"), length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")}
        message = Message(attributes, data, headers)
        reply = self.server.handle(message)
        self.server.received.put(message)
        self.send_response_only(200 if reply else 204)
        for name, value in (reply.to_headers() if reply else {}).items():
            self.send_header(name, value)
        body = reply.data if reply else b""
        if reply:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
