"""An alert of Alertmanager: what makes it the same condition, and what it says of a target.

Its labels are untrusted: they are digested, compared, and shown short and printable.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from fuseboard.events.event import digest
from fuseboard.events.types import Failure
from fuseboard.text import plain
from fuseboard.times import to_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.signals.targets import InvolvedObject

REPLICA_LABELS: Final = frozenset({"prometheus_replica", "__replica__", "thanos_ruler_replica", "rule_replica"})
"""Labels that name the Prometheus (or the ruler) of an HA pair that noticed, and not what it noticed.

They are external labels of prometheus-operator, Cortex and Mimir, and Thanos. A plain ``replica`` is not among them,
nor are ``instance`` and ``pod``: they tell real things apart, and the end of one must not be the end of the other.
"""

FIRING: Final = "firing"
RESOLVED: Final = "resolved"

_SEVERITY_LENGTH: Final = 64
_SHOWN_LENGTH: Final = 128
_OLDEST_MS: Final = 946_684_800_000
_DAY_MS: Final = 24 * 3_600_000
_SORTED: Final = msgspec.json.Encoder(order="deterministic")

AlertTime = Annotated[datetime, Meta(tz=True)]


class Alert(Struct, frozen=True, rename="camel"):
    """The part of an alert that is looked at."""

    labels: dict[str, str]
    status: Literal["firing", "resolved"]
    starts_at: AlertTime
    ends_at: Any = None
    """Read for a resolved alert only, and only to tell one resolve from another."""
    annotations: Any = None
    """Looked into only for what a policy names, and put on no record: they may hold secrets."""


def condition_key(labels: Mapping[str, str]) -> str:
    """Return the key of the condition that alerts with these labels are: twins of an HA pair are one."""
    if not REPLICA_LABELS.isdisjoint(labels):
        labels = {name: value for name, value in labels.items() if name not in REPLICA_LABELS}
    return digest(_SORTED.encode(labels).decode())


def alert_failure(alert: Alert, about: InvolvedObject, now: int) -> Failure:
    """Return what an alert says of the object that it is about; ``now`` is only held against ``startsAt``."""
    labels, condition = alert.labels, condition_key(alert.labels)
    by_start = to_timestamp(alert.starts_at)
    ended = f":{_end(alert.ends_at)}" if alert.status == RESOLVED else ""
    name, reason = display_text(labels.get("alertname", "")), display_text(labels.get("reason", ""))
    return Failure(
        key=f"{condition}:{by_start}:{alert.status}{ended}",
        cause=f"{name or 'alert without a name'} {about.kind}/{about.name}",
        condition=condition,
        severity=display_text(labels.get("severity", "")).lower()[:_SEVERITY_LENGTH],
        started_at=by_start if _OLDEST_MS <= by_start <= now + _DAY_MS else 0,
        # The first word of the cause says it already: 5,000 alerts on 20 breakers are then 20 events, and not 40.
        reason=name if " " in name else "",
        # kube-state-metrics' own, as in KubePodCrashLooping and KubeContainerWaiting: why the container waits.
        chain=(reason,) if reason else (),
    )


def alert_annotation(alert: Alert, name: str) -> str | None:
    """Return an annotation as text; None where there is none."""
    value = alert.annotations.get(name) if isinstance(alert.annotations, dict) else None
    return value if isinstance(value, str | None) else ""


def by_start(failure: Failure) -> tuple[int, str]:
    """Sort failures by when they began."""
    return failure.started_at, failure.key


def display_text(text: str) -> str:
    """Return text that others wrote fit to be shown: short, without control or formatting characters."""
    return plain(text, _SHOWN_LENGTH)


def _end(ends_at: object) -> int:
    try:
        return to_timestamp(msgspec.convert(ends_at, AlertTime))
    except msgspec.ValidationError:
        return 0  # a resolve is a resolve, whenever it was
