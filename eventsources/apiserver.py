"""Watch a cluster: the failures of targets that Kubernetes reports, and the number of their ready pods.

``core/v1`` Events are watched and ``events.k8s.io/v1`` is not: both show the same objects. There is a watch per kind
and namespace of the breaker table, which needs only a Role in each namespace: Events, Pods, and the Deployments and
StatefulSets of the table. Each watch has a thread that listens; a further thread takes the changes in, batch by batch:
first into the outbox, then the checkpoints move. Only Events have a checkpoint: for pods and workloads the present
state counts, which is listed anew after a restart.

Silence is no health: Kubernetes throttles, folds and drops Events, and deletes them after an hour. Silence is never
read as a recovery: the status of the pods decides.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fuseboard import logs
from fuseboard.cluster.names import DEPLOYMENT, EVENT, POD, STATEFUL_SET
from fuseboard.cluster.reflector import WatchStart
from fuseboard.delivery.loops import Idle
from fuseboard.delivery.watches import Watches, WatchKey
from fuseboard.errors import FuseboardError, InvalidInput, RecordCorrupt
from fuseboard.workloads import pods, status
from fuseboard.workloads.batch import Batch, WatchedKind
from fuseboard.workloads.intake import Intake
from fuseboard.workloads.ledger import Ledger
from fuseboard.workloads.owners import OwnerResolver
from fuseboard.workloads.probe import Prober
from fuseboard.workloads.probe_rounds import ProbeRounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from threading import Event as Flag

    from fuseboard.cluster import Manifest
    from fuseboard.cluster.client import Kubernetes
    from fuseboard.delivery.connections import Connections
    from fuseboard.stores import Outbox, Store
    from fuseboard.stores.checkpoints import Checkpoints, SeenCount

LOOK_EVERY_S: Final = 2.0
"""Seconds between two looks for new and removed namespaces in the table."""
BATCH: Final = 500
AGAIN_S: Final = 0.5
OWNER_WITHIN_S: Final = 2.0


class ApiServer:
    """Turns the Events of a cluster into signals."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        checkpoints: Checkpoints,
        cluster: Kubernetes,
        clock: Callable[[], float] = time.time,
        *,
        prober: Prober | None = None,
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._outbox = outbox
        self._checkpoints = checkpoints
        self._cluster = cluster
        self._intake = Intake(OwnerResolver(self._read_object), clock)
        self._rounds = ProbeRounds(store, self._intake.readiness, prober or Prober())
        self._names: Mapping[WatchKey, AbstractSet[str]] = {}
        self._looked_at = float("-inf")
        self.watches = Watches(cluster)

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        try:
            while not stop.is_set():
                self._look(stop)
                self._rounds.run_once(self._intake.policies)
                heard = self.watches.heard.take(AGAIN_S, BATCH)
                self._hand_over(self._intake.take_in(heard), stop)
        finally:
            self._rounds.end()
            self.watches.end(self.watches.keys)

    def check(self) -> None:
        """Do nothing if signals come in, or if the table has no namespace to watch.

        Raises:
            Unavailable: the store does not answer, or the API server has given no sign of life for too long.

        """
        self._store.check()
        self.watches.check("living watch of Events", "is the API server there, is RBAC right?")

    # -- which namespaces --------------------------------------------------------------------------------------------

    def _look(self, stop: Flag) -> None:
        """Watch the namespaces of the table, and no others."""
        if time.monotonic() < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            self._intake.set_table(self._store.table())
            wanted = self._wanted()
            self.watches.end((self.watches.keys - wanted) | self.watches.dead)
            for namespace, kind in sorted(wanted - self.watches.keys):
                self._begin(namespace, kind)
        except FuseboardError as error:
            logs.logger().warning("apiserver.waiting", error=str(error))
            stop.wait(AGAIN_S)
        self.watches.measure()

    def _wanted(self) -> set[WatchKey]:
        """Return the wanted watches; end those that were begun for fewer workloads and ignored the new ones."""
        names = self._intake.inventory.wanted
        if names is not self._names:
            grown = {which[0] for which, some in names.items() if not some <= self._names.get(which, frozenset())}
            self.watches.end([each for each in self.watches.keys if each[0] in grown and each[1] != EVENT])
            self._intake.inventory.unlist(grown)
            self._names = names
        spaces = {space for space, _ in names}
        return names.keys() | {(space, kind) for space in spaces for kind in (EVENT, POD)}

    def _begin(self, namespace: str, kind: str) -> None:
        known = self._checkpoints.read(namespace) if kind == EVENT else None
        ledger = Ledger(known.known if known else {})
        lost = "the checkpoint could not be read" if known and not known.version else ""
        start = WatchStart(known.version if known else "", lost)
        self.watches.begin(
            WatchedKind(namespace, ledger, known.known_until if known else None, kind), KEPT[kind], start
        )

    def _read_object(self, path: str) -> Mapping[str, object]:
        return self._cluster.within(OWNER_WITHIN_S).get(path)

    # -- where it goes -----------------------------------------------------------------------------------------------

    def _hand_over(self, batch: Batch, stop: Flag) -> None:
        """Put a batch into the outbox, then move the checkpoints; wait for a store that does not answer."""
        if batch.is_on_record:
            events = batch.events
            _until_done(lambda: self._outbox.append(events, batch.entry(events)), stop)
        for followed in batch.moved.values():
            if not stop.is_set():
                self._move(followed, followed.ledger.changes(), stop)

    def _move(self, followed: WatchedKind, changes: Mapping[str, SeenCount | None], stop: Flag) -> None:
        def move() -> None:
            try:
                self._checkpoints.move(followed.namespace, followed.version, followed.known_until or 0, changes)
            except RecordCorrupt:
                self._checkpoints.read(followed.namespace)  # which gives up an unreadable checkpoint
                raise

        _until_done(move, stop)


def new(connections: Connections) -> ApiServer | Idle:
    """Return the source; idle without a cluster."""
    cluster = connections.kubernetes
    if cluster is None:
        return Idle()
    return ApiServer(connections.store, connections.outbox, connections.checkpoints, cluster)


def _until_done(act: Callable[[], None], stop: Flag) -> None:
    """Try an action until it succeeds or ``stop`` is set."""
    while True:
        try:
            act()
        except FuseboardError as error:
            logs.logger().warning("apiserver.waiting", error=str(error))
            if stop.wait(AGAIN_S):
                return
        else:
            return


def _pod(found: Manifest) -> pods.Pod | None:
    try:
        return pods.read_pod(found)
    except InvalidInput as error:
        logs.logger().warning("apiserver.unreadable", error=str(error))
        return None


def _status(kind: str) -> Callable[[Manifest], status.WorkloadStatus | None]:
    def read(found: Manifest) -> status.WorkloadStatus | None:
        try:
            return status.read_workload(kind, found)
        except InvalidInput as error:
            logs.logger().warning("apiserver.unreadable", error=str(error))
            return None

    return read


KEPT: Final[Mapping[str, Callable[[Manifest], object]]] = {
    EVENT: lambda found: found,
    POD: _pod,
    DEPLOYMENT: _status(DEPLOYMENT),
    STATEFUL_SET: _status(STATEFUL_SET),
}
"""The part of an object that is kept, by kind."""
