"""Due entries in a real Valkey."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from fuseboard.stores.keys import NAMESPACES, due_keys, members_of
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, cooling
from tests.stores.valkeys import DUE

if TYPE_CHECKING:
    import redis

    from fuseboard.stores.redis import RedisStore


def test_attempts_are_counted_until_a_change(store: RedisStore, client: redis.Redis) -> None:
    """What is taken again is told as a further attempt, later each time; a new moment begins anew."""
    member, attempts = members_of(KEY)[0], due_keys("shop")[1]
    store.change(KEY, cooling(1))
    waits = []
    for attempt in range(6):
        time.sleep(0.01)
        now, (each,) = store.take_due(10)
        assert each.attempt == attempt
        later = int(cast("float", client.zscore(DUE, member)))
        waits.append(round((later - now) / 1000))
        assert client.hget(attempts, member) == f"{later} {attempt + 1}".encode()
        client.zadd(DUE, {member: now})  # the time has passed
        client.hset(attempts, member, f"{now} {attempt + 1}")
    assert waits == [5, 10, 20, 40, 60, 60]
    store.change(KEY, cooling(2))
    time.sleep(0.01)
    assert store.take_due(10)[1][0].attempt == 0


def test_a_namespace_without_breakers_is_not_looked_at(store: RedisStore, client: redis.Redis) -> None:
    """The clock goes through the namespaces that have a breaker, and through no other."""
    store.apply([policy(), policy("cart"), policy("cart", "web")])
    assert client.smembers(NAMESPACES) == {b"shop", b"web"}
    store.apply([policy()])
    assert client.smembers(NAMESPACES) == {b"shop"}
