"""An API server on a real socket that answers lists and watches by a script; tests use the real client."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from fuseboard.cluster.client import Kubernetes
from fuseboard.cluster.config import api_client
from fuseboard.testing.api_server import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVENTS = "/api/v1/namespaces/shop/events"
WITHIN_S = 60.0
"""A machine that is busy with other tests makes this slow: that is no finding."""
OTHERS = ("pods", "deployments", "statefulsets")
"""Other watched kinds; their scripts return empty lists by default."""


@dataclass
class Asked:
    """A received request."""

    path: str
    query: dict[str, str]
    at: float = field(default_factory=time.monotonic)

    @property
    def verb(self) -> str:
        """``list``, ``probe``, ``watch`` or ``get`` for Events; ``pods_list`` and the like for other kinds."""
        plural = self.path.rpartition("/")[2]
        if self.path != EVENTS and plural not in OTHERS:
            return "get"
        verb = "probe" if "resourceVersionMatch" in self.query else "list"
        verb = "watch" if "watch" in self.query else verb
        return verb if self.path == EVENTS else f"{plural}_{verb}"


@dataclass
class Answer:
    """An answer; ``lines`` make a stream, and the fields after ``lines`` decide how the stream ends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lines: tuple[bytes, ...] = ()
    stays: bool = False
    """Stay open, without a byte, until the test is over."""
    breaks: bool = False
    """Break off in the middle of a chunk."""
    lasts_s: float = 0.0
    """Stay open for this many seconds, then end as a server does in time."""
    waits: bool = False
    """Send the lines only after ``ApiScript.go`` is set."""

    @property
    def is_stream(self) -> bool:
        """Whether the answer goes on after its first line."""
        return bool(self.lines or self.stays or self.breaks or self.lasts_s)


class ApiScript:
    """Answers each verb by its script; the last answer of a script is repeated."""

    def __init__(self, **scripts: list[Answer]) -> None:
        """Take a script per verb: ``list=[…], watch=[…], probe=[…], get=[…]``."""
        self.scripts = {"list": [listed()], "watch": [Answer(stays=True)], "probe": [listed()]}
        for plural in OTHERS:
            self.scripts |= {f"{plural}_list": [listed()], f"{plural}_watch": [Answer(stays=True)]}
            self.scripts[f"{plural}_probe"] = [listed()]
        self.scripts |= scripts
        self.asked: list[Asked] = []
        self.over, self.go = Flag(), Flag()
        self._lock = Lock()
        self._server = _ScriptServer(self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self.over.set()
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WITHIN_S)

    def client(self, directory: Path) -> Kubernetes:
        """Return the real client of this server."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return Kubernetes(api_client(str(kubeconfig(directory, url))))

    def verbs(self) -> list[str]:
        """Return the verbs of all requests, in order."""
        return [each.verb for each in self.asked]

    def of(self, verb: str) -> list[Asked]:
        """Return the requests of a verb."""
        return [each for each in self.asked if each.verb == verb]

    def next_answer(self, asked: Asked) -> Answer:
        """Return the answer to a request, by the script of its verb."""
        with self._lock:
            self.asked.append(asked)
            script = self.scripts.get(asked.verb) or [Answer(404, b"{}")]
            return script.pop(0) if len(script) > 1 else script[0]


class _ScriptServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, script: ApiScript) -> None:
        super().__init__(("127.0.0.1", 0), _ScriptHandler)
        self.script = script


class _ScriptHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _ScriptServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        answer = self.server.script.next_answer(Asked(parts.path, dict(parse_qsl(parts.query))))
        try:
            self._send(answer)
        except OSError:
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.is_stream:
            self._stream(answer)
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _stream(self, answer: Answer) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self.server.script.go.wait(None if answer.waits else 0)
        for line in answer.lines:
            self.wfile.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))
        self.wfile.flush()
        over = self.server.script.over
        over.wait(answer.lasts_s)
        if answer.stays:
            over.wait()
        if answer.breaks:
            self.wfile.write(b"ff\r\n{")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def listed(*objects: dict[str, Any], version: str = "100", more: str = "") -> Answer:
    """Return a list."""
    meta = {"resourceVersion": version} | ({"continue": more} if more else {})
    return Answer(body=json.dumps({"kind": "EventList", "metadata": meta, "items": list(objects)}).encode())


def refusal(status: int, message: str = "no", **headers: str) -> Answer:
    """Return a Status."""
    body = {"kind": "Status", "status": "Failure", "code": status, "message": message}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body).encode(), named)


def streamed(*lines: bytes, **how: Any) -> Answer:  # noqa: ANN401  - fields of Answer
    """Return a stream."""
    return Answer(lines=lines, **how)


def change(kind: str, found: dict[str, Any]) -> bytes:
    """Return a line of a stream."""
    return json.dumps({"type": kind, "object": found}).encode()


def error(status: int, message: str = "too old resource version: 1 (2)") -> bytes:
    """Return the line of a stream that ends it."""
    return change("ERROR", {"kind": "Status", "code": status, "message": message})


@contextmanager
def in_thread(run: Callable[[Flag], None], wake: Callable[[], object] = bool) -> Iterator[None]:
    """Run a watcher in a thread until the block ends; ``wake`` ends its wait, and it must stop within a minute."""
    stop = Flag()
    thread = Thread(target=run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def until(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Wait until a condition is true; fail after ``within_s`` seconds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.01)
