"""Take in what Alertmanager says: its webhook, version 4.

All that one notification says about one breaker becomes one event for what fires and one for what is resolved. Each
alert's own status decides, never the group's, its ``endsAt`` or its absence. What is sent again gets the same ids.

What fires is told before what is resolved: taken in at the same moment, an open breaker must not begin a trial on the
one while the other is still to come. An alert that fires for one of two Prometheis and is resolved for the other fires.

An alert that cannot be read is put on the record, and the others count.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import Struct

from fuseboard.errors import InvalidInput, TooLarge, WrongContentType
from fuseboard.events.event import JSON, Event
from fuseboard.events.json import decode_json
from fuseboard.events.types import FailureDetected, FailureResolved
from fuseboard.signals import load
from fuseboard.signals.alerts import FIRING, Alert, alert_annotation, alert_failure, by_start, display_text
from fuseboard.signals.fold import fold_failures
from fuseboard.signals.targets import TargetIndex, involved_object
from fuseboard.stores.records import Entry
from fuseboard.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fuseboard.delivery.connections import Connections
    from fuseboard.delivery.source import Notification
    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Outbox, Store

VERSION: Final = "4"

AHEAD_MS: Final = 5 * 60_000
"""How far a ``startsAt`` may be in the future before it is noted."""

MAX_ALERTS: Final = 100_000
"""In one notification: more do not fit into the longest body, unless each is next to nothing."""

SAMPLES: Final = 10
"""Alerts of a kind that a journal entry shows."""

SHOWN_LABELS: Final = (
    "alertname", "severity", "namespace", "exported_namespace", "deployment", "statefulset", "workload",
    "workload_type", "pod", "exported_pod", "service", "container", "reason",
)  # fmt: skip
"""The only labels that are put on the record; annotations never are."""

_SEND_OWN: Final = "send Alertmanager's own webhook payload, without a custom template"
_SHOWN_LENGTH: Final = 128
_SHOWN_EVENTS: Final = 100
_MANY: Final = 1_000_000
_CLUSTER: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class Quarantined(Struct, frozen=True):
    """An alert that cannot be read, and why."""

    index: int
    reason: str
    labels: dict[str, str]


class NoLoad(Struct, frozen=True):
    """An alert that counts, but whose annotation is not the load that its breaker's policy expects there."""

    breaker: str
    reason: str
    labels: dict[str, str]


class Translation(Struct, frozen=True):
    """What a notification says to the breakers, and what became of its alerts."""

    source: str
    events: tuple[Event, ...]
    alerts: int
    accepted: int
    unmatched: int
    strangers: tuple[dict[str, str], ...]
    """Labels of the first alerts that are about nothing in the table."""
    quarantined: tuple[Quarantined, ...]
    truncated: int
    """Alerts that Alertmanager left out (``max_alerts``); nothing is inferred from that."""
    ahead: int
    """Alerts that began in the future, by our clock."""
    no_loads: tuple[NoLoad, ...] = ()

    @property
    def entry(self) -> Entry:
        """What goes on the record."""
        counts = {
            "accepted": self.accepted,
            "unmatched": self.unmatched,
            "quarantined": len(self.quarantined),
            "truncated": self.truncated,
            "ahead": self.ahead,
            "noLoad": len(self.no_loads),
        }
        told = {name: count for name, count in counts.items() if count}
        samples = {
            "unmatchedAlerts": self.strangers,
            "quarantinedAlerts": self.quarantined[:SAMPLES],
            "noLoadAlerts": self.no_loads[:SAMPLES],
            "events": [f"{event.subject} {event.id}" for event in self.events[:_SHOWN_EVENTS]],
        }
        reason = ", ".join((f"{self.alerts} alerts", *(f"{count} {name}" for name, count in told.items())))
        detail = told | {name: msgspec.to_builtins(found) for name, found in samples.items() if found}
        return Entry(kind="ingest", event=self.source, reason=reason, detail=detail)


