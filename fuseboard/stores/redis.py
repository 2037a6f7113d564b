"""The store in Redis or Valkey: one hash per breaker, one script per decision.

All keys of a namespace share a hash tag, so that a decision stays in one slot. The script decides nothing: it compares
the version that the caller decided on with the one that is there, and writes all or nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec.structs import replace

from fuseboard.breaker import Breaker
from fuseboard.errors import FuseboardError, NotEnrolled, RecordCorrupt, StoreUnavailable
from fuseboard.placement import Placement, Shares
from fuseboard.policy import Policy
from fuseboard.stores import DEBT, JOURNAL_CAP, TIMER, Change, Due, Entry, Record
from fuseboard.stores.connection import GLOBAL_TAG, StoreClock, connect, errors_translated, refuse_forgetful
from fuseboard.stores.pacing import FIRST_AGAIN_MS, LAST_AGAIN_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import redis

    from fuseboard.stores import Decide

MAX_TRIES: Final = 16
MAX_CONTENTION_S: Final = 1.0
CACHED_ROWS: Final = 4_096
APPLY_CHUNK: Final = 500

_NOW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

# Off by more than 250 ms is a conflict: the decision was made for another moment. The record comes last: it holds the
# remembered id, and Redis does not roll back what a script wrote before it failed.
_CHANGE: Final = (
    _NOW
    + """
local record, due, tries, journal = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local version = redis.call('HGET', record, 'version')
if version ~= ARGV[1] or math.abs(now - tonumber(ARGV[2])) > 250 then
  local row = redis.call('HMGET', record, 'version', 'policy', 'breaker', 'placement')
  return {0, now, row[1], row[2], row[3], row[4]}
end
for i = 10, #ARGV do redis.call('XADD', journal, 'MAXLEN', '~', ARGV[9], '*', 'entry', ARGV[i]) end
for i = 5, 7, 2 do
  local member, at = ARGV[i], ARGV[i + 1]
  if at == 'none' then redis.call('ZREM', due, member) redis.call('HDEL', tries, member)
  elseif at ~= 'same' then redis.call('ZADD', due, at, member) redis.call('HDEL', tries, member) end
