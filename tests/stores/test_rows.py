"""Records in a real Valkey that cannot be read or written."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import redis
from msgspec.structs import replace

from fuseboard.breaker.state import BreakerState
from fuseboard.errors import RecordCorrupt, StoreUnavailable
from fuseboard.stores.records import Entry
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, becomes, cooling, one_more
from tests.stores.valkeys import DUE, JOURNAL, RECORD, a_valkey, everything

if TYPE_CHECKING:
    from pathlib import Path

    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener


@pytest.mark.parametrize("field", ["breaker", "placement", "policy", "version"])
@pytest.mark.parametrize("value", ["not JSON", '{"state": "AJAR", "epoch": "x", "metadata": 5}', "\x00"])
def test_a_corrupt_record_is_left_alone(
    redis_url: str, client: redis.Redis, field: str, value: str, opened: Opener
) -> None:
    """A record that cannot be read is neither decided on nor written, until a human has repaired it."""
    store = opened(redis_url)
    store.apply([policy()])
    store.change(KEY, cooling(60_000))
    kept = cast("bytes", client.hget(RECORD, field))
    client.hset(RECORD, field, value)
    client.hincrby(RECORD, "version", 1) if field != "version" else None
    before = everything(client)
    for fresh in (store, opened(redis_url)):
        for _ in range(2):
            with pytest.raises(RecordCorrupt, match=KEY):
                fresh.change(KEY, becomes(BreakerState(), None, Entry(kind="step")))
        with pytest.raises(RecordCorrupt, match=KEY):
            fresh.read(KEY)
    assert everything(client) == before
    client.hset(RECORD, field, kept)
    assert store.change(KEY, one_more).answer == 2


@pytest.mark.parametrize("key", [RECORD, DUE, JOURNAL])
def test_a_key_of_another_type_is_left_alone(store: RedisStore, client: redis.Redis, key: str) -> None:
    """Where somebody else's value stands, nothing is written, not even the half that could be."""
    store.change(KEY, one_more)
    client.delete(key)
    client.set(key, "somebody else's")
    before = everything(client)
    with pytest.raises(RecordCorrupt, match="another type"):
        store.change(KEY, lambda record: replace(cooling(1)(record), entries=(Entry(kind="step"),)))
    assert everything(client) == before


def test_a_full_server_writes_nothing(tmp_path: Path, opened: Opener) -> None:
    """A server without memory refuses a change as a whole, and takes it when there is room again."""
    with a_valkey(tmp_path, appendonly="yes") as server, redis.Redis.from_url(server.connection_url) as client:
        store = opened(server.connection_url)
        store.apply([policy()])
        store.change(KEY, one_more)
        client.config_set("maxmemory", "1")
        before = everything(client)
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            store.change(KEY, lambda record: replace(cooling(1)(record), entries=(Entry(kind="step"),)))
        assert everything(client) == before
        client.config_set("maxmemory", "0")
        assert store.change(KEY, one_more).answer == 2
