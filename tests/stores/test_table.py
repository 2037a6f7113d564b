"""The breaker table in a real Valkey: what it holds when data were damaged or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuseboard.errors import RecordCorrupt
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, one_more
from tests.stores.valkeys import DUE, JOURNAL, everything

if TYPE_CHECKING:
    import redis

    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener


@pytest.mark.parametrize("key", [DUE, JOURNAL])
def test_an_edit_beside_somebody_elses_key_is_left_alone(store: RedisStore, client: redis.Redis, key: str) -> None:
    """Where what belongs to a record cannot be written, neither is its policy, nor the half that could be."""
    store.change(KEY, one_more)
    client.delete(key)
    client.set(key, "somebody else's")
    before = everything(client)
    with pytest.raises(RecordCorrupt, match="another type"):
        store.apply([policy(trip={"limitAt": 5})])
    assert everything(client) == before


def test_a_corrupt_table_says_so(store: RedisStore, client: redis.Redis) -> None:
    """A policy that cannot be read is named, with what to do."""
    client.hset("fuseboard:{*}:table", KEY, "not JSON")
    client.incr("fuseboard:{*}:table:version")
    with pytest.raises(RecordCorrupt, match="apply the policies again"):
        store.table()


def test_a_table_that_was_lost_and_written_again_is_read_again(
    redis_url: str, client: redis.Redis, opened: Opener
) -> None:
    """A process that saw the lost one does not take the new one for it, though both were written as often."""
    writer, reader = opened(redis_url), opened(redis_url)
    writer.apply([policy("a")])
    assert set(reader.table()) == {"shop/a"}
    client.flushall()
    writer.apply([policy("b")])
    assert set(reader.table()) == {"shop/b"}


def test_a_table_that_lost_the_same_breaker_twice_is_read_again(redis_url: str, opened: Opener) -> None:
    """Two tables without a, of which the second has b: what a reader knew of the first is of no use."""
    writer, reader = opened(redis_url), opened(redis_url)
    writer.apply([policy("a")])
    writer.remove(["shop/a"])
    assert reader.table() == {}
    writer.put([policy("a"), policy("b")])
    writer.remove(["shop/a"])
    assert set(reader.table()) == {"shop/b"}
