"""The outbox: signals between the source that took them in and the broker.

A stream of CloudEvents. A script appends the events of a notification together with its journal entry, and they are on
disk before the source answers. An event's ``time`` is the time of its append, taken from its id in the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import redis
from msgspec.structs import replace

from fuseboard.errors import CannotStart, StoreUnavailable
from fuseboard.events.wire import encode
from fuseboard.stores.connection import connect, errors_translated, require_persistence, stream_id_ms
from fuseboard.stores.keys import INGEST, OUTBOX
from fuseboard.stores.queue import HELD_MS, EventQueue
from fuseboard.stores.records import read_entry
from fuseboard.stores.scripts import APPEND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.events.event import Event
    from fuseboard.stores.records import Entry

CAP: Final = 100_000
"""Events that may wait for the broker; a source answers 503 to further notifications (faults, 11)."""

ON_DISK_WITHIN_MS: Final = 2_000
ANSWER_TIMEOUT_S: Final = 4.0


def open_outbox(url: str) -> RedisOutbox:
    """Return the outbox in the store at a URL.

    Raises:
        CannotStart: the server could lose data, or cannot confirm that data are on disk.
        StoreUnavailable: the server does not answer.

    """
    client = connect(url, answer_timeout_s=ANSWER_TIMEOUT_S)
    require_persistence(client)
    return RedisOutbox(client)


class RedisOutbox:
    """See ``Outbox``. The relay takes the events from ``queue``."""

    def __init__(self, client: redis.Redis, cap: int = CAP, held_ms: int = HELD_MS) -> None:
        """Refuse notifications over ``cap`` waiting events; see ``EventQueue`` for ``held_ms``."""
        self.queue = EventQueue(client, held_ms)
        self._client = client
        self._cap = cap
        with errors_translated("opening the outbox"):
            APPEND.load(client.execute_command)
            self._has_waitaof = _has_waitaof(client)

    def append(self, events: Sequence[Event], entry: Entry) -> None:
        """See ``Outbox.append``."""
        bodies = [encode(event, structured=True).body for event in events]
        with errors_translated("appending to the outbox"):
            appended, *synced = APPEND.run(
                self._call_and_sync, (OUTBOX, INGEST), self._cap, msgspec.json.encode(entry), *bodies
            )
        if not appended:
            raise StoreUnavailable(f"the outbox is full: {self._cap} events wait for the broker; check that it is up")
        if synced and synced[0][0] < 1:
            raise StoreUnavailable(
                f"events are not on disk after {ON_DISK_WITHIN_MS} ms: check whether the store's disk is slow or full"
            )

    def _call_and_sync(self, *command: Any) -> list[Any]:  # noqa: ANN401  - commands and replies of Redis
        """Send a command; return its reply, and the reply of WAITAOF if the server has this command."""
        pipe: Any = self._client.pipeline(transaction=False)
        pipe.execute_command(*command)
        if self._has_waitaof:
            pipe.waitaof(1, 0, ON_DISK_WITHIN_MS)
        return cast("list[Any]", pipe.execute())

    def ingested(self, limit: int) -> list[Entry]:
        """Return the journal entries of the latest notifications, newest first.

        Raises:
            RecordCorrupt: an entry cannot be read.
            StoreUnavailable: the store does not answer.

        """
        with errors_translated("reading the journal of the ingest"):
            found = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrevrange(INGEST, count=limit))
        return [replace(read_entry(identifier, fields), now=stream_id_ms(identifier)) for identifier, fields in found]

    def check(self) -> None:
        """Check that the store answers.

        Raises:
            StoreUnavailable: the store does not answer.

        """
        with errors_translated("checking the outbox"):
            self._client.ping()

    def close(self) -> None:
        """Close the connections of the pool."""
        self._client.close()


def _has_waitaof(client: redis.Redis) -> bool:
    """Return whether the server has WAITAOF, to confirm a write on disk. Without, ``appendfsync always`` is needed."""
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
