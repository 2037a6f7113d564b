"""A store and checkpoints in memory, for tests; the store in Redis is checked against the store in memory."""

from __future__ import annotations

from collections import defaultdict, deque
from heapq import nlargest
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Shares
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import NotEnrolled
from fuseboard.stores.checkpoints import Checkpoint
from fuseboard.stores.records import (
    DEBT,
    FIRST_AGAIN_MS,
    JOURNAL_CAP,
    LAST_AGAIN_MS,
    TIMER,
    Change,
    Due,
    Entry,
    dues_after,
)
from fuseboard.times import back_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fuseboard.policy.spec import Policy
    from fuseboard.stores.checkpoints import SeenCount
    from fuseboard.stores.records import Decide


class MemoryStore:
    """See ``Store``; a lock makes every method atomic."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Use ``clock`` as the store's time, in milliseconds since 1970."""
        self._clock = clock
        self._lock = Lock()
        self._policies: dict[str, Policy] = {}
        self._rows: dict[str, tuple[BreakerState, Placement]] = {}
        self._due = MemoryDueEntries()
        self._journal: defaultdict[str, deque[Entry]] = defaultdict(lambda: deque(maxlen=JOURNAL_CAP))
        self._written = 0

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """See ``Store.apply``."""
        with self._lock:
            moved = self._remove(self._policies.keys() - {policy.key for policy in policies})
            self._put(policies)
            return moved

    def put(self, policies: Sequence[Policy]) -> None:
        """See ``Store.put``."""
        with self._lock:
            self._put(policies)

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """See ``Store.remove``."""
        with self._lock:
            return self._remove(keys)

    def _put(self, policies: Iterable[Policy]) -> None:
        changed = {policy.key: policy for policy in policies if self._policies.get(policy.key) != policy}
        if changed:
            self._policies = {**self._policies, **changed}
        for key in changed:
            self._enroll(key)

    def _remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        gone = self._policies.keys() & set(keys)
        self._policies = {key: policy for key, policy in self._policies.items() if key not in gone}
        for key in gone:
            self._due.remove(key)
        return tuple(sorted(key for key in gone if self._rows[key][1].shares != Shares()))

    def _enroll(self, key: str) -> None:
        """Add an empty record, or make a known breaker due: its new policy may call for another decision."""
        if key not in self._rows:
            self._rows[key] = (BreakerState(), Placement())
            self._due.schedule(key, {})
            return
        now = self._clock()
        self._write(key, Entry(kind="policy", reason="the policy was changed"), now)
        self._due.at_once(key, now)

    def table(self) -> Mapping[str, Policy]:
        """See ``Store.table``."""
        return self._policies  # never changed in place

    def read(self, key: str) -> Row:
        """See ``Store.read``."""
        with self._lock:
            return self._row(key)

    def holding(self) -> list[Row]:
        """See ``Store.holding``."""
        with self._lock:
            return [self._row(key) for key in sorted(self._policies) if self._rows[key][0].conditions]

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``."""
        with self._lock:
            row = self._row(key)
            change = decide(row)
            self._rows[key] = (change.state, change.placement)
            after = replace(row, state=change.state, placement=change.placement)
            self._due.schedule(key, dues_after(after, self._due.scheduled.get(key, {})))
            for entry in change.entries:
                self._write(key, entry, row.now)
            return change

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        with self._lock:
            now = self._clock()
            return now, self._due.take(now, limit)

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """See ``Store.journal``."""
        with self._lock:
            entries = [entry for key in keys for entry in self._journal[key]]
            return nlargest(limit, entries, key=lambda each: int(each.id))

    def check(self) -> None:
        """See ``Store.check``."""

    def _row(self, key: str) -> Row:
        if key not in self._policies:
            message = f"{key} is not in the breaker table"
            raise NotEnrolled(message)
        state, placement = self._rows[key]
        return Row(self._policies[key], state, placement, self._clock())

    def _write(self, key: str, entry: Entry, now: int) -> None:
        self._written += 1
        self._journal[key].append(replace(entry, id=str(self._written), breaker=key, now=now))


class MemoryDueEntries:
    """Due entries by breaker and kind, with the times last scheduled for each breaker."""

    def __init__(self) -> None:
        self.scheduled: dict[str, dict[str, int]] = {}
        """The due times last written, in ms by kind; a breaker that was made due at once has none."""
        self.entries: dict[tuple[str, str], tuple[int, int]] = {}
        """When each entry is due, in ms, and how often it was handed out."""

    def schedule(self, key: str, times: dict[str, int]) -> None:
        """Replace the entries of a breaker; entries that were put off stay so if the times are the same as before."""
        if times == self.scheduled.get(key):
            return
        self.scheduled[key] = times
        self.remove(key)
        for kind, time in times.items():
            self.entries[key, kind] = (time, 0)

    def at_once(self, key: str, now: int) -> None:
        """Make a breaker due now; its next change writes all its times."""
        self.scheduled.pop(key, None)
        self.entries[key, TIMER] = (now, 0)

    def remove(self, key: str) -> None:
        """Remove the entries of a breaker."""
        for kind in (TIMER, DEBT):
            self.entries.pop((key, kind), None)

    def take(self, now: int, limit: int) -> list[Due]:
        """Hand out the entries due by ``now``, and put each off."""
        ready = sorted((at, attempt, slot) for slot, (at, attempt) in self.entries.items() if at <= now)[:limit]
        for _, attempt, slot in ready:
            self.entries[slot] = (next_attempt(now, attempt), attempt + 1)
        return [Due(key, kind, at, attempt) for at, attempt, (key, kind) in ready]


class MemoryCheckpoints:
    """See ``Checkpoints``."""

    def __init__(self) -> None:
        self._kept: dict[str, Checkpoint] = {}

    def read(self, namespace: str) -> Checkpoint | None:
        """See ``Checkpoints.read``."""
        return self._kept.get(namespace)

    def move(self, namespace: str, version: str, known_until: int, changes: Mapping[str, SeenCount | None]) -> None:
        """See ``Checkpoints.move``."""
        before = self._kept.get(namespace)
        known = {**(before.known if before else {}), **changes}
        left = {uid: each for uid, each in known.items() if each is not None}
        self._kept[namespace] = Checkpoint(version, known_until, left)


def opened(record: Row) -> Change:
    """Open a breaker, with its debt paid."""
    breaker = BreakerState(state=State.OPEN, epoch=1, since=record.now, clock=record.now, cool_down=100_000)
    return Change(breaker, record.placement)


def next_attempt(now: int, attempts: int) -> int:
    """Return when a due entry is handed out again, in ms: after 5 s, 10 s, 20 s, 40 s, then every minute."""
    return now + back_off(FIRST_AGAIN_MS, attempts, LAST_AGAIN_MS)
