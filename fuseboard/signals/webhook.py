"""The payload of Alertmanager's webhook, version 4: readable and unreadable alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from fuseboard.errors import InvalidInput, TooLarge
from fuseboard.signals.alerts import Alert, display_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = "4"
MAX_ALERTS: Final = 100_000
"""Limit for a notification; more alerts only fit into the longest body if almost empty."""

SHOWN_LABELS: Final = (
    "alertname", "severity", "namespace", "exported_namespace", "deployment", "statefulset", "workload",
    "workload_type", "pod", "exported_pod", "service", "container", "reason",
)  # fmt: skip
"""The labels that the journal may show; annotations are never recorded."""

_SEND_OWN: Final = "send Alertmanager's own webhook payload, without a custom template"
_MAX_REASON_LENGTH: Final = 128
_MAX_TRUNCATED: Final = 1_000_000


class Quarantined(Struct, frozen=True):
    """An unreadable alert and the reason."""

    index: int
    reason: str
    labels: dict[str, str]


def payload_alerts(payload: object) -> list[object]:
    """Return the unread alerts of a notification.

    Raises:
        InvalidInput: the payload is not a notification of version 4.
        TooLarge: there are more than ``MAX_ALERTS``.

    """
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


def truncated_alerts(payload: object) -> int:
    """Return how many alerts Alertmanager left out (``max_alerts``)."""
    count = payload.get("truncatedAlerts") if isinstance(payload, dict) else 0
    return min(max(count, 0), _MAX_TRUNCATED) if isinstance(count, int) else 0


def read_alerts(sent: Sequence[object]) -> tuple[Sequence[Alert], tuple[Quarantined, ...]]:
    """Return the readable alerts, and the unreadable alerts with reasons."""
    try:
        return msgspec.convert(sent, list[Alert]), ()
    except msgspec.ValidationError:
        pass  # read again, alert by alert, to find the unreadable alerts
    alerts, quarantined = [], []
    for index, each in enumerate(sent):
        try:
            alerts.append(msgspec.convert(each, Alert))
        except msgspec.ValidationError as error:
            labels = each.get("labels") if isinstance(each, dict) else None
            sample = sample_labels(labels) if isinstance(labels, dict) else {}
            quarantined.append(Quarantined(index, _reason(error), sample))
    return alerts, tuple(quarantined)


def sample_labels(labels: Mapping[str, object]) -> dict[str, str]:
    """Return the labels that the journal may show."""
    values = ((name, labels.get(name)) for name in SHOWN_LABELS)
    return {name: display_text(value) for name, value in values if isinstance(value, str)}


def _reason(error: msgspec.ValidationError) -> str:
    """Return the reason without the wrong value, which may be confidential."""
    if "enum value" in str(error):
        return "status is neither firing nor resolved"
    return str(error)[:_MAX_REASON_LENGTH]
