"""Alertmanager's webhook payload, version 4: the alerts in it, and those that cannot be read."""

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
"""In one notification. More do not fit into the longest body, unless each alert is almost empty."""

SHOWN_LABELS: Final = (
    "alertname", "severity", "namespace", "exported_namespace", "deployment", "statefulset", "workload",
    "workload_type", "pod", "exported_pod", "service", "container", "reason",
)  # fmt: skip
"""The only labels that are put on the record; annotations never are."""

_SEND_OWN: Final = "send Alertmanager's own webhook payload, without a custom template"
_MAX_REASON_LENGTH: Final = 128
_MAX_TRUNCATED: Final = 1_000_000


class Quarantined(Struct, frozen=True):
    """An alert that cannot be read, and why."""

    index: int
    reason: str
    labels: dict[str, str]


def payload_alerts(payload: object) -> list[object]:
    """Return the alerts of a notification, still to be read.

    Raises:
        InvalidInput: the payload is no notification of version 4.
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
    """Return the alerts that can be read, and the others with a reason."""
    try:
        return msgspec.convert(sent, list[Alert]), ()
    except msgspec.ValidationError:
        pass  # again, alert by alert, to learn which cannot be read
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
    """Return the labels that may be put on the record."""
    found = ((name, labels.get(name)) for name in SHOWN_LABELS)
    return {name: display_text(value) for name, value in found if isinstance(value, str)}


def _reason(error: msgspec.ValidationError) -> str:
    """Return the reason without the wrong value, which may be confidential."""
    if "enum value" in str(error):
        return "status is neither firing nor resolved"
    return str(error)[:_MAX_REASON_LENGTH]
