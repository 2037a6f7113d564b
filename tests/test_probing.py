"""What the target's own pods are asked, on real sockets: a kubelet's rule, in time, and of nobody else."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from fuseboard import pods
from fuseboard.policy import Probe
from fuseboard.probing import PASSES, Prober, ask, forbidden
from tests.objects import pod
from tests.ports import free_port
from tests.scripted import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = "127.0.0.1"


class Listening:
    """Answers every connection with the same bytes, one piece at a time, and keeps what it was asked."""

    def __init__(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """``pause_s`` is between two pieces."""
        self.asked: list[bytes] = []
        self._pieces = pieces
        self._pause_s = pause_s
        self._socket = socket.create_server((HERE, 0))
        self.port: int = self._socket.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def answers(self, *pieces: bytes) -> None:
        """Answer with something else from now on."""
        self._pieces = pieces

    def close(self) -> None:
        """Listen no longer."""
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


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("200 OK", ""),
        ("204", ""),
        ("302 Found", ""),
        ("399 Odd", ""),
        ("400 Bad Request", "it answers 400"),
        ("404 Not Found", "it answers 404"),
        ("503 Service Unavailable", "it answers 503"),
        ("103 Early Hints", "it answers 103"),
    ],
)
def test_200_to_399_passes(status: str, expected: str) -> None:
    """As to a kubelet."""
    with listening(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as pod_:
        assert ask(HERE, pod_.port, "/healthz") == expected


def test_it_asks_once_and_follows_nothing() -> None:
    """A redirect passes, and where it points to is never asked."""
    with listening(b"") as other:
        answer = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{HERE}:{other.port}/\r\n\r\n".encode()
        with listening(answer) as pod_:
            assert ask(HERE, pod_.port, "/healthz?full=1") == ""
            assert [each.partition(b"\r\n")[0] for each in pod_.asked] == [b"GET /healthz?full=1 HTTP/1.1"]
        assert other.asked == []


def test_a_line_break_in_a_path_smuggles_nothing() -> None:
    """A pattern's $ lets one through."""
    with listening(b"HTTP/1.1 200 OK\r\n\r\n") as pod_:
        ask(HERE, pod_.port, "/healthz\n")
        assert pod_.asked[0].startswith(b"GET /healthz HTTP/1.1\r\nHost: ")


@pytest.mark.parametrize(
    ("pieces", "pause_s", "expected"),
    [
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000], 0.0, ""),
        ([b"HTTP", b"/1.1 2", b"00 OK\r\n"], 0.02, ""),
        ([b"H", b"T", b"T", b"P", b"/"] * 20, 0.1, "no answer within 0.3 s"),
        ([b""], 10.0, "no answer within 0.3 s"),
        ([], 0.0, "no answer in HTTP"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], 0.0, "no answer in HTTP"),
        ([b"\x15\x03\x01\x00\x02\x02\x16" * 4], 0.0, "no answer in HTTP"),
    ],
)
def test_it_is_over_in_time(pieces: Sequence[bytes], pause_s: float, expected: str) -> None:
    """Whatever the other side does: much, in pieces, drop by drop, nothing, or something else."""
    with listening(*pieces, pause_s=pause_s) as pod_:
        began = time.monotonic()
        within_s = 0.3 if "within" in expected else 60.0
        assert ask(HERE, pod_.port, "/", within_s=within_s) == expected
        assert time.monotonic() - began < 9


def test_nobody_there() -> None:
    """A refused connection is no pass."""
    assert ask(HERE, free_port(), "/") == "no answer: Connection refused"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "ff02::1",  # noqa: S104
        "::ffff:169.254.169.254", "fd00:ec2::254", "", "localhost", "metadata.google.internal", "10.0.0.1/24",
    ],
)  # fmt: skip
def test_what_is_no_pods_address_is_not_asked(address: str) -> None:
    """Metadata services, this machine, groups, nothing, and every name."""
    assert forbidden(address)


@pytest.mark.parametrize(
    "address", ["10.244.0.7", "100.64.3.1", "192.168.1.9", "fd00:10:244::5", "2001:db8::1", "8.8.8.8"]
)
def test_pods_addresses_are_asked(address: str) -> None:
    """Whatever range a cluster has."""
    assert forbidden(address) == ""


def test_loopback_is_asked_where_a_test_says_so() -> None:
    """And nothing else with it."""
    assert forbidden(HERE, asks_loopback=True) == ""
    assert forbidden("169.254.169.254", asks_loopback=True)


class TestRounds:
    """Of some of the pods at a time."""

    def ask(self, *addresses: str, port: int = 0, here: bool = True) -> str:
        """Return what one round comes to."""
        prober = Prober(asks_loopback=here)
        found = [pods.read(pod(f"p{n}", podIP=address)) for n, address in enumerate(addresses)]
        prober.begin("shop/login", found, Probe("/healthz", port or None))
        until(lambda: all(each.done() for each in prober._underway["shop/login"]))
        ((_, result),) = prober.results()
        prober.end()
        return result

    def test_all_that_were_asked_must_pass(self) -> None:
        """One pod that does not is the reason."""
        with listening(b"HTTP/1.1 200 OK\r\n\r\n") as well:
            assert self.ask(HERE, HERE, port=well.port) == PASSES
            assert self.ask(HERE, "169.254.169.254", port=well.port) == "p1: 169.254.169.254 is no pod's address"
            assert self.ask(HERE, port=well.port, here=False) == f"p0: {HERE} is no pod's address"

    def test_without_a_pod_none_is_ready(self) -> None:
        """Nothing to ask is no pass."""
        assert self.ask() == "no pod is ready"

    def test_without_a_port_it_says_what_to_do(self) -> None:
        """The containers name none, nor does the policy."""
        found = pods.read(pod() | {"spec": {"containers": [{"name": "app"}]}})
        prober = Prober()

        assert "set spec.recover.probe.port" in prober._ask(found, Probe("/"))

    def test_three_at_a_time_take_turns(self) -> None:
        """Each is asked once in a while, however many there are."""
        prober, found = Prober(), [pods.read(pod(f"p{n}")) for n in range(7)]
        asked = [each.name for _ in range(7) for each in prober._next("shop/login", found)]

        assert len(asked) == 21
        assert {asked.count(f"p{n}") for n in range(7)} == {3}

    def test_a_round_that_is_under_way_is_not_begun_again(self) -> None:
        """Slow pods pile nothing up; what is forgotten is not told."""
        with listening(b"", pause_s=5.0) as slow:
            prober, found = Prober(asks_loopback=True), [pods.read(pod(podIP=HERE))]
            for _ in range(5):
                prober.begin("shop/login", found, Probe("/", slow.port))
            until(lambda: slow.asked)
            prober.forget("shop/login")
            time.sleep(0.1)
            prober.end()

            assert (len(slow.asked), list(prober.results())) == (1, [])
