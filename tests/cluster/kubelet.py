"""What a kubelet writes, and how fast a watch of it is in tests."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fuseboard.cluster.pace import WatchPace

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


SOON = WatchPace(first_wait=0.1, last_wait=0.5, denied_wait=0.3, stream=(2.0, 3.0), quiet=1.0)


def stamp(*, micro: bool = False) -> str:
    """Return the time of now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def kubelet_says(cluster: Cluster, pod: dict[str, str], count: int = 1, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Write an Event as a kubelet does: counted."""
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pod['name']}.{secrets.token_hex(4)}", "namespace": pod["namespace"]},
        "involvedObject": pod | {"fieldPath": "spec.containers{app}"},
        "reason": "BackOff",
        "message": "Back-off restarting failed container app",
        "type": "Warning",
        "count": count,
        "firstTimestamp": stamp(),
        "lastTimestamp": stamp(),
        "source": {"component": "kubelet", "host": "node-a"},
        **changes,
    }
    return cluster.api.create(event)
