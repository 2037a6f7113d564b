"""What a broker's answer means to a sender: hop B of the HTTP contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuseboard.delivery.sinks import HttpSink
from fuseboard.errors import InvalidInput, SinkUnavailable
from fuseboard.events.event import Event
from fuseboard.events.types import StepDue
from fuseboard.testing.ports import free_port

if TYPE_CHECKING:
    from tests.delivery.ingress import Ingress


EVENT = Event(id="1", source="/t", subject="shop/login", data=StepDue(due_at=1), time=5)


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
