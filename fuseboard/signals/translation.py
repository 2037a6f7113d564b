"""Translate a notification of Alertmanager into the signals of breakers.

All alerts of one notification about one breaker become one event for those that fire and one for those that are
resolved. Each alert's own status decides, never the group's, its ``endsAt`` or its absence. The same notification sent
again gets the same ids.

Events for firing alerts come before those for resolved ones: an open breaker must not begin a trial between the two. An
alert that fires for one of two Prometheis and is resolved for the other fires.

An alert that cannot be read is put on the record, and the others count.
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
"""How far a ``startsAt`` may be in the future before it is noted."""

SAMPLES: Final = 10
"""Alerts of a kind that a journal entry shows."""

_SHOWN_EVENTS: Final = 100


class NoLoad(Struct, frozen=True):
    """An alert that counts, but whose annotation is not the load that its breaker's policy expects there."""

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
    """Labels of the first alerts that concern no breaker of the table."""
    quarantined: tuple[Quarantined, ...]
    truncated: int
    """Alerts that Alertmanager left out (``max_alerts``); nothing is inferred from that."""
    ahead: int
    """Alerts that began in the future, by our clock."""
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
        detail = counted | {name: msgspec.to_builtins(found) for name, found in samples.items() if found}
        return Entry(kind="ingest", event=self.source, reason=reason, detail=detail)


def translate(
    payload: object, table: TargetIndex, cluster: str, now: int, annotations: Mapping[str, str] | None = None
) -> Translation:
    """Translate a notification for the breakers of the table.

    ``now``, in milliseconds since 1970, is only held against ``startsAt``. ``annotations`` names, by breaker, the
    annotation that holds the load.

    Raises:
        InvalidInput: the payload is no notification of version 4.
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
    """The conditions of one notification, by breaker: those that fire and those that are resolved."""

    __slots__ = ("_firing", "_resolved")

    def __init__(self) -> None:
        self._firing: dict[str, dict[str, Failure]] = {}
        self._resolved: dict[str, dict[str, Failure]] = {}

    def add(self, breaker: str, failure: Failure, *, fires: bool) -> None:
        """Add a condition. Of twins, keep the earliest that fires and the last that is resolved: they end as one."""
        known = (self._firing if fires else self._resolved).setdefault(breaker, {})
        twin = known.get(failure.condition)
        choose = min if fires else max
        known[failure.condition] = failure if twin is None else choose(twin, failure, key=by_start)

    def events(self, source: str) -> Iterator[Event]:
        """Yield an event for the firing conditions of a breaker, then one for its resolved ones."""
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
        """Take the load from a firing alert, if the breaker's policy expects one there."""
        name = self._annotations.get(breaker)
        text = alert_annotation(alert, name) if name and alert.status == FIRING else None
        if text is None:
            return
        found = load.parse_number(text)
        if found is None:
            shown = display_text(name or "")
            reason = f"annotation {shown} is no number of 0 or more: write {{{{ $value }}}}, not humanized"
            self.unreadable.append(NoLoad(breaker, reason, sample_labels(alert.labels)))
            return
        self._found[breaker] = max(self._found.get(breaker, (found, failure.key)), (found, failure.key))

    def events(self, source: str) -> Iterator[Event]:
        """Yield the load of each breaker."""
        for breaker, (found, key) in sorted(self._found.items()):
            yield load.load_event(breaker, found, key, source)
