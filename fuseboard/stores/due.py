"""Due entries in Redis or Valkey: the times at which the clock or failover must look at a breaker again."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fuseboard.stores.connection import errors_translated, time_ms
from fuseboard.stores.keys import NAMESPACES, due_keys
from fuseboard.stores.records import Due
from fuseboard.stores.scripts import TAKE_DUE

if TYPE_CHECKING:
    from redis import Redis

    from fuseboard.stores.connection import StoreClock, ThreadConnection


class DueEntries:
    """Hands out the due entries of all namespaces."""

    def __init__(self, client: Redis, connection: ThreadConnection, clock: StoreClock) -> None:
        self._client = client
        self._connection = connection
        self._clock = clock

    def take(self, limit: int) -> tuple[int, list[Due]]:
        """See ``Store.take_due``."""
        taken: list[Due] = []
        with errors_translated("taking the due entries"):
            now, namespaces = self._namespaces()
            for namespace in namespaces:
                if len(taken) == limit:
                    break
                taken += self._of(namespace, limit - len(taken))
        return now, taken

    def _namespaces(self) -> tuple[int, list[str]]:
        """Return the store's time in ms, and the namespaces with a due entry: two round trips for all namespaces."""
        namespaces = sorted(each.decode() for each in cast("set[bytes]", self._client.smembers(NAMESPACES)))
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        for namespace in namespaces:
            pipe.zrange(due_keys(namespace)[0], 0, 0, withscores=True)
        time, *earliest = pipe.execute()
        now = time_ms(time)
        self._clock.set(now)
        return now, [name for name, entry in zip(namespaces, earliest, strict=True) if entry and entry[0][1] <= now]

    def _of(self, namespace: str, limit: int) -> list[Due]:
        _, *found = TAKE_DUE.run(self._connection.call, due_keys(namespace), limit)
        entries = []
        for member, at, attempt in zip(found[0::3], found[1::3], found[2::3], strict=True):
            kind, _, name = member.decode().partition(":")
            entries.append(Due(f"{namespace}/{name}", kind, int(at), attempt))
        return entries
