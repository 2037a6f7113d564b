"""Watch the Events of a cluster: what Kubernetes itself says goes wrong with a target.

``core/v1`` is watched and ``events.k8s.io/v1`` is not: they are the same objects. There is one watch per namespace of
the breaker table, so that it needs no more than a Role in each. Each watch has a thread that only listens; one thread
takes in what they hear, a batch at a time: first into the outbox, then the checkpoints move.

Silence is no health: Kubernetes throttles, folds and drops Events, and deletes them after an hour. None of that is read
as a recovery. A silent Event may still be going on; whether a pod is ready is for others to ask.
"""

from __future__ import annotations

import contextlib
import queue
import time
from threading import Thread
from typing import TYPE_CHECKING, Final

from fuseboard import logs, metrics
from fuseboard.cluster import Kubernetes, open_cluster
from fuseboard.errors import FuseboardError, RecordCorrupt, Unavailable
from fuseboard.intake import Batch, Followed, Intake
from fuseboard.kubernetes_events import Ledger
from fuseboard.owners import Resolver
from fuseboard.stores.checkpoints import open_checkpoints
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.redis import open_store
from fuseboard.watching import Heard, Pace, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event as Flag

    from fuseboard.kubernetes_events import Known
    from fuseboard.settings import Settings
    from fuseboard.sinks import Sink
    from fuseboard.source import Outbox
    from fuseboard.stores import Store
    from fuseboard.stores.checkpoints import Checkpoints

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
    ) -> None:
        """Connect nothing yet."""
        self._store = store
        self._outbox = outbox
        self._checkpoints = checkpoints
        self._cluster = cluster
        self._intake = Intake(Resolver(self._read_object), clock)
        self._heard: queue.Queue[tuple[Followed, Heard]] = queue.Queue(WAITING)
        self._watches: dict[str, tuple[Followed, Watch, Thread]] = {}
        self._looked_at = float("-inf")
        self.pace = Pace()

    def run(self, stop: Flag) -> None:
        """See ``Watcher.run``."""
        if self._cluster is None:
            stop.wait()
            return
        try:
            while not stop.is_set():
                self._look(stop)
                self._hand_over(self._intake.take_in(self._next()), stop)
        finally:
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
            wanted = {policy.namespace for policy in self._intake.policies.values()}
            self._end([name for name, (_, _, thread) in self._watches.items() if name not in wanted or _died(thread)])
            for namespace in sorted(wanted - self._watches.keys()):
                self._begin(namespace)
        except FuseboardError as error:
            logs.logger().warning("apiserver.waiting", error=str(error))
            stop.wait(AGAIN_S)
        for namespace, (_, watch, _) in self._watches.items():
            metrics.watch_silent(namespace, time.monotonic() - watch.heard_at)

    def _begin(self, namespace: str) -> None:
        if self._cluster is None:
            return
        known = self._checkpoints.read(namespace)
        followed = Followed(namespace, Ledger(known.known if known else {}), known.known_until if known else None)
        watch = Watch(
            self._cluster,
            f"/api/v1/namespaces/{namespace}/events",
            lambda heard: self._hear(followed, heard),
            version=known.version if known else "",
            lost="the checkpoint could not be read" if known and not known.version else "",
        )
        watch.pace = self.pace
        thread = Thread(target=watch.run, args=(followed.stop,), name=f"events of {namespace}", daemon=True)
        self._watches[namespace] = followed, watch, thread
        thread.start()

    def _end(self, namespaces: list[str]) -> None:
        ended = [self._watches.pop(namespace) for namespace in namespaces]
        for followed, watch, _ in ended:
            followed.stop.set()
            watch.end()
            metrics.watch_ended(followed.namespace)
        give_up = time.monotonic() + END_WITHIN_S
        for _, _, thread in ended:
            # One that waits for an answer ends by itself, and tells nobody.
            thread.join(max(0.0, give_up - time.monotonic()))

    # -- what they hear ----------------------------------------------------------------------------------------------

    def _hear(self, followed: Followed, heard: Heard) -> None:
        while not followed.stop.is_set():
            try:
                self._heard.put((followed, heard), timeout=AGAIN_S)
            except queue.Full:
                continue
            return

    def _next(self) -> list[tuple[Followed, Heard]]:
        """Return what there is to take in, without waiting for more than there is."""
        found: list[tuple[Followed, Heard]] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._heard.get(timeout=AGAIN_S))
            while len(found) < BATCH:
                found.append(self._heard.get_nowait())
        return found

    def _read_object(self, path: str) -> Mapping[str, object]:
        if self._cluster is None:
            return {}
        return self._cluster.within(OWNER_WITHIN_S).get(path, {})

    # -- where it goes -----------------------------------------------------------------------------------------------

    def _hand_over(self, batch: Batch, stop: Flag) -> None:
        """Put a batch into the outbox, then move the checkpoints; a store that does not answer is waited for."""
        if batch.is_on_record:
            events = batch.events
            _until_done(lambda: self._outbox.append(events, batch.entry(events)), stop)
        for followed in batch.moved.values():
            if not stop.is_set():
                self._move(followed, followed.ledger.changes(), stop)

    def _move(self, followed: Followed, changes: Mapping[str, Known | None], stop: Flag) -> None:
        def move() -> None:
            try:
                self._checkpoints.move(followed.namespace, followed.version, followed.known_until or 0, changes)
            except RecordCorrupt:
                self._checkpoints.read(followed.namespace)  # which gives up what cannot be read
                raise

        _until_done(move, stop)


def new(settings: Settings, sink: Sink) -> ApiServer:  # noqa: ARG001  - it makes this a watcher; the relay has the sink
    """Return the source, connected; without a cluster it watches nothing."""
    url, cluster = settings.need_redis(), open_cluster(settings)
    found = cluster if isinstance(cluster, Kubernetes) else None
    return ApiServer(open_store(url), open_outbox(url), open_checkpoints(url), found)


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
