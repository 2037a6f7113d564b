"""Bring the placement to the shares that its breaker asks for, step by step under a fence.

Runs as a Knative Service. An event is only a hint: the row is read again, and the owed step is claimed, done, verified
and released. Replies with the result; a duplicate gets the same reply.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, cast
from uuid import uuid4

from fuseboard.events.types import BREAKER_EVENTS, FAILOVER_EVENTS, StepDue, types_of
from fuseboard.failover import claims, plan
from fuseboard.failover.attempt import Attempt
from fuseboard.failover.begin import Begun, begin
from fuseboard.failover.claimed import ClaimedStep
from fuseboard.failover.results import repeated_reply
from fuseboard.failover.routes import DRIVERS

if TYPE_CHECKING:
    from fuseboard.cluster import Cluster
    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes
    from fuseboard.policy.spec import Route
    from fuseboard.stores import Store

CLUSTER_DEADLINE_S: Final = 7.0
"""Of the 8 s that a step may take; the rest is the store's."""


@dataclass(frozen=True, slots=True)
class Failover:
    """Does a step per event, if a step is owed."""

    consumes: ClassVar[EventTypes] = BREAKER_EVENTS | types_of(StepDue)
    emits: ClassVar[EventTypes] = FAILOVER_EVENTS
    store: Store
    cluster: Cluster

    def handle(self, event: Event) -> Event | None:
        """Do the owed step."""
        deadline = time.monotonic() + CLUSTER_DEADLINE_S
        row, owner = self.store.read(event.subject), uuid4().hex
        if not claims.awaited(row):
            return repeated_reply(event, row.placement)
        begun = self.store.change(event.subject, lambda current: begin(current, event, owner)).answer
        if not isinstance(begun, Begun):
            return cast("Event | None", begun)
        route = cast("Route", plan.route_of(begun.row))
        cluster = self.cluster.within(deadline - time.monotonic())
        driver = DRIVERS[route.kind].of(cluster, begun.row.policy, route)
        return Attempt(ClaimedStep(self.store, driver, event, begun, cluster.rehearses)).run()

    def check(self) -> None:
        """Do nothing if store and cluster answer."""
        self.store.check()
        self.cluster.check()


def new(connections: Connections) -> Failover:
    """Return the function."""
    return Failover(connections.store, connections.cluster)
