"""Checkpoints of the watch of Kubernetes Events: the resource version to resume from, and the counts seen so far.

A checkpoint moves after its Events are in the outbox. After a crash in between, the Events are read again and get the
same keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

import msgspec
from msgspec import Struct

from fuseboard import logs
from fuseboard.errors import RecordCorrupt
from fuseboard.stores.connection import connect, errors_translated
from fuseboard.stores.keys import checkpoint_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

KEPT_S: Final = 24 * 3_600
"""Longer than clusters keep Events (1 h by default): older checkpoints are useless."""


class SeenCount(Struct, frozen=True, array_like=True):
    """The count of an Event object when it was last seen."""

    count: int
    episode: str = ""
    """Distinguishes episodes of an Event object whose count started again."""


class Checkpoint(Struct, frozen=True):
    """How far a namespace's Events have been processed."""

    version: str
    """The resource version to resume the watch from; empty if unknown."""
    known_until: int
    """All Events up to this time were seen, in milliseconds since 1970."""
    known: dict[str, SeenCount] = {}
    """The counts seen so far, by the uid of the Event object."""


class Checkpoints(Protocol):
    """Keeps a checkpoint per namespace."""

    def read(self, namespace: str) -> Checkpoint | None:
        """Return the checkpoint; None for a namespace without a checkpoint."""

    def move(self, namespace: str, version: str, known_until: int, changes: Mapping[str, SeenCount | None]) -> None:
        """Move the checkpoint. ``changes`` has the changed counts by uid; None forgets a count."""


def open_checkpoints(url: str) -> RedisCheckpoints:
    """Return the checkpoints in the store at a URL."""
    return RedisCheckpoints(connect(url))


class RedisCheckpoints:
    """Keeps checkpoints in Redis: two hashes per namespace."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def read(self, namespace: str) -> Checkpoint | None:
        """See ``Checkpoints.read``. An unreadable checkpoint is logged, deleted and returned as an empty checkpoint."""
        try:
            return self._read(namespace)
        except (RecordCorrupt, msgspec.DecodeError, ValueError) as error:
            logs.logger().error("checkpoint.unreadable", namespace=namespace, error=str(error))
            with errors_translated("deleting a checkpoint"):
                self._client.delete(*checkpoint_keys(namespace))
            return Checkpoint("", 0)

    def _read(self, namespace: str) -> Checkpoint | None:
        place, counts = checkpoint_keys(namespace)
        with errors_translated("reading a checkpoint"):
            pipe = self._client.pipeline(transaction=True)
            pipe.hmget(place, "version", "known_until")
            pipe.hgetall(counts)
            (version, until), known = cast("tuple[list[bytes | None], dict[bytes, bytes]]", pipe.execute())
        if version is None:
            return None
        decode = msgspec.json.Decoder(SeenCount).decode
        return Checkpoint(version.decode(), int(until or 0), {uid.decode(): decode(raw) for uid, raw in known.items()})

    def move(self, namespace: str, version: str, known_until: int, changes: Mapping[str, SeenCount | None]) -> None:
        """See ``Checkpoints.move``."""
        place, counts = checkpoint_keys(namespace)
        seen = {uid: msgspec.json.encode(known) for uid, known in changes.items() if known is not None}
        forgotten = [uid for uid, known in changes.items() if known is None]
        with errors_translated("moving a checkpoint"):
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(place, mapping={"version": version, "known_until": known_until})
            if seen:
                pipe.hset(counts, mapping=seen)  # type: ignore[arg-type]
            if forgotten:
                pipe.hdel(counts, *forgotten)
            pipe.expire(place, KEPT_S)
            pipe.expire(counts, KEPT_S)
            pipe.execute()

    def close(self) -> None:
        """Close the connections of the pool."""
        self._client.close()
