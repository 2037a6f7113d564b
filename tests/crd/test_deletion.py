"""When a breaker may go whose CircuitBreaker is deleted."""

from __future__ import annotations

import pytest

from fuseboard.breaker.placement import Claim, Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, Override, State
from fuseboard.crd.deletion import (
    DeletionStep,
    at_home,
    deletion_step,
    is_retired,
    left_moved_event,
    release_request,
    retire_request,
)
from fuseboard.events.types import Action, FailoverFailed, OperatorRequested
from fuseboard.policy.spec import Route
from fuseboard.testing.panel import Panel, row_of
from fuseboard.testing.policies import policy

NOW = 1_000_000
AWAY = Placement(shares=Shares(target=0, standby=100), route=Route(name="login"))
ENFORCED = policy(mode="Enforce")
OPEN = BreakerState(state=State.OPEN, epoch=1)


@pytest.mark.parametrize(
    ("mode", "breaker", "placement", "home"),
    [
        ("Enforce", BreakerState(), Placement(), True),
        ("Enforce", OPEN, AWAY, False),
        ("Enforce", BreakerState(epoch=2), AWAY, False),
        ("Enforce", OPEN, Placement(), False),  # it is about to move
        ("Enforce", OPEN, Placement(epoch=1, result=Result.REFUSED), False),
        ("Observe", OPEN, Placement(epoch=1, result=Result.OBSERVED), True),
        ("Disabled", OPEN, Placement(), True),
        ("Enforce", BreakerState(), Placement(claim=Claim("x", 1, 1, NOW + 1)), False),  # a patch may be on its way
        ("Enforce", BreakerState(), Placement(claim=Claim("x", 1, 1, NOW)), True),
    ],
)
def test_at_home_is_where_nothing_is_moved_nor_about_to_be(
    mode: str, breaker: BreakerState, placement: Placement, *, home: bool
) -> None:
    """Neither by what was done, nor by what is asked for, nor by somebody at work."""
    assert at_home(row_of(policy=policy(mode=mode), state=breaker, placement=placement, now=NOW)) == home


def test_what_is_moved_is_waited_for_and_then_given_up() -> None:
    """Until it has taken too long."""
    assert (
        deletion_step(row_of(policy=ENFORCED, state=OPEN, placement=AWAY, now=NOW), is_over=False) is DeletionStep.WAIT
    )
    assert (
        deletion_step(row_of(policy=ENFORCED, state=OPEN, placement=AWAY, now=NOW), is_over=True)
        is DeletionStep.GIVE_UP
    )


def test_what_is_only_asked_for_is_let_go_without_a_word() -> None:
    """Nothing is left moved: there is nobody to tell."""
    assert (
        deletion_step(row_of(policy=ENFORCED, state=OPEN, placement=Placement(), now=NOW), is_over=False)
        is DeletionStep.WAIT
    )
    assert (
        deletion_step(row_of(policy=ENFORCED, state=OPEN, placement=Placement(), now=NOW), is_over=True)
        is DeletionStep.LET_GO
    )


def test_what_is_at_home_or_to_be_left_is_let_go_at_once() -> None:
    """By the traffic, or by the policy."""
    assert (
        deletion_step(row_of(policy=ENFORCED, state=BreakerState(), placement=Placement(), now=NOW), is_over=False)
        is DeletionStep.LET_GO
    )
    assert (
        deletion_step(
            row_of(policy=policy(mode="Enforce", onDelete="Leave"), state=OPEN, placement=AWAY, now=NOW), is_over=False
        )
        is DeletionStep.LET_GO
    )


def test_the_same_deletion_has_the_same_id_whoever_tells() -> None:
    """Two watchers ask for one retirement; that of another resource, and the comeback, are others."""
    first = retire_request("shop/login", "u1")
    assert first == retire_request("shop/login", "u1")
    ids = {
        first.id,
        retire_request("shop/login", "u2").id,
        retire_request("shop/cart", "u1").id,
        release_request("shop/login", "u1").id,
    }
    assert len(ids | {left_moved_event("shop/login", "u1", AWAY, 120).id}) == 5


def test_a_retired_breaker_is_known_as_such() -> None:
    """Told by the real request, and by nobody else's hold; the comeback ends it."""
    panel = Panel(ENFORCED)
    panel.breaker = OPEN
    for event, retired in ((retire_request("shop/login", "u"), True), (release_request("shop/login", "u"), False)):
        panel.wait(1)
        panel.deliver(event.at(panel.now))
        assert (panel.breaker.state, is_retired(panel.breaker)) == (State.CLOSED, retired)
    held = Override(Action.HOLD, "tess", "maintenance", NOW)
    assert not is_retired(BreakerState(override=held))


def test_what_is_left_moved_is_told_with_where_and_how_long() -> None:
    """A human can go and look."""
    data = left_moved_event("shop/login", "u", AWAY, 120.4).data
    assert isinstance(data, FailoverFailed)
    assert "Service login could not be brought home within 120 s: standby 100 % is left" in data.reason
    assert data.shares == {"target": 0, "standby": 100}
    unknown = left_moved_event("shop/login", "u", Placement(shares=Shares(0, 100)), 1).data
    assert "the route could not" in unknown.reason  # type: ignore[union-attr]


def test_who_asks_is_on_the_record() -> None:
    """As any operator."""
    data = retire_request("shop/login", "u").data
    assert data == OperatorRequested(
        action=Action.RETIRE, operator="fuseboard", reason="its CircuitBreaker is being deleted"
    )
