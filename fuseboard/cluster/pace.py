"""The times of a watch, and its waits after failures."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from fuseboard.times import back_off, jittered

MAX_BROKEN: Final = 2
"""Errors within streams from the same version until the watch lists all objects again.

Some of these errors are permanent: if etcd compacted the state just before a change, the API server answers 500 for
ever ("etcd event received with PrevKv=nil"). client-go lists again after some internal errors, too.
"""


class WatchPace(Struct, frozen=True):
    """The times of a watch, in seconds."""

    first_wait: float = 0.8
    last_wait: float = 30.0
    """Shortest and longest wait after a failure, as in client-go; the wait doubles with each failure, with jitter."""
    denied_wait: float = 30.0
    silence: float = 75.0
    """A stream that is silent for longer counts as dead."""
    stream: tuple[float, float] = (40.0, 60.0)
    """The API server is asked to end a stream after a random time in this range, before ``silence`` is over."""
    quiet: float = 5.0
    """A stream that was silent for this long at its end has reported all changes."""


class WatchFailures:
    """Counts the failures of a watch in a row."""

    def __init__(self, pace: WatchPace) -> None:
        self._pace = pace
        self._failures = 0
        self._broken = 0

    @property
    def is_any(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def next_wait(self) -> float:
        """Count a failure, and return the wait before the next attempt, in seconds."""
        longest = back_off(self._pace.first_wait, self._failures + 1, self._pace.last_wait)
        self._failures += 1
        return jittered(max(self._pace.first_wait, longest / 2), longest)

    def is_version_broken(self) -> bool:
        """Count an error within a stream; return whether too many followed each other from the same version."""
        self._broken += 1
        return self._broken >= MAX_BROKEN

    def version_dropped(self) -> None:
        """Forget the errors within streams, because the next stream begins from another version."""
        self._broken = 0

    def forget(self) -> None:
        """Forget the failed attempts, because a stream ended in time."""
        self._failures = 0

    def progressed(self) -> None:
        """Forget all failures, because a stream has reported a change."""
        self._failures = self._broken = 0
