"""Ask the target's own pods whether they would serve: what a kubelet's HTTP probe asks, and what it takes for a yes.

A status from 200 to 399 passes, as to a kubelet (``pkg/probe/http/http.go``). A redirect is not followed, and nothing
of an answer but its status is read. Only what a pod says is its own address is asked, and never one that cannot be a
pod's: of a link, where the metadata services of clouds are, of a group, or of nothing.
"""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuseboard.policy.spec import Probe
    from fuseboard.workloads.pods import Pod

PASSES: Final = "ok"
WITHIN_S: Final = 1.0
PODS: Final = 3
"""Pods that are asked in one round; all of them must pass."""
AT_ONCE: Final = 8

_METADATA: Final = ip_address("fd00:ec2::254")
"""The metadata service of a cloud, by an address that is not of a link."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r\n]")
_STATUS_LENGTH: Final = 13
_LINE: Final = 64


class Prober:
    """Asks pods in threads of its own; one round per breaker at a time."""

    def __init__(self, *, asks_loopback: bool = False) -> None:
        """Ask nothing yet; pods on this machine's loopback there are in tests only."""
        self._asks_loopback = asks_loopback
        self._pool = ThreadPoolExecutor(AT_ONCE, "probe")
        self._underway: dict[str, list[Future[str]]] = {}
        self._turns: dict[str, int] = {}

    def begin(self, breaker: str, pods: Sequence[Pod], probe: Probe) -> None:
        """Ask the next few of these pods, unless the last round is still under way."""
        if breaker not in self._underway:
            self._underway[breaker] = [self._pool.submit(self._ask, pod, probe) for pod in self._next(breaker, pods)]

    def results(self) -> Iterator[tuple[str, str]]:
        """Yield what the rounds came to that are over: the first reason against, else that it passes."""
        for breaker, round_ in list(self._underway.items()):
            if all(each.done() for each in round_):
                del self._underway[breaker]
                found = [each.result() for each in round_] or ["no pod is ready"]
                yield breaker, next((each for each in found if each != PASSES), PASSES)

    def forget(self, breaker: str) -> None:
        """Ask no more for a breaker; what was asked is not told."""
        for each in self._underway.pop(breaker, ()):
            each.cancel()
        self._turns.pop(breaker, None)

    def end(self) -> None:
        """Ask nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, breaker: str, pods: Sequence[Pod]) -> list[Pod]:
        """Return the pods whose turn it is."""
        turn = self._turns.get(breaker, 0) % max(len(pods), 1)
        self._turns[breaker] = turn + PODS
        return list(chain(pods[turn:], pods[:turn]))[:PODS]

    def _ask(self, pod: Pod, probe: Probe) -> str:
        port = probe.port or pod.port
        if not port:
            return "its containers name no port: set spec.recover.probe.port"
        against = forbidden(pod.ip, asks_loopback=self._asks_loopback) or ask(pod.ip, port, probe.http)
        return f"{pod.name}: {against}" if against else PASSES


def forbidden(address: str, *, asks_loopback: bool = False) -> str:
    """Say why an address is not asked; empty where it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return "it has no address"
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback and asks_loopback:
        return ""
    never = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified or found == _METADATA
    return f"{address} is no pod's address" if never or (found.is_reserved and found.version == 4) else ""  # noqa: PLR2004


def ask(address: str, port: int, path: str, within_s: float = WITHIN_S) -> str:
    """Ask once; say why it does not pass, empty where it does. It is over in time, whatever the other side does."""
    give_up = time.monotonic() + within_s
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    request = f"GET {path.strip()} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: fuseboard\r\nConnection: close\r\n\r\n"
    # Not by the HTTP client: its deadline does not bound an answer whose headers trickle, and this one second must.
    try:
        with socket.create_connection((address, port), within_s) as connection:
            connection.sendall(request.encode("ascii", "replace"))
            line = _first(connection, give_up)
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    except OSError as error:
        return f"no answer: {error.strerror or type(error).__name__}"
    status = _STATUS.match(line)
    if status is None:
        return "no answer in HTTP"
    return "" if b"200" <= status[1] < b"400" else f"it answers {status[1].decode()}"


def _first(connection: socket.socket, give_up: float) -> bytes:
    """Return the beginning of an answer, which says its status."""
    found = b""
    while len(found) < _STATUS_LENGTH:
        left = give_up - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        more = connection.recv(_LINE)
        if not more:
            break
        found += more
    return found
