"""The breaker function: a signal comes in, at most one event goes out, and all of it is on the record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from functions import breaker
from functions.breaker import Breaker
from fuseboard.breaker.placement import Claim, Placement, Result
from fuseboard.breaker.state import State
from fuseboard.delivery.connections import Connections
from fuseboard.errors import CannotStart, NotEnrolled
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import (
    BREAKER_EVENTS,
    SIGNALS,
    Action,
    BreakerMoved,
    Failure,
    FailureDetected,
    FailureResolved,
    OperatorRequested,
    TimerElapsed,
)
from fuseboard.events.wire import decode, encode
from fuseboard.failover.claims import awaited, busy
from fuseboard.settings import Settings
from fuseboard.stores.records import Change, dues
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy
from tests.functions.house import KEY, START, House, fires

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row


@pytest.fixture
def house() -> House:
    """Return a function with two breakers."""
    return House()


def test_a_critical_alert_is_answered_with_breaker_opened(house: House) -> None:
    """The reply says which breaker moved, from where to where, and why."""
    reply = house.handle(fires())
    assert reply is not None
    assert (reply.type, reply.subject, reply.time) == ("dev.fuseboard.breaker.opened", KEY, START)
    assert isinstance(reply.data, BreakerMoved)
    assert (reply.data.state, reply.data.previous, reply.data.epoch) == ("OPEN", "CLOSED", 1)
    assert house.store.read(KEY).state.state is State.OPEN


def test_only_the_subject_moves(house: House) -> None:
    """A signal moves the breaker that it names, and no other."""
    house.handle(fires())
    assert house.store.read("shop/cart").state.epoch == 0


def test_what_moves_nothing_has_no_reply(house: House) -> None:
    """A signal that is only counted is answered with nothing."""
    assert house.handle(FailureDetected((Failure(key="a", cause="BackOff"),))) is None
    assert house.store.read(KEY).state.weight == 1


def test_a_duplicate_gets_the_same_reply(house: House) -> None:
    """A redelivery is answered as the first delivery was, to the byte, and leaves no trace."""
    event = Event(id="1", source="/s", subject=KEY, data=fires(), time=START)
    first = house.function.handle(event)
    house.now += 50_000
    second = house.function.handle(event)
    assert first is not None
    assert second is not None
    assert encode(first) == encode(second)
    assert len(house.journal()) == 1


def test_both_modes_decide_the_same() -> None:
    """A signal in binary mode and the same one in structured mode move a breaker alike."""
    replies = []
    for structured in (False, True):
        house = House()
        message = encode(Event(id="1", source="/s", subject=KEY, data=fires(), time=START), structured=structured)
        replies.append(house.function.handle(decode(message.headers, message.body, Breaker.consumes)))
    assert replies[0] == replies[1] is not None


def test_the_trace_goes_on(house: House) -> None:
    """A reply belongs to the trace of its cause."""
    trace = {"traceparent": "00-1-2-01"}
    cause = Event(id="1", source="/s", subject=KEY, data=fires(), time=START, extensions=trace)
    reply = house.function.handle(cause)
    assert reply is not None
    assert reply.extensions == trace


def test_a_timer_moves_what_time_has_ended(house: House) -> None:
    """The clock's signal takes the edge whose time has come, and is on the record only if it did."""
    house.handle(fires())
    house.handle(FailureResolved(fires().failures), "2")
    house.now += 99_999
    assert house.handle(TimerElapsed(house.now), "3") is None
    house.now += 1
    reply = house.handle(TimerElapsed(house.now), "4")
    assert reply is not None
    assert reply.type == "dev.fuseboard.breaker.half_opened"
    assert [(each.type, each.previous, each.state) for each in house.journal()] == [
        ("dev.fuseboard.failure.detected", "CLOSED", "OPEN"),
        ("dev.fuseboard.failure.resolved", "", "OPEN"),
        ("dev.fuseboard.timer.elapsed", "OPEN", "HALF_OPEN"),
    ]


def test_an_entry_tells_the_whole_story(house: House) -> None:
    """On the record stand the event, what it said, what became of each failure, and the transition with its reason."""
    house.handle(fires(), "7")
    (entry,) = house.journal()
    assert (entry.kind, entry.breaker, entry.event, entry.time) == ("step", KEY, "/s 7", START)
    assert msgspec.to_builtins(entry.signal) == msgspec.to_builtins(fires())
    assert [(each.key, each.verdict, each.weight) for each in entry.weighed] == [("down", "counted", 10)]
    assert (entry.previous, entry.state, entry.epoch) == ("CLOSED", "OPEN", 1)
    assert entry.reason == "failures weigh 10, openAt is 10"


