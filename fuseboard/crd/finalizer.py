"""See breakers off whose CircuitBreaker is being deleted, or is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.cluster.names import namespace_path
from fuseboard.crd import resource as resources
from fuseboard.crd.deletion import Parting, comeback, is_retired, left_moved, parting, retirement
from fuseboard.errors import Conflict, NotEnrolled, NotFound, Refused
from fuseboard.stores.records import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.cluster import Cluster
    from fuseboard.crd.acceptance import AcceptedPolicies
    from fuseboard.crd.resource import Resource
    from fuseboard.events.event import Event
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Outbox, Store

LOOK_EVERY_S: Final = 0.5
ASK_AGAIN_S: Final = 10.0
"""A request from before a breaker's last transition is stale: it is made again until the breaker is retired."""
GONE_AFTER_S: Final = 2.0
"""A row without a resource is waited for so long: another watcher may have heard of the resource before this one."""


class FinalizerKeeper:
    """Asks for their traffic to come home, and lets them go when it has, or when that has taken too long."""

    def __init__(self, store: Store, outbox: Outbox, release_after_s: float, clock: Callable[[], float]) -> None:
        """``release_after_s`` is how long the traffic may take."""
        self._store = store
        self._outbox = outbox
        self._release_after_s = release_after_s
        self._clock = clock
        self._asked: dict[str, float] = {}
        """Whose traffic was asked to come home, and when, by ``time.monotonic()``."""
        self._let_go: set[str] = set()
        self._gone_since: dict[str, float] = {}
        self._looked_at = float("-inf")

    def look(self, cluster: Cluster, mirror: AcceptedPolicies, table: Mapping[str, Policy]) -> None:
        """Do what can be done now for each that is to go."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        for resource in mirror.deleted():
            self._see_off(cluster, resource)
        orphans = mirror.orphans(table)
        self._gone_since = {key: self._gone_since.get(key, now) for key in orphans}
        self._let_go = {key for key in self._let_go & table.keys() if not mirror.lives(key)}
        for key in sorted(orphans):
            self._clear(cluster, key, now - self._gone_since[key])

    def _see_off(self, cluster: Cluster, resource: Resource) -> None:
        """Take the finalizer off a resource that is being deleted, when that may be."""
        waited_s = self._clock() - (resource.deleted_at or 0) / 1000
        if self._parts(cluster, resource.key, resource.uid, waited_s):
            self._let_go.add(resource.key)
            _release(cluster, resource)

    def _clear(self, cluster: Cluster, key: str, waited_s: float) -> None:
        """Take a row from the table whose resource is gone, when that may be."""
        if waited_s < GONE_AFTER_S:
            return
        if key not in self._let_go and not self._parts(cluster, key, "", waited_s):
            return
        for left in self._store.remove([key]):
            logs.logger().error("circuitbreakers.moved_breaker_left", breaker=left)
        logs.logger().info("circuitbreakers.removed", breaker=key)

    def _parts(self, cluster: Cluster, key: str, uid: str, waited_s: float) -> bool:
        """Return whether a breaker may go; until then its traffic is brought home."""
        try:
            record = self._store.read(key)
        except NotEnrolled:
            return True  # it never was accepted, or another watcher was quicker
        found = self._found(record, waited_s)
        if found is Parting.WAIT and _ends(cluster, record.policy.namespace):
            found = Parting.LET_GO
        name = uid or f"epoch {record.state.epoch}"
        if found is Parting.WAIT:
            self._ask(record, name)
            return False
        if found is Parting.GIVE_UP:
            self._send(left_moved(key, name, record.placement, waited_s))
        return True

    def _ask(self, record: Row, name: str) -> None:
        key, now = record.policy.key, time.monotonic()
        if not is_retired(record.state) and now >= self._asked.get(key, float("-inf")) + ASK_AGAIN_S:
            self._send(retirement(key, name))
            self._asked[key] = now

    def welcome(self, resource: Resource) -> None:
        """Let a breaker work again that was retired, since there is a new resource of its name."""
        asked = self._asked.pop(resource.key, None)
        if asked is not None or is_retired(self._store.read(resource.key).state):
            self._send(comeback(resource.key, resource.uid))

    def _found(self, record: Row, waited_s: float) -> Parting:
        is_over = waited_s >= self._release_after_s
        return parting(record, is_over=is_over)

    def _send(self, event: Event) -> None:
        entry = Entry(kind="ingest", event=f"{event.source} {event.id}", type=event.type, reason="a deletion")
        self._outbox.append([event], entry)


def _release(cluster: Cluster, resource: Resource) -> None:
    try:
        found = resources.read(cluster.get(resource.path))
        patch = resources.held(found, hold=False)
        if patch is not None and found.uid == resource.uid:
            cluster.patch(resource.path, patch)
            logs.logger().info("circuitbreakers.released", breaker=resource.key)
    except (Conflict, NotFound):
        return  # somebody else was quicker; if not, there is a next look


def _ends(cluster: Cluster, namespace: str) -> bool:
    """Say whether a namespace is on its way out: nothing in it is worth waiting for."""
    try:
        found = cluster.get(namespace_path(namespace))
    except NotFound:
        return True
    except Refused:
        return False
    return bool(found["metadata"].get("deletionTimestamp")) or found.get("status", {}).get("phase") == "Terminating"
