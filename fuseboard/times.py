"""Moments: milliseconds since 1970, as Kubernetes, Alertmanager and people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_LATEST_MS: Final = 253_402_300_799_999
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def stamp(millis: int) -> str:
    """Return a time as Kubernetes writes it."""
    return datetime.fromtimestamp(millis // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None) -> int:
    """Return a timestamp in milliseconds since 1970; 0 where there is none, or none that can be."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return 0
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    stamp = round(found.timestamp() * 1000)
    return stamp if 0 < stamp <= _LATEST_MS else 0


def iso(moment: int) -> str | None:
    """Return a time as RFC 3339 has it; None for 0."""
    if not moment:
        return None
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def millis(duration: str) -> int:
    """Return a duration such as ``1m30s`` in milliseconds."""
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _DURATION.findall(duration))
