"""Load a server over connections that are kept: the next request goes out when the answer is there.

Standard library only, and no import of ours: it is started anew for every sample. Reads a job from standard input,
and writes what it saw to standard output. In every request, ``ID`` becomes a number that comes once only, and ``TIME``
the time of day.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from datetime import UTC, datetime
from itertools import count as counting
from itertools import cycle
from typing import Any, Final

ID: Final = b"000000000000"
TIME: Final = b"2000-01-01T00:00:00.000Z"
TIMEOUT_S: Final = 30.0


class Connection:
    """One connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.found = b""

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.began, self.found = time.perf_counter(), b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there, and say whether the answer is complete."""
        part = self.socket.recv(65_536)
        if not part:
            sys.exit(f"the server closed the connection after {self.found!r}")
        self.found += part
        head, blank, body = self.found.partition(b"\r\n\r\n")
        if not blank:
            return False
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if not head.startswith(b"HTTP/1.1 2"):
            sys.exit(f"not a 2xx: {self.found!r}")
        return len(body) >= length


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    seconds, samples = _load(**job)
    samples.sort()
    report = {"requests": len(samples), "seconds": seconds, "p50_ms": _at(samples, 0.5), "p99_ms": _at(samples, 0.99)}
    json.dump(report, sys.stdout)


def _load(
    port: int, connections: int, requests: list[str], seconds: float = 1e9, count: float = 1e9
) -> tuple[float, list[float]]:
    templates = cycle([request.encode("latin-1") for request in requests])
    numbers = counting(unused())
    samples: list[float] = []
    with selectors.DefaultSelector() as selector:
        begin = time.perf_counter()
        sent = 0
        for _ in range(int(min(connections, count))):
            connection = Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(fresh(next(templates), next(numbers)))
            sent += 1
        while len(samples) < sent:
            for key, _ in _ready(selector):
                connection = key.data
                if not connection.receive():
                    continue
                now = time.perf_counter()
                samples.append(now - connection.began)
                if sent < count and now - begin < seconds:
                    connection.send(fresh(next(templates), next(numbers)))
                    sent += 1
        return time.perf_counter() - begin, samples


def _ready(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, Any]]:
    ready = selector.select(TIMEOUT_S)
    if not ready:
        sys.exit(f"no answer within {TIMEOUT_S:g} s")
    return ready


def fresh(request: bytes, number: int) -> bytes:
    """Return a request with its marks replaced."""
    if TIME in request:
        request = request.replace(TIME, datetime.now(UTC).isoformat(timespec="milliseconds")[:23].encode() + b"Z")
    return request.replace(ID, b"%012d" % number)


def unused() -> int:
    """Return a number from which on none has come yet: microseconds."""
    return time.time_ns() // 1_000 % 10**12


def _at(ordered: list[float], share: float) -> float:
    return 1_000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    main()
