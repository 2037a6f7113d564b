"""What holds for a breaker after any sequence of signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fuseboard.breaker.evidence import Outcome
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.transitions import next_due
from fuseboard.events.event import Event
from fuseboard.events.types import (
    BREAKER_EVENTS,
    Action,
    CapacityChanged,
    FailureDetected,
    FailureResolved,
    LoadChanged,
    OperatorRequested,
    Phase,
    TimerElapsed,
)
from fuseboard.roles import Role
from fuseboard.testing.panel import Panel
from fuseboard.testing.policies import policy
from tests.proofs.moments import LEGAL, Moment, delays, told, waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.breaker.step import Decision
    from fuseboard.policy.spec import Policy

ASKED: Final = {(before, State.OPEN) for before in State} | {(before, State.CLOSED) for before in State}
"""Edges that an operator can ask for."""

capacities = st.builds(
    CapacityChanged, st.sampled_from(Role), st.integers(0, 3), st.integers(0, 3), st.sampled_from(Phase)
)
requests = st.builds(
    OperatorRequested, st.sampled_from(Action), st.just("anna"), st.just("a drill"), st.sampled_from([0, 0, 60_000])
)
evidence = st.one_of(
    st.builds(FailureDetected, failures=told),
    st.builds(FailureResolved, failures=told),
    capacities,
    st.builds(LoadChanged, st.sampled_from([0.0, 99.0, 100.0, 101.0])),
    st.just(TimerElapsed(due_at=0)),
)
signals = evidence | requests
policies = st.sampled_from(
    [
        policy(),
        policy(trip={"limitFor": "5m", "minimumSources": 2}, signals={"repeatInterval": "10m"}),
        policy(trip={"limitAt": 1, "openAt": 2, "window": "10m"}, recover={"coolDown": "1s", "maxCoolDown": "4s"}),
        policy(
            target={"name": "login", "minReady": 2, "capacity": 100},
            recover={"trialShares": [50, 100]},
            trip={"classes": {"runtime": "Limit"}},
        ),
        policy(mode="Disabled"),
    ]
)


moments = st.lists(st.builds(Moment, waits, delays, st.booleans(), signals), min_size=1, max_size=25)
quiet = st.lists(st.builds(Moment, waits, delays, st.booleans(), evidence), min_size=1, max_size=25)
"""Nobody asks for anything."""


def play(panel: Panel, sequence: Sequence[Moment]) -> list[tuple[Event, Decision]]:
    """Play a sequence; return every event and what it did."""
    played = []
    for number, each in enumerate(sequence):
        panel.now += each.wait
        if each.verify:
            panel.verify()
        event = Event(id=str(number), source="/s", subject="shop/login", data=each.data, time=panel.now - each.delay)
        played.append((event, panel.deliver(event)))
    return played


@given(policies, moments)
def test_only_legal_edges_one_epoch_each(chosen: Policy, sequence: list[Moment]) -> None:
    """Every transition is an edge of the table, raises the epoch by one, and is announced."""
    for event, transition in play(Panel(chosen), sequence):
        before, after = transition.before.state, transition.after.state
        edges = {(before.state, after.state)} - {(state, state) for state in State}
        assert edges <= (ASKED if isinstance(event.data, OperatorRequested) else LEGAL) | LEGAL
        assert after.epoch - before.epoch == len(edges)
        reply = transition.announcement(event)
        assert (reply is not None) is bool(edges)
        assert reply is None or reply.type in BREAKER_EVENTS


@given(policies, moments, st.lists(st.integers(0, 24), max_size=10))
def test_duplicates_change_nothing(chosen: Policy, sequence: list[Moment], again: list[int]) -> None:
    """The state is that of the sequence without its duplicates, and a duplicate's answer is that of the first."""
    clean = Panel(chosen)
    play(clean, sequence)
    panel, answers = Panel(chosen), {}
    for number, each in enumerate(sequence):
        ((event, first),) = [(event, done) for event, done in play_one(panel, number, each)]
        answers[number] = (event, first)
        for index in again:
            if index in answers and is_remembered(*answers[index]):
                event, first = answers[index]
                repeated = panel.deliver(event)
                assert repeated.after == repeated.before
                fresh = first.after.state.epoch > panel.breaker.epoch - 4
                assert not fresh or repeated.announcement(event) == first.announcement(event)
    assert panel.breaker == clean.breaker


def is_remembered(event: Event, done: Decision) -> bool:
    """Say whether a second delivery is known as one."""
    return bool(done.weighed or done.reply or (done.noted and isinstance(event.data, OperatorRequested)))


def play_one(panel: Panel, number: int, each: Moment) -> list[tuple[Event, Decision]]:
    """Play one moment of a sequence."""
    panel.now += each.wait
    if each.verify:
        panel.verify()
    event = Event(id=str(number), source="/s", subject="shop/login", data=each.data, time=panel.now - each.delay)
    return [(event, panel.deliver(event))]


@given(policies, moments)
def test_nothing_before_the_watermark_counts(chosen: Policy, sequence: list[Moment]) -> None:
    """Evidence taken in before the watermark is never counted, nor an occurrence at it; and it never turns back."""
    for event, transition in play(Panel(chosen), sequence):
        before, after = transition.before.state, transition.after.state
        assert event.time is not None
        if event.time < before.watermark:
            assert not {each.verdict for each in transition.weighed} & {Outcome.COUNTED, Outcome.RENEWED}
        assert all(each.seen > before.watermark for each in set(after.occurrences) - set(before.occurrences))
        assert before.watermark <= after.watermark <= after.clock
        if transition.moved:
            fresh = [each for each in after.occurrences if each.seen > after.watermark]
            assert not fresh


