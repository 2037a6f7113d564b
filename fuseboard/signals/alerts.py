"""Alerts of Alertmanager: the identity of their condition, and the failure that they report.

Labels are untrusted. They are digested, compared, and displayed only after shortening and cleaning.
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
"""Labels that name the Prometheus (or the ruler) of an HA pair that raised the alert.

They are external labels of prometheus-operator, Cortex and Mimir, and Thanos. The labels ``replica``, ``instance`` and
``pod`` are left out because they distinguish real objects: the end of an alert about a pod must not end another alert.
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
    """The part of an alert that Fuseboard reads."""

    labels: dict[str, str]
    status: Literal["firing", "resolved"]
    starts_at: AlertTime
    ends_at: Any = None
    """Read only to distinguish the resolves of an alert."""
    annotations: Any = None
    """Read only for the annotation that a policy names, and never recorded: annotations may contain secrets."""


def condition_key(labels: Mapping[str, str]) -> str:
    """Return the key of the condition with these labels; the alerts of an HA pair share a condition."""
    if not REPLICA_LABELS.isdisjoint(labels):
        labels = {name: value for name, value in labels.items() if name not in REPLICA_LABELS}
    return digest(_SORTED.encode(labels).decode())


def alert_failure(alert: Alert, about: InvolvedObject, now: int) -> Failure:
    """Return the failure that an alert reports about an object; ``now`` is only compared with ``startsAt``."""
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
        # Left out if the cause begins with the reason: 5,000 alerts on 20 breakers then need 20 events instead of 40.
        reason=name if " " in name else "",
        # The label of kube-state-metrics, as in KubePodCrashLooping and KubeContainerWaiting: why the container waits.
        chain=(reason,) if reason else (),
    )


def alert_annotation(alert: Alert, name: str) -> str | None:
    """Return an annotation as text; None for a missing annotation."""
    value = alert.annotations.get(name) if isinstance(alert.annotations, dict) else None
    return value if isinstance(value, str | None) else ""


def by_start(failure: Failure) -> tuple[int, str]:
    """Return the key that sorts failures by their start."""
    return failure.started_at, failure.key


def display_text(text: str) -> str:
    """Return untrusted text for display: shortened, without control and formatting characters."""
    return plain(text, _SHOWN_LENGTH)


def _end(ends_at: object) -> int:
    try:
        return to_timestamp(msgspec.convert(ends_at, AlertTime))
    except msgspec.ValidationError:
        return 0  # the time only distinguishes resolves
