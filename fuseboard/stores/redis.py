"""The store in Redis or Valkey: one hash per breaker, one script per decision.

All keys of a namespace share a hash tag, so that a decision stays in one slot. A decision is made here, on this
process's copy of the record, and written by a script if the record is still the one that it was made on: one round trip
when the copy is current, two when somebody else has changed the record.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState
from fuseboard.errors import FuseboardError, NotEnrolled, RecordCorrupt, StoreUnavailable
from fuseboard.policy.spec import Policy
from fuseboard.stores.connection import (
    StoreClock,
    ThreadConnection,
    connect,
    errors_translated,
    refuse_forgetful,
    time_ms,
)
from fuseboard.stores.keys import NAMESPACES, due_keys, keys_of, next_version
from fuseboard.stores.records import DEBT, TIMER, Change, Due, Entry, dues_after
from fuseboard.stores.scripts import CHANGE, TAKE_DUE
from fuseboard.stores.table import CHUNK, Table
from fuseboard.times import back_off, jittered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from redis import Redis

    from fuseboard.stores.records import Decide

MAX_CONTENTION_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.0005
LONGEST_PAUSE_S: Final = 0.008
CACHED_ROWS: Final = 4_096

_FIELDS: Final = ("version", "policy", "breaker", "placement", "dues")
"""Fields of a record, in the order that ``lua/change.lua`` answers in."""

_CONDITIONS: Final = b'"conditions":{'

_encode: Final = msgspec.json.Encoder().encode
_policy: Final = msgspec.json.Decoder(Policy).decode
_breaker: Final = msgspec.json.Decoder(BreakerState).decode
_placement: Final = msgspec.json.Decoder(Placement).decode
_entry: Final = msgspec.json.Decoder(Entry).decode


def open_store(url: str) -> RedisStore:
    """Return the store at a URL, once it is known to keep what it is given.

    Raises:
        CannotStart: it could forget, or the URL is none.
        StoreUnavailable: it does not answer.

    """
    client = connect(url)
    refuse_forgetful(client)
    return RedisStore(client)


class _Row:
    """What this process knows of one breaker, and who waits to change it."""

    __slots__ = ("dues", "keys", "lock", "name", "raw_policy", "record", "version", "waiting")

    def __init__(self, key: str) -> None:
        self.keys = keys_of(key)
        self.name = key.partition("/")[2]
        self.lock = Lock()
        self.waiting: deque[_Ticket] = deque()
        self.record: Row | None = None
        self.raw_policy = b""
        self.version = b""
        self.dues: dict[str, int] | None = None
        """What was last written for the clock; None when that is not known."""


class _Ticket:
    """One decision that waits for its turn, then its outcome."""

    __slots__ = ("_decide", "_error", "change", "settled")

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._error: Exception | None = None
        self.change: Change | None = None
        self.settled = False

    def decide(self, record: Row) -> Row:
        """Decide on a record; return what it becomes."""
        self.change = None
        with self:
            self.change = self._decide(record)
        if self.change is None:
            return record
        return replace(record, state=self.change.state, placement=self.change.placement)

    def fail(self, error: Exception) -> None:
        """Have no outcome but this."""
        self.change, self._error = None, error

    def outcome(self) -> Change:
        """Return what was decided, or raise what was raised instead."""
        if self.change is None:
            raise cast("Exception", self._error)
        return self.change

    def __enter__(self) -> None:
        self._error = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        # Another thread may decide for this one: what goes wrong is raised where it was asked for, and nowhere else.
        if isinstance(error, Exception):
            self._error = error
        return isinstance(error, Exception)


class RedisStore:
    """Keeps every breaker in a hash of its own."""

    def __init__(self, client: Redis) -> None:
        """Use this client; nothing is sent yet."""
        self._client = client
        self._line = ThreadConnection(client)
        self._table = Table(client)
        self._clock = StoreClock()
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._rows_lock = Lock()

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """See ``Store.apply``."""
        return self._table.write(policies, self._time())

    def put(self, policies: Sequence[Policy]) -> None:
        """See ``Store.put``."""
        self._table.put(policies, self._time())

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """See ``Store.remove``."""
        return self._table.remove(keys)

    def _time(self) -> int:
        with errors_translated("asking the store for its time"):
            return time_ms(self._client.time())

    def table(self) -> Mapping[str, Policy]:
        """See ``Store.table``."""
        return self._table.read()

    # -- one breaker -------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Row:
        """See ``Store.read``."""
        row = _Row(key)
        self._fetch(key, row)
        return self._known(key, row)

    def holding(self) -> list[Row]:
        """See ``Store.holding``."""
        keys, found = sorted(self.table()), []
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            with errors_translated("looking for conditions that hold"):
                pipe = self._client.pipeline(transaction=False)
                for key in chunk:
                    pipe.hget(keys_of(key)[0], "breaker")
                states = cast("list[bytes | None]", pipe.execute())
            # Most hold none: only those that do are read.
            found += [key for key, state in zip(chunk, states, strict=True) if _CONDITIONS in (state or b"")]
        return [record for key in found if (record := self._held(key)) is not None]

    def _held(self, key: str) -> Row | None:
        with suppress(NotEnrolled, RecordCorrupt):
            record = self.read(key)
            return record if record.state.conditions else None
        return None

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``.

        Threads of one process that want the same breaker fold: the one that has its lock decides for all that wait, in
        their order, and writes once.
        """
        row, ticket = self._row(key), _Ticket(decide)
        row.waiting.append(ticket)
        with row.lock:
            if not ticket.settled:
                self._settle(key, row)
        return ticket.outcome()

    def _settle(self, key: str, row: _Row) -> None:
        tickets = [row.waiting.popleft() for _ in range(len(row.waiting))]
        try:
            self._decide_and_write(key, row, tickets)
        except FuseboardError as error:
            for ticket in tickets:
                ticket.fail(error)
        finally:
            for ticket in tickets:
                ticket.settled = True

    def _decide_and_write(self, key: str, row: _Row, tickets: list[_Ticket]) -> None:
        give_up = time.monotonic() + MAX_CONTENTION_S
        fresh = row.record is None or not self._clock.known
        if fresh:
            self._fetch(key, row)
        for tries in count():
            before = after = self._known(key, row)
            for ticket in tickets:
                after = ticket.decide(after)
            if any(ticket.change for ticket in tickets):
                if self._write(key, row, before, after, tickets):
                    return
            elif fresh:
                return
            else:
                self._fetch(key, row)  # all were refused, perhaps by what is no longer so
            fresh = True
            # The first conflict may be with ourselves, after an answer that was lost and long waited for.
            if tries and time.monotonic() > give_up:
                message = f"{key}: too many processes change this breaker at once"
                raise StoreUnavailable(message)
            _pause(tries)

    def _write(self, key: str, row: _Row, before: Row, after: Row, tickets: Sequence[_Ticket]) -> bool:
        """Write what was decided, if the record is still the one that it was decided on."""
        placement = b"" if after.placement is before.placement else _encode(after.placement)
        dues = dues_after(after, row.dues or {})
        changed = b"" if dues == row.dues else f"{dues.get(TIMER, '-')} {dues.get(DEBT, '-')}".encode()
        version = next_version()
        arguments = [row.version, before.now, _encode(after.state), placement, changed, row.name, version]
        entries = [
            _encode(replace(entry, breaker=key, now=before.now))
            for ticket in tickets
            if ticket.change is not None
            for entry in ticket.change.entries
        ]
        with errors_translated(f"changing {key}"):
            written, now, *found = CHANGE.run(self._line.call, row.keys, *arguments, *entries)
        self._clock.set(now)
        if not written:
            _take_in(key, row, found[0], now)
            return False
        row.record, row.version, row.dues = after, version, dues
        return True

    def _row(self, key: str) -> _Row:
        with self._rows_lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row(key)
                if len(self._rows) > CACHED_ROWS:
                    self._rows.popitem(last=False)
            else:
                self._rows.move_to_end(key)
            return row

    def _known(self, key: str, row: _Row) -> Row:
        if row.record is None:
            with self._rows_lock:
                self._rows.pop(key, None)  # a name that does not exist must not push out one that does
            message = f"{key} is not in the breaker table"
            raise NotEnrolled(message)
        return replace(row.record, now=self._clock.now())

    def _fetch(self, key: str, row: _Row) -> None:
        with errors_translated(f"reading {key}"):
            pipe = self._client.pipeline(transaction=False)
            pipe.time()
            pipe.hmget(row.keys[0], *_FIELDS)
            moment, fields = pipe.execute()
        now = time_ms(moment)
        self._clock.set(now)
        _take_in(key, row, fields, now)

    # -- the clock and the journal -----------------------------------------------------------------------------------

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        found: list[Due] = []
        with errors_translated("looking for what is due"):
            now, namespaces = self._waiting()
            for namespace in namespaces:
                if len(found) == limit:
                    break
                answer = TAKE_DUE.run(self._line.call, due_keys(namespace), limit - len(found))
                for member, at, attempt in zip(answer[1::3], answer[2::3], answer[3::3], strict=True):
                    kind, _, name = member.decode().partition(":")
                    found.append(Due(f"{namespace}/{name}", kind, int(at), attempt))
        return now, found

    def _waiting(self) -> tuple[int, list[str]]:
        """Return the store's time, and the namespaces in which something is due: one look for all of them."""
        namespaces = sorted(each.decode() for each in cast("set[bytes]", self._client.smembers(NAMESPACES)))
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        for namespace in namespaces:
            pipe.zrange(due_keys(namespace)[0], 0, 0, withscores=True)
        moment, *firsts = pipe.execute()
        now = time_ms(moment)
        self._clock.set(now)
        return now, [name for name, first in zip(namespaces, firsts, strict=True) if first and first[0][1] <= now]

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """See ``Store.journal``."""
        with errors_translated("reading the journal"):
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.xrevrange(keys_of(key)[2], count=limit)
            rows = [row for stream in pipe.execute() for row in stream]
        rows.sort(key=lambda row: tuple(int(part) for part in row[0].split(b"-")), reverse=True)
        return [_read_entry(identifier, fields) for identifier, fields in rows[:limit]]

    def check(self) -> None:
        """See ``Store.check``."""
        with errors_translated("the check of the store"):
            self._client.ping()

    def close(self) -> None:
        """Close the connections of the pool."""
        self._client.close()


