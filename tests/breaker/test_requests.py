"""What operators can ask of a breaker, and what it means to depend on another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuseboard.breaker.evidence import Outcome
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import Dependency, State
from fuseboard.events.types import Action
from fuseboard.policy.enums import Mode
from fuseboard.testing.panel import HOUR, START, Panel, limited, on_trial, opened
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Callable

EVERYWHERE = pytest.mark.parametrize("begin", [Panel, limited, opened, on_trial])


# -- trip ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [Panel, limited, on_trial])
def test_trip_opens(begin: Callable[[], Panel]) -> None:
    """From any state; the reason has the operator's name and words, and it recovers like any other."""
    panel = begin()
    moved = panel.ask(Action.TRIP)
    assert (panel.state, panel.breaker.reason) == (State.OPEN, "tripped by anna: a drill")
    assert moved.reply is not None
    panel.resolve("slow")
    panel.wait(100).tick()
    assert panel.at(State.HALF_OPEN)


def test_tripping_an_open_breaker_forces_it() -> None:
    """No new epoch: but it stays open, whatever time and evidence say."""
    panel = opened()
    epoch = panel.breaker.epoch
    panel.ask(Action.TRIP)
    assert (panel.breaker.epoch, panel.row.mode) == (epoch, Mode.FORCED_OPEN)
    panel.resolve("down")
    assert panel.due is None
    panel.wait(HOUR).tick()
    assert panel.at(State.OPEN)


def test_a_trip_for_some_time_is_forced_for_that_time() -> None:
    """When its time is over it goes on where it is: the cool-down is long over, so the target is tried."""
    panel = Panel(policy())
    panel.ask(Action.TRIP, seconds=2 * HOUR)
    assert panel.due == 2 * HOUR
    panel.wait(2 * HOUR - 0.001).tick()
    assert panel.at(State.OPEN)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.override) == (State.HALF_OPEN, None)


def test_a_trip_is_no_flap() -> None:
    """Operators are exempt from the flap guard."""
    panel = Panel(policy())
    for _ in range(4):
        panel.wait(1).ask(Action.TRIP)
        panel.wait(1).ask(Action.RESET)
    assert (panel.breaker.latched, panel.breaker.opened) == (False, ())


# -- reset -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [limited, opened, on_trial])
def test_reset_closes(begin: Callable[[], Panel]) -> None:
    """What spoke against the target up to now is forgotten; what comes then counts."""
    panel = begin()
    panel.ask(Action.RESET)
    assert (panel.state, panel.breaker.reason) == (State.CLOSED, "reset by anna: a drill")
    assert (panel.breaker.conditions, panel.due) == ({}, None)
    panel.wait(1).fire("new")
    assert panel.at(State.LIMITED)


def test_reset_of_a_closed_breaker_forgets_without_a_transition() -> None:
    """Two occurrences are forgotten: one more does not limit."""
    panel = Panel(policy())
    panel.happen("1", "2")
    transition = panel.wait(1).ask(Action.RESET)
    assert (transition.moved, transition.noted, panel.breaker.weight) == (False, True, 0)
    panel.wait(1).happen("3")
    assert panel.at(State.CLOSED)


@pytest.mark.parametrize("action", [Action.RESET, Action.RETIRE])
def test_reset_brings_home_what_a_mode_has_left(action: Action) -> None:
    """It closed while its mode did not act, and the standby went on serving: the debt is made anew, once."""
    panel = Panel()
    panel.placement = Placement(step=1, shares=Shares(0, 100), result=Result.OBSERVED, verified_at=START)
    panel.wait(1)
    assert not panel.ask(Action.RELEASE).moved
    assert panel.ask(action).moved
    assert panel.at(State.CLOSED)
    assert panel.row.owed
    assert not panel.wait(1).ask(action).moved


def test_reset_ends_what_was_forced() -> None:
    """Who resets wants the target to serve."""
    panel = opened()
    panel.ask(Action.TRIP)
    panel.wait(1).ask(Action.RESET)
    assert (panel.state, panel.breaker.override) == (State.CLOSED, None)


def test_reset_ends_a_latch() -> None:
    """It is what the latch waits for; the count begins anew."""
    panel = Panel(policy())
    for name in "abc":
        panel.fire(name, severity="critical")
        panel.wait(1).resolve(name)
        panel.wait(100).tick()
        panel.verify().wait(30).tick()
    assert panel.breaker.latched
    panel.ask(Action.RESET)
    assert (panel.state, panel.breaker.latched, panel.breaker.opened) == (State.CLOSED, False, ())


def test_a_lack_of_before_a_reset_counts_when_it_is_told_again() -> None:
    """The operator knows of it; if it goes on, the watcher says so within 30 s."""
    panel = Panel(policy())
    panel.pods(0)
    panel.wait(15).tick()
    assert panel.at(State.OPEN)
    panel.wait(1).ask(Action.RESET)
    assert (panel.state, panel.due) == (State.CLOSED, None)
    panel.wait(30).pods(0)
    assert panel.due == 15


