"""Alertmanager is asked while there is something to ask for; answers that are none change nothing.

What its answers mean is tested with ``fuseboard.signals.known_alerts``, and with a real one in ``tests/real``.
"""

from __future__ import annotations

import json
import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import pytest

from eventsources.alertmanager_poll import Alerts
from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import Unavailable
from fuseboard.events.types import FailureDetected
from fuseboard.http_client import HttpClient
from fuseboard.policy.validation import parse_document
from fuseboard.signals.alerts import condition_key
from fuseboard.stores.records import Change
from fuseboard.testing.http_server import answering
from fuseboard.testing.memory import MemoryStore
from fuseboard.testing.outbox import MemoryOutbox

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.testing.http_server import ReceivedRequest

LABELS: Final = {"alertname": "HighErrorRate", "namespace": "shop", "deployment": "login", "severity": "critical"}
ALERT: Final = {"labels": LABELS, "startsAt": "2026-11-23T14:45:17.078Z", "status": {"state": "active"}}


class Server:
    """An Alertmanager's API, with whatever answers the test wants."""

    def __init__(self) -> None:
        self.alerts: Any = [ALERT]
        self.uptime = ["a"]
        self.status = 200
        self.asked: list[str] = []

    def __call__(self, request: ReceivedRequest) -> None:
        path = request.path.partition("?")[0]
        self.asked.append(path)
        if path == "/api/v2/status":
            self.uptime = self.uptime[1:] + self.uptime[:1]
            request.answer(json.dumps({"uptime": self.uptime[-1], "cluster": {}}).encode())
        else:
            found = self.alerts if isinstance(self.alerts, bytes) else json.dumps(self.alerts).encode()
            request.answer(found, self.status)


def holding(record: Row) -> Change:
    """Let the breaker be on trial and hold the alert's condition."""
    held = {condition_key(LABELS): Condition("HighErrorRate Deployment/login", 10, record.now, record.now, 1)}
    return Change(BreakerState(state=State.HALF_OPEN, epoch=2, conditions=held), record.placement)


def store(*, holds: bool = True) -> MemoryStore:
    """Return a store with one breaker, on trial."""
    metadata = {"name": "login", "namespace": "shop"}
    document = {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": metadata}
    found = MemoryStore(lambda: round(time.time() * 1000))
    found.apply([parse_document({**document, "spec": {"target": {"name": "login"}}}, "")])
    if holds:
        found.change("shop/login", holding)
    return found


def asked(
    server: Server, *, holds: bool = True, looks: int = 1, outbox: MemoryOutbox | None = None
) -> tuple[Alerts, MemoryOutbox]:
    """Ask this server; return the source and what it told."""
    told = outbox or MemoryOutbox()
    with answering(server) as url:
        asker = HttpClient(url)
        source = Alerts(store(holds=holds), told, [asker])
        for _ in range(looks):
            source.look()
        asker.close()
    return source, told


def test_what_still_fires_is_told_as_the_webhook_tells_it() -> None:
    """Under its source and with its key: the same fact has the same id."""
    _, told = asked(Server())
    (event,) = told.events
    assert isinstance(event.data, FailureDetected)
    (failure,) = event.data.failures
    assert (event.source, event.subject) == ("/alertmanager", "shop/login")
    assert failure.key == f"{condition_key(LABELS)}:1795445117078:firing"
    assert told.entries[0].reason == "asked Alertmanager: 1 conditions still hold, 0 are gone without a word"


def test_nobody_is_asked_while_nothing_is_held() -> None:
    """All breakers are well: Alertmanager is left alone."""
    server = Server()
    source, told = asked(server, holds=False)
    assert (server.asked, told.events) == ([], [])
    source.check()


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"{}", b"null", [{**ALERT, "startsAt": "yesterday"}], [{**ALERT, "labels": None}], [ALERT, {}], [5]],
)
def test_an_answer_that_cannot_be_read_is_none(answer: object) -> None:
    """Not even the part that can: what is missing from it would be taken to be gone."""
    server = Server()
    server.alerts = answer
    source, told = asked(server)
    assert told.events == []
    assert "no answer of Alertmanager" in next(iter(source._away.values()))


def test_an_answer_of_two_members_is_none() -> None:
    """Behind one address, the one may have been up for long and the other one be empty."""
    server = Server()
    server.uptime = ["a", "b"]
    source, told = asked(server)
    assert told.events == []
    assert "two members" in next(iter(source._away.values()))


def test_who_may_not_ask_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With what to look at, and not at each look."""
    server = Server()
    server.status = 401
    source, _ = asked(server, looks=3)
    assert capsys.readouterr().out.count("alerts.away") == 1
    source.check()
    source._silence._heard_at -= 151
    with pytest.raises(Unavailable, match="it wants a token"):
        source.check()


def test_what_cannot_be_told_is_found_again() -> None:
    """The outbox is away: the next look tells it."""
    gone = MemoryOutbox()
    gone.gone = True
    asked(Server(), outbox=gone)
    gone.gone = False
    assert asked(Server(), outbox=gone)[1].events


def test_without_an_address_it_waits_for_the_end() -> None:
    """And is ready."""
    source, stop = Alerts(store(), MemoryOutbox(), []), Flag()
    thread = Thread(target=source.run, args=(stop,))
    thread.start()
    source.check()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