def _pause(tries: int) -> None:
    """Let others pass after a second conflict: who always tries at once can lose for ever."""
    if tries:
        time.sleep(jittered(0, back_off(FIRST_PAUSE_S, tries, LONGEST_PAUSE_S)))


def _dues(raw: bytes) -> dict[str, int] | None:
    """Read what was last written for the clock, as the script keeps it."""
    moments = dict(zip((TIMER, DEBT), raw.split(), strict=False))
    return {kind: int(moment) for kind, moment in moments.items() if moment != b"-"} if moments else None


def _take_in(key: str, row: _Row, fields: Sequence[bytes | None], now: int) -> None:
    """Make what is in the store the row's copy."""
    version, policy, breaker, placement, dues = fields
    known, row.record = row.record, None
    if policy is None:
        return
    try:
        row.version, row.dues = b"%d" % int(version or b""), _dues(dues or b"")
        same = known is not None and policy == row.raw_policy
        row.record = Row(
            cast("Row", known).policy if same else _policy(policy),
            _breaker(breaker or b"{}"),
            _placement(placement or b"{}"),
            now,
        )
        row.raw_policy = policy
    except (msgspec.DecodeError, ValueError) as error:
        message = f"{key}: its record in Redis cannot be read ({error}): nothing is done with it until it is repaired"
        raise RecordCorrupt(message) from error


def _read_entry(identifier: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    try:
        return replace(_entry(fields.get(b"entry", b"")), id=identifier.decode())
    except msgspec.DecodeError as error:
        message = f"entry {identifier.decode()} of the journal cannot be read: {error}"
        raise RecordCorrupt(message) from error