# -- hold and release ------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_a_held_breaker_does_not_move(begin: Callable[[], Panel]) -> None:
    """Neither evidence nor time moves it, but both are taken in."""
    panel = begin()
    state = panel.state
    panel.ask(Action.HOLD)
    panel.wait(1).fire("worse", severity="critical")
    panel.pods(0)
    assert panel.due is None
    panel.wait(2 * HOUR).tick()
    assert panel.at(state)
    assert "worse" in panel.breaker.conditions


def test_release_lets_it_go_on() -> None:
    """What held meanwhile counts at once."""
    panel = Panel(policy())
    panel.ask(Action.HOLD)
    panel.wait(1).fire("down", severity="critical")
    panel.wait(1).ask(Action.RELEASE)
    assert panel.at(State.OPEN)


def test_a_hold_ends_by_itself() -> None:
    """After --for, by the clock."""
    panel = Panel(policy())
    panel.ask(Action.HOLD, seconds=60)
    panel.wait(1).fire("down", severity="critical")
    assert panel.due == 59
    panel.wait(59).tick()
    assert panel.at(State.OPEN)


def test_an_operator_moves_what_is_held() -> None:
    """A hold is against evidence and time, not against operators; and it outlives their requests."""
    panel = Panel(policy())
    panel.ask(Action.HOLD)
    panel.wait(1).ask(Action.TRIP)
    assert panel.at(State.OPEN)
    panel.wait(1).ask(Action.RESET)
    assert panel.at(State.CLOSED)
    assert panel.breaker.is_held


def test_release_moves_no_traffic_by_itself() -> None:
    """What was forced open stays open until its cool-down lets it be tried."""
    panel = Panel(policy())
    panel.ask(Action.TRIP, seconds=HOUR)
    panel.wait(1).ask(Action.RELEASE)
    assert panel.at(State.OPEN)


# -- retire ----------------------------------------------------------------------------------------------------------


@EVERYWHERE
def test_a_retired_breaker_closes_for_good(begin: Callable[[], Panel]) -> None:
    """Its CircuitBreaker is being deleted: the traffic goes home and nothing moves it again."""
    panel = begin()
    panel.ask(Action.RETIRE)
    panel.wait(1).fire("down", severity="critical")
    panel.wait(HOUR).tick()
    assert panel.at(State.CLOSED)


# -- requests that are late, or come twice ---------------------------------------------------------------------------


def test_a_request_from_before_the_last_transition_is_stale() -> None:
    """It was about another state."""
    panel = limited()
    panel.wait(10).fire("down", severity="critical")
    assert panel.at(State.OPEN)
    transition = panel.ask(Action.RESET, ago=5)
    assert (panel.state, transition.noted) == (State.OPEN, False)


def test_requests_out_of_order_leave_the_last_in_force() -> None:
    """A hold that was asked before the release is over when it arrives after it."""
    panel = Panel(policy())
    panel.wait(10).ask(Action.RELEASE)
    panel.ask(Action.HOLD, ago=5)
    assert panel.breaker.override is None


def test_a_request_twice_is_once() -> None:
    """A hold that is delivered again after its release does not hold again."""
    panel = Panel(policy())
    first = panel.ask(Action.HOLD)
    assert first.noted
    event = panel.last
    panel.ask(Action.RELEASE)
    assert panel.deliver(event).duplicate
    assert panel.breaker.override is None


# -- the policy's modes ----------------------------------------------------------------------------------------------


@EVERYWHERE
@pytest.mark.parametrize("mode", list(Mode))
def test_changing_a_mode_alone_moves_nothing(begin: Callable[[], Panel], mode: Mode) -> None:
    """Whatever the state and the mode: the next look finds the breaker where it was."""
    panel = begin()
    state, panel.policy = panel.state, policy(mode=mode)
    panel.tick()
    assert panel.at(state)


def test_forced_open_in_the_policy_keeps_it_open() -> None:
    """It opens like any other, and stays open until the mode is another."""
    panel = opened(mode="ForcedOpen")
    panel.resolve("down")
    panel.wait(HOUR).tick()
    assert panel.at(State.OPEN)
    panel.policy = policy(mode="Enforce")
    panel.tick()
    assert panel.at(State.HALF_OPEN)


@EVERYWHERE
def test_a_disabled_breaker_does_not_move(begin: Callable[[], Panel]) -> None:
    """Neither evidence nor time moves it, and the clock has nothing to wait for."""
    panel = begin()
    state, panel.policy = panel.state, policy(mode="Disabled")
    panel.fire("down", severity="critical")
    assert panel.due is None
    panel.wait(HOUR).tick()
    assert panel.at(state)


def test_an_operator_moves_what_is_disabled() -> None:
    """The request is explicit."""
    panel = Panel(policy(mode="Disabled"))
    panel.ask(Action.TRIP)
    assert panel.at(State.OPEN)


