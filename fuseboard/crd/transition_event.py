"""The Kubernetes Event that reports a transition of a breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseboard.cluster.names import EVENT, NORMAL, OWN, WARNING
from fuseboard.crd.conditions import MESSAGE_LENGTH
from fuseboard.events.event import digest
from fuseboard.events.types import BreakerLimited, BreakerOpened
from fuseboard.times import kubernetes_timestamp

if TYPE_CHECKING:
    from fuseboard.cluster import Manifest
    from fuseboard.events.types import BreakerMoved
    from fuseboard.policy.spec import Policy


def transition_event(policy: Policy, moved: BreakerMoved, uid: str) -> Manifest:
    """Return the Event of a transition, about the target; ``uid`` is the target's, empty if the target is gone.

    The name of the Event follows from the transition, so the Event of a duplicate exists already.
    """
    target, namespace = policy.spec.target, policy.namespace
    name = digest(policy.key, str(moved.epoch), str(moved.since))[:16]
    is_bad = isinstance(moved, BreakerLimited | BreakerOpened)
    about = {"apiVersion": "apps/v1", "kind": target.kind.value, "namespace": namespace, "name": target.name}
    return {
        "apiVersion": "v1",
        "kind": EVENT,
        "metadata": {"name": f"{policy.metadata.name}.{name}", "namespace": namespace},
        "involvedObject": about | ({"uid": uid} if uid else {}),
        "type": WARNING if is_bad else NORMAL,
        "reason": type(moved).__name__,
        "message": f"breaker {policy.metadata.name}: {moved.previous} → {moved.state}: {moved.reason}"[:MESSAGE_LENGTH],
        "source": {"component": OWN},
        "reportingComponent": OWN,
        "reportingInstance": OWN,
        "firstTimestamp": kubernetes_timestamp(moved.since),
        "lastTimestamp": kubernetes_timestamp(moved.since),
        "count": 1,
    }
