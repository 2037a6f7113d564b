"""Translate a notification of Alertmanager into the signals of breakers.

The alerts of a notification become two events for each breaker: an event with the firing alerts, and an event with the
resolved alerts. The status of each alert decides, never the status of the group, ``endsAt``, or the absence of the
alert. A repeated notification gets the same ids.

The event with the firing alerts comes first, because an open breaker must not begin a trial between the two. An alert
that fires in a Prometheus of an HA pair and is resolved in the second Prometheus counts as firing.

An unreadable alert is recorded in the journal, and the readable alerts of the notification count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from fuseboard.events.event import Event
from fuseboard.events.types import FailureDetected, FailureResolved
from fuseboard.signals import load
from fuseboard.signals.alerts import FIRING, alert_annotation, alert_failure, by_start, display_text
from fuseboard.signals.fold import fold_failures
from fuseboard.signals.targets import involved_object
from fuseboard.signals.webhook import Quarantined, payload_alerts, read_alerts, sample_labels, truncated_alerts
from fuseboard.stores.records import Entry
from fuseboard.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fuseboard.events.types import Failure
    from fuseboard.signals.alerts import Alert
    from fuseboard.signals.targets import TargetIndex

AHEAD_MS: Final = 5 * 60_000
"""How far a ``startsAt`` may be in the future before the journal notes the alert."""

SAMPLES: Final = 10
"""Number of alerts that a journal entry shows of each kind."""

_SHOWN_EVENTS: Final = 100


class NoLoad(Struct, frozen=True):
    """An alert whose annotation is not the number that the policy expects; the alert still counts."""

    breaker: str
    reason: str
    labels: dict[str, str]


class Translation(Struct, frozen=True):
    """The events of a notification, and the account of its alerts."""

    source: str
    events: tuple[Event, ...]
    alerts: int
    accepted: int
    unmatched: int
    strangers: tuple[dict[str, str], ...]
    """Labels of the first alerts without a breaker in the table."""
    quarantined: tuple[Quarantined, ...]
    truncated: int
    """Number of alerts that Alertmanager left out (``max_alerts``)."""
    ahead: int
    """Number of alerts that begin in the future, by the clock of this process."""
    no_loads: tuple[NoLoad, ...] = ()

    @property
    def entry(self) -> Entry:
        """The notification as an entry of the journal."""
        counts = {
            "accepted": self.accepted,
            "unmatched": self.unmatched,
            "quarantined": len(self.quarantined),
            "truncated": self.truncated,
            "ahead": self.ahead,
            "noLoad": len(self.no_loads),
        }
        counted = {name: count for name, count in counts.items() if count}
        samples = {
            "unmatchedAlerts": self.strangers,
            "quarantinedAlerts": self.quarantined[:SAMPLES],
            "noLoadAlerts": self.no_loads[:SAMPLES],
            "events": [f"{event.subject} {event.id}" for event in self.events[:_SHOWN_EVENTS]],
        }
        reason = ", ".join((f"{self.alerts} alerts", *(f"{count} {name}" for name, count in counted.items())))
        detail = counted | {name: msgspec.to_builtins(sample) for name, sample in samples.items() if sample}
        return Entry(kind="ingest", event=self.source, reason=reason, detail=detail)


def translate(
    payload: object, table: TargetIndex, cluster: str, now: int, annotations: Mapping[str, str] | None = None
) -> Translation:
    """Translate a notification for the breakers of the table.

    ``now``, in milliseconds since 1970, is only compared with ``startsAt``. ``annotations`` gives the name of the
    annotation with the load, by breaker.

    Raises:
        InvalidInput: the payload is not a notification of version 4.
        TooLarge: there are more than ``MAX_ALERTS`` alerts.

    """
    sent = payload_alerts(payload)
    alerts, quarantined = read_alerts(sent)
    conditions, loads, strangers = _Conditions(), _Loads(annotations or {}), []
    for alert in alerts:
        about = involved_object(alert.labels)
        breakers = table.matching(about, alert.labels) if about is not None else ()
        if about is None or not breakers:
            strangers.append(alert.labels)
            continue
        failure = alert_failure(alert, about, now)
        for breaker in breakers:
            conditions.add(breaker, failure, fires=alert.status == FIRING)
            loads.add(breaker, alert, failure)
    source = f"/alertmanager/{cluster}" if cluster else "/alertmanager"
    soon = to_datetime(now + AHEAD_MS)
    return Translation(
        source=source,
        events=(*loads.events(source), *conditions.events(source)),
        alerts=len(sent),
        accepted=len(alerts) - len(strangers),
        unmatched=len(strangers),
        strangers=tuple([sample_labels(labels) for labels in strangers[:SAMPLES]]),
        quarantined=quarantined,
        truncated=truncated_alerts(payload),
        ahead=sum(alert.starts_at > soon for alert in alerts),
        no_loads=tuple(loads.unreadable),
    )


class _Conditions:
    """The firing and the resolved conditions of a notification, by breaker."""

    __slots__ = ("_firing", "_resolved")

    def __init__(self) -> None:
        self._firing: dict[str, dict[str, Failure]] = {}
        self._resolved: dict[str, dict[str, Failure]] = {}

    def add(self, breaker: str, failure: Failure, *, fires: bool) -> None:
        """Add a condition; of the alerts of an HA pair, keep the earliest firing and the latest resolved alert."""
        known = (self._firing if fires else self._resolved).setdefault(breaker, {})
        twin = known.get(failure.condition)
        choose = min if fires else max
        known[failure.condition] = failure if twin is None else choose(twin, failure, key=by_start)

    def events(self, source: str) -> Iterator[Event]:
        """Yield the events with firing conditions of each breaker, then the events with resolved conditions."""
        for breaker in sorted(self._firing.keys() | self._resolved.keys()):
            fires, ended = self._firing.get(breaker, {}), self._resolved.get(breaker, {})
            yield from fold_failures(source, breaker, FailureDetected, fires.values())
            over = (failure for condition, failure in ended.items() if condition not in fires)
            yield from fold_failures(source, breaker, FailureResolved, over)


class _Loads:
    """The highest load in the firing alerts of each breaker whose policy names an annotation."""

    __slots__ = ("_annotations", "_highest", "unreadable")

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self._highest: dict[str, tuple[float, str]] = {}
        self.unreadable: list[NoLoad] = []

    def add(self, breaker: str, alert: Alert, failure: Failure) -> None:
        """Read the load from a firing alert, if the policy names an annotation."""
        name = self._annotations.get(breaker)
        text = alert_annotation(alert, name) if name and alert.status == FIRING else None
        if text is None:
            return
        value = load.parse_number(text)
        if value is None:
            shown = display_text(name or "")
            reason = f"annotation {shown} is no number of 0 or more: write {{{{ $value }}}}, not humanized"
            self.unreadable.append(NoLoad(breaker, reason, sample_labels(alert.labels)))
            return
        self._highest[breaker] = max(self._highest.get(breaker, (value, failure.key)), (value, failure.key))

    def events(self, source: str) -> Iterator[Event]:
        """Yield the load of each breaker."""
        for breaker, (value, key) in sorted(self._highest.items()):
            yield load.load_event(breaker, value, key, source)
