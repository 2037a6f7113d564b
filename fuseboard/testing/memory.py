"""The store in this process: for tests, and the twin that the Redis store is held against."""

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
from fuseboard.stores.records import DEBT, JOURNAL_CAP, TIMER, Change, Due, Entry, dues_after, next_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fuseboard.policy.spec import Policy
    from fuseboard.stores.checkpoints import SeenCount
    from fuseboard.stores.records import Decide


class MemoryStore:
    """Keeps everything in dictionaries, behind one lock."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Use ``clock`` as the store's time, in milliseconds since 1970."""
        self._clock = clock
        self._lock = Lock()
        self._policies: dict[str, Policy] = {}
        self._rows: dict[str, tuple[BreakerState, Placement]] = {}
        self._dues: dict[str, dict[str, int]] = {}
        self._due: dict[tuple[str, str], tuple[int, int]] = {}
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
            self._look_again(key)

    def _remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        gone = self._policies.keys() & set(keys)
        self._policies = {key: policy for key, policy in self._policies.items() if key not in gone}
        for key in gone:
            self._due.pop((key, TIMER), None)
            self._due.pop((key, DEBT), None)
        return tuple(sorted(key for key in gone if self._rows[key][1].shares != Shares()))

    def _look_again(self, key: str) -> None:
        """Begin a breaker's record, or have the clock look at it: its new policy may ask for something else."""
        if key not in self._rows:
            self._rows[key], self._dues[key] = (BreakerState(), Placement()), {}
            return
        now = self._clock()
        self._write(key, Entry(kind="policy", reason="the policy was changed"), now)
        self._dues.pop(key, None)
        self._due[key, TIMER] = (now, 0)

    def table(self) -> Mapping[str, Policy]:
        """See ``Store.table``."""
        return self._policies  # replaced, never changed

    def read(self, key: str) -> Row:
        """See ``Store.read``."""
        with self._lock:
            return self._record(key)

    def holding(self) -> list[Row]:
        """See ``Store.holding``."""
        with self._lock:
            return [self._record(key) for key in sorted(self._policies) if self._rows[key][0].conditions]

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``."""
        with self._lock:
            record = self._record(key)
            change = decide(record)
            self._rows[key] = (change.state, change.placement)
            self._schedule(replace(record, state=change.state, placement=change.placement), key)
            for entry in change.entries:
                self._write(key, entry, record.now)
            return change

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        with self._lock:
            now = self._clock()
            ready = sorted((at, tries, slot) for slot, (at, tries) in self._due.items() if at <= now)[:limit]
            for _, tries, slot in ready:
                self._due[slot] = (next_attempt(now, tries), tries + 1)
            return now, [Due(key, kind, at, tries) for at, tries, (key, kind) in ready]

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """See ``Store.journal``."""
        with self._lock:
            entries = [entry for key in keys for entry in self._journal[key]]
            return nlargest(limit, entries, key=lambda each: int(each.id))

    def check(self) -> None:
        """See ``Store.check``."""

    def _record(self, key: str) -> Row:
        if key not in self._policies:
            message = f"{key} is not in the breaker table"
            raise NotEnrolled(message)
        breaker, placement = self._rows[key]
        return Row(self._policies[key], breaker, placement, self._clock())

    def _schedule(self, record: Row, key: str) -> None:
        written = self._dues.get(key)
        dues = dues_after(record, written or {})
        if dues == written:
            return  # what has been put off stays put off
        self._dues[key] = dues
        for kind in (TIMER, DEBT):
            self._due.pop((key, kind), None)
            if kind in dues:
                self._due[key, kind] = (dues[kind], 0)

    def _write(self, key: str, entry: Entry, now: int) -> None:
        self._written += 1
        self._journal[key].append(replace(entry, id=str(self._written), breaker=key, now=now))


class MemoryCheckpoints:
    """Keeps them in this process, for tests."""

    def __init__(self) -> None:
        """Begin with none."""
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
