"""The metrics of Fuseboard, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_events: Final = Counter(
    "fuseboard_requests", "Requests by who handled them and what became of them.", ["handler", "outcome"]
)
_waiting: Final = Gauge("fuseboard_outbox_waiting", "Events in the outbox that the broker does not have yet.")
_silent: Final = Gauge(
    "fuseboard_watch_silent_seconds", "How long the API server has given no sign of life, by watch.", ["namespace"]
)
_deaf: Final = Gauge(
    "fuseboard_source_silent_seconds", "How long a source has had no answer from whom it asks.", ["source"]
)
_lag: Final = Histogram(
    "fuseboard_events_lag_seconds",
    "From when the API server was told of a Kubernetes Event to when it was taken in.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600),
)


def count(handler: str, outcome: str) -> None:
    """Count a request."""
    _events.labels(handler, outcome).inc()


def waiting(events: int) -> None:
    """Note how many events wait in the outbox."""
    _waiting.set(events)


def watch_silent(namespace: str, seconds: float) -> None:
    """Note how fresh a watch is."""
    _silent.labels(namespace).set(seconds)


def watch_ended(namespace: str) -> None:
    """Forget an ended watch."""
    if (namespace,) in _silent._metrics:  # noqa: SLF001  - the library warns of removing what is not there
        _silent.remove(namespace)


def source_silent(source: str, seconds: float) -> None:
    """Note the seconds since the last answer to a source; 0 for a source without a question."""
    _deaf.labels(source).set(seconds)


def events_lag(seconds: float) -> None:
    """Note how late a Kubernetes Event was taken in."""
    _lag.observe(max(seconds, 0.0))


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest()