def test_stale_evidence_is_on_the_record(house: House) -> None:
    """What came too late to count is journaled as that."""
    house.handle(fires())
    late = Event(id="2", source="/s", subject=KEY, data=fires("slow", "warning"), time=START - 1)
    house.function.handle(late)
    assert house.journal()[-1].weighed[0].verdict == "stale"


def test_a_breaker_that_is_not_in_the_table_is_not_enrolled(house: House) -> None:
    """A signal for a breaker that nobody has written is refused by name."""
    with pytest.raises(NotEnrolled, match="shop/other"):
        house.handle(fires(), subject="shop/other")


def test_foreign_events_move_nothing(house: House) -> None:
    """An event of another type is answered with nothing, and leaves no trace."""
    assert house.handle(Foreign("com.example.any", {})) is None
    assert house.journal() == []


def test_it_consumes_signals_and_emits_transitions() -> None:
    """What goes in and what comes out are the types of the design."""
    assert Breaker.consumes == SIGNALS
    assert Breaker.emits == BREAKER_EVENTS
    assert not Breaker.consumes & Breaker.emits


def test_it_is_fine_while_its_store_answers(house: House) -> None:
    """Its check is that of its store."""
    house.function.check()


def test_it_needs_a_store() -> None:
    """Without a store's URL it does not start, and says which setting is missing."""
    with pytest.raises(CannotStart, match="FUSEBOARD_REDIS_URL"):
        breaker.new(Connections(Settings()))


def test_it_connects_to_a_store(redis_url: str) -> None:
    """With a URL it is connected, and works as it does over memory."""
    function = breaker.new(Connections(Settings(redis_url=redis_url)))
    function.check()
    function.store.apply([policy()])
    now = time.time_ns() // 1_000_000
    reply = function.handle(Event(id="1", source="/s", subject=KEY, data=fires(), time=now))
    assert reply is not None
    assert reply.type == "dev.fuseboard.breaker.opened"
    assert [entry.epoch for entry in function.store.journal([KEY], 10)] == [1]


# -- dependencies ----------------------------------------------------------------------------------------------------


def depending() -> House:
    """Return a house in which login depends on db, and cart on what is not in the table."""
    house = House()
    house.store.apply([policy(dependsOn=["db"]), policy("db"), policy("cart", dependsOn=["nobody"])])
    return house


def test_a_failure_is_attributed_to_a_dependency_that_is_open() -> None:
    """Db opens and its standby does not serve yet: login's failure is db's, and the record says so."""
    house = depending()
    house.handle(fires(), subject="shop/db")
    assert house.handle(fires(), "2") is None
    entry = house.journal()[-1]
    assert (entry.weighed[0].verdict, entry.weighed[0].attributed) == ("attributed", "db")
    assert house.store.read(KEY).state.state is State.CLOSED


def test_a_failure_is_its_own_once_the_dependencys_standby_serves() -> None:
    """The placement of db's epoch is verified: whatever fails now is login's."""
    house = depending()
    house.handle(fires(), subject="shop/db")

    def placed(record: Row) -> Change:
        found = Placement(epoch=record.state.epoch, step=1, verified_at=record.now)
        return Change(record.state, found)

    house.store.change("shop/db", placed)
    assert house.handle(fires(), "2") is not None


def test_a_dependency_without_a_standby_stays_the_excuse() -> None:
    """Its debt is paid, since nothing can be moved; nobody serves in its place for that."""
    house = depending()
    house.handle(fires(), subject="shop/db")

    def paid(record: Row) -> Change:
        found = Placement(epoch=record.state.epoch, result=Result.INEXPRESSIBLE, verified_at=record.now)
        return Change(record.state, found)

    house.store.change("shop/db", paid)
    assert house.handle(fires(), "2") is None


def test_a_dependency_that_is_closed_or_unknown_is_no_excuse() -> None:
    """Db does well, and nobody is not in the table: both breakers open for their own failures."""
    house = depending()
    assert house.handle(fires()) is not None
    assert house.handle(fires(), subject="shop/cart") is not None


