"""Keep our finalizer on deleted CircuitBreakers until the traffic of their breakers is back at the targets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.cluster.names import namespace_path
from fuseboard.crd.deletion import (
    DeletionStep,
    deletion_step,
    is_retired,
    left_moved_event,
    release_request,
    retire_request,
)
from fuseboard.crd.resource import finalizer_patch, read_resource
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
"""Time until a retirement is requested again: a request from before a breaker's last transition has no effect."""
GONE_AFTER_S: Final = 2.0
"""Time until a row without a resource is removed: another watcher may have learnt of the resource earlier."""


class FinalizerKeeper:
    """Retires the breakers of deleted resources, and removes finalizer and row afterwards."""

    def __init__(self, store: Store, outbox: Outbox, release_after_s: float, clock: Callable[[], float]) -> None:
        """``release_after_s`` limits the time for the return of the traffic; ``clock`` is ``time.time``."""
        self._store = store
        self._outbox = outbox
        self._release_after_s = release_after_s
        self._clock = clock
        self._asked: dict[str, float] = {}
        """Time of each requested retirement, by ``time.monotonic()``."""
        self._let_go: set[str] = set()
        self._gone_since: dict[str, float] = {}
        self._looked_at = float("-inf")

    def look(self, cluster: Cluster, accepted: AcceptedPolicies, table: Mapping[str, Policy]) -> None:
        """Take the next step for each deleted resource, and for each row without a resource."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        for resource in accepted.deleted():
            self._end_resource(cluster, resource)
        orphans = accepted.orphans(table)
        self._gone_since = {key: self._gone_since.get(key, now) for key in orphans}
        self._let_go = {key for key in self._let_go & table.keys() if not accepted.lives(key)}
        for key in sorted(orphans):
            self._end_row(cluster, key, now - self._gone_since[key])

    def revive(self, resource: Resource) -> None:
        """Let a retired breaker work again, because a new resource has its name."""
        asked = self._asked.pop(resource.key, None)
        if asked is not None or is_retired(self._store.read(resource.key).state):
            self._send(release_request(resource.key, resource.uid))

    def _end_resource(self, cluster: Cluster, resource: Resource) -> None:
        """Take the finalizer off a deleted resource if its breaker may go."""
        waited_s = self._clock() - (resource.deleted_at or 0) / 1000
        if self._may_go(cluster, resource.key, resource.uid, waited_s):
            self._let_go.add(resource.key)
            _remove_finalizer(cluster, resource)

    def _end_row(self, cluster: Cluster, key: str, waited_s: float) -> None:
        """Remove a row without a resource from the table if its breaker may go."""
        if waited_s < GONE_AFTER_S:
            return
        if key not in self._let_go and not self._may_go(cluster, key, "", waited_s):
            return
        for left in self._store.remove([key]):
            logs.logger().error("circuitbreakers.moved_breaker_left", breaker=left)
        logs.logger().info("circuitbreakers.removed", breaker=key)

    def _may_go(self, cluster: Cluster, key: str, uid: str, waited_s: float) -> bool:
        """Return whether a breaker may go; request its retirement until then."""
        try:
            row = self._store.read(key)
        except NotEnrolled:
            return True  # no policy was ever accepted, or another watcher has removed the row
        step = deletion_step(row, is_over=waited_s >= self._release_after_s)
        name = uid or f"epoch {row.state.epoch}"
        if step is DeletionStep.WAIT and not _is_terminating(cluster, row.policy.namespace):
            self._request_retirement(row, name)
            return False
        if step is DeletionStep.GIVE_UP:
            self._send(left_moved_event(key, name, row.placement, waited_s))
        return True

    def _request_retirement(self, row: Row, name: str) -> None:
        now = time.monotonic()
        if not is_retired(row.state) and now >= self._asked.get(row.key, float("-inf")) + ASK_AGAIN_S:
            self._send(retire_request(row.key, name))
            self._asked[row.key] = now

    def _send(self, event: Event) -> None:
        entry = Entry(kind="ingest", event=event.name, type=event.type, reason="a deletion")
        self._outbox.append([event], entry)


def _remove_finalizer(cluster: Cluster, resource: Resource) -> None:
    try:
        latest = read_resource(cluster.get(resource.path))
        patch = finalizer_patch(latest, hold=False)
        if patch is not None and latest.uid == resource.uid:
            cluster.patch(resource.path, patch)
            logs.logger().info("circuitbreakers.released", breaker=resource.key)
    except (Conflict, NotFound):
        return  # another watcher has removed it, or the next look does


def _is_terminating(cluster: Cluster, namespace: str) -> bool:
    """Say whether a namespace is being deleted: the traffic in it does not matter any more."""
    try:
        manifest = cluster.get(namespace_path(namespace))
    except NotFound:
        return True
    except Refused:
        return False
    return (
        bool(manifest["metadata"].get("deletionTimestamp")) or manifest.get("status", {}).get("phase") == "Terminating"
    )
