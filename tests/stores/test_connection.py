"""The connection to Redis or Valkey: errors, and servers that are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import redis

from fuseboard.errors import CannotStart, RecordCorrupt, StoreUnavailable
from fuseboard.stores.connection import errors_translated
from fuseboard.stores.redis import open_store
from fuseboard.testing.api_script import until
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, one_more
from tests.stores.valkeys import a_valkey

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis.exceptions.BusyLoadingError("LOADING"), StoreUnavailable),
        (redis.exceptions.ReadOnlyError("READONLY"), StoreUnavailable),
        (redis.exceptions.ResponseError("MISCONF"), StoreUnavailable),
        (redis.exceptions.ResponseError("BUSY"), StoreUnavailable),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN"), StoreUnavailable),
        (redis.exceptions.AuthenticationError("NOAUTH"), StoreUnavailable),
        (redis.exceptions.TimeoutError("slow"), StoreUnavailable),
        (redis.exceptions.ResponseError("WRONGTYPE"), RecordCorrupt),
    ],
)
def test_errors_of_the_server_have_our_names(error: Exception, expected: type[Exception]) -> None:
    """What the server says is told as what the caller must do."""
    with pytest.raises(expected), errors_translated("testing"):
        raise error


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        ({"appendonly": "yes", "maxmemory-policy": "allkeys-lru"}, "Set maxmemory-policy to noeviction"),
        ({"appendonly": "no"}, "Set appendonly to yes"),
    ],
)
def test_a_server_that_could_forget_is_refused(tmp_path: Path, config: dict[str, str], advice: str) -> None:
    """At start-up a server that could lose an open breaker is refused, with what to do about it."""
    with a_valkey(tmp_path, **config) as server, pytest.raises(CannotStart, match=advice):
        open_store(server.connection_url)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port/0"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A wrong URL is told as one, with what a right one looks like."""
    with pytest.raises(CannotStart, match="redis://"):
        open_store(url)


def test_a_closed_store_has_no_connection(redis_url: str, client: redis.Redis) -> None:
    """Closing a store closes its connections, of the pool and of each thread that made a decision, running or not."""
    store = open_store(redis_url)
    store.apply([policy()])
    with ThreadPoolExecutor(1) as running:
        running.submit(store.change, KEY, one_more).result()
        store.change(KEY, one_more)
        assert _connections(client) >= 2
        store.close()
        until(lambda: _connections(client) == 0)


def _connections(client: redis.Redis) -> int:
    """Return how many connections of stores a server has."""
    return sum(each["name"] == "fuseboard" for each in client.client_list())
