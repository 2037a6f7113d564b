"""Report a breaker on its CircuitBreaker, in the status, and on its target, by a Kubernetes Event.

Runs as a Knative Service. The incoming event is only a hint: the function reads the row again and reports the row.
Without a cluster, or with a table from a file, there is no resource to report on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from fuseboard import logs
from fuseboard.cluster.names import EVENT, list_path, object_path
from fuseboard.crd.transition_event import transition_event
from fuseboard.crd.writer import StatusWriter
from fuseboard.errors import Conflict, NotFound, Refused
from fuseboard.events.types import BREAKER_EVENTS, FAILOVER_EVENTS, BreakerMoved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.cluster import Cluster, Writable
    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store

CLUSTER_DEADLINE_S: Final = 7.0


@dataclass(frozen=True, slots=True)
class Status:
    """Writes statuses and Events."""

    consumes: ClassVar[EventTypes] = BREAKER_EVENTS | FAILOVER_EVENTS
    emits: ClassVar[EventTypes] = frozenset()
    store: Store
    cluster: Writable

    def handle(self, event: Event) -> None:
        """Write the statuses that an event may have changed, and the Event of a transition."""
        if self.cluster.rehearses:
            return
        cluster = self.cluster.within(CLUSTER_DEADLINE_S)
        policy = self.store.read(event.subject).policy
        if isinstance(event.data, BreakerMoved):
            self._report(cluster, policy, event.data)
        for key in (event.subject, *self._dependents(policy, event)):
            with _refusals_logged(key):
                StatusWriter(self.store, cluster).write(key)

    def check(self) -> None:
        """Do nothing if store and cluster answer."""
        self.store.check()
        self.cluster.check()

    def _report(self, cluster: Writable, policy: Policy, moved: BreakerMoved) -> None:
        """Create the Event of a transition; the Event of a duplicate exists already."""
        if self.store.read(policy.key).state.epoch < moved.epoch:
            return
        with _refusals_logged(policy.key), contextlib.suppress(Conflict):
            report = transition_event(policy, moved, _uid(cluster, policy))
            cluster.create(list_path(EVENT, policy.namespace), report)

    def _dependents(self, policy: Policy, event: Event) -> Iterator[str]:
        """Yield the breakers that depend on the breaker of a transition, because their status has its state."""
        if not isinstance(event.data, BreakerMoved):
            return
        for key, other in self.store.table().items():
            if other.namespace == policy.namespace and policy.metadata.name in other.spec.depends_on:
                yield key


@contextlib.contextmanager
def _refusals_logged(key: str) -> Iterator[None]:
    """Log a refusal of the cluster instead of retrying the event: the cluster would refuse the next try as well."""
    try:
        yield
    except Refused as error:
        logs.logger().error("status.refused", breaker=key, error=str(error))


def new(connections: Connections) -> Status:
    """Return the function."""
    return Status(connections.store, connections.cluster)


def _uid(cluster: Cluster, policy: Policy) -> str:
    """Return the target's uid, by which ``kubectl describe`` finds its Events; empty if the target is gone."""
    target = policy.spec.target
    path = object_path(target.kind, policy.namespace, target.name)
    try:
        return str(cluster.get(path)["metadata"]["uid"])
    except NotFound:
        return ""
