"""The ledger of Event objects: which of their occurrences are new.

An Event object stands for several occurrences, and its count grows. The key of an occurrence consists of the object's
uid and the number of the occurrence. All watchers therefore give an occurrence the same key at any time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from fuseboard.policy.advice import MAX_DELTA
from fuseboard.stores.checkpoints import SeenCount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.workloads.events import ObservedEvent


MAX_EVENTS: Final = 20_000
"""Limit for the Event objects of a namespace; the least recently reported object is forgotten first."""
_MAX_CLOCK_SKEW_MS: Final = 10 * 60_000
"""How far the clocks of this process and of the API server may differ."""


class Ledger:
    """The last counts of a namespace's Event objects: occurrences above the count are new."""

    def __init__(self, known: Mapping[str, SeenCount] | None = None, limit: int = MAX_EVENTS) -> None:
        """Start with the counts of an earlier run."""
        self._known = OrderedDict(known or {})
        self._limit = limit
        self._changed: dict[str, SeenCount | None] = {}

    def added(self, event: ObservedEvent) -> tuple[str, ...]:
        """Return the keys of new occurrences in an object that was created."""
        return self._take(event, unknown=event.count)

    def modified(self, event: ObservedEvent) -> tuple[str, ...]:
        """Return the keys of new occurrences in a changed object; of a forgotten object, only the last occurrence."""
        return self._take(event, unknown=1)

    def listed(self, event: ObservedEvent, since: int | None) -> tuple[str, ...]:
        """Return the keys of new occurrences in a listed object.

        Until ``since``, in milliseconds since 1970, all occurrences have been counted. Of an older object that is
        missing in the ledger, only the last occurrence is new: earlier occurrences have no time and may be old.
        """
        is_new = since is not None and event.created_at > since - _MAX_CLOCK_SKEW_MS
        return self._take(event, unknown=event.count if is_new else 1)

    def forget(self, uid: str) -> None:
        """Forget a deleted object, whose uid never returns."""
        if self._known.pop(uid, None) is not None:
            self._changed[uid] = None

    def keep_only(self, uids: set[str]) -> None:
        """Forget all objects except these."""
        for uid in self._known.keys() - uids:
            self.forget(uid)

    def changes(self) -> dict[str, SeenCount | None]:
        """Return the counts that have changed since the last call, by uid; None for a forgotten object."""
        changed, self._changed = self._changed, {}
        return changed

    def _take(self, event: ObservedEvent, *, unknown: int) -> tuple[str, ...]:
        known = self._known.get(event.uid)
        if known is None:
            known, new = SeenCount(0), min(unknown, event.count)
        elif event.count < known.count:
            known, new = SeenCount(0, event.version), event.count
        else:
            new = event.count - known.count
        if not new and event.uid in self._known:
            return ()
        self._remember(event.uid, SeenCount(event.count, known.episode))
        name = f"{event.uid}/{known.episode}" if known.episode else event.uid
        first = event.count - min(new, MAX_DELTA) + 1
        return tuple(f"{name}:{number}" for number in range(first, event.count + 1))

    def _remember(self, uid: str, known: SeenCount) -> None:
        self._known[uid] = self._changed[uid] = known
        self._known.move_to_end(uid)
        if len(self._known) > self._limit:
            oldest, _ = self._known.popitem(last=False)
            self._changed[oldest] = None
