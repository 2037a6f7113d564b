"""The clock sends what is due, and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from eventsources.clock import Clock
from fuseboard.errors import SinkUnavailable
from fuseboard.events.types import StepDue, TimerElapsed
from fuseboard.testing.memory import MemoryStore, opened
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from fuseboard.events.event import Event

KEY = "shop/login"


@dataclass
class Inbox:
    """A sink that keeps what it is sent, or refuses it, or takes its time over one."""

    refusing: bool = False
    slow_subject: str = ""
    go: Flag = field(default_factory=Flag)
    events: list[Event] = field(default_factory=list)

    def send(self, event: Event) -> None:
        if self.refusing:
            raise SinkUnavailable("nobody there")
        if event.subject == self.slow_subject:
            assert self.go.wait(60)
        self.events.append(event)


@dataclass
class Times:
    """A store's clock that a test sets."""

    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now


def running() -> tuple[Times, MemoryStore]:
    """Return a store with one open breaker, and its clock."""
    times = Times()
    store = MemoryStore(times)
    store.apply([policy("login"), policy("cart")])
    store.change(KEY, opened)
    return times, store


def test_nothing_is_sent_before_its_time() -> None:
    """A breaker whose cool-down is not over gets no timer, one that waits for nothing gets none ever."""
    times, store = running()
    times.now += 1_999

    assert Clock(store, Inbox()).due() == []


def test_debts_and_timers_are_sent_when_due() -> None:
    """The debt is due after two seconds, the cool-down after a hundred."""
    times, store = running()
    clock = Clock(store, Inbox())

    times.now += 2_000
    assert [type(event.data) for event in clock.due()] == [StepDue]
    times.now += 98_000
    assert {type(event.data) for event in clock.due()} == {StepDue, TimerElapsed}
    assert {event.subject for event in clock.due()} <= {KEY}


def test_two_clocks_send_the_same_id() -> None:
    """The id follows from what is due, so that two replicas' events are one."""
    ids = []
    for _ in range(2):
        times, store = running()
        times.now += 2_000
        (event,) = Clock(store, Inbox()).due()
        ids.append(event.id)

    assert ids[0] == ids[1]


def test_what_is_lost_comes_again_ever_later() -> None:
    """An entry stays until a decision settles it: after 5 s, 10 s, 20 s, with an id of its own each time."""
    times, store = running()
    clock = Clock(store, Inbox())
    times.now += 2_000
    found = clock.due()

    for wait in (5_000, 10_000, 20_000):
        times.now += wait - 1
        assert clock.due() == []
        times.now += 1
        found += clock.due()

    assert len({event.id for event in found}) == 4


def test_a_sink_that_refuses_is_asked_again() -> None:
    """What the sink did not take is not lost, and stops nobody."""
    times, store = running()
    inbox = Inbox(refusing=True)
    clock = Clock(store, inbox)
    times.now += 2_000

    for event in clock.due():
        clock.send(event)
    inbox.refusing = False
    times.now += 5_000
    for event in clock.due():
        clock.send(event)

    assert [type(event.data) for event in inbox.events] == [StepDue]


def test_one_slow_breaker_does_not_hold_up_the_others() -> None:
    """While the broker takes its time over one breaker, another's timer is delivered."""
    times, store = running()
    store.change("shop/cart", opened)
    times.now += 2_000
    inbox, stop = Inbox(slow_subject="shop/cart"), Flag()
    thread = Thread(target=Clock(store, inbox).run, args=(stop,))
    thread.start()
    give_up = time.monotonic() + 60

    while not inbox.events and time.monotonic() < give_up:
        time.sleep(0.01)
    first = inbox.events[0].subject
    inbox.go.set()
    stop.set()
    thread.join()

    assert first == KEY
    assert {event.subject for event in inbox.events} == {KEY, "shop/cart"}
