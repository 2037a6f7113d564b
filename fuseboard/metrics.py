"""Counters of what was handled, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_events: Final = Counter(
    "fuseboard_requests", "Requests by who handled them and what became of them.", ["handler", "outcome"]
)
_waiting: Final = Gauge("fuseboard_outbox_waiting", "Events in the outbox that the broker does not have yet.")


def count(handler: str, outcome: str) -> None:
    """Count one request."""
    _events.labels(handler, outcome).inc()


def waiting(events: int) -> None:
    """Note how many events wait in the outbox."""
    _waiting.set(events)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest()
