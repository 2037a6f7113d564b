"""Times as milliseconds since 1970, their forms in Kubernetes, Alertmanager, the API and policies; back-off."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DURATION: Final = re.compile(r"([0-9]+)(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_MAX_DOUBLINGS: Final = 20
"""A million times the first wait: more than any longest one in use, and no float overflows."""

Wait = TypeVar("Wait", int, float)
"""A wait in seconds or milliseconds."""


def parse_timestamp(text: str | None) -> int:
    """Read an ISO 8601 timestamp, in UTC unless an offset is given.

    Returns milliseconds since 1970, or 0 for a missing, malformed or impossible timestamp: Kubernetes leaves most of
    its timestamps out.
    """
    try:
        parsed = datetime.fromisoformat(text or "")
    except ValueError:
        return 0
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    timestamp = round(parsed.timestamp() * 1000)
    return timestamp if 0 < timestamp <= _LATEST_MS else 0


def kubernetes_timestamp(timestamp: int) -> str:
    """Write a timestamp as Kubernetes does: in UTC, in whole seconds."""
    return datetime.fromtimestamp(timestamp // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339(timestamp: int) -> str | None:
    """Write a timestamp as the API and the CLI do: in UTC, with milliseconds; None for 0, an unknown time."""
    if not timestamp:
        return None
    return datetime.fromtimestamp(timestamp / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_datetime(timestamp: int) -> datetime:
    """Return a timestamp as a datetime in UTC."""
    return _EPOCH + timestamp * _MILLISECOND


def to_timestamp(moment: datetime) -> int:
    """Return a datetime with a time zone as milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


@lru_cache(maxsize=1024)
def duration_ms(duration: str) -> int:
    """Return a duration such as ``1m30s`` in milliseconds."""
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _DURATION.findall(duration))


def back_off(first: Wait, failures: int, longest: Wait) -> Wait:
    """Return the wait before the next try: ``first`` after no failure, doubled with each, never over ``longest``."""
    return min(first * (1 << min(failures, _MAX_DOUBLINGS)), longest)


def jittered(shortest: float, longest: float) -> float:
    """Return a random wait in a range, so that clients that failed together do not return together."""
    return random.uniform(shortest, longest)  # noqa: S311  - jitter, not a secret
