"""What a broker's answer means to a sender: hop B of the HTTP contract."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from fuseboard.errors import InvalidInput, SinkUnavailable
from fuseboard.events import Event, StepDue, decode
from fuseboard.sinks import HttpSink
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT = Event(id="1", source="/t", subject="shop/login", data=StepDue(due_at=1), time=5)


class Ingress(ThreadingHTTPServer):
    """A broker's ingress that answers as it is told, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 202
        self.posted: list[Event] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Ingress

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append(decode(dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        if self.server.status == 302:
            self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    """Run an ingress."""
    with Ingress() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_event_arrives_as_it_is(ingress: Ingress) -> None:
    """It is posted in binary mode, with id, type, subject and time."""
    HttpSink(ingress.url).send(EVENT)

    (got,) = ingress.posted
    assert (got.id, got.type, got.subject, got.time) == (EVENT.id, EVENT.type, EVENT.subject, EVENT.time)


def test_connections_are_kept(ingress: Ingress) -> None:
    """Many events go over one connection."""
    sink = HttpSink(ingress.url)
    for _ in range(20):
        sink.send(EVENT)

    assert (len(ingress.posted), ingress.connections) == (20, 1)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 409, 410, 429, 500, 502, 503])
def test_what_may_pass_is_to_be_sent_again(ingress: Ingress, status: int) -> None:
    """401 and 403 too: Knative answers so to a valid token while it starts. A redirect is not followed."""
    ingress.status = status

    with pytest.raises(SinkUnavailable):
        HttpSink(ingress.url).send(EVENT)
    assert len(ingress.posted) == 1


def test_a_broker_that_is_not_there_is_said_so(ingress: Ingress) -> None:
    """A 404 of the ingress names the cause and where to look."""
    ingress.status = 404

    with pytest.raises(SinkUnavailable, match="not Ready: see `kubectl get broker`"):
        HttpSink(ingress.url).send(EVENT)


@pytest.mark.parametrize("status", [400, 413, 415])
def test_our_own_mistakes_are_not_sent_again(ingress: Ingress, status: int) -> None:
    """What the ingress will never take is said so at once."""
    ingress.status = status

    with pytest.raises(InvalidInput):
        HttpSink(ingress.url).send(EVENT)


def test_nobody_there_is_to_be_sent_again() -> None:
    """A refused connection is no answer."""
    url = f"http://127.0.0.1:{free_port()}/"

    with pytest.raises(SinkUnavailable):
        HttpSink(url).send(EVENT)
