"""Bring the placement to what its breaker asks for, one fenced step at a time.

Runs as one Knative Service. The event that wakes it is a hint: breaker and placement are read again, the step is
claimed, done, verified and released. Replies with what became of it, and to a duplicate with the same reply.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, cast
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from fuseboard.errors import Busy
from fuseboard.events.types import BREAKER_EVENTS, FAILOVER_EVENTS, StepDue, types_of
from fuseboard.failover import claims, plan
from fuseboard.failover.attempt import Attempt, Begun
from fuseboard.failover.results import entry_of, name_of, result_of, told_again
from fuseboard.failover.routes import DRIVERS
from fuseboard.stores.records import Change

if TYPE_CHECKING:
    from fuseboard.breaker.placement import Claim
    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Cluster
    from fuseboard.delivery.connections import Connections
    from fuseboard.events.event import Event
    from fuseboard.events.types import EventTypes
    from fuseboard.policy.spec import Route
    from fuseboard.stores import Store

CLUSTER_DEADLINE_S: Final = 7.0
"""Of the 8 s that a step may take; the rest is the store's."""
LEASE_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Failover:
    """Does one step per event, if one is owed."""

    consumes: ClassVar[EventTypes] = BREAKER_EVENTS | types_of(StepDue)
    emits: ClassVar[EventTypes] = FAILOVER_EVENTS
    store: Store
    cluster: Cluster

    def handle(self, event: Event) -> Event | None:
        """Do the step that is owed now, whatever the event says."""
        deadline = time.monotonic() + CLUSTER_DEADLINE_S
        row, owner = self.store.read(event.subject), uuid4().hex
        if not claims.awaited(row):
            return told_again(event, row.placement)
        begun = self.store.change(event.subject, lambda current: _begin(current, event, owner)).answer
        if not isinstance(begun, Begun):
            return cast("Event | None", begun)
        route = cast("Route", plan.route_of(begun.row))
        cluster = self.cluster.within(deadline - time.monotonic())
        driver = DRIVERS[route.kind].of(cluster, begun.row.policy, route)
        return Attempt(self.store, driver, event, begun, rehearsed=cluster.rehearses).run()

    def check(self) -> None:
        """Do nothing if store and cluster answer."""
        self.store.check()
        self.cluster.check()


def new(connections: Connections) -> Failover:
    """Return the function."""
    return Failover(connections.store, connections.cluster)


def _begin(row: Row, event: Event, owner: str) -> Change:
    """Claim the step that is owed, or settle it where that needs no look at the cluster."""
    state, placement = row.state, row.placement
    if not claims.awaited(row):
        return Change(state, placement, answer=told_again(event, placement))
    stay = plan.without_cluster(row)
    if claims.busy(row, seals=stay is None):
        raise Busy(f"{event.subject}: somebody is at work on its placement: try again in a few seconds")
    if stay is not None:
        step = claims.last_step(row)
        outcome = replace(placement, epoch=state.epoch, step=step, trial=state.trial, cause=name_of(event))
        outcome = replace(outcome, result=stay.result, reason=stay.reason)
        return result_of(row, event, claims.settled(row, outcome))
    claimed = claims.claimed(row, owner, LEASE_MS)
    claim = cast("Claim", claimed.claim)
    shares = msgspec.to_builtins(row.wanted)
    intent = replace(entry_of(event, "intent", claim), reason=state.reason, shares=shares)
    begun = Begun(replace(row, placement=claimed), claim, placement.claim is not None)
    return Change(state, claimed, (intent,), begun)
