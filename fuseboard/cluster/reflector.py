"""Follow the objects at one path of the API server: list them, then watch, and list again where history is gone.

This is client-go's reflector (``tools/cache/reflector.go``), with what kopf adds against streams that die silently.
A version is opaque: it is handed back, never compared but for equality.

The API server keeps no watch cache of Events, so it sends no bookmarks for them (``storage/etcd3/watcher.go``), and a
version of its future is waited for without a word. Hence the server is asked to end each stream before a living one
could be silent for too long, and whether it knows the version is asked before a stream is begun from an old one.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from fuseboard import logs
from fuseboard.cluster.client import told
from fuseboard.errors import ClusterUnavailable, Expired, FuseboardError, Refused
from fuseboard.times import back_off, jittered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event as Flag

    from fuseboard.cluster import Manifest
    from fuseboard.cluster.stream import Stream

PAGE: Final = 500
SPOILT: Final = 2
"""Streams from one version that may begin with an error before all is listed anew.

Not all of them pass: where etcd compacted just the state before a change, the API server says 500 to it for ever
("etcd event received with PrevKv=nil"). client-go, too, lists anew after some internal errors.
"""


class WatchPace(Struct, frozen=True):
    """How long things take, in seconds."""

    first_wait: float = 0.8
    last_wait: float = 30.0
    """Waits after an API server that does not answer, as client-go's: ever longer, with jitter."""
    denied_wait: float = 30.0
    silence: float = 75.0
    """A stream that says nothing for so long is taken to be dead."""
    stream: tuple[float, float] = (40.0, 60.0)
    """The server is asked to end a stream after a random time in between: less than the silence of a dead one."""
    quiet: float = 5.0
    """A stream that was silent for so long before its end had nothing more to say."""


class Listed(Struct, frozen=True):
    """All objects that there are."""

    objects: tuple[Any, ...]
    version: str
    lost: str = ""
    """Why changes before this list may have been missed; empty where they were not."""


class Changed(Struct, frozen=True):
    """One object has come, changed or gone: ``ADDED``, ``MODIFIED`` or ``DELETED``."""

    kind: str
    object: Any
    version: str


class Alive(Struct, frozen=True):
    """There is nothing new up to now."""

    version: str


class Denied(Struct, frozen=True):
    """The watch is not allowed; told once, until it is."""

    reason: str


Heard = Listed | Changed | Alive | Denied


class Watchable(Protocol):
    """What a watch needs of the cluster."""

    def page(self, path: str, query: Mapping[str, str]) -> Manifest:
        """See ``cluster.Kubernetes.page``."""

    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Stream:
        """See ``cluster.Kubernetes.stream``."""