def test_an_edit_of_the_dependencies_is_followed_at_once() -> None:
    """The next signal is decided by the dependencies that the policy has now."""
    house = depending()
    house.handle(fires(), subject="shop/db")
    house.store.apply([policy(), policy("db")])
    assert house.handle(fires(), "2") is not None


# -- operators ------------------------------------------------------------------------------------------------------


def asks(action: Action, minutes: int = 0) -> OperatorRequested:
    """Return that anna asks for something."""
    return OperatorRequested(action, "anna", "INC-42", minutes * 60_000)


@pytest.mark.parametrize("action", [Action.TRIP, Action.RESET, Action.HOLD, Action.RELEASE])
def test_every_request_is_on_the_record_with_name_and_reason(house: House, action: Action) -> None:
    """Whether it moved anything or not: who asked for what, why, and for how long."""
    house.handle(asks(action, 5))
    (entry,) = house.journal()
    assert (entry.kind, entry.event, entry.result) == ("step", "/s 1", "")
    assert msgspec.to_builtins(entry.signal) == {
        "action": action,
        "operator": "anna",
        "reason": "INC-42",
        "durationMs": 300_000,
    }
    assert entry.previous == ("CLOSED" if action is Action.TRIP else "")


def test_a_request_that_came_too_late_is_on_the_record_as_that(house: House) -> None:
    """It was not done, whoever asked is told so, and a redelivery of it leaves no second trace."""
    house.handle(fires())
    late = Event(id="2", source="/o", subject=KEY, data=asks(Action.RESET), time=START - 1)
    assert house.function.handle(late) is None
    house.function.handle(late)
    assert house.store.read(KEY).state.state is State.OPEN
    entries = house.journal()
    assert [(entry.event, entry.result, entry.previous) for entry in entries[1:]] == [("/o 2", "stale", "")]
    assert entries[1].signal.operator == "anna"


def test_a_duplicate_request_is_answered_as_the_first(house: House) -> None:
    """A trip that is delivered twice opens once, and its reply is repeated."""
    event = Event(id="1", source="/o", subject=KEY, data=asks(Action.TRIP), time=START)
    first, second = house.function.handle(event), house.function.handle(event)
    assert first is not None
    assert first == second
    assert first.type == "dev.fuseboard.breaker.opened"
    assert len(house.journal()) == 1


def test_a_hold_lets_evidence_and_timers_move_nothing(house: House) -> None:
    """While it is held, failures are journaled and no transition is announced; a release lets it go on."""
    house.handle(asks(Action.HOLD), "1")
    house.now += 1
    assert house.handle(fires(), "2") is None
    house.now += 3_600_000
    assert house.handle(TimerElapsed(due_at=house.now), "3") is None
    assert house.store.read(KEY).state.state is State.CLOSED
    assert [entry.weighed[0].verdict for entry in house.journal() if entry.weighed] == ["counted"]

    reply = house.handle(asks(Action.RELEASE), "4")

    assert reply is not None
    assert reply.type == "dev.fuseboard.breaker.opened"


def test_a_hold_that_is_over_goes_on_by_the_clock(house: House) -> None:
    """Its end is due in the store, and the clock's signal is enough."""
    house.handle(asks(Action.HOLD, 10), "1")
    house.now += 1
    house.handle(fires(), "2")
    assert dues(house.store.read(KEY))["timer"] == START + 600_000
    house.now = START + 600_000
    assert house.handle(TimerElapsed(due_at=house.now), "3") is not None


def test_a_debt_does_not_wait_for_a_clock_that_was_set_back(house: House) -> None:
    """The hour by which the clock was set back is not waited for: neither by the next try, nor by a claim's lease."""
    house.handle(fires())
    owed = Placement(
        epoch=1,
        step=1,
        result=Result.REFUSED,
        retry_at=START + 2_000,
        claim=Claim("somebody", epoch=1, step=2, until=START + 15_000),
    )
    house.store.change(KEY, lambda record: Change(record.state, owed))
    house.now -= 3_600_000
    house.handle(TimerElapsed(due_at=0), "2")
    record = house.store.read(KEY)
    assert record.placement.retry_at == house.now + 2_000
    assert not awaited(record)
    later = record.state.held_until
    assert awaited(row_of(state=record.state, placement=record.placement, now=later))
    assert not busy(row_of(state=record.state, placement=record.placement, now=later))
