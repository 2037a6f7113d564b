"""What the target's own pods are asked, on real sockets: a kubelet's rule, in time, and of nobody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fuseboard.policy.spec import Probe
from fuseboard.testing.api_script import until
from fuseboard.testing.http_server import LOOPBACK, listening
from fuseboard.testing.objects import pod
from fuseboard.testing.ports import free_port
from fuseboard.workloads import pods
from fuseboard.workloads.probe import PASSED, Prober, forbidden_address, probe_once

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        assert str(probe_once(LOOPBACK, pod_.port, "/healthz") or "") == expected


def test_it_asks_once_and_follows_nothing() -> None:
    """A redirect passes, and where it points to is never asked."""
    with listening(b"") as other:
        answer = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{LOOPBACK}:{other.port}/\r\n\r\n".encode()
        with listening(answer) as pod_:
            assert probe_once(LOOPBACK, pod_.port, "/healthz?full=1") is None
            assert [each.partition(b"\r\n")[0] for each in pod_.asked] == [b"GET /healthz?full=1 HTTP/1.1"]
        assert other.asked == []


def test_a_line_break_in_a_path_smuggles_nothing() -> None:
    """A pattern's $ lets one through."""
    with listening(b"HTTP/1.1 200 OK\r\n\r\n") as pod_:
        probe_once(LOOPBACK, pod_.port, "/healthz\n")
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
        timeout_s = 0.3 if "within" in expected else 60.0
        assert str(probe_once(LOOPBACK, pod_.port, "/", timeout_s=timeout_s) or "") == expected
        assert time.monotonic() - began < 9


def test_nobody_there() -> None:
    """A refused connection is no pass."""
    assert str(probe_once(LOOPBACK, free_port(), "/")) == "no answer: Connection refused"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "ff02::1",  # noqa: S104
        "::ffff:169.254.169.254", "fd00:ec2::254", "", "localhost", "metadata.google.internal", "10.0.0.1/24",
    ],
)  # fmt: skip
def test_what_is_no_pods_address_is_not_asked(address: str) -> None:
    """Metadata services, this machine, groups, nothing, and every name."""
    assert forbidden_address(address)


@pytest.mark.parametrize(
    "address", ["10.244.0.7", "100.64.3.1", "192.168.1.9", "fd00:10:244::5", "2001:db8::1", "8.8.8.8"]
)
def test_pods_addresses_are_asked(address: str) -> None:
    """Whatever range a cluster has."""
    assert forbidden_address(address) is None


def test_loopback_is_asked_where_a_test_says_so() -> None:
    """And nothing else with it."""
    assert forbidden_address(LOOPBACK, allow_loopback=True) is None
    assert forbidden_address("169.254.169.254", allow_loopback=True)


class TestRounds:
    """Of some of the pods at a time."""

    def ask(self, *addresses: str, port: int = 0, here: bool = True) -> str:
        """Return what one round comes to."""
        prober = Prober(allow_loopback=here)
        found = [pods.read_pod(pod(f"p{n}", podIP=address)) for n, address in enumerate(addresses)]
        prober.begin("shop/login", found, Probe("/healthz", port or None))
        until(lambda: all(each.done() for each in prober._underway["shop/login"]))
        ((_, result),) = prober.results()
        prober.end()
        return result

    def test_all_that_were_asked_must_pass(self) -> None:
        """One pod that does not is the reason."""
        with listening(b"HTTP/1.1 200 OK\r\n\r\n") as well:
            assert self.ask(LOOPBACK, LOOPBACK, port=well.port) == PASSED
            assert self.ask(LOOPBACK, "169.254.169.254", port=well.port) == "p1: 169.254.169.254 is no pod's address"
            assert self.ask(LOOPBACK, port=well.port, here=False) == f"p0: {LOOPBACK} is no pod's address"

    def test_without_a_pod_none_is_ready(self) -> None:
        """Nothing to ask is no pass."""
        assert self.ask() == "no pod is ready"

    def test_without_a_port_it_says_what_to_do(self) -> None:
        """The containers name none, nor does the policy."""
        found = pods.read_pod(pod() | {"spec": {"containers": [{"name": "app"}]}})
        prober = Prober()

        assert "set spec.recover.probe.port" in prober._probe(found, Probe("/"))

    def test_three_at_a_time_take_turns(self) -> None:
        """Each is asked once in a while, however many there are."""
        prober, found = Prober(), [pods.read_pod(pod(f"p{n}")) for n in range(7)]
        asked = [each.name for _ in range(7) for each in prober._next("shop/login", found)]

        assert len(asked) == 21
        assert {asked.count(f"p{n}") for n in range(7)} == {3}

    def test_a_round_that_is_under_way_is_not_begun_again(self) -> None:
        """Slow pods pile nothing up; what is forgotten is not told."""
        with listening(b"", pause_s=5.0) as slow:
            prober, found = Prober(allow_loopback=True), [pods.read_pod(pod(podIP=LOOPBACK))]
            for _ in range(5):
                prober.begin("shop/login", found, Probe("/", slow.port))
            until(lambda: slow.asked)
            prober.forget("shop/login")
            time.sleep(0.1)
            prober.end()

            assert (len(slow.asked), list(prober.results())) == (1, [])
