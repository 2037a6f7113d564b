"""The store in Redis or Valkey: a hash for each breaker, a script for each decision.

A decision is made in this process, on its copy of the row. A script writes the decision if the record is still the
record that was decided on: one round trip if the copy is current, two if another process has changed the record.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fuseboard.errors import NotEnrolled, RecordCorrupt
from fuseboard.stores.connection import (
    StoreClock,
    ThreadConnection,
    connect,
    errors_translated,
    require_persistence,
    time_ms,
)
from fuseboard.stores.due import DueEntries
from fuseboard.stores.folding import Decisions
from fuseboard.stores.keys import keys_of
from fuseboard.stores.records import read_entry
from fuseboard.stores.rows import CachedRow, Rows
from fuseboard.stores.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from redis import Redis

    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy
    from fuseboard.stores.records import Change, Decide, Due, Entry


def open_store(url: str) -> RedisStore:
    """Return the store at a URL, after a check that the server keeps its data.

    Raises:
        CannotStart: the server could lose data, or the URL is malformed.
        StoreUnavailable: the server does not answer.

    """
    client = connect(url)
    require_persistence(client)
    return RedisStore(client)


class RedisStore:
    """See ``Store``."""

    def __init__(self, client: Redis, connection: ThreadConnection | None = None) -> None:
        """Use a client, and a connection of its own for decisions; nothing is sent yet."""
        self._connection = connection = connection or ThreadConnection(client)
        self._client = client
        self._clock = StoreClock()
        self._table = Table(client)
        self._rows = Rows(client, connection, self._clock)
        self._decisions = Decisions(self._rows)
        self._due = DueEntries(client, connection, self._clock)

    def apply(self, policies: Sequence[Policy]) -> tuple[str, ...]:
        """See ``Store.apply``."""
        return self._table.write(policies, self._time())

    def put(self, policies: Sequence[Policy]) -> None:
        """See ``Store.put``."""
        self._table.put(policies, self._time())

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """See ``Store.remove``."""
        return self._table.remove(keys)

    def table(self) -> Mapping[str, Policy]:
        """See ``Store.table``."""
        return self._table.read()

    def read(self, key: str) -> Row:
        """See ``Store.read``."""
        cached = CachedRow(key)
        self._rows.fetch(cached)
        return self._rows.current(cached)

    def holding(self) -> list[Row]:
        """See ``Store.holding``."""
        rows = []
        for key in self._rows.with_conditions(sorted(self.table())):
            with suppress(NotEnrolled, RecordCorrupt):
                rows.append(self.read(key))
        return [row for row in rows if row.state.conditions]

    def change(self, key: str, decide: Decide) -> Change:
        """See ``Store.change``."""
        return self._decisions.change(key, decide)

    def take_due(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        return self._due.take(limit)

    def journal(self, keys: Iterable[str], limit: int) -> list[Entry]:
        """See ``Store.journal``."""
        with errors_translated("reading the journal"):
            pipe = self._client.pipeline(transaction=False)
            for key in keys:
                pipe.xrevrange(keys_of(key)[2], count=limit)
            found = [each for stream in pipe.execute() for each in stream]
        found.sort(key=lambda each: tuple(int(part) for part in each[0].split(b"-")), reverse=True)
        return [read_entry(identifier, fields) for identifier, fields in found[:limit]]

    def check(self) -> None:
        """See ``Store.check``."""
        with errors_translated("checking the store"):
            self._client.ping()

    def close(self) -> None:
        """Close all connections: those of the pool and those of the threads."""
        self._connection.close()
        self._client.close()

    def _time(self) -> int:
        with errors_translated("reading the store's time"):
            return time_ms(self._client.time())
