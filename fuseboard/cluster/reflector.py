"""Follow the objects at one path of the API server: list, watch, and list again if the history is gone.

This is client-go's reflector (``tools/cache/reflector.go``), with kopf's precautions against streams that die silently.
A version is opaque: the watch sends it back and compares it for equality at most.

The API server keeps no watch cache of Events. It sends no bookmarks for them (``storage/etcd3/watcher.go``), and it
waits in silence for a version of its future. Therefore the watch asks the server to end each stream before a living
stream could be silent for too long, and checks an old version with a small list before it streams from there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from fuseboard import logs
from fuseboard.cluster.changes import BOOKMARK, Alive, Changed, Denied, Heard, Listed, StreamLine, read_line
from fuseboard.cluster.listing import Pageable, PagedList
from fuseboard.cluster.pace import MAX_BROKEN, WatchFailures, WatchPace
from fuseboard.errors import ClusterUnavailable, Expired, Refused
from fuseboard.times import jittered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event as Flag

    from fuseboard.cluster import Manifest
    from fuseboard.cluster.stream import Stream

_NEVER = float("-inf")
_DEFAULT_PACE = WatchPace()


class WatchStart(Struct, frozen=True):
    """Where a watch begins."""

    version: str = ""
    """The version of the last report of an earlier watch; without a version, the watch lists all objects first."""
    lost: str = ""
    """Why changes may have been missed before; the first list repeats the reason."""


_BEGINNING = WatchStart()


class Watchable(Pageable, Protocol):
    """A cluster that can be watched."""

    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Stream:
        """See ``Kubernetes.stream``."""


class Watch:
    """Follows one path, in one thread, until ``run`` is stopped."""

    def __init__(
        self,
        cluster: Watchable,
        path: str,
        hear: Callable[[Heard], None],
        *,
        start: WatchStart = _BEGINNING,
        keep: Callable[[Manifest], Any] = lambda found: found,
        pace: WatchPace = _DEFAULT_PACE,
    ) -> None:
        """Prepare a watch.

        Args:
            cluster: the cluster to watch.
            path: the path of a list.
            hear: is called with each report, in the thread of ``run``.
            start: where the watch begins.
            keep: reduces each object before the next is read, because whole objects are large.
            pace: the times of the watch.

        """
        self._cluster = cluster
        self._path = path
        self._hear = hear
        self._version = start.version
        self._lost = start.lost
        self._keep = keep
        self._pace = pace
        self._list = PagedList(cluster, path)
        self._failures = WatchFailures(pace)
        self._stream: Stream | None = None
        self._is_denied = False
        self._is_fresh = False
        self._all_known_at = _NEVER
        self.heard_at = time.monotonic()
        """Time of the API server's last sign of life on this path, by ``time.monotonic()``."""

    def run(self, stop: Flag) -> None:
        """Follow the path until ``stop`` is set; call ``end`` as well to interrupt a stream."""
        while not stop.is_set():
            wait = self._try(stop)
            if wait:
                stop.wait(wait)

    def end(self) -> None:
        """End the current stream; any thread may call this."""
        if self._stream is not None:
            self._stream.end()

    def _try(self, stop: Flag) -> float:
        """List or watch once; return the wait before the next attempt, in seconds."""
        try:
            self._follow(stop)
        except Expired as error:
            return self._expired(str(error))
        except Refused as error:
            return self._denied(str(error))
        except ClusterUnavailable as error:
            self._all_known_at = _NEVER
            wait = max(self._failures.next_wait(), error.wait_s)
            logs.logger().warning("watch.waiting", path=self._path, error=str(error), wait_s=round(wait, 1))
            return wait
        return 0.0

    def _follow(self, stop: Flag) -> None:
        if not self._version:
            self._read_list()
        elif not self._is_fresh:
            query = {"limit": "1", "resourceVersion": self._version, "resourceVersionMatch": "NotOlderThan"}
            self._cluster.page(self._path, query)
        self._is_fresh = False
        self._watch(stop)

    def _expired(self, reason: str) -> float:
        is_first = not self._failures.is_any
        if time.monotonic() - self._all_known_at > self._pace.quiet:
            self._lost = self._lost or reason
        logs.logger().info("watch.expired", path=self._path, reason=reason, lost=bool(self._lost))
        self._version = ""
        self._failures.version_dropped()
        wait = self._failures.next_wait()
        return 0.0 if is_first else wait

    def _denied(self, reason: str) -> float:
        self._all_known_at = _NEVER
        if not self._is_denied:
            self._is_denied = True
            logs.logger().error("watch.denied", path=self._path, error=reason)
            self._hear(Denied(reason))
        return self._pace.denied_wait

    def _read_list(self) -> None:
        objects, version = list[Any](), ""
        for page in self._list.pages():
            objects += map(self._keep, page.objects)
            # The first page's version: the watch then reports changes between two pages twice, instead of never.
            version = version or page.version
            self.heard_at = time.monotonic()
        self._hear(Listed(tuple(objects), version, self._lost))
        self._version, self._lost, self._is_fresh = version, "", True
        self._all_known_at = time.monotonic()

    def _watch(self, stop: Flag) -> None:
        ends_after_s = jittered(*self._pace.stream)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(ends_after_s))),
        }
        began = last = time.monotonic()
        self._stream = stream = self._cluster.stream(self._path, query, self._pace.silence)
        self.heard_at, self._is_denied = began, False
        try:
            if stop.is_set():
                return
            for line in stream:
                self.heard_at = last = time.monotonic()
                self._take(self._read(line))
                self._failures.progressed()
        finally:
            self._stream = None
            stream.close()
        if not stop.is_set():
            self._ended(began, last, ends_after_s)

    def _ended(self, began: float, last: float, ends_after_s: float) -> None:
        """Judge a stream that the server ended: after the time asked for and a silence, all changes are known."""
        self.heard_at = now = time.monotonic()
        if now - last >= min(self._pace.quiet, ends_after_s - 1) and now - began >= ends_after_s - 1:
            self._failures.forget()
            self._all_known_at = now
            self._hear(Alive(self._version))
        elif last == began and now - began < 1:
            raise ClusterUnavailable(f"GET {self._path}: the stream ended at once")

    def _read(self, line: bytes) -> StreamLine:
        try:
            return read_line(f"GET {self._path}", line)
        except ClusterUnavailable as error:
            if self._failures.is_version_broken():
                raise Expired(f"{error}, {MAX_BROKEN} times") from error
            raise

    def _take(self, line: StreamLine) -> None:
        if line.type == BOOKMARK:
            self._all_known_at = time.monotonic()
            self._hear(Alive(line.version))
        else:
            self._hear(Changed(line.type, self._keep(line.object), line.version))
        self._version = line.version
