"""Watch a cluster: what Kubernetes itself says goes wrong with a target, and how many of its pods are ready.

``core/v1`` Events are watched and ``events.k8s.io/v1`` is not: they are the same objects. There is one watch per kind
and namespace of the breaker table, so that it needs no more than a Role in each: Events, Pods, and those of Deployments
and StatefulSets that the table has. Each watch has a thread that only listens; one thread takes in what they hear, a
batch at a time: first into the outbox, then the checkpoints move. Only Events have one: of pods and workloads it counts
what is so, and that is listed anew after a restart.

Silence is no health: Kubernetes throttles, folds and drops Events, and deletes them after an hour. None of that is read
as a recovery. A silent Event may still be going on: the status of the pods tells.
"""

from __future__ import annotations

import contextlib
import queue
import time
from threading import Thread
from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.cluster.names import DEPLOYMENT, EVENT, POD, STATEFUL_SET, list_path
from fuseboard.cluster.reflector import Heard, Watch, WatchPace
from fuseboard.errors import FuseboardError, InvalidInput, RecordCorrupt, Unavailable
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
"""How often the table is looked at for namespaces that have come or gone."""
DEAF_S: Final = 150.0
"""Without a living watch for so long, this source is not ready."""
WAITING: Final = 2_000
"""Changes that may wait to be taken in; then the streams are no longer read."""
BATCH: Final = 500
AGAIN_S: Final = 0.5
OWNER_WITHIN_S: Final = 2.0
END_WITHIN_S: Final = 1.0


class ApiServer:
    """Turns the Events of a cluster into signals; without a cluster there are none."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        checkpoints: Checkpoints,
        cluster: Kubernetes | None,
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
        self._heard: queue.Queue[tuple[WatchedKind, Heard]] = queue.Queue(WAITING)
        self._rounds = ProbeRounds(store, self._intake.capacity, prober or Prober())
        self._watches: dict[tuple[str, str], tuple[WatchedKind, Watch, Thread]] = {}
        self._names: Mapping[tuple[str, str], AbstractSet[str]] = {}
        self._looked_at = float("-inf")
        self.pace = WatchPace()

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        if self._cluster is None:
            stop.wait()
            return
        try:
            while not stop.is_set():
                self._look(stop)
                self._rounds.look(self._intake.policies)
                self._hand_over(self._intake.take_in(self._next()), stop)
        finally:
            self._rounds.end()
            self._end(list(self._watches))

    def check(self) -> None:
        """Do nothing if signals come in, or if there is nothing to watch.

        Raises:
            Unavailable: the store does not answer, or the API server has given no sign of life for too long.

        """
        if self._cluster is None:
            return
        self._store.check()
        heard = [watch.heard_at for _, watch, _ in list(self._watches.values())]
        silent = time.monotonic() - max(heard, default=float("inf"))
        if silent > DEAF_S:
            raise Unavailable(f"no living watch of Events for {silent:.0f} s: is the API server there, is RBAC right?")

    # -- which namespaces --------------------------------------------------------------------------------------------

    def _look(self, stop: Flag) -> None:
        """Watch the namespaces of the table, and no others."""
        if time.monotonic() < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            self._intake.know(self._store.table())
            wanted = self._wanted()
            self._end([each for each, (_, _, thread) in self._watches.items() if each not in wanted or _died(thread)])
            for namespace, kind in sorted(wanted - self._watches.keys()):
                self._begin(namespace, kind)
        except FuseboardError as error:
            logs.logger().warning("apiserver.waiting", error=str(error))
            stop.wait(AGAIN_S)
        silent: dict[str, float] = {}
        for (namespace, _), (_, watch, _) in self._watches.items():
            silent[namespace] = max(silent.get(namespace, 0.0), time.monotonic() - watch.heard_at)
        for namespace, seconds in silent.items():
            metrics.watch_silent(namespace, seconds)

    def _wanted(self) -> set[tuple[str, str]]:
        """Return what is to be watched; end what was begun for fewer workloads, and has left out what now counts."""
        names = self._intake.capacity.wanted
        if names is not self._names:
            grown = {which[0] for which, some in names.items() if not some <= self._names.get(which, frozenset())}
            self._end([each for each in self._watches if each[0] in grown and each[1] != EVENT])
            self._intake.capacity.unlist(grown)
            self._names = names
        spaces = {space for space, _ in names}
        return names.keys() | {(space, kind) for space in spaces for kind in (EVENT, POD)}

    def _begin(self, namespace: str, kind: str) -> None:
        if self._cluster is None:
            return
        known = self._checkpoints.read(namespace) if kind == EVENT else None
        ledger = Ledger(known.known if known else {})
        followed = WatchedKind(namespace, ledger, known.known_until if known else None, kind)
        watch = Watch(
            self._cluster,
            list_path(kind, namespace),
            lambda heard: self._hear(followed, heard),
            version=known.version if known else "",
            lost="the checkpoint could not be read" if known and not known.version else "",
            keep=KEPT[kind],
        )
        watch.pace = self.pace
        thread = Thread(target=watch.run, args=(followed.stop,), name=f"{kind} of {namespace}", daemon=True)
        self._watches[namespace, kind] = followed, watch, thread
        thread.start()

    def _end(self, watches: list[tuple[str, str]]) -> None:
        ended = [self._watches.pop(which) for which in watches]
        for followed, watch, _ in ended:
            followed.stop.set()
            watch.end()
            metrics.watch_ended(followed.namespace)
        give_up = time.monotonic() + END_WITHIN_S
        for _, _, thread in ended:
            # One that waits for an answer ends by itself, and tells nobody.
            thread.join(max(0.0, give_up - time.monotonic()))

    # -- what they hear ----------------------------------------------------------------------------------------------

    def _hear(self, followed: WatchedKind, heard: Heard) -> None:
        while not followed.stop.is_set():
            try:
                self._heard.put((followed, heard), timeout=AGAIN_S)
            except queue.Full:
                continue
            return

    def _next(self) -> list[tuple[WatchedKind, Heard]]:
        """Return what there is to take in, without waiting for more than there is."""
        found: list[tuple[WatchedKind, Heard]] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._heard.get(timeout=AGAIN_S))
            while len(found) < BATCH:
                found.append(self._heard.get_nowait())
        return found

    def _read_object(self, path: str) -> Mapping[str, object]:
        if self._cluster is None:
            return {}
        return self._cluster.within(OWNER_WITHIN_S).get(path)

    # -- where it goes -----------------------------------------------------------------------------------------------

    def _hand_over(self, batch: Batch, stop: Flag) -> None:
        """Put a batch into the outbox, then move the checkpoints; a store that does not answer is waited for."""
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
                self._checkpoints.read(followed.namespace)  # which gives up what cannot be read
                raise

        _until_done(move, stop)


def new(connections: Connections) -> ApiServer:
    """Return the source; without a cluster it watches nothing."""
    return ApiServer(connections.store, connections.outbox, connections.checkpoints, connections.kubernetes)


def _until_done(act: Callable[[], None], stop: Flag) -> None:
    """Do something that may not work yet, until it does or ``stop`` is set."""
    while True:
        try:
            act()
        except FuseboardError as error:
            logs.logger().warning("apiserver.waiting", error=str(error))
            if stop.wait(AGAIN_S):
                return
        else:
            return


def _died(thread: Thread) -> bool:
    """Say whether a watch has ended without being told to: a bug, and the next one may get further."""
    return thread.ident is not None and not thread.is_alive()


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
"""What is heard of an object: of pods and workloads, no more than is needed."""
