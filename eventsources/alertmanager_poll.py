"""Ask Alertmanager for the conditions that breakers hold, to notice a lost repeat or a lost resolve.

While breakers hold conditions, each address of Alertmanager is asked for all alerts. A firing alert is repeated before
half of its lease is over, and at every poll while the target is on trial; a missing alert is reported as resolved.
``fuseboard.signals.known_alerts`` decides when. An Alertmanager without an answer changes no breaker.

The addresses must belong to a single Alertmanager or to the members of its cluster: each member knows all alerts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct

from fuseboard import logs, metrics
from fuseboard.delivery.loops import Idle, Silence, every
from fuseboard.errors import FuseboardError, Unavailable
from fuseboard.events.types import FailureDetected, FailureResolved
from fuseboard.http_client import OK, HttpClient
from fuseboard.signals.fold import fold_failures
from fuseboard.signals.known_alerts import AlertReconciler, KnownAlert, MemberAnswer, PollPace
from fuseboard.stores.records import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event as Flag

    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.signals.known_alerts import ConditionChanges
    from fuseboard.stores import Outbox, Store

NAME: Final = "alerts"
SOURCE: Final = "/alertmanager"
"""The webhook's source: a repeated alert is the same fact."""

ALL: Final = {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "true"}
_SHOWN_EVENTS: Final = 100


Content = TypeVar("Content")


class _Status(Struct, frozen=True):
    uptime: str


_status: Final = msgspec.json.Decoder(_Status).decode
_alerts: Final = msgspec.json.Decoder(tuple[KnownAlert, ...]).decode


class Alerts:
    """Turns the alerts of Alertmanager into signals."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        askers: Sequence[HttpClient],
        pace: PollPace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._outbox = outbox
        self._askers = askers
        self._pace = pace or PollPace()
        self._clock = clock
        self._held = AlertReconciler(self._pace)
        self._away: dict[str, str] = {}
        self._silence = Silence(NAME, "answer of Alertmanager")

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        for _ in every(self._pace.every, stop):
            self.look()

    def check(self) -> None:
        """Do nothing if alerts are known, or no breaker holds a condition.

        Raises:
            Unavailable: the store does not answer, or no Alertmanager has answered for too long.

        """
        self._store.check()
        if self._away:
            self._silence.check("; ".join(self._away.values()))

    def look(self) -> None:
        """Ask once, if a breaker holds a condition; after an error, the next look finds the same."""
        try:
            self._look()
        except FuseboardError as error:
            logs.logger().warning("alerts.waiting", error=str(error))

    def _look(self) -> None:
        holders = self._store.holding()
        if not holders and not self._held.awaits_return:
            self._away = {}
            self._silence.end()
            return
        answers = dict(self._answers())
        self._silence.measure()
        if not answers:
            return
        told = self._held.reconcile(holders, answers, time.monotonic(), round(self._clock() * 1000))
        events = tuple(_events(told))
        if events:
            self._outbox.append(events, _entry(told, events))

    def _answers(self) -> Iterator[tuple[str, MemberAnswer]]:
        for asker in self._askers:
            try:
                answer = _ask(asker)
            except Unavailable as error:
                metrics.count(NAME, "unavailable")
                if asker.url not in self._away:  # once, not at each look
                    logs.logger().warning("alerts.away", error=str(error))
                self._away[asker.url] = str(error)
            else:
                metrics.count(NAME, "answered")
                if self._away.pop(asker.url, None):
                    logs.logger().info("alerts.back", alertmanager=asker.url)
                self._silence.end()
                yield asker.url, answer


def new(connections: Connections) -> Alerts | Idle:
    """Return the source; idle without Alertmanager's address."""
    members = connections.alertmanagers
    return Alerts(connections.store, connections.outbox, members) if members else Idle()


def _ask(asker: HttpClient) -> MemberAnswer:
    """Return the alerts of a member.

    Raises:
        Unavailable: the member does not answer, or two members answer.

    """
    since = _uptime(asker)
    alerts = _decoded(_alerts, asker, "/api/v2/alerts", ALL)
    if _uptime(asker) != since:
        raise Unavailable(f"{asker.url}: two members answered, or it restarted: give the address of each member")
    return MemberAnswer(since, alerts)


def _uptime(asker: HttpClient) -> str:
    return _decoded(_status, asker, "/api/v2/status").uptime


def _decoded(
    decode: Callable[[bytes], Content], asker: HttpClient, path: str, fields: Mapping[str, str] | None = None
) -> Content:
    answer = asker.get(path, fields)
    if answer.status != OK:
        raise Unavailable(f"{asker.url} {answer.hint}")
    try:
        return decode(answer.body)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{asker.url}{path} is no answer of Alertmanager's API 2: {error}") from error


def _events(told: ConditionChanges) -> Iterator[Event]:
    # As in the webhook: what fires before what is resolved.
    for breaker, failures in sorted(told.detected.items()):
        yield from fold_failures(SOURCE, breaker, FailureDetected, failures)
    for breaker, failures in sorted(told.resolved.items()):
        yield from fold_failures(SOURCE, breaker, FailureResolved, failures)


def _entry(told: ConditionChanges, events: Sequence[Event]) -> Entry:
    seen, gone = (sum(map(len, each.values())) for each in (told.detected, told.resolved))
    detail = {"events": [f"{event.subject} {event.id}" for event in events[:_SHOWN_EVENTS]]}
    reason = f"asked Alertmanager: {seen} conditions still hold, {gone} are gone without a word"
    return Entry(kind="ingest", event=SOURCE, reason=reason, detail=detail)
