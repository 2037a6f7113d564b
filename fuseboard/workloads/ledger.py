"""Counts of Event objects: which occurrences of an Event are new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from fuseboard.policy.advice import MAX_DELTA
from fuseboard.stores.checkpoints import SeenCount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.workloads.events import ObservedEvent


MAX_EVENTS: Final = 20_000
"""Event objects of a namespace whose counts are remembered; the one not heard of for the longest time goes first."""
_SAME_TIME_MS: Final = 10 * 60_000


class Ledger:
    """The counts of a namespace's Event objects as they were last seen: what is above is new."""

    def __init__(self, known: Mapping[str, SeenCount] | None = None, limit: int = MAX_EVENTS) -> None:
        """Begin with what an earlier run knew."""
        self._known = OrderedDict(known or {})
        self._limit = limit
        self._changed: dict[str, SeenCount | None] = {}

    def added(self, report: ObservedEvent) -> tuple[str, ...]:
        """Return the keys of what is new in an object that has come to be."""
        return self._take(report, unknown=report.count)

    def modified(self, report: ObservedEvent) -> tuple[str, ...]:
        """Return the keys of what is new in an object that has changed; of one long forgotten, the last occurrence."""
        return self._take(report, unknown=1)

    def listed(self, report: ObservedEvent, since: int | None) -> tuple[str, ...]:
        """Return the keys of what is new in an object that was found; ``since`` then, all others were known.

        Of an object from before, only the last occurrence has a time: the others may be of long ago.
        """
        is_new = since is not None and report.created_at > since - _SAME_TIME_MS
        return self._take(report, unknown=report.count if is_new else 1)

    def forget(self, uid: str) -> None:
        """Forget an object that is no more: its uid never comes again."""
        if self._known.pop(uid, None) is not None:
            self._changed[uid] = None

    def keep_only(self, uids: set[str]) -> None:
        """Forget all objects but these."""
        for uid in self._known.keys() - uids:
            self.forget(uid)

    def changes(self) -> dict[str, SeenCount | None]:
        """Return what has changed since the last call; None stands for what was forgotten."""
        changed, self._changed = self._changed, {}
        return changed

    def _take(self, report: ObservedEvent, *, unknown: int) -> tuple[str, ...]:
        known = self._known.get(report.uid)
        if known is None:
            known, new = SeenCount(0), min(unknown, report.count)
        elif report.count < known.count:
            known, new = SeenCount(0, report.version), report.count
        else:
            new = report.count - known.count
        if not new and report.uid in self._known:
            return ()
        self._remember(report.uid, SeenCount(report.count, known.episode))
        name = f"{report.uid}/{known.episode}" if known.episode else report.uid
        first = report.count - min(new, MAX_DELTA) + 1
        return tuple(f"{name}:{number}" for number in range(first, report.count + 1))

    def _remember(self, uid: str, known: SeenCount) -> None:
        self._known[uid] = self._changed[uid] = known
        self._known.move_to_end(uid)
        if len(self._known) > self._limit:
            oldest, _ = self._known.popitem(last=False)
            self._changed[oldest] = None
