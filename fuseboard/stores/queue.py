"""The queue of events between outbox and broker, shared by relays: a consumer group on the outbox's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import redis

from fuseboard.errors import InvalidInput
from fuseboard.events.types import DATA_TYPES
from fuseboard.events.wire import STRUCTURED, decode, encode
from fuseboard.stores.connection import errors_translated, stream_id_ms
from fuseboard.stores.keys import OUTBOX, REJECTED
from fuseboard.stores.records import JOURNAL_CAP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fuseboard.events.event import Event

GROUP: Final = "relays"
BLOCK_MS: Final = 500
"""How long ``take`` waits for new events."""

HELD_MS: Final = 15_000
"""An event that its relay has not held for this long may be taken over."""


class EventQueue:
    """Hands out waiting events to relays, each event to one relay. All methods raise ``StoreUnavailable``.

    The methods name an event by its id in the stream.
    """

    def __init__(self, client: redis.Redis, held_ms: int = HELD_MS) -> None:
        self._client = client
        self._held_ms = held_ms

    def take(self, relay: str, count: int, *, again: bool = False) -> list[tuple[str, Event]]:
        """Return new events for a relay; with ``again``, its unfinished events of earlier calls."""
        with errors_translated("reading the outbox"):
            try:
                found = self._read(relay, count, again=again)
            except redis.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._client.xgroup_create(OUTBOX, GROUP, id="0", mkstream=True)
                found = self._read(relay, count, again=again)
        return list(self._decoded(found))

    def _read(self, relay: str, count: int, *, again: bool) -> list[tuple[bytes, dict[bytes, bytes]]]:
        block = None if again else BLOCK_MS
        reply = self._client.xreadgroup(GROUP, relay, {OUTBOX: "0" if again else ">"}, count=count, block=block)
        return [found for _, stream in cast("list[Any]", reply or []) for found in stream]

    def hold(self, relay: str, identifiers: Iterable[str]) -> None:
        """Keep events with a relay that is still at work on them: other relays must not take them over."""
        with errors_translated("holding events of the outbox"):
            self._client.xclaim(OUTBOX, GROUP, relay, 0, list(identifiers), justid=True)

    def take_over(self, relay: str, count: int) -> list[tuple[str, Event]]:
        """Give a relay the events of relays that are gone: events not held for ``HELD_MS``."""
        with errors_translated("taking over events of the outbox"):
            reply = self._client.xautoclaim(OUTBOX, GROUP, relay, self._held_ms, count=count)
        return list(self._decoded(reply[1]))

    def _decoded(self, found: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[tuple[str, Event]]:
        """Yield the events. An unreadable event is rejected, and does not stop the rest."""
        for identifier, fields in found:
            try:
                if fields:
                    yield identifier.decode(), _event(identifier, fields)
            except (InvalidInput, KeyError) as error:
                self._reject(identifier.decode(), fields.get(b"event", b""), str(error))

    def done(self, identifiers: Iterable[str]) -> None:
        """Remove events accepted by the broker."""
        names = list(identifiers)
        with errors_translated("removing events from the outbox"):
            pipe = self._client.pipeline(transaction=True)
            pipe.xack(OUTBOX, GROUP, *names)
            pipe.xdel(OUTBOX, *names)
            pipe.execute()

    def reject(self, identifier: str, event: Event, reason: str) -> None:
        """Move an event permanently refused by the broker to the rejected events, for an operator to look at."""
        self._reject(identifier, encode(event, structured=True).body, reason)

    def _reject(self, identifier: str, body: bytes, reason: str) -> None:
        fields = {"event": body, "reason": reason}
        with errors_translated("rejecting an event of the outbox"):
            pipe = self._client.pipeline(transaction=True)
            pipe.xadd(REJECTED, fields, maxlen=JOURNAL_CAP, approximate=True)  # type: ignore[arg-type]
            pipe.xack(OUTBOX, GROUP, identifier)
            pipe.xdel(OUTBOX, identifier)
            pipe.execute()

    def waiting(self) -> int:
        """Return how many events wait for the broker."""
        with errors_translated("counting the events of the outbox"):
            return self._client.xlen(OUTBOX)

    def check(self) -> None:
        """Check that the store answers."""
        with errors_translated("checking the outbox"):
            self._client.ping()


def _event(identifier: bytes, fields: dict[bytes, bytes]) -> Event:
    event = decode({"content-type": STRUCTURED}, fields[b"event"], DATA_TYPES)
    return event.at(stream_id_ms(identifier))