# -- dependencies ----------------------------------------------------------------------------------------------------


def depending(state: State = State.OPEN, verified: int = 0) -> Panel:
    """Return a panel whose breaker depends on db, which stands like this."""
    return Panel(policy(dependsOn=["db"]), dependencies=(Dependency("db", state, verified),))


def test_a_failure_is_put_down_to_an_open_dependency() -> None:
    """It is on the record with whose it is, and weighs nothing."""
    panel = depending()
    told = panel.fire("down", severity="critical").weighed[0]
    assert (told.verdict, told.attributed, panel.state) == (Outcome.ATTRIBUTED, "db", State.CLOSED)
    told = panel.happen("1", "2", "3").weighed[0]
    assert (told.verdict, panel.state, panel.breaker.weight) == (Outcome.ATTRIBUTED, State.CLOSED, 0)


@pytest.mark.parametrize(
    ("state", "verified"),
    [(State.CLOSED, 0), (State.LIMITED, 0), (State.HALF_OPEN, 0), (State.OPEN, START)],
)
def test_a_failure_is_its_own_where_no_dependency_explains_it(state: State, verified: int) -> None:
    """A dependency that is not open, or whose standby serves, is no excuse."""
    panel = depending(state, verified)
    panel.fire("down", severity="critical")
    assert panel.at(State.OPEN)


def test_a_lack_of_pods_is_never_put_down_to_a_dependency() -> None:
    """Whatever db does, login must keep its pods."""
    panel = depending()
    panel.pods(0)
    panel.wait(15).tick()
    assert panel.at(State.OPEN)


def test_what_still_holds_counts_once_the_dependencys_standby_serves() -> None:
    """It is looked again every healthyFor; 30 s after db's standby serves, what still holds is login's own."""
    panel = depending()
    panel.fire("down", severity="critical")
    assert panel.due == 30
    panel.wait(30).tick()
    assert (panel.state, panel.due) == (State.CLOSED, 30)
    panel.dependencies = (Dependency("db", State.OPEN, panel.now),)
    panel.wait(29).tick()
    assert panel.at(State.CLOSED)
    panel.wait(1).tick()
    assert panel.at(State.OPEN)


def test_what_ends_with_the_dependency_never_counts() -> None:
    """The alert resolves when db's standby serves: login never moved, and nothing is due."""
    panel = depending()
    panel.fire("down", severity="critical")
    panel.dependencies = (Dependency("db", State.OPEN, panel.now),)
    panel.wait(20).resolve("down")
    panel.wait(10).tick()
    assert (panel.state, panel.due) == (State.CLOSED, None)


def test_what_counted_before_the_dependency_opened_goes_on_counting() -> None:
    """A repeat does not turn login's own failure into db's."""
    panel = depending(State.CLOSED)
    panel.fire("slow")
    assert panel.at(State.LIMITED)
    panel.dependencies = (Dependency("db", State.OPEN),)
    panel.wait(1).fire("slow")
    assert panel.breaker.weight == 3


def test_a_condition_that_is_seen_again_without_an_excuse_counts() -> None:
    """Db is closed again, and the alert is sent once more."""
    panel = depending()
    panel.fire("down", severity="critical")
    panel.dependencies = (Dependency("db", State.CLOSED),)
    panel.wait(1).fire("down", severity="critical")
    assert panel.at(State.OPEN)


def test_a_dependencys_condition_outlives_the_limit() -> None:
    """A condition put down to a dependency counts once that one serves, though LIMITED has closed in between."""
    panel = limited()
    panel.dependencies = (Dependency("db", State.OPEN),)
    panel.fire("down", severity="critical")
    panel.wait(1).resolve("slow")
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)
    panel.dependencies = ()
    assert panel.due is not None
    panel.wait(panel.due).tick()
    assert panel.at(State.OPEN)


def test_a_dependencys_condition_outlives_a_trial_that_saw_it() -> None:
    """The same after a trial, if it was seen again; one that was not is taken to be over."""
    panel = on_trial()
    panel.dependencies = (Dependency("db", State.OPEN),)
    panel.fire("down", severity="critical")
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)
    panel.dependencies = ()
    panel.wait(30).tick()
    assert panel.at(State.OPEN)


def test_what_is_a_dependencys_outlives_a_limit_that_closes() -> None:
    """It was seen before login was limited for its own; when that is over, db's alert is still db's."""
    panel = depending()
    panel.fire("down", severity="critical")
    panel.dependencies = ()
    panel.wait(1).happen("1", "2", "3")
    assert panel.at(State.LIMITED)
    panel.dependencies = (Dependency("db", State.OPEN),)
    while panel.due is not None and not panel.at(State.CLOSED):
        panel.wait(panel.due).tick()
    assert panel.at(State.CLOSED)
    assert panel.breaker.conditions["down"].attributed == "db"
