"""Say on a CircuitBreaker, and by an Event on its target, what has become of its breaker.

Runs as one Knative Service. The event that wakes it is a hint: the record is read again, and what is said is what is
there. Without a cluster, or where the table is a file, there is nobody to say it to.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from fuseboard import logs
from fuseboard.cluster.names import EVENT, list_path, object_path
from fuseboard.crd import transition_event
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
        """Say what there is to say."""
        if self.cluster.rehearses:
            return
        cluster = self.cluster.within(CLUSTER_DEADLINE_S)
        policy = self.store.read(event.subject).policy
        if isinstance(event.data, BreakerMoved):
            self._tell(cluster, policy, event.data)
        for key in (event.subject, *self._dependents(policy, event)):
            with _refusals_logged(key):
                StatusWriter(self.store, cluster).write(key)

    def check(self) -> None:
        """Do nothing if store and cluster answer."""
        self.store.check()
        self.cluster.check()

    def _tell(self, cluster: Writable, policy: Policy, moved: BreakerMoved) -> None:
        """Create the Event of a transition that has been; the one of a duplicate is there already."""
        if self.store.read(policy.key).state.epoch < moved.epoch:
            return
        with _refusals_logged(policy.key), contextlib.suppress(Conflict):
            told = transition_event.transition_event(policy, moved, _uid(cluster, policy))
            cluster.create(list_path(EVENT, policy.namespace), told)

    def _dependents(self, policy: Policy, event: Event) -> Iterator[str]:
        """Yield the breakers that depend on one that has moved: whether it is open is in their status."""
        if not isinstance(event.data, BreakerMoved):
            return
        for key, other in self.store.table().items():
            if other.namespace == policy.namespace and policy.metadata.name in other.spec.depends_on:
                yield key


@contextlib.contextmanager
def _refusals_logged(key: str) -> Iterator[None]:
    """Leave at that what the cluster refuses: asked again, it would say the same."""
    try:
        yield
    except Refused as error:
        logs.logger().error("status.refused", breaker=key, error=str(error))


def new(connections: Connections) -> Status:
    """Return the function."""
    return Status(connections.store, connections.cluster)


def _uid(cluster: Cluster, policy: Policy) -> str:
    """Return the target's uid, by which ``kubectl describe`` finds its Events; nothing for one that is gone."""
    target = policy.spec.target
    path = object_path(target.kind, policy.namespace, target.name)
    try:
        return str(cluster.get(path)["metadata"]["uid"])
    except NotFound:
        return ""
