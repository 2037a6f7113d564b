"""The store as a way to the breakers: for commands inside a pod of Fuseboard, where no port has to be forwarded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fuseboard.board.table import all_breakers, breaker_detail
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.records import Entry
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from fuseboard.board.view import BreakerDetail, BreakerView
    from fuseboard.events.event import Event
    from fuseboard.stores import Store


class ByStore:
    """Reads breakers from the store, and sends events through the outbox. See ``Access`` for the methods."""

    def __init__(self, redis_url: str) -> None:
        """``redis_url`` is the address of the store; the first use connects."""
        self._redis_url = redis_url

    @cached_property
    def _store(self) -> Store:
        return open_store(self._redis_url)

    def breakers(self) -> list[BreakerView]:
        """See ``Access.breakers``."""
        return all_breakers(self._store)

    def breaker(self, key: str) -> BreakerDetail:
        """See ``Access.breaker``."""
        return breaker_detail(self._store, key)

    def journal(self, key: str, limit: int) -> list[Entry]:
        """See ``Access.journal``."""
        return self._store.journal([key], limit)

    def send(self, event: Event) -> None:
        """See ``Access.send``."""
        entry = Entry(kind="ingest", event=event.name, type=event.type, reason="the command line")
        open_outbox(self._redis_url).append([event], entry)
