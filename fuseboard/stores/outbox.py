"""The outbox: signals that were taken in and are not yet the broker's.

A stream of CloudEvents. A notification's events are appended by one script together with its line in the journal, and
are on disk before the source answers. An event's ``time`` is when it was appended: the stream's ids are the store's
clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import redis
from msgspec.structs import replace

from fuseboard.errors import CannotStart, InvalidInput, StoreUnavailable
from fuseboard.events.types import DATA_TYPES
from fuseboard.events.wire import STRUCTURED, decode, encode
from fuseboard.stores.connection import connect, errors_translated, refuse_forgetful, stream_id_ms
from fuseboard.stores.keys import INGEST, OUTBOX, REJECTED
from fuseboard.stores.records import JOURNAL_CAP, Entry
from fuseboard.stores.scripts import APPEND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fuseboard.events.event import Event

CAP: Final = 100_000
"""Events that may wait; from then on a source answers 503 (faults, 11)."""

ON_DISK_WITHIN_MS: Final = 2_000
ANSWER_TIMEOUT_S: Final = 4.0
BLOCK_MS: Final = 500

HELD_MS: Final = 15_000
"""An event that its relay has not held for so long is taken over by another one."""

GROUP: Final = "relays"


def open_outbox(url: str) -> RedisOutbox:
    """Return the outbox in the store at a URL.

    Raises:
        CannotStart: the server could forget, or cannot say when something is on disk.
        StoreUnavailable: it does not answer.

    """
    client = connect(url, answer_timeout_s=ANSWER_TIMEOUT_S)
    refuse_forgetful(client)
    return RedisOutbox(client)


class RedisOutbox:
    """Signals on their way to the broker."""

    def __init__(self, client: redis.Redis, cap: int = CAP, held_ms: int = HELD_MS) -> None:
        self._client = client
        self._cap = cap
        self._held_ms = held_ms
        with errors_translated("opening the outbox"):
            APPEND.load(client.execute_command)
            self._tells_disk = _tells_disk(client)

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        """Take in what a notification said; it is on disk when this returns.

        Raises:
            StoreUnavailable: nothing was stored, or it is not known to be on disk: send the notification again.

        """
        bodies = [encode(event, structured=True).body for event in events]
        with errors_translated("appending to the outbox"):
            appended, *synced = APPEND.run(
                self._call_and_sync, (OUTBOX, INGEST), self._cap, msgspec.json.encode(entry), *bodies
            )
        if not appended:
            raise StoreUnavailable(f"the outbox is full ({self._cap} events wait for the broker): is the broker there?")
        if synced and synced[0][0] < 1:
            raise StoreUnavailable(f"not on disk after {ON_DISK_WITHIN_MS} ms: is the store's disk slow or full?")

    def _call_and_sync(self, *command: Any) -> list[Any]:  # noqa: ANN401  - what Redis takes and answers
        """Send a command; return its reply, and the reply of WAITAOF where the server has it."""
        pipe: Any = self._client.pipeline(transaction=False)
        pipe.execute_command(*command)
        if self._tells_disk:
            pipe.waitaof(1, 0, ON_DISK_WITHIN_MS)
        return cast("list[Any]", pipe.execute())

    def take(self, relay: str, count: int, *, again: bool = False) -> list[tuple[str, Event]]:
        """Return events for a relay to deliver: new ones, or once more those that it had taken and not finished."""
        with errors_translated("reading the outbox"):
            try:
                found = self._read(relay, count, again=again)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._client.xgroup_create(OUTBOX, GROUP, id="0", mkstream=True)
                found = self._read(relay, count, again=again)
        return list(self._events(found))

    def _read(self, relay: str, count: int, *, again: bool) -> list[tuple[bytes, dict[bytes, bytes]]]:
        block = None if again else BLOCK_MS
        answer = self._client.xreadgroup(GROUP, relay, {OUTBOX: "0" if again else ">"}, count=count, block=block)
        return [row for _, rows in cast("list[Any]", answer or []) for row in rows]

    def hold(self, relay: str, identifiers: Iterable[str]) -> None:
        """Say that a relay is still at work on these: they are not taken over."""
        with errors_translated("holding events of the outbox"):
            self._client.xclaim(OUTBOX, GROUP, relay, 0, list(identifiers), justid=True)

    def take_over(self, relay: str, count: int) -> list[tuple[str, Event]]:
        """Return events that another relay took and has not held for ``HELD_MS``: it is gone, they are this one's."""
        with errors_translated("taking events over"):
            answer = self._client.xautoclaim(OUTBOX, GROUP, relay, self._held_ms, count=count)
        return list(self._events(answer[1]))

    def _events(self, found: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[tuple[str, Event]]:
        """Yield the events; what cannot be read is put aside, and does not keep the others."""
        for identifier, fields in found:
            try:
                if fields:
                    yield identifier.decode(), _event(identifier, fields)
            except (InvalidInput, KeyError) as error:
                self._put_aside(identifier.decode(), fields.get(b"event", b""), str(error))

    def done(self, identifiers: Iterable[str]) -> None:
        """Forget events that are now the broker's."""
        names = list(identifiers)
        with errors_translated("clearing the outbox"):
            pipe = self._client.pipeline(transaction=True)
            pipe.xack(OUTBOX, GROUP, *names)
            pipe.xdel(OUTBOX, *names)
            pipe.execute()

    def reject(self, identifier: str, event: Event, reason: str) -> None:
        """Put aside an event that the broker will never take, for a human to look at."""
        self._put_aside(identifier, encode(event, structured=True).body, reason)

    def _put_aside(self, identifier: str, body: bytes, reason: str) -> None:
        fields = {"event": body, "reason": reason}
        with errors_translated("putting an event aside"):
            pipe = self._client.pipeline(transaction=True)
            pipe.xadd(REJECTED, fields, maxlen=JOURNAL_CAP, approximate=True)  # type: ignore[arg-type]
            pipe.xack(OUTBOX, GROUP, identifier)
            pipe.xdel(OUTBOX, identifier)
            pipe.execute()

    def waiting(self) -> int:
        """Return how many events wait for the broker."""
        with errors_translated("looking into the outbox"):
            return self._client.xlen(OUTBOX)

    def ingested(self, limit: int) -> list[Entry]:
        """Return what was taken in last, newest first."""
        with errors_translated("reading the journal of the ingest"):
            rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrevrange(INGEST, count=limit))
        entries = [(identifier, msgspec.json.decode(fields[b"entry"], type=Entry)) for identifier, fields in rows]
        return [replace(entry, id=identifier.decode(), now=stream_id_ms(identifier)) for identifier, entry in entries]

    def check(self) -> None:
        """Do nothing if the outbox can be used.

        Raises:
            StoreUnavailable: it does not answer.

        """
        with errors_translated("the check of the outbox"):
            self._client.ping()

    def close(self) -> None:
        """Close the connections of the pool."""
        self._client.close()


def _tells_disk(client: redis.Redis) -> bool:
    """Return whether the server can be asked when a write is on disk; without, every write must be there at once."""
    try:
        client.waitaof(0, 0, 1)
    except redis.ResponseError as error:
        if "unknown command" not in str(error).lower():
            raise
        policy = cast("dict[str, str]", client.config_get("appendfsync")).get("appendfsync")
        if policy != "always":
            message = (
                f"this Redis has no WAITAOF and appendfsync {policy}: a notification could be answered and lost. "
                "Set appendfsync to always, or use Redis 7.2, Valkey 7.2 or newer."
            )
            raise CannotStart(message) from error
        return False
    return True


def _event(identifier: bytes, fields: dict[bytes, bytes]) -> Event:
    event = decode({"content-type": STRUCTURED}, fields[b"event"], DATA_TYPES)
    return event.at(stream_id_ms(identifier))
