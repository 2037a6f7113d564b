"""The proxy in place of cluster DNS."""

import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.cluster import dns_proxy
from tests.cluster.function import Function, Message
from tests.cluster.knative import Names
from tests.cluster.processes import Processes, free_port, takes_connections

HOST = "sink.space.svc.cluster.local"


@pytest.fixture
def names(tmp_path: Path) -> Names:
    """Return an empty list of names."""
    return Names(tmp_path / "routes.json")


@pytest.fixture
def proxy(tmp_path: Path, names: Names) -> Iterator[HTTPConnection]:
    """Run the proxy; return a connection to it."""
    port = free_port()
    with Processes(tmp_path) as processes:
        processes.start("proxy", [sys.executable, dns_proxy.__file__, str(port), str(names.file)])
        processes.wait("it listens", lambda: takes_connections(port), timeout_s=20, log_of="proxy")
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        yield connection
        connection.close()


def ask(proxy: HTTPConnection, host: str, *, chunked: bool = False) -> tuple[int, bytes]:
    """Post through the proxy on the same connection; return status and body."""
    body = iter([b"one ", b"two"]) if chunked else b"one two"
    proxy.request("POST", f"http://{host}/path?query", body, {"Host": host, "ce-id": "1"})
    answer = proxy.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_name_leads_to_its_port(proxy: HTTPConnection, names: Names, chunked: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """A request arrives with its Host and its headers, the reply comes back."""
    with Function(lambda got: Message({"id": "2"}, got.data.upper())) as sink:
        names.point(HOST, sink.port)
        assert ask(proxy, HOST, chunked=chunked) == (200, b"ONE TWO")
        got = sink.next()
        assert (got.headers["host"], got.attributes["id"]) == (HOST, "1")


def test_a_name_may_be_a_pattern_and_change(proxy: HTTPConnection, names: Names) -> None:
    """A pattern stands for many names; an exact name comes before it, also when it came later."""
    with (
        Function(lambda _: Message({"id": "1"}, b"any")) as any_sink,
        Function(lambda _: Message({"id": "1"}, b"one")) as one_sink,
    ):
        names.point("*.svc.cluster.local", any_sink.port)
        assert ask(proxy, HOST) == (200, b"any")
        names.point(HOST, one_sink.port)
        assert ask(proxy, HOST) == (200, b"one")


def test_an_answer_without_a_body_keeps_the_connection(proxy: HTTPConnection, names: Names) -> None:
    """Two requests that are answered with 204 go over one connection."""
    with Function() as sink:
        names.point(HOST, sink.port)
        assert [ask(proxy, HOST) for _ in range(2)] == [(204, b"")] * 2


def test_what_is_not_there_is_a_bad_gateway(proxy: HTTPConnection, names: Names) -> None:
    """A name without a route and a port where nothing listens are 502, and say why."""
    names.point(HOST, free_port())
    status, why = ask(proxy, HOST)
    assert (status, HOST.encode() in why) == (502, True)
    assert ask(proxy, "nowhere.example") == (502, b"no route to nowhere.example\n")
