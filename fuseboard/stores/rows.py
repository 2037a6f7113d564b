"""Rows of breakers in Redis or Valkey: read them, and write a row unless another process has changed it since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState
from fuseboard.errors import NotEnrolled, RecordCorrupt
from fuseboard.policy.spec import Policy
from fuseboard.stores.connection import errors_translated, time_ms
from fuseboard.stores.keys import keys_of, next_version
from fuseboard.stores.records import DEBT, TIMER, dues_after
from fuseboard.stores.scripts import CHANGE
from fuseboard.stores.table import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from fuseboard.stores.connection import StoreClock, ThreadConnection
    from fuseboard.stores.records import Entry

_FIELDS: Final = ("version", "policy", "breaker", "placement", "dues")
"""Fields of a record, in the order of the reply of ``lua/change.lua``."""

_CONDITIONS: Final = b'"conditions":{'

_encode: Final = msgspec.json.Encoder().encode
_policy: Final = msgspec.json.Decoder(Policy).decode
_state: Final = msgspec.json.Decoder(BreakerState).decode
_placement: Final = msgspec.json.Decoder(Placement).decode


class CachedRow:
    """This process's copy of a breaker's record."""

    __slots__ = ("_raw_policy", "dues", "key", "keys", "name", "row", "version")

    def __init__(self, key: str) -> None:
        self.key = key
        self.keys = keys_of(key)
        self.name = key.partition("/")[2]
        self.row: Row | None = None
        """None before the first read, and for a breaker without a policy."""
        self.version = b""
        self.dues: dict[str, int] | None = None
        """The due times last written for the clock, in ms by kind; None if unknown."""
        self._raw_policy = b""

    def update(self, fields: Sequence[bytes | None], now: int) -> None:
        """Take over the record's fields, read at the store's time ``now`` in milliseconds since 1970.

        Raises:
            RecordCorrupt: a field cannot be read.

        """
        version, policy, state, placement, dues = fields
        known, self.row = self.row, None
        if policy is None:
            return
        try:
            self.version, self.dues = b"%d" % int(version or b""), _read_dues(dues or b"")
            is_same = known is not None and policy == self._raw_policy
            self.row = Row(
                cast("Row", known).policy if is_same else _policy(policy),
                _state(state or b"{}"),
                _placement(placement or b"{}"),
                now,
            )
            self._raw_policy = policy
        except (msgspec.DecodeError, ValueError) as error:
            message = f"{self.key}: the record in Redis cannot be read ({error}), no change is made: repair the record"
            raise RecordCorrupt(message) from error


class Rows:
    """Reads rows, and writes them by compare-and-set on the record's version."""

    def __init__(self, client: Redis, connection: ThreadConnection, clock: StoreClock) -> None:
        self._client = client
        self._connection = connection
        self._clock = clock

    def fetch(self, cached: CachedRow) -> None:
        """Read the record into a cached row."""
        with errors_translated(f"reading {cached.key}"):
            pipe = self._client.pipeline(transaction=False)
            pipe.time()
            pipe.hmget(cached.keys[0], *_FIELDS)
            time, fields = pipe.execute()
        now = time_ms(time)
        self._clock.set(now)
        cached.update(fields, now)

    def current(self, cached: CachedRow) -> Row:
        """Return the cached row at the store's time.

        Raises:
            NotEnrolled: the breaker has no policy.

        """
        if cached.row is None:
            message = f"{cached.key} is not in the breaker table"
            raise NotEnrolled(message)
        return cached.row.at(self._clock.now())

    def write(self, cached: CachedRow, before: Row, after: Row, entries: Iterable[Entry]) -> bool:
        """Write ``after`` and its journal entries if the record still is ``before``; return whether it was written.

        If another process has changed the record, the cached row has the new record afterwards.
        """
        placement = b"" if after.placement is before.placement else _encode(after.placement)
        dues = dues_after(after, cached.dues or {})
        changed = b"" if dues == cached.dues else f"{dues.get(TIMER, '-')} {dues.get(DEBT, '-')}".encode()
        version = next_version()
        arguments = (cached.version, before.now, _encode(after.state), placement, changed, cached.name, version)
        lines = [_encode(replace(entry, breaker=cached.key, now=before.now)) for entry in entries]
        with errors_translated(f"changing {cached.key}"):
            written, now, *fields = CHANGE.run(self._connection.call, cached.keys, *arguments, *lines)
        self._clock.set(now)
        if not written:
            cached.update(fields[0], now)
            return False
        cached.row, cached.version, cached.dues = after, version, dues
        return True

    def with_conditions(self, keys: Sequence[str]) -> Iterator[str]:
        """Yield the keys of the breakers that hold a condition. Most hold none, so only their states are read."""
        for start in range(0, len(keys), CHUNK):
            chunk = keys[start : start + CHUNK]
            with errors_translated("reading the conditions of breakers"):
                pipe = self._client.pipeline(transaction=False)
                for key in chunk:
                    pipe.hget(keys_of(key)[0], "breaker")
                states = cast("list[bytes | None]", pipe.execute())
            yield from (key for key, state in zip(chunk, states, strict=True) if _CONDITIONS in (state or b""))


def _read_dues(raw: bytes) -> dict[str, int] | None:
    """Read the due times last written for the clock, in the form of ``lua/change.lua``."""
    times = dict(zip((TIMER, DEBT), raw.split(), strict=False))
    return {kind: int(time) for kind, time in times.items() if time != b"-"} if times else None
