"""The watches of a source, each in a thread of its own, and the queue of their reports."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from fuseboard import metrics
from fuseboard.cluster.names import list_path
from fuseboard.cluster.pace import WatchPace
from fuseboard.cluster.reflector import Watch
from fuseboard.delivery.loops import Supervised, refuse_silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event as Flag

    from fuseboard.cluster import Manifest
    from fuseboard.cluster.changes import Heard
    from fuseboard.cluster.reflector import Watchable, WatchStart
    from fuseboard.workloads.batch import WatchedKind

BACKLOG: Final = 2_000
"""Changes that may wait in the queue; while the queue is full, the streams are not read."""
FULL_AGAIN_S: Final = 0.5
END_WITHIN_S: Final = 1.0
"""For all threads together: a thread that waits for an answer ends later, and its news are dropped."""

Item = TypeVar("Item")
WatchKey = tuple[str, str]
"""A namespace and a kind."""


class Backlog(Generic[Item]):
    """A bounded queue from the watching threads to the thread of the source."""

    def __init__(self, size: int = BACKLOG) -> None:
        self._queue: queue.Queue[Item] = queue.Queue(size)

    def put(self, item: Item, stop: Flag) -> None:
        """Add an item; wait while the queue is full, until ``stop`` is set."""
        while not stop.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=FULL_AGAIN_S)
                return

    def take(self, within_s: float, at_most: int | None = None) -> list[Item]:
        """Return the waiting items, after a wait for the first; empty after the time limit."""
        taken: list[Item] = []
        with suppress(queue.Empty):
            taken.append(self._queue.get(timeout=within_s))
            while at_most is None or len(taken) < at_most:
                taken.append(self._queue.get_nowait())
        return taken

    def is_empty(self) -> bool:
        """Say whether no item waits."""
        return self._queue.empty()


class _RunningWatch(NamedTuple):
    followed: WatchedKind
    watch: Watch
    thread: Supervised


class Watches:
    """Watches of a cluster, by namespace and kind."""

    def __init__(self, cluster: Watchable) -> None:
        """Begin none yet."""
        self._cluster = cluster
        self._running: dict[WatchKey, _RunningWatch] = {}
        self.heard: Backlog[tuple[WatchedKind, Heard]] = Backlog()
        self.pace = WatchPace()

    @property
    def keys(self) -> set[WatchKey]:
        """The watches that were begun and not ended."""
        return set(self._running)

    @property
    def dead(self) -> set[WatchKey]:
        """The watches whose thread has ended by a bug: begun again, they may get further."""
        return {key for key, running in self._running.items() if running.thread.has_ended}

    def begin(self, followed: WatchedKind, keep: Callable[[Manifest], Any], start: WatchStart) -> None:
        """Begin a watch; see ``Watch`` for ``keep`` and ``start``."""

        def hear(heard: Heard) -> None:
            self.heard.put((followed, heard), followed.stop)

        path = list_path(followed.kind, followed.namespace)
        watch = Watch(self._cluster, path, hear, start=start, keep=keep, pace=self.pace)
        thread = Supervised(f"{followed.kind} of {followed.namespace}", watch.run, followed.stop)
        self._running[followed.namespace, followed.kind] = _RunningWatch(followed, watch, thread)
        thread.start()

    def end(self, keys: Iterable[WatchKey]) -> None:
        """End some watches."""
        ended = [self._running.pop(key) for key in keys]
        for followed, watch, _ in ended:
            followed.stop.set()
            watch.end()
            metrics.watch_ended(followed.namespace)
        give_up = time.monotonic() + END_WITHIN_S
        for _, _, thread in ended:
            thread.join(max(0.0, give_up - time.monotonic()))

    def measure(self) -> None:
        """Report the longest silence of each namespace as a metric."""
        silences: dict[str, float] = {}
        for (namespace, _), running in self._running.items():
            silences[namespace] = max(silences.get(namespace, 0.0), _silence(running))
        for namespace, seconds in silences.items():
            metrics.watch_silent(namespace, seconds)

    def check(self, missing: str, hint: str) -> None:
        """Do nothing unless all watches have been silent for too long; see ``refuse_silence``."""
        refuse_silence(min(map(_silence, list(self._running.values())), default=0.0), missing, hint)


def _silence(running: _RunningWatch) -> float:
    return time.monotonic() - running.watch.heard_at