class Watch:
    """Follows one path, in one thread, until it is told to stop."""

    def __init__(
        self,
        cluster: Watchable,
        path: str,
        hear: Callable[[Heard], None],
        *,
        version: str = "",
        lost: str = "",
        keep: Callable[[Manifest], Any] = lambda found: found,
    ) -> None:
        """Go on from ``version``; without one, list first, and say that something may have been ``lost``.

        ``keep`` makes of each object what is heard of it, before the next one is read: whole ones are big.
        """
        self._cluster = cluster
        self._path = path
        self._hear = hear
        self._version = version
        self._lost = lost
        self._keep = keep
        self._page = PAGE
        self._stream: Stream | None = None
        self._is_denied = False
        self._failures = 0
        self._spoilt = 0
        self._is_fresh = False
        self._all_known_at = float("-inf")
        self.pace = WatchPace()
        self.heard_at = time.monotonic()
        """When the API server last gave a sign of life about this, by ``time.monotonic()``."""

    def run(self, stop: Flag) -> None:
        """Follow until ``stop`` is set; ``end`` then cuts the wait short."""
        while not stop.is_set():
            wait = self._try(stop)
            if wait:
                stop.wait(wait)

    def end(self) -> None:
        """Let the stream end now; from any thread."""
        if self._stream is not None:
            self._stream.end()

    def _try(self, stop: Flag) -> float:
        """List or watch once; return how long to wait before the next time."""
        try:
            self._follow(stop)
        except Expired as error:
            return self._expired(str(error))
        except Refused as error:
            return self._denied(str(error))
        except ClusterUnavailable as error:
            self._all_known_at = float("-inf")
            wait = max(self._next_wait(), error.wait_s)
            logs.logger().warning("watch.waiting", path=self._path, error=str(error), wait_s=round(wait, 1))
            return wait
        return 0.0

    def _follow(self, stop: Flag) -> None:
        if not self._version:
            self._list()
        elif not self._is_fresh:
            query = {"limit": "1", "resourceVersion": self._version, "resourceVersionMatch": "NotOlderThan"}
            self._cluster.page(self._path, query)
        self._is_fresh = False
        self._watch(stop)

    def _expired(self, reason: str) -> float:
        is_first = not self._failures
        if time.monotonic() - self._all_known_at > self.pace.quiet:
            self._lost = self._lost or reason
        logs.logger().info("watch.expired", path=self._path, reason=reason, lost=bool(self._lost))
        self._version, self._spoilt = "", 0
        wait = self._next_wait()
        return 0.0 if is_first else wait

    def _denied(self, reason: str) -> float:
        self._all_known_at = float("-inf")
        if not self._is_denied:
            self._is_denied = True
            logs.logger().error("watch.denied", path=self._path, error=reason)
            self._hear(Denied(reason))
        return self.pace.denied_wait

    def _next_wait(self) -> float:
        pace = self.pace
        longest = back_off(pace.first_wait, self._failures + 1, pace.last_wait)
        self._failures += 1
        return jittered(max(pace.first_wait, longest / 2), longest)

    def _list(self) -> None:
        objects, version, token = list[Any](), "", ""
        while not version or token:
            page = self._read_page(token)
            meta, items = page.get("metadata"), page.get("items") or []
            if not isinstance(meta, dict) or not isinstance(items, list) or not meta.get("resourceVersion"):
                raise ClusterUnavailable(f"GET {self._path}: the answer is no list: what answers here?")
            objects += map(self._keep, items)
            # The first page's: what came between two pages is then seen twice, and not never.
            version, token = version or str(meta["resourceVersion"]), str(meta.get("continue") or "")
            self.heard_at = time.monotonic()
        self._hear(Listed(tuple(objects), version, self._lost))
        self._version, self._lost, self._is_fresh = version, "", True
        self._all_known_at = time.monotonic()

    def _read_page(self, token: str) -> Manifest:
        query = {"limit": str(self._page)} if self._page else {}
        try:
            return self._cluster.page(self._path, query | ({"continue": token} if token else {}))
        except Expired:
            self._page = 0  # the pages outlive the history that they are of: next time all at once
            raise

    def _watch(self, stop: Flag) -> None:
        asked = jittered(*self.pace.stream)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, round(asked))),
        }
        began = last = time.monotonic()
        self._stream = stream = self._cluster.stream(self._path, query, self.pace.silence)
        self.heard_at, self._is_denied = began, False
        try:
            if stop.is_set():
                return
            for line in stream:
                self.heard_at = last = time.monotonic()
                self._take(line)
                self._failures = self._spoilt = 0
        finally:
            self._stream = None
            stream.close()
        if not stop.is_set():
            self._ended(began, last, asked)

    def _ended(self, began: float, last: float, asked: float) -> None:
        """The server has ended the stream: in time with nothing more to say, or too early."""
        self.heard_at = now = time.monotonic()
        if now - last >= min(self.pace.quiet, asked - 1) and now - began >= asked - 1:
            self._failures = 0
            self._all_known_at = now
            self._hear(Alive(self._version))
        elif last == began and now - began < 1:
            raise ClusterUnavailable(f"GET {self._path}: the stream ended at once")

    def _take(self, line: bytes) -> None:
        try:
            heard = json.loads(line)
            kind, found = heard["type"], heard["object"]
            if kind == "ERROR":
                raise self._spoils(told(f"GET {self._path}", int(found.get("code") or 500), {}, found))
            version = str(found["metadata"]["resourceVersion"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            message = f"GET {self._path}: what came is no change of an object: {error!r}"
            raise self._spoils(ClusterUnavailable(message)) from error
        if kind == "BOOKMARK":
            self._all_known_at = time.monotonic()
            self._hear(Alive(version))
        else:
            self._hear(Changed(kind, self._keep(found), version))
        self._version = version

    def _spoils(self, error: FuseboardError) -> FuseboardError:
        """Return the error, or one that says to list anew when it comes again and again."""
        self._spoilt += isinstance(error, ClusterUnavailable)
        return error if self._spoilt < SPOILT else Expired(f"{error}, {SPOILT} times")
