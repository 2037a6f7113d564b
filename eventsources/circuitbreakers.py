"""Keep the breaker table as the cluster's CircuitBreaker resources say.

The source follows the resources, and makes the store's table equal to them. A resource that is not accepted leaves the
last policy in force, and its status has the reason. Where the table is a file (``policy_files``), the source is idle.

The deletion of a resource with moved traffic is delayed: its breaker is asked to bring the traffic home. The finalizer,
or the row of a resource without finalizer, is removed afterwards, or when the breaker takes too long.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.cluster.changes import Changed, Denied, Heard, Listed
from fuseboard.cluster.names import CIRCUIT_BREAKER, list_path
from fuseboard.cluster.pace import WatchPace
from fuseboard.cluster.reflector import Watch
from fuseboard.crd import acceptance as mirror
from fuseboard.crd import resource as resources
from fuseboard.crd.acceptance import AcceptedPolicies
from fuseboard.crd.finalizer import FinalizerKeeper
from fuseboard.crd.writer import StatusWriter
from fuseboard.delivery.loops import Idle, Supervised, refuse_silence
from fuseboard.delivery.watches import END_WITHIN_S, Backlog
from fuseboard.errors import ClusterUnavailable, FuseboardError, InvalidInput, NotFound, Refused, Unavailable
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event as Flag

    from fuseboard.cluster import Writable
    from fuseboard.cluster.client import Kubernetes
    from fuseboard.crd.resource import Resource
    from fuseboard.delivery.connections import Connections
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Outbox, Store

MANAGER: Final = "fuseboard-policy"
LOOK_EVERY_S: Final = 0.5
AGAIN_S: Final = 1.0
REFUSED_AGAIN_S: Final = 60.0
"""Seconds until a refused status is tried again: its namespace may have been enrolled by then."""
YOUNG_S: Final = 3_600.0
"""Older resources are not looked at again: a start would read ten thousand records."""
SHOWN: Final = 10
"""Breakers that a line of the log names."""


class CircuitBreakers:
    """Mirrors the resources into the store."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        cluster: Kubernetes,
        *,
        release_after_s: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._heard: Backlog[Heard] = Backlog()
        self._mirror = AcceptedPolicies()
        self._departures = FinalizerKeeper(store, outbox, release_after_s, clock)
        self._untold: dict[str, tuple[mirror.Acceptance, float]] = {}
        """The statuses to be written, each with its earliest time, by ``time.monotonic()``."""
        self._table: Mapping[str, Policy] | None = None
        self._is_listed = self._is_due = False
        self._denied = ""
        self._watch: Watch | None = None
        self._complaint = ""
        self.pace = WatchPace()
        self.look_every_s = LOOK_EVERY_S

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        path = list_path(CIRCUIT_BREAKER)
        self._watch = watch = Watch(self._cluster, path, lambda heard: self._heard.put(heard, stop), pace=self.pace)
        thread = Supervised("the watch of CircuitBreakers", watch.run, stop).start()
        try:
            while not stop.is_set() and not thread.has_ended:
                self.look(self._cluster, stop)
        finally:
            watch.end()
            thread.join(END_WITHIN_S)

    def check(self) -> None:
        """Do nothing if the table follows the resources.

        Raises:
            Unavailable: the store does not answer, or the resources cannot be watched.

        """
        self._store.check()
        if self._denied:
            raise Unavailable(self._denied)
        silence = time.monotonic() - self._watch.heard_at if self._watch is not None else 0.0
        refuse_silence(silence, "living watch of CircuitBreakers", "is the API server there?")

    def look(self, cluster: Writable, stop: Flag) -> None:
        """Take in the changes and act on them; after an error, the next look tries again."""
        try:
            self._is_due |= self._take_in()
            if self._is_listed:
                self._keep()
                self._departures.look(cluster, self._mirror, self._store.table())
                self._tell(cluster)
            self._complaint = ""
        except FuseboardError as error:
            if str(error) != self._complaint:
                logs.logger().error("circuitbreakers.waiting", error=str(error))
            self._complaint = str(error)
            stop.wait(AGAIN_S)

    # -- what is heard -----------------------------------------------------------------------------------------------

    def _take_in(self) -> bool:
        """Take in all changes; return whether the resources have changed."""
        has_changed = False
        for heard in self._heard.take(self.look_every_s):
            has_changed |= self._take(heard)
        return has_changed

    def _take(self, heard: Heard) -> bool:
        self._denied = _denied(heard.reason) if isinstance(heard, Denied) else ""
        if self._denied:
            logs.logger().error("circuitbreakers.denied", error=self._denied)
        if isinstance(heard, Listed):
            self._mirror.listed(_read(heard.objects))
            self._is_listed = True
        elif isinstance(heard, Changed):
            for resource in _read((heard.object,)):
                if heard.kind == "DELETED":
                    self._mirror.gone(resource.key)
                else:
                    self._mirror.changed(resource)
        return isinstance(heard, Listed | Changed)

    # -- the table ---------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Put accepted policies into the table."""
        table = self._store.table()
        if not self._is_due and table is self._table:
            return
        decision = self._mirror.decide(table)
        if decision.put:
            self._store.put(decision.put)
            first = [policy.key for policy in decision.put[:SHOWN]]
            logs.logger().info("circuitbreakers.mirrored", count=len(decision.put), breakers=first)
        self._mirror.settle(decision)
        self._table, self._is_due = table, False
        for key, verdict in decision.acceptances.items():
            self._untold[key] = verdict, 0.0

    # -- what is said ------------------------------------------------------------------------------------------------

    def _tell(self, cluster: Writable) -> None:
        """Write statuses until a change arrives: ten thousand statuses must not hold up an edit."""
        for key, (verdict, when) in list(self._untold.items()):
            if not self._heard.is_empty():
                return
            if when > time.monotonic():
                continue
            del self._untold[key]
            resource = self._mirror.resources.get(key)
            if resource is None:
                continue
            try:
                self._say(cluster, resource, verdict)
            except NotFound:
                continue
            except Refused as error:
                logs.logger().error("circuitbreakers.status_refused", breaker=key, error=str(error))
                self._untold[key] = verdict, time.monotonic() + REFUSED_AGAIN_S
            except ClusterUnavailable:
                self._untold[key] = verdict, 0.0
                raise

    def _say(self, cluster: Writable, resource: Resource, verdict: mirror.Acceptance) -> None:
        body = mirror.acceptance_patch(resource, verdict, round(self._clock() * 1000))
        if body is not None:
            if not verdict.is_accepted:
                logs.logger().warning("circuitbreakers.not_accepted", breaker=resource.key, reason=verdict.message)
            cluster.apply(f"{resource.path}/status", body, MANAGER)
        if not verdict.is_accepted or resource.deleted_at is not None:
            return
        is_untold = "state" not in resource.status
        if is_untold or self._is_young(resource):
            self._departures.revive(resource)
        if is_untold:
            StatusWriter(self._store, cluster).write(resource.key)

    def _is_young(self, resource: Resource) -> bool:
        """Say whether the resource may succeed a deleted one of the same name."""
        return self._clock() - parse_timestamp(resource.created) / 1000 < YOUNG_S


def new(connections: Connections) -> CircuitBreakers | Idle:
    """Return the source; idle where the table is a file, or without a cluster."""
    cluster = None if connections.settings.policies else connections.kubernetes
    return Idle() if cluster is None else CircuitBreakers(connections.store, connections.outbox, cluster)


def _read(objects: tuple[object, ...]) -> Iterator[Resource]:
    for found in objects:
        try:
            yield resources.read_resource(found if isinstance(found, dict) else {})
        except InvalidInput as error:
            logs.logger().error("circuitbreakers.unreadable", error=str(error))


def _denied(reason: str) -> str:
    return (
        f"the CircuitBreakers of the cluster cannot be watched ({reason}): apply knative/base, which has their CRD and "
        "the ClusterRole fuseboard-circuitbreakers; a Role in one namespace is not enough"
    )
