"""Decisions in a real Valkey: on a current copy, on a stale copy, and many at once."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from functions.breaker import Breaker as Function
from fuseboard.breaker.state import BreakerState
from fuseboard.stores.folding import CACHED_ROWS
from fuseboard.stores.records import Change, Entry
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, MOVED, becomes, cooling, one_more, refused
from tests.stores.valkeys import everything, firing

if TYPE_CHECKING:
    import redis

    from fuseboard.breaker.row import Row
    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener

ROOT: Final = Path(__file__).parents[2]


def test_a_decision_on_a_current_copy_is_one_round_trip(store: RedisStore, client: redis.Redis) -> None:
    """From the second decision on, a change is one script and nothing else."""
    store.change(KEY, one_more)
    client.config_resetstat()
    for _ in range(10):
        store.change(KEY, one_more)
    calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert calls.pop("cmdstat_evalsha") == 10
    assert calls.keys() <= {f"cmdstat_{name}" for name in ("time", "hget", "hset", "zadd", "zcard", "config|resetstat")}


def test_a_stale_copy_is_refused(redis_url: str, store: RedisStore, opened: Opener) -> None:
    """A decision on a record that somebody else has changed since is made again on the new one."""
    other = opened(redis_url)
    seen: list[int] = []

    def decide(record: Row) -> Change:
        seen.append(record.state.epoch)
        return one_more(record)

    store.change(KEY, decide)
    other.change(KEY, one_more)
    assert store.change(KEY, decide).answer == 3
    assert seen == [0, 1, 2]


def test_a_copy_from_before_a_loss_of_memory_is_stale(
    redis_url: str, store: RedisStore, client: redis.Redis, opened: Opener
) -> None:
    """A process that has a copy of a record that is lost does not write it over the one that came after it."""
    other = opened(redis_url)
    for _ in range(2):
        store.change(KEY, one_more)
    client.flushall()
    other.apply([policy()])
    other.change(KEY, becomes(BreakerState(reason="new")))
    other.change(KEY, becomes())
    store.change(KEY, one_more)
    found = other.read(KEY).state
    assert (found.epoch, found.reason) == (1, "new")


def test_a_refused_decision_writes_nothing(store: RedisStore, client: redis.Redis) -> None:
    """A script that finds another version leaves every key as it was."""
    store.change(KEY, cooling(60_000))
    store._decisions._queues[KEY].cached.version = b"1"
    before = everything(client)
    seen: list[Row] = []

    def decide(record: Row) -> Change:
        if seen:
            assert everything(client) == before
        seen.append(record)
        return Change(BreakerState(epoch=9), MOVED, (Entry(kind="step"),))

    store.change(KEY, decide)
    assert len(seen) == 2


@pytest.mark.parametrize(("drift", "tries"), [(-1_000, 2), (-300, 2), (-100, 1), (100, 1), (300, 2), (3_600_000, 2)])
def test_a_decision_for_another_moment_is_a_conflict(store: RedisStore, drift: int, tries: int) -> None:
    """A caller whose time is off by more than 250 ms decides again, with the store's."""
    store.change(KEY, one_more)
    store._clock.set(store._clock.now() + drift)
    seen: list[int] = []

    def decide(record: Row) -> Change:
        seen.append(record.now)
        return one_more(record)

    store.change(KEY, decide)
    assert len(seen) == tries
    assert abs(seen[-1] - time.time() * 1000) < 250


def test_a_refusal_on_a_stale_copy_is_no_refusal(redis_url: str, store: RedisStore, opened: Opener) -> None:
    """What a decision refuses by a record that is no longer so, it is asked again."""
    other = opened(redis_url)
    store.change(KEY, becomes(BreakerState(reason="busy")))
    other.change(KEY, becomes(BreakerState(reason="free")))

    def decide(record: Row) -> Change:
        if record.state.reason == "busy":
            raise ValueError(record.state.reason)
        return one_more(record)

    assert store.change(KEY, decide).answer == 1


def test_a_refusal_writes_nothing(store: RedisStore, client: redis.Redis) -> None:
    """A decision that raises leaves every key as it was."""
    store.change(KEY, one_more)
    before = everything(client)

    def refuse(_: Row) -> Change:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.change(KEY, refuse)
    assert everything(client) == before


def test_unknown_names_do_not_push_out_what_is_known(store: RedisStore) -> None:
    """Whatever subjects come in, what this process knows of its breakers stays."""
    store.change(KEY, one_more)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: refused(store, f"shop/x{number}"), range(300)))
    assert list(store._decisions._queues) == [KEY]
    assert CACHED_ROWS > 1_000


def test_three_processes_lose_no_change(redis_url: str, store: RedisStore) -> None:
    """Processes and threads that change one breaker at once all succeed, and none overwrites another."""
    command = [sys.executable, "-m", "tests.stores.hammer", redis_url, KEY, "150"]
    others = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]  # noqa: S603  - ourselves
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.change(KEY, one_more), range(400)))
    assert [each.wait(120) for each in others] == [0, 0, 0]
    assert store.read(KEY).state.epoch == 3 * 150 + 400


def test_a_burst_on_one_target_is_one_transition(redis_url: str, store: RedisStore, opened: Opener) -> None:
    """Of fifty workers with the same event, one moves the breaker, and all get the same reply."""
    functions = [Function(store), Function(opened(redis_url))]
    event = firing().at(time.time_ns() // 1_000_000)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda number: functions[number % 2].handle(event), range(50)))
    assert replies[0] is not None
    assert replies == [replies[0]] * 50
    assert store.read(KEY).state.epoch == 1
    assert len(store.journal([KEY], 10)) == 1
