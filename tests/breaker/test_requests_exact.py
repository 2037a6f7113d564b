"""Requests of an operator: each from each state, late ones, and those that are over when they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuseboard.breaker.state import State
from fuseboard.events.types import Action
from fuseboard.policy.enums import Mode
from fuseboard.testing.panel import MINUTE, Panel, limited, on_trial, opened

if TYPE_CHECKING:
    from collections.abc import Callable

STATES: dict[State, Callable[[], Panel]] = {
    State.CLOSED: Panel,
    State.LIMITED: limited,
    State.OPEN: opened,
    State.HALF_OPEN: on_trial,
}
AFTER: dict[Action, dict[State, State]] = {
    Action.TRIP: dict.fromkeys(State, State.OPEN),
    Action.RESET: dict.fromkeys(State, State.CLOSED),
    Action.HOLD: {state: state for state in State},
    Action.RELEASE: {state: state for state in State},
}


@pytest.mark.parametrize("action", list(AFTER))
@pytest.mark.parametrize("state", list(State))
def test_each_request_from_each_state(action: Action, state: State) -> None:
    """Trip opens and reset closes from anywhere, with one epoch at most; hold and release move nothing."""
    panel = STATES[state]()
    epoch = panel.breaker.epoch
    wanted = AFTER[action][state]

    transition = panel.ask(action)

    assert panel.at(wanted)
    assert panel.breaker.epoch == epoch + (wanted is not state)
    assert (transition.noted, transition.stale, transition.moved) == (True, False, wanted is not state)


def test_only_an_open_breaker_is_forced_by_a_trip_without_a_time() -> None:
    """From any other state the target is tried after the cool-down."""
    panel = Panel()
    panel.ask(Action.TRIP)
    assert panel.row.mode is not Mode.FORCED_OPEN
    panel.wait(100).tick()
    assert panel.at(State.HALF_OPEN)


@pytest.mark.parametrize("action", [Action.TRIP, Action.HOLD])
def test_what_is_over_when_it_comes_is_not_set(action: Action) -> None:
    """A request that was on its way for as long as it lasts leaves nothing that no clock would end."""
    panel = Panel()
    panel.wait(MINUTE)
    assert panel.ask(action, seconds=MINUTE, ago=MINUTE).noted
    assert panel.breaker.override is None
    assert panel.due == (100 if action is Action.TRIP else None)


def test_a_late_request_is_told_as_stale() -> None:
    """A reset that was sent when the breaker was something else does not close it, and is no news."""
    panel = Panel()
    panel.wait(10).fire("down", severity="critical")
    late = panel.ask(Action.RESET, ago=5)
    assert (late.stale, late.noted, late.moved, panel.state) == (True, False, False, State.OPEN)


def test_a_request_from_before_another_one_is_stale() -> None:
    """A hold that was asked for before a release and comes after it is not set."""
    panel = Panel()
    panel.wait(10).ask(Action.RELEASE)
    late = panel.ask(Action.HOLD, ago=5)
    assert (late.stale, panel.breaker.override) == (True, None)


def test_a_stale_request_is_remembered() -> None:
    """Delivered again it is a duplicate, and is told once."""
    panel = Panel()
    panel.wait(10).fire("down", severity="critical")
    assert panel.ask(Action.RESET, ago=5).stale
    again = panel.deliver(panel.last)
    assert (again.duplicate, again.stale) == (True, False)


def test_what_is_no_request_is_never_stale() -> None:
    """Only an operator waits for an answer."""
    panel = opened()
    assert not panel.tick().stale
    assert not panel.fire("x", ago=60).stale


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", list(State))
def test_each_request_leaves_its_time(action: Action, state: State) -> None:
    """The time when the request was taken in, from any state: an older request that comes later is then stale."""
    panel = STATES[state]().wait(10)
    assert panel.ask(action, ago=3).noted
    assert panel.breaker.asked == panel.now - 3_000
    assert panel.ask(Action.HOLD, ago=3.001).stale
