"""What operators ask of a breaker: trip, reset, hold, release; and retire, when its CircuitBreaker is deleted.

Pure. A request is a signal like any other; what it sets over the policy lives in the state until it is released or its
time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fuseboard.breaker.placement import Shares, owed
from fuseboard.breaker.state import Override, State
from fuseboard.breaker.transitions import Transition, first_cool_down
from fuseboard.events.types import Action

if TYPE_CHECKING:
    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.state import BreakerState
    from fuseboard.events.types import OperatorRequested
    from fuseboard.policy.spec import Policy


def obey(
    breaker: BreakerState, placement: Placement, told: OperatorRequested, seen: int, policy: Policy
) -> tuple[BreakerState, Transition | None, bool]:
    """Do what an operator asks; a request from before the last transition was about another state, and is stale."""
    if seen < max(breaker.watermark, breaker.asked):
        return breaker, None, False
    breaker = replace(breaker, asked=seen)
    until = seen + told.duration_ms if told.duration_ms else 0
    override: Override | None = Override(told.action, told.operator, told.reason, seen, until)
    match told.action:
        case Action.TRIP if breaker.state is State.OPEN:
            return replace(breaker, override=override), None, True
        case Action.TRIP:
            reason = f"tripped by {told.operator}: {told.reason}"
            kept = override if until else breaker.override
            return replace(breaker, override=kept), _asked(State.OPEN, reason, first_cool_down(policy)), True
        case Action.HOLD:
            return replace(breaker, override=override), None, True
        case Action.RELEASE:
            return replace(breaker, override=None), None, True
        case Action.RESET:
            override = breaker.override if breaker.is_held else None
        case Action.RETIRE:
            override = Override(Action.HOLD, told.operator, told.reason, seen)
    reason = f"reset by {told.operator}: {told.reason}"
    # Traffic that a mode has left at the standby comes home as well; what is on its way there already is left alone.
    is_home = placement.shares == Shares() or owed(placement, breaker)
    return (
        _forget(breaker, override),
        None if breaker.state is State.CLOSED and is_home else _asked(State.CLOSED, reason),
        True,
    )


def _asked(to: State, reason: str, cool_down: int = 0) -> Transition:
    return Transition(to, reason, cool_down, asked=True)


def _forget(breaker: BreakerState, override: Override | None) -> BreakerState:
    """Return the breaker without what spoke against its target up to now."""
    return replace(
        breaker,
        override=override,
        latched=False,
        opened=(),
        watermark=breaker.clock,
        conditions={},
        recheck_at=0,
        capacity={role: replace(each, short_since=0) for role, each in breaker.capacity.items()},
    )


def unless_over(breaker: BreakerState) -> BreakerState:
    """End what an operator has set once its time is over."""
    override = breaker.override
    is_over = override is not None and 0 < override.until <= breaker.clock
    return replace(breaker, override=None) if is_over else breaker