class _Tables:
    """The table that was built last: a new one only when the policies have changed."""

    __slots__ = ("_built",)

    def __init__(self) -> None:
        self._built: tuple[Mapping[str, Policy], TargetIndex, Mapping[str, str]] = ({}, TargetIndex(()), {})

    def of(self, policies: Mapping[str, Policy]) -> tuple[TargetIndex, Mapping[str, str]]:
        """Return the table, and the annotation that holds the load, by breaker, where a policy names one."""
        known, table, annotations = self._built
        if known is not policies:
            table, annotations = TargetIndex(policies.values()), dict(_annotations(policies))
            self._built = policies, table, annotations
        return table, annotations


def _annotations(policies: Mapping[str, Policy]) -> Iterator[tuple[str, str]]:
    for key, policy in policies.items():
        wanted = policy.spec.signals.load
        if wanted is not None and wanted.annotation:
            yield key, wanted.annotation


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Turns notifications into signals."""

    path: ClassVar[str] = "/alertmanager"
    max_body_bytes: ClassVar[int] = 10 * 1024 * 1024
    store: Store
    outbox: Outbox
    clock: Callable[[], float] = time.time
    """Held against ``startsAt`` only: when a signal was taken in, the outbox says."""
    _tables: _Tables = field(default_factory=_Tables, init=False, repr=False, compare=False)

    def receive(self, notification: Notification) -> None:
        """Take a notification in; when this returns, its signals are on disk."""
        if notification.content_type.partition(";")[0].strip().lower() != JSON:
            message = f"the content type is {display_text(notification.content_type)!r}: send {JSON}"
            raise WrongContentType(message)
        cluster = _cluster(notification.query)
        payload = decode_json(notification.body)
        table, annotations = self._tables.of(self.store.table())
        translation = translate(payload, table, cluster, round(self.clock() * 1000), annotations)
        self.outbox.append(translation.events, translation.entry)

    def check(self) -> None:
        """Do nothing if the store answers."""
        self.store.check()


def new(connections: Connections) -> Alertmanager:
    """Return the receiver."""
    return Alertmanager(connections.store, connections.outbox)


def translate(
    payload: object, table: TargetIndex, cluster: str, now: int, annotations: Mapping[str, str] | None = None
) -> Translation:
    """Return what a notification says to the breakers of the table; ``now`` is only held against ``startsAt``.

    ``annotations`` names the one that holds the load, by breaker.

    Raises:
        InvalidInput: it is no notification of version 4.
        TooLarge: there are more alerts than anybody means to send.

    """
    sent = _alerts(payload)
    alerts, quarantined = _read(sent)
    told, loads, strangers = _Told(), _Loads(annotations or {}), []
    for alert in alerts:
        about = involved_object(alert.labels)
        breakers = table.matching(about, alert.labels) if about is not None else ()
        if about is None or not breakers:
            strangers.append(alert.labels)
            continue
        failure = alert_failure(alert, about, now)
        for breaker in breakers:
            told.add(breaker, failure, fires=alert.status == FIRING)
            loads.add(breaker, alert, failure)
    source = f"/alertmanager/{cluster}" if cluster else "/alertmanager"
    soon = to_datetime(now + AHEAD_MS)
    return Translation(
        source=source,
        events=(*loads.events(source), *told.events(source)),
        alerts=len(sent),
        accepted=len(alerts) - len(strangers),
        unmatched=len(strangers),
        strangers=tuple([_sample(labels) for labels in strangers[:SAMPLES]]),
        quarantined=quarantined,
        truncated=_truncated(payload),
        ahead=sum(alert.starts_at > soon for alert in alerts),
        no_loads=tuple(loads.unreadable),
    )


class _Told:
    """What one notification says, by breaker and condition."""

    __slots__ = ("_firing", "_resolved")

    def __init__(self) -> None:
        self._firing: dict[str, dict[str, Failure]] = {}
        self._resolved: dict[str, dict[str, Failure]] = {}

    def add(self, breaker: str, failure: Failure, *, fires: bool) -> None:
        """Keep one of twins: the earliest that fires, the last that is resolved, so that the end of either is one."""
        known = (self._firing if fires else self._resolved).setdefault(breaker, {})
        twin = known.get(failure.condition)
        choose = min if fires else max
        known[failure.condition] = failure if twin is None else choose(twin, failure, key=by_start)

    def events(self, source: str) -> Iterator[Event]:
        for breaker in sorted(self._firing.keys() | self._resolved.keys()):
            fires, ended = self._firing.get(breaker, {}), self._resolved.get(breaker, {})
            yield from fold_failures(source, breaker, FailureDetected, fires.values())
            over = (failure for condition, failure in ended.items() if condition not in fires)
            yield from fold_failures(source, breaker, FailureResolved, over)


class _Loads:
    """The load that firing alerts carry for the breakers whose policy names an annotation; of several, the highest."""

    __slots__ = ("_annotations", "_found", "unreadable")

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self._found: dict[str, tuple[float, str]] = {}
        self.unreadable: list[NoLoad] = []

    def add(self, breaker: str, alert: Alert, failure: Failure) -> None:
        name = self._annotations.get(breaker)
        text = alert_annotation(alert, name) if name and alert.status == FIRING else None
        if text is None:
            return
        found = load.parse_number(text)
        if found is None:
            shown = display_text(name or "")
            reason = f"annotation {shown} is no number of 0 or more: write {{{{ $value }}}}, not humanized"
            self.unreadable.append(NoLoad(breaker, reason, _sample(alert.labels)))
            return
        self._found[breaker] = max(self._found.get(breaker, (found, failure.key)), (found, failure.key))

    def events(self, source: str) -> Iterator[Event]:
        for breaker, (found, key) in sorted(self._found.items()):
            yield load.load_event(breaker, found, key, source)


def _alerts(payload: object) -> list[object]:
    if not isinstance(payload, dict):
        raise InvalidInput(f"the body is not a JSON object: {_SEND_OWN}")
    if payload.get("version") != VERSION:
        version = payload.get("version", "missing")
        sent = display_text(repr(version)) if isinstance(version, str | int | float | None) else "no text"
        raise InvalidInput(f"version is {sent}, only {VERSION!r} is understood: {_SEND_OWN}")
    alerts = payload.get("alerts")
    if not isinstance(alerts, list):
        state = "not an array" if "alerts" in payload else "missing"
        raise InvalidInput(f"alerts is {state}: {_SEND_OWN}")
    if len(alerts) > MAX_ALERTS:
        raise TooLarge(f"{len(alerts)} alerts, the limit is {MAX_ALERTS}: set max_alerts of this webhook")
    return alerts


def _truncated(payload: object) -> int:
    count = payload.get("truncatedAlerts") if isinstance(payload, dict) else 0
    return min(max(count, 0), _MANY) if isinstance(count, int) else 0


def _read(sent: list[object]) -> tuple[Sequence[Alert], tuple[Quarantined, ...]]:
    try:
        return msgspec.convert(sent, list[Alert]), ()
    except msgspec.ValidationError:
        pass  # one by one, to learn which
    alerts, quarantined = [], []
    for index, each in enumerate(sent):
        try:
            alerts.append(msgspec.convert(each, Alert))
        except msgspec.ValidationError as error:
            labels = each.get("labels") if isinstance(each, dict) else None
            sample = _sample(labels) if isinstance(labels, dict) else {}
            quarantined.append(Quarantined(index, _why(error), sample))
    return alerts, tuple(quarantined)


def _why(error: msgspec.ValidationError) -> str:
    """Say what is wrong without the value that is: it is nobody's to read."""
    if "enum value" in str(error):
        return "status is neither firing nor resolved"
    return str(error)[:_SHOWN_LENGTH]


def _cluster(query: Mapping[str, str]) -> str:
    cluster = query.get("cluster")
    if cluster is None:
        return ""
    if not _CLUSTER.fullmatch(cluster):
        message = (
            f"cluster is {display_text(cluster)!r}: expected lower case letters, digits and '-', as in ?cluster=eu-1"
        )
        raise InvalidInput(message)
    return cluster


def _sample(labels: Mapping[str, object]) -> dict[str, str]:
    found = ((name, labels.get(name)) for name in SHOWN_LABELS)
    return {name: display_text(value) for name, value in found if isinstance(value, str)}
