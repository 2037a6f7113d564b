"""Decisions on breakers: each is made on this process's copy of the row, then written if the copy was current.

Threads of a process that decide on the same breaker fold: the thread with the breaker's lock decides for all waiting
threads, in their order, and writes the result once.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import replace

from fuseboard.errors import FuseboardError, NotEnrolled, StoreUnavailable
from fuseboard.stores.rows import CachedRow
from fuseboard.times import back_off, jittered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.breaker.row import Row
    from fuseboard.stores.records import Change, Decide
    from fuseboard.stores.rows import Rows

MAX_CONTENTION_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.0005
LONGEST_PAUSE_S: Final = 0.008
CACHED_ROWS: Final = 4_096


class PendingDecision:
    """A thread's decision on a breaker: waits for its turn, then has an outcome."""

    __slots__ = ("_decide", "_error", "change", "settled")

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._error: Exception | None = None
        self.change: Change | None = None
        """The result; None before the decision, and where the decision has raised."""
        self.settled = False

    def decide(self, row: Row) -> Row:
        """Decide on a row; return the row after the change, or the same row where the decision raises."""
        self.change = self._error = None
        try:
            self.change = self._decide(row)
        except Exception as error:  # noqa: BLE001  - raised again by outcome(), in the thread of this decision
            self._error = error
            return row
        return replace(row, state=self.change.state, placement=self.change.placement)

    def fail(self, error: Exception) -> None:
        """Set an error as the outcome."""
        self.change, self._error = None, error

    def outcome(self) -> Change:
        """Return the change, or raise the error."""
        if self.change is None:
            raise cast("Exception", self._error)
        return self.change


class RowQueue:
    """The cached row of a breaker, and the decisions that wait for it."""

    __slots__ = ("cached", "lock", "waiting")

    def __init__(self, key: str) -> None:
        self.cached = CachedRow(key)
        self.lock = Lock()
        self.waiting: deque[PendingDecision] = deque()


class Decisions:
    """Makes decisions and writes them, with a cache of the rows last used."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._queues: OrderedDict[str, RowQueue] = OrderedDict()
        self._lock = Lock()

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``."""
        queue, decision = self._queue(key), PendingDecision(decide)
        queue.waiting.append(decision)
        with queue.lock:
            if not decision.settled:
                self._settle(queue)
        return decision.outcome()

    def _queue(self, key: str) -> RowQueue:
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = RowQueue(key)
                if len(self._queues) > CACHED_ROWS:
                    self._queues.popitem(last=False)
            else:
                self._queues.move_to_end(key)
            return queue

    def _settle(self, queue: RowQueue) -> None:
        """Give every waiting decision its outcome."""
        decisions = [queue.waiting.popleft() for _ in range(len(queue.waiting))]
        try:
            self._decide_and_write(queue.cached, decisions)
        except FuseboardError as error:
            if isinstance(error, NotEnrolled):
                self._forget(queue.cached.key)  # unknown names must not push known breakers out of the cache
            for decision in decisions:
                decision.fail(error)
        finally:
            for decision in decisions:
                decision.settled = True

    def _forget(self, key: str) -> None:
        with self._lock:
            self._queues.pop(key, None)

    def _decide_and_write(self, cached: CachedRow, decisions: Sequence[PendingDecision]) -> None:
        give_up = time.monotonic() + MAX_CONTENTION_S
        is_fresh = cached.row is None
        if is_fresh:
            self._rows.fetch(cached)
        for tries in count():
            before = after = self._rows.current(cached)
            for decision in decisions:
                after = decision.decide(after)
            changes = [decision.change for decision in decisions if decision.change is not None]
            if changes:
                if self._rows.write(cached, before, after, (entry for change in changes for entry in change.entries)):
                    return
            elif is_fresh:
                return
            else:
                self._rows.fetch(cached)  # every decision has raised, perhaps only because the copy was stale
            is_fresh = True
            # The first conflict may be with our own write, after a lost reply and a long wait for it.
            if tries and time.monotonic() > give_up:
                message = f"{cached.key}: too many processes change this breaker at once"
                raise StoreUnavailable(message)
            _pause(tries)


def _pause(tries: int) -> None:
    """Wait after a second conflict, and longer after more: without a pause, a process could lose every time."""
    if tries:
        time.sleep(jittered(0, back_off(FIRST_PAUSE_S, tries, LONGEST_PAUSE_S)))
