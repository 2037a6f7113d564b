"""Probe the target's pods over HTTP, as a kubelet does.

A status from 200 to 399 passes, as for a kubelet (``pkg/probe/http/http.go``). A redirect is not followed, and of the
answer only the status is read. The address comes from the status of the pod, and an address that no pod can have is
refused: loopback, multicast, unspecified, and link-local, where clouds have their metadata services.
"""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain
from typing import TYPE_CHECKING, Final

from fuseboard.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuseboard.policy.spec import Probe
    from fuseboard.workloads.pods import Pod

PASSED: Final = "ok"
TIMEOUT_S: Final = 1.0
PODS_PER_ROUND: Final = 3
"""Pods to probe in a round; all of them must pass."""
MAX_THREADS: Final = 8

_METADATA: Final = ip_address("fd00:ec2::254")
"""The address of a cloud's metadata service that is not link-local."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r\n]")
_STATUS_LENGTH: Final = 13
_LINE: Final = 64


class Prober:
    """Probes pods in threads of its own, in at most one round per breaker at a time."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        """Start the threads when they are needed; only tests have pods on the loopback interface."""
        self._allow_loopback = allow_loopback
        self._pool = ThreadPoolExecutor(MAX_THREADS, "probe")
        self._underway: dict[str, list[Future[str]]] = {}
        self._turns: dict[str, int] = {}

    def begin(self, breaker: str, pods: Sequence[Pod], probe: Probe) -> None:
        """Probe the next few of these pods, unless the last round is still under way."""
        if breaker not in self._underway:
            self._underway[breaker] = [self._pool.submit(self._probe, pod, probe) for pod in self._next(breaker, pods)]

    def results(self) -> Iterator[tuple[str, str]]:
        """Yield breaker and result of each finished round: the first problem, or ``PASSED``."""
        for breaker, round_ in list(self._underway.items()):
            if all(each.done() for each in round_):
                del self._underway[breaker]
                results = [each.result() for each in round_] or ["no pod is ready"]
                yield breaker, next((each for each in results if each != PASSED), PASSED)

    def forget(self, breaker: str) -> None:
        """Stop probing for a breaker, and drop the round under way."""
        for each in self._underway.pop(breaker, ()):
            each.cancel()
        self._turns.pop(breaker, None)

    def end(self) -> None:
        """Stop probing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, breaker: str, pods: Sequence[Pod]) -> list[Pod]:
        """Return the pods whose turn it is: rounds go through all pods."""
        turn = self._turns.get(breaker, 0) % max(len(pods), 1)
        self._turns[breaker] = turn + PODS_PER_ROUND
        return list(chain(pods[turn:], pods[:turn]))[:PODS_PER_ROUND]

    def _probe(self, pod: Pod, probe: Probe) -> str:
        port = probe.port or pod.port
        if not port:
            return "its containers name no port: set spec.recover.probe.port"
        refused = forbidden_address(pod.ip, allow_loopback=self._allow_loopback)
        problem = refused or probe_once(pod.ip, port, probe.http)
        return f"{pod.name}: {problem}" if problem else PASSED


def forbidden_address(address: str, *, allow_loopback: bool = False) -> Problem | None:
    """Return why an address cannot be a pod's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return Problem("it has no address")
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if parsed.is_loopback and allow_loopback:
        return None
    never = (
        parsed.is_loopback
        or parsed.is_link_local
        or parsed.is_multicast
        or parsed.is_unspecified
        or (isinstance(parsed, IPv4Address) and parsed.is_reserved)
        or parsed == _METADATA
    )
    return Problem(f"{address} is no pod's address") if never else None


def probe_once(address: str, port: int, path: str, timeout_s: float = TIMEOUT_S) -> Problem | None:
    """Send one request, and return why the answer does not pass; the timeout holds for the whole exchange."""
    deadline = time.monotonic() + timeout_s
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    request = f"GET {path.strip()} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: fuseboard\r\nConnection: close\r\n\r\n"
    # The HTTP client is not used: its deadline does not bound trickling headers, and this deadline must.
    try:
        with socket.create_connection((address, port), timeout_s) as connection:
            connection.sendall(request.encode("ascii", "replace"))
            line = _first_line(connection, deadline)
    except TimeoutError:
        return Problem(f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Problem(f"no answer: {error.strerror or type(error).__name__}")
    status = _STATUS.match(line)
    if status is None:
        return Problem("no answer in HTTP")
    return None if b"200" <= status[1] < b"400" else Problem(f"it answers {status[1].decode()}")


def _first_line(connection: socket.socket, deadline: float) -> bytes:
    """Return the beginning of an answer, as much as the status needs."""
    received = b""
    while len(received) < _STATUS_LENGTH:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        more = connection.recv(_LINE)
        if not more:
            break
        received += more
    return received
