"""A real Alertmanager is asked for what a real breaker holds: what was lost on the way is noticed."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from eventsources.alertmanager_poll import Alerts
from fuseboard.http_client import HttpClient
from fuseboard.signals.known_alerts import PollPace
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store
from fuseboard.testing.ports import free_port
from tests.cli.running import Up, policy
from tests.real.alertmanager import Alertmanager, require_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CRITICAL = {"alertname": "HighErrorRate", "namespace": "shop", "deployment": "login", "severity": "critical"}
QUICK = PollPace(every=0.1, known_for=0.5, absent_for=0.5)

pytestmark = pytest.mark.usefixtures("_alertmanager_is_here")


@pytest.fixture(scope="module")
def _alertmanager_is_here() -> None:
    """Skip without Alertmanager; in CI, fail."""
    require_binary()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Fuseboard, with short times; nobody asks yet."""
    with Up(tmp_path) as running:
        yield running


def alertmanager(up: Up, *, port: int = 0) -> Alertmanager:
    """Return an Alertmanager whose repeats and resolves are all lost."""
    return Alertmanager(
        webhooks=[f"{up.url}/alertmanager"],
        group_wait="50ms",
        group_interval="200ms",
        repeat_interval="1h",
        send_resolved=False,
        port=port,
    )


class Looking(Alerts):
    """Counts its looks."""

    looks = 0

    def look(self) -> None:
        super().look()
        self.looks += 1


@contextmanager
def asking(up: Up, *urls: str, pace: PollPace = QUICK) -> Iterator[Looking]:
    """Ask quickly, beside Fuseboard and on its store."""
    socket = (up.state / "fuseboard" / "valkey" / "socket").read_text()
    store = f"unix://{socket}"
    askers = [HttpClient(url) for url in urls]
    source, stop = Looking(open_store(store), open_outbox(store), askers, pace), Flag()
    thread = Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        yield source
    finally:
        stop.set()
        thread.join()
        for each in askers:
            each.close()


def has_looked(up: Up, source: Looking) -> None:
    """Wait for a look that has begun after this."""
    before = source.looks
    up.wait_for(lambda: source.looks >= before + 2)


def verdicts(up: Up, verdict: str) -> int:
    """Return how many signals of the breaker's journal led to a verdict."""
    return sum(verdict in json.dumps(each.get("weighed", [])) for each in up.journal())


def test_a_lost_resolve_is_noticed(up: Up) -> None:
    """Nobody told of the end: the breaker stays open, until Alertmanager is asked."""
    with alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, source.url):
            up.stays("OPEN", 1.5)
            source.resolve(CRITICAL)
            up.becomes("CLOSED")
        assert verdicts(up, "resolved") == 1
        assert any("1 are gone without a word" in each["reason"] for each in up.get("/api/journal?limit=500"))


def test_a_resolve_that_was_lost_before_anybody_asked_is_left_to_its_lease(up: Up) -> None:
    """What was never in an answer could be anything."""
    with alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        source.resolve(CRITICAL)
        with asking(up, source.url):
            up.stays("OPEN", 2.5)


def test_a_lost_repeat_renews(tmp_path: Path) -> None:
    """The alert fires on, nobody says so, and its lease of 4.5 s is over: only who asks knows that it holds."""
    with Up(tmp_path, policy(signals={"repeatInterval": "1500ms"})) as up, alertmanager(up) as source:
        source.fire(CRITICAL)
        before, began = up.becomes("OPEN"), time.monotonic()
        with asking(up, source.url):
            # As often as it must be, and no more: each half of the 1.5 s.
            up.wait_for(lambda: verdicts(up, "renewed") >= 7)
            assert verdicts(up, "renewed") <= (time.monotonic() - began) / 0.75 + 1
            assert up.breaker()["epoch"] == before["epoch"]
        up.becomes("CLOSED")


def test_a_silenced_alert_is_neither_renewed_nor_resolved(tmp_path: Path) -> None:
    """Somebody wants to hear nothing of it: its lease ends it."""
    with Up(tmp_path, policy(signals={"repeatInterval": "1500ms"})) as up, alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, source.url) as alerts:
            up.wait_for(lambda: verdicts(up, "renewed"))
            source.silence(alertname="HighErrorRate")
            has_looked(up, alerts)
            renewed = verdicts(up, "renewed")
            up.stays("OPEN", 2.0)
            assert verdicts(up, "renewed") == renewed
            up.becomes("CLOSED")
        assert verdicts(up, "resolved") == 0


def test_an_alertmanager_that_restarted_empty_resolves_nothing(up: Up) -> None:
    """It knows no alert yet, and is told again by Prometheus only later."""
    port, patient = free_port(), PollPace(every=0.2, known_for=3.0, absent_for=0.5)
    with alertmanager(up, port=port) as first:
        first.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, first.url, pace=patient):
            time.sleep(3.2)  # long enough to be trusted
            first.__exit__()
            with alertmanager(up, port=port) as second:
                up.stays("OPEN", 1.2)
                second.fire(CRITICAL)
                up.stays("OPEN", 4.0)
    assert verdicts(up, "resolved") == 0


def test_an_alertmanager_that_is_away_changes_nothing(up: Up) -> None:
    """No answer is no news."""
    with alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, source.url) as alerts:
            time.sleep(1.0)  # long enough to be trusted
            source.__exit__()
            up.wait_for(lambda: alerts._away)
            up.stays("OPEN", 1.5)
            assert alerts._away
            alerts.check()
    assert verdicts(up, "resolved") == 0


def test_one_of_two_that_still_knows_it_keeps_it(up: Up) -> None:
    """Resolved only when all that answer agree; who is away has no say."""
    with alertmanager(up) as first, alertmanager(up) as second:
        first.fire(CRITICAL)
        second.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, first.url, second.url, f"http://127.0.0.1:{free_port()}"):
            time.sleep(1.0)  # long enough to be trusted
            first.resolve(CRITICAL)
            up.stays("OPEN", 1.5)
            second.resolve(CRITICAL)
            up.becomes("CLOSED")


def test_on_trial_an_alert_that_goes_on_is_seen_again(tmp_path: Path) -> None:
    """Open for maxCoolDown, the target is tried; the alert fires on, and that fails the trial."""
    quick: dict[str, Any] = {"coolDown": "3s", "maxCoolDown": "3s", "healthyFor": "20s"}
    with Up(tmp_path, policy(recover=quick)) as up, alertmanager(up) as source:
        source.fire(CRITICAL)
        up.becomes("OPEN")
        with asking(up, source.url):
            again = up.wait_for(lambda: up.breaker() if up.breaker()["epoch"] == 3 else None)
            assert again["state"] == "OPEN"
            assert "failed on trial: HighErrorRate" in again["reason"]


def test_fuseboard_up_asks_the_alertmanager_that_it_is_given(tmp_path: Path) -> None:
    """At its start at once: nobody knows how long nobody asked."""
    up = Up(tmp_path, policy(signals={"repeatInterval": "4s"}))
    with alertmanager(up) as source:
        up._options += ("--alertmanager", f"{source.url},http://127.0.0.1:{free_port()}")
        with up:
            source.fire(CRITICAL)
            up.becomes("OPEN")
            assert verdicts(up, "renewed") == 0
            time.sleep(2.0)  # half of that
            up.stop()
            up.start()
            up.wait_for(lambda: verdicts(up, "renewed") == 1)