end
if ARGV[4] == '' then redis.call('HSET', record, 'version', version + 1, 'breaker', ARGV[3])
else redis.call('HSET', record, 'version', version + 1, 'breaker', ARGV[3], 'placement', ARGV[4]) end
return {1, now}
"""
)

_APPLY: Final = """
if redis.call('HGET', KEYS[1], 'policy') == ARGV[1] then return 0 end
local known = redis.call('HEXISTS', KEYS[1], 'breaker')
redis.call('HINCRBY', KEYS[1], 'version', 1)
if known == 0 then redis.call('HSET', KEYS[1], 'breaker', '{}', 'placement', '{}') end
redis.call('HSET', KEYS[1], 'policy', ARGV[1])
return known
"""

_TAKE_DUE: Final = (
    _NOW
    + """
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local answer = {now}
for i = 1, #found, 2 do
  local attempt = redis.call('HINCRBY', KEYS[2], found[i], 1) - 1
  redis.call('ZADD', KEYS[1], now + math.min(ARGV[2] * 2 ^ attempt, ARGV[3]), found[i])
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = found[i + 1]
  answer[#answer + 1] = attempt
end
return answer
"""
)

TABLE: Final = f"fuseboard:{GLOBAL_TAG}:table"
TABLE_VERSION: Final = f"fuseboard:{GLOBAL_TAG}:table:version"
NAMESPACES: Final = f"fuseboard:{GLOBAL_TAG}:namespaces"


def open_store(url: str) -> RedisStore:
    """Return the store at a URL, once it is known to keep what it is given.

    Raises:
        CannotStart: it could forget.
        StoreUnavailable: it does not answer.

    """
    client = connect(url)
    refuse_forgetful(client)
    return RedisStore(client)


class _Row:
    """What this process knows of one breaker, and who waits to change it."""

    __slots__ = ("lock", "record", "version", "waiting")

    def __init__(self) -> None:
        self.lock = Lock()
        self.waiting: deque[_Ticket] = deque()
        self.record: Record | None = None
        self.version = b""


class _Ticket:
    """One decision that waits for its turn, then its outcome."""

    __slots__ = ("decide", "outcome")

    def __init__(self, decide: Decide) -> None:
        self.decide = decide
        self.outcome: Change | FuseboardError | None = None


class RedisStore:
    """Keeps every breaker in a hash of its own."""

    def __init__(self, client: redis.Redis) -> None:
        """Use this client; nothing is sent yet."""
        self._client = client
        self._change = client.register_script(_CHANGE)
        self._apply = client.register_script(_APPLY)
        self._take_due = client.register_script(_TAKE_DUE)
        self._clock = StoreClock()
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._rows_lock = Lock()
        self._table: Mapping[str, Policy] = {}
        self._table_version = b""

    # -- the table ---------------------------------------------------------------------------------------------------

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """See ``Store.apply``."""
        wanted = {policy.key: msgspec.json.encode(policy) for policy in policies}
        with errors_translated("writing the breaker table"):
            known = {key.decode() for key in cast("list[bytes]", self._client.hkeys(TABLE))}
            gone = sorted(known - wanted.keys())
            changed = self._write_policies(wanted)
            pipe = self._client.pipeline(transaction=True)
            pipe.delete(TABLE, NAMESPACES)
            if wanted:
                pipe.hset(TABLE, mapping=wanted)  # type: ignore[arg-type]
                pipe.sadd(NAMESPACES, *{policy.namespace for policy in policies})
            pipe.incr(TABLE_VERSION)
            pipe.execute()
        for key in changed:
            # The new policy may wait for another moment than the old one did.
            self.change(key, lambda record: _unchanged(record, "the policy was changed"))
        return tuple(key for key in gone if self._retire(key))

    def _write_policies(self, wanted: Mapping[str, bytes]) -> list[str]:
        """Write the policies into the records; return those of known breakers that are new to them."""
        changed, keys = [], list(wanted)
        self._client.script_load(_APPLY)
        for start in range(0, len(keys), APPLY_CHUNK):
            chunk = keys[start : start + APPLY_CHUNK]
            pipe = self._client.pipeline(transaction=False)
            for key in chunk:
                pipe.evalsha(self._apply.sha, 1, _keys(key)[0], wanted[key])
            changed += [key for key, known in zip(chunk, pipe.execute(), strict=True) if known]
        return changed

    def _retire(self, key: str) -> bool:
        """Take a breaker out of service; return whether its traffic is still moved. Its record stays."""
        record, due, tries, _ = _keys(key)
        with errors_translated(f"retiring {key}"):
            pipe = self._client.pipeline(transaction=True)
            pipe.hdel(record, "policy")
            pipe.hincrby(record, "version", 1)
            pipe.zrem(due, *_members(key))
            pipe.hdel(tries, *_members(key))
            pipe.hget(record, "placement")
            raw = pipe.execute()[-1]
        return msgspec.json.decode(raw or b"{}", type=Placement).shares != Shares()

    def table(self) -> Mapping[str, Policy]:
        """See ``Store.table``."""
        with errors_translated("reading the breaker table"):
            version = cast("bytes | None", self._client.get(TABLE_VERSION)) or b"0"
            if version != self._table_version:
                rows = cast("dict[bytes, bytes]", self._client.hgetall(TABLE))
                decode = msgspec.json.Decoder(Policy).decode
                self._table = {key.decode(): decode(raw) for key, raw in rows.items()}
                self._table_version = version
        return self._table

    # -- one breaker -------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record:
        """See ``Store.read``."""
        row = _Row()
        self._fetch(key, row)
        return self._known(key, row)

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``.

        Threads of one process that want the same breaker fold: the one that has its lock decides for all that wait, in
        their order, and writes once.
        """
        row, ticket = self._row(key), _Ticket(decide)
        row.waiting.append(ticket)
        with row.lock:
            if ticket.outcome is None:
                self._settle(key, row)
        if isinstance(ticket.outcome, FuseboardError):
            raise ticket.outcome
        return cast("Change", ticket.outcome)

    def _settle(self, key: str, row: _Row) -> None:
        tickets = []
        while row.waiting:
            tickets.append(row.waiting.popleft())
        try:
            outcomes = self._decide_and_write(key, row, tickets)
        except FuseboardError as error:
            outcomes = [error] * len(tickets)
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            ticket.outcome = outcome

    def _decide_and_write(self, key: str, row: _Row, tickets: list[_Ticket]) -> list[Change | FuseboardError]:
        give_up = time.monotonic() + MAX_CONTENTION_S
        if row.record is None or not self._clock.known:
            self._fetch(key, row)
        for _ in range(MAX_TRIES):
            before = self._known(key, row)
            after, outcomes = _decide(before, tickets)
            if self._write(key, row, before, after, outcomes):
                return outcomes
            if time.monotonic() > give_up:
                break
        message = f"{key}: too many processes change this breaker at once"
        raise StoreUnavailable(message)

    def _write(
        self, key: str, row: _Row, before: Record, after: Record, outcomes: Sequence[Change | FuseboardError]
    ) -> bool:
        """Write what was decided, if the record is still the one that it was decided on."""
        entries = [
            msgspec.json.encode(replace(entry, breaker=key, now=before.now))
            for outcome in outcomes
            if isinstance(outcome, Change)
            for entry in outcome.entries
        ]
        placement = b"" if after.placement is before.placement else msgspec.json.encode(after.placement)
        timer, debt = _members(key)
        old, new = before.dues, after.dues
        arguments = [row.version, before.now, msgspec.json.encode(after.breaker), placement]
        for member, kind in ((timer, TIMER), (debt, DEBT)):
            arguments += [member, "same" if old.get(kind) == new.get(kind) else new.get(kind, "none")]
        with errors_translated(f"changing {key}"):
            answer = cast("list[Any]", self._change(_keys(key), [*arguments, JOURNAL_CAP, *entries]))
        written, now = answer[0], answer[1]
        self._clock.told(now)
        if written:
            row.record, row.version = after, b"%d" % (int(row.version) + 1)
        else:
            _take_in(key, row, answer[2:], now)
        return bool(written)

    def _row(self, key: str) -> _Row:
        with self._rows_lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row()
                if len(self._rows) > CACHED_ROWS:
                    self._rows.popitem(last=False)
            else:
                self._rows.move_to_end(key)
            return row

    def _known(self, key: str, row: _Row) -> Record:
        if row.record is None:
            message = f"{key} is not in the breaker table"
            raise NotEnrolled(message)
        return replace(row.record, now=self._clock.now())

    def _fetch(self, key: str, row: _Row) -> None:
        with errors_translated(f"reading {key}"):
            pipe = self._client.pipeline(transaction=False)
            pipe.time()
            pipe.hmget(_keys(key)[0], "version", "policy", "breaker", "placement")
            (seconds, micros), fields = pipe.execute()
        now = seconds * 1000 + micros // 1000
        self._clock.told(now)
        _take_in(key, row, fields, now)

    # -- the clock and the journal -----------------------------------------------------------------------------------

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        now, found = self._clock.now(), []
        with errors_translated("looking for what is due"):
            namespaces = sorted(each.decode() for each in cast("set[bytes]", self._client.smembers(NAMESPACES)))
            for namespace in namespaces:
                keys = _due_keys(namespace)
                answer = cast("list[Any]", self._take_due(keys, [limit, FIRST_AGAIN_MS, LAST_AGAIN_MS]))
                now = answer[0]
                self._clock.told(now)
                for member, at, attempt in zip(answer[1::3], answer[2::3], answer[3::3], strict=True):
                    kind, _, name = member.decode().partition(":")
                    found.append(Due(f"{namespace}/{name}", kind, int(float(at)), attempt))
        return now, found

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """See ``Store.journal``."""
        with errors_translated("reading the journal"):
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.xrevrange(_keys(key)[3], count=limit)
            rows = [row for stream in pipe.execute() for row in stream]
        return newest_entries(rows, limit)

    def check(self) -> None:
        """See ``Store.check``."""
        with errors_translated("the check of the store"):
            self._client.ping()


def newest_entries(rows: list[tuple[bytes, dict[bytes, bytes]]], limit: int) -> list[Entry]:
    """Read rows of journal streams, and return the newest first."""
    rows.sort(key=lambda row: tuple(int(part) for part in row[0].split(b"-")), reverse=True)
    decode = msgspec.json.Decoder(Entry).decode
    return [replace(decode(fields[b"entry"]), id=identifier.decode()) for identifier, fields in rows[:limit]]


def _decide(before: Record, tickets: Sequence[_Ticket]) -> tuple[Record, list[Change | FuseboardError]]:
    """Decide for all that wait, one after the other."""
    record, outcomes = before, cast("list[Change | FuseboardError]", [])
    for ticket in tickets:
        try:
            change = ticket.decide(record)
        except FuseboardError as error:
            outcomes.append(error)
        else:
            outcomes.append(change)
            record = replace(record, breaker=change.breaker, placement=change.placement)
    return record, outcomes


def _unchanged(record: Record, reason: str) -> Change:
    return Change(record.breaker, record.placement, (Entry(kind="policy", reason=reason),))


def _take_in(key: str, row: _Row, fields: Sequence[bytes | None], now: int) -> None:
    version, policy, breaker, placement = fields
    row.record, row.version = None, version or b""
    if policy is None:
        return
    try:
        row.record = Record(
            msgspec.json.decode(policy, type=Policy),
            msgspec.json.decode(breaker or b"{}", type=Breaker),
            msgspec.json.decode(placement or b"{}", type=Placement),
            now,
        )
    except msgspec.DecodeError as error:
        message = f"{key}: its record in Redis cannot be read ({error}): nothing is done with it until it is repaired"
        raise RecordCorrupt(message) from error


def _keys(key: str) -> tuple[str, str, str, str]:
    """Return the keys of a breaker: its record, and of its namespace what is due and how often; its journal."""
    namespace, _, name = key.partition("/")
    tag = f"fuseboard:{{{namespace}}}"
    return f"{tag}:breaker:{name}", *_due_keys(namespace), f"{tag}:journal:{name}"


def _due_keys(namespace: str) -> tuple[str, str]:
    tag = f"fuseboard:{{{namespace}}}"
    return f"{tag}:due", f"{tag}:due:attempts"


def _members(key: str) -> tuple[str, str]:
    name = key.partition("/")[2]
    return f"{TIMER}:{name}", f"{DEBT}:{name}"
