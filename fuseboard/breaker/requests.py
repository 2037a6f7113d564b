"""Requests of operators: trip, reset, hold, release; and retire, when the CircuitBreaker is deleted.

Pure. A request is a signal. An override stays in the state until another request releases it or its time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from fuseboard.breaker.placement import Shares
from fuseboard.breaker.state import Override, State
from fuseboard.breaker.transitions import Transition
from fuseboard.events.types import Action

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState
    from fuseboard.events.types import OperatorRequested


def obey(row: Row, told: OperatorRequested, seen: int) -> tuple[Row, Transition | None, bool]:
    """Apply a request; a request from before the last transition was about another state, and is stale.

    Returns the row, the transition that the operator asks for, and whether the request was applied.
    """
    state = row.state
    if seen < max(state.watermark, state.asked):
        return row, None, False
    until = seen + told.duration_ms if told.duration_ms else 0
    override: Override | None = Override(told.action, told.operator, told.reason, seen, until)
    match told.action:
        case Action.TRIP if state.state is State.OPEN:
            return row.having(asked=seen, override=override), None, True
        case Action.TRIP:
            reason = f"tripped by {told.operator}: {told.reason}"
            kept = override if until else state.override
            return row.having(asked=seen, override=kept), _asked(State.OPEN, reason, row.first_cool_down), True
        case Action.HOLD:
            return row.having(asked=seen, override=override), None, True
        case Action.RELEASE:
            return row.having(asked=seen, override=None), None, True
        case Action.RESET:
            override = state.override if state.is_held else None
        case Action.RETIRE:
            override = Override(Action.HOLD, told.operator, told.reason, seen)
    reason = f"reset by {told.operator}: {told.reason}"
    # Traffic that a mode has left at the standby comes home as well; traffic on its way home is left alone.
    is_home = row.placement.shares == Shares() or row.owed
    return (
        row.having(asked=seen, override=override, **_forgotten(state)),
        None if state.state is State.CLOSED and is_home else _asked(State.CLOSED, reason),
        True,
    )


def _asked(to: State, reason: str, cool_down: int = 0) -> Transition:
    return Transition(to, reason, cool_down, asked=True)


def _forgotten(state: BreakerState) -> dict[str, Any]:
    """Return the fields of a state without the evidence up to now."""
    return {
        "latched": False,
        "opened": (),
        "watermark": state.clock,
        "conditions": {},
        "recheck_at": 0,
        "capacity": {role: replace(each, short_since=0) for role, each in state.capacity.items()},
    }


def unless_over(row: Row) -> Row:
    """End an override once its time is over."""
    override = row.state.override
    is_over = override is not None and 0 < override.until <= row.state.clock
    return row.having(override=None) if is_over else row
