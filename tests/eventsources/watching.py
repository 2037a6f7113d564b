"""How fast a watch is in tests, and what it is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from fuseboard.cluster.pace import WatchPace
from tests.workloads.shapes import shape

if TYPE_CHECKING:
    from eventsources.apiserver import ApiServer

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


class Ended:
    """A watch that has ended: what it heard is taken in by nobody."""

    kind = ""

    def __init__(self) -> None:
        self.stop = Flag()
        self.stop.set()


def wake(source: ApiServer) -> None:
    """Let a source that waits for what its watches hear look around at once."""
    source.watches.heard.put((Ended(), None), Flag())  # type: ignore[arg-type]  # an ended watch is skipped


def look(source: ApiServer) -> None:
    """Let a source look at the table at once."""
    source._looked_at = float("-inf")
    wake(source)