@given(policies, quiet)
def test_it_opens_on_enough_weight_from_enough_sources(chosen: Policy, sequence: list[Moment]) -> None:
    """LIMITED and OPEN are entered from CLOSED only with the weight and the sources that the policy asks for.

    Or with a critical failure, which opens whatever it weighs; or where the capacity of the table is exceeded.
    """
    trip, target = chosen.spec.trip, chosen.spec.target
    for _, transition in play(Panel(chosen), sequence):
        before, after, reply = transition.before.state, transition.after.state, transition.reply
        if reply is None or before.state is not State.CLOSED:
            continue
        pods, load = after.capacity.get(Role.TARGET), after.load
        lacks = pods is not None and pods.ready < min(target.min_ready, pods.desired)
        overloaded = load is not None and target.capacity is not None and load.value > target.capacity
        if reply.state == State.OPEN and (lacks or overloaded):
            continue
        assert len(reply.causes) >= trip.minimum_sources
        critical = any(each.critical for each in after.weighing)
        least = trip.open_at if reply.state == State.OPEN and not critical else trip.limit_at
        assert reply.weight >= least or critical


@given(policies, quiet)
def test_what_is_not_exceeded_does_not_open(chosen: Policy, sequence: list[Moment]) -> None:
    """With enough pods, a load that can be carried and no failure at all, nothing ever moves."""
    panel = Panel(chosen)
    for each in sequence:
        enough = isinstance(each.data, CapacityChanged) and each.data.ready >= min(2, each.data.desired)
        little = isinstance(each.data, LoadChanged) and each.data.load <= 100
        if enough or little or isinstance(each.data, TimerElapsed | FailureResolved):
            panel.now += each.wait
            assert not panel.tell(each.data, ago=each.delay / 1000).moved


@given(policies, quiet)
def test_a_cool_down_is_never_cut_short(chosen: Policy, sequence: list[Moment]) -> None:
    """OPEN lasts at least its cool-down, which is between the first one and maxCoolDown and at most doubles."""
    limits = chosen.spec.recover
    for _, transition in play(Panel(chosen), sequence):
        before, after = transition.before.state, transition.after.state
        if not transition.moved:
            continue
        if before.state is State.OPEN:
            assert after.since - before.since >= before.cool_down
        if after.state is State.OPEN:
            assert int(limits.cool_down[:-1]) * 1000 <= after.cool_down
            assert before.state is not State.HALF_OPEN or after.cool_down <= 2 * before.cool_down
            assert after.cool_down <= (4_000 if limits.max_cool_down == "4s" else 3_600_000)


@given(policies, moments)
def test_the_record_is_read_as_it_was_written(chosen: Policy, sequence: list[Moment]) -> None:
    """Encoding a record and decoding it gives the same record, and writing that gives the same bytes."""
    panel = Panel(chosen)
    play(panel, sequence)
    raw = msgspec.json.encode(panel.breaker)
    read = msgspec.json.decode(raw, type=BreakerState)
    assert read == panel.breaker
    assert msgspec.json.encode(read) == raw


@given(policies, moments)
def test_the_clock_has_no_hot_loop(chosen: Policy, sequence: list[Moment]) -> None:
    """What is due next is never in the past, and stepping then either moves the breaker or waits for later."""
    panel = Panel(chosen)
    for number, each in enumerate(sequence):
        play_one(panel, number, each)
        due = next_due(panel.row)
        assert due is None or due > panel.breaker.clock
    for _ in range(40):
        due = next_due(panel.row)
        if due is None:
            break
        panel.now = max(due, panel.breaker.clock)
        transition = panel.tick()
        if panel.state is State.HALF_OPEN and transition.moved:
            panel.verify()
        later = next_due(panel.row)
        assert transition.moved or later is None or later > due


@given(policies, quiet)
def test_a_breaker_that_is_left_alone_closes(chosen: Policy, sequence: list[Moment]) -> None:
    """When nobody says anything more, every breaker that is not latched is closed in the end, by the clock alone."""
    panel = Panel(chosen)
    play(panel, sequence)
    for _ in range(100):
        due = next_due(panel.row)
        if due is None:
            break
        panel.now = due
        panel.tick()
        panel.verify()
    assert panel.at(State.CLOSED) is not panel.breaker.latched


@settings(max_examples=50)
@given(policies, moments, quiet, st.integers(60_001, 10**10))
def test_a_step_back_never_moves_within_one_cool_down(
    chosen: Policy, first: list[Moment], then: list[Moment], back: int
) -> None:
    """Whatever comes after a clock was set back, no edge is taken for one cool-down."""
    panel = Panel(chosen, now=10**13)
    play(panel, first)
    panel.now = panel.breaker.clock - back
    panel.tick()
    hold = panel.breaker.held_until
    assert hold > panel.now
    for number, each in enumerate(then):
        panel.now += min(each.wait, 20_000)
        event = Event(id=f"then{number}", source="/s", subject="shop/login", data=each.data, time=panel.now)
        assert panel.now >= hold or not panel.deliver(event).moved
