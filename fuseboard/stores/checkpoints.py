"""How far a watch has come: the version to go on from, and the counts that were seen.

Moved after what was seen is in the outbox, so that a crash in between sees it again, under the same keys.
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
"""Longer than any cluster keeps its Events: after that, a checkpoint tells nothing any more."""


class Checkpoint(Struct, frozen=True):
    """What was known of a namespace's Events when the last of them were taken in."""

    version: str
    """Where the watch goes on; empty where that is not known."""
    known_until: int
    """Until then all was seen, in milliseconds since 1970."""
    known: dict[str, SeenCount] = {}


class Checkpoints(Protocol):
    """Keeps one checkpoint per namespace."""

    def read(self, namespace: str) -> Checkpoint | None:
        """Return the checkpoint; None when there never was one."""

    def move(self, namespace: str, version: str, known_until: int, changes: Mapping[str, SeenCount | None]) -> None:
        """Move it, with what has changed of the counts; None stands for what can be forgotten."""


def open_checkpoints(url: str) -> RedisCheckpoints:
    """Return the checkpoints in the store at a URL."""
    return RedisCheckpoints(connect(url))


class RedisCheckpoints:
    """Keeps them in two hashes per namespace."""

    def __init__(self, client: redis.Redis) -> None:
        """Use this client; nothing is sent yet."""
        self._client = client

    def read(self, namespace: str) -> Checkpoint | None:
        """See ``Checkpoints.read``; one that cannot be read is given up, and nothing is known from then on."""
        try:
            return self._read(namespace)
        except (RecordCorrupt, msgspec.DecodeError, ValueError) as error:
            logs.logger().error("checkpoint.unreadable", namespace=namespace, error=str(error))
            with errors_translated("giving a checkpoint up"):
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


class SeenCount(Struct, frozen=True, array_like=True):
    """How far an Event object's count had come, and the episode of it, when it was begun again."""

    count: int
    episode: str = ""
