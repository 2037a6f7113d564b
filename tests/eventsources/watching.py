"""How fast a watch is in tests, and what it is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fuseboard.cluster.pace import WatchPace
from tests.workloads.shapes import shape

POD = "login-7d9c5b8f6d-x2x4z"
SOON = WatchPace(first_wait=0.05, last_wait=0.2, denied_wait=0.1, silence=20.0)


def event(uid: str = "u", count: int = 1, *, version: str = "7", ago_s: float = 0, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an Event about a pod of the target."""
    at = stamp(ago_s)
    meta = {"uid": uid, "resourceVersion": version, "creationTimestamp": at}
    return shape("core_counted", metadata=meta, count=count, lastTimestamp=at, firstTimestamp=at, **changes)


def stamp(ago_s: float = 0) -> str:
    """Return a time of just now, or some seconds ago, as Kubernetes writes it."""
    return datetime.fromtimestamp(time.time() - ago_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
