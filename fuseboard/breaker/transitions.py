"""The table of transitions: where a breaker goes from each state, and under which guards.

The only place of these rules. ``transition`` takes the first transition whose guards are all met, ``moments`` lists
the times at which time alone may bring a transition, and ``outlook`` lists the unmet guards.

States and transitions are Nygard's ("Release It!", 2nd ed., ch. 5: Circuit Breaker) with a further state, LIMITED,
before OPEN: abnormal traffic is limited to a small range first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker import guards
from fuseboard.breaker.guards import Guard
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import State
from fuseboard.breaker.thresholds import lack, overload
from fuseboard.breaker.trial import failing_cause
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Transition(Struct, frozen=True):
    """A transition to take, with its reason."""

    to: State
    reason: str
    cool_down: int = 0
    timed: bool = False
    """Brought by time, not by evidence."""
    asked: bool = False
    """Requested by an operator."""


def _none(_: Row) -> int:
    return 0


class TransitionRule(Struct, frozen=True):
    """A line of the table."""

    to: State
    guards: tuple[Guard, ...]
    """All must be met."""
    reason: Callable[[Row], str]
    cool_down: Callable[[Row], int] = _none
    """The cool-down of the new state, in milliseconds."""
    timed: bool = False
    """Time alone may bring the transition; only timed rules have a moment."""

    def is_due(self, row: Row) -> bool:
        """Say whether all guards are met."""
        return all(guard.is_met(row) for guard in self.guards)

    def due_at(self, row: Row) -> int | None:
        """Return when time alone meets all guards; None when it does not."""
        due_at = row.state.clock + 1
        for guard in self.guards:
            if not guard.is_met(row):
                until = guard.until(row)
                if until is None:
                    return None
                due_at = max(due_at, until)
        return due_at

    def taken(self, row: Row) -> Transition:
        """Return the transition of this rule for a row."""
        return Transition(self.to, self.reason(row), self.cool_down(row), timed=self.timed)


# -- the table -------------------------------------------------------------------------------------------------------


def _first(row: Row) -> int:
    return row.first_cool_down


def _same(row: Row) -> int:
    return row.state.cool_down


def _doubled(row: Row) -> int:
    longest = duration_ms(row.policy.spec.recover.max_cool_down)
    return max(row.state.cool_down, min(2 * row.state.cool_down, longest))


def _why_half_open(row: Row) -> str:
    if guards.is_quiet(row):
        return f"the cool-down of {row.state.cool_down / 1000:g}s is over"
    return f"open for maxCoolDown ({row.policy.spec.recover.max_cool_down})"


def _next_share(row: Row) -> str:
    return f"the trial goes on with {row.having(trial=row.state.trial + 1).wanted.target} %"


_TRIPS: Final = (
    TransitionRule(State.OPEN, (guards.LACKING,), lack, _first, timed=True),
    TransitionRule(State.OPEN, (guards.OVERLOADED,), overload, _first),
    TransitionRule(
        State.OPEN,
        (guards.ENOUGH_SOURCES, guards.OPENS),
        lambda row: f"failures weigh {row.tally.opening}, openAt is {row.policy.spec.trip.open_at}",
        _first,
    ),
    TransitionRule(
        State.OPEN,
        (guards.ENOUGH_SOURCES, guards.CRITICAL),
        lambda row: f"a critical failure: {row.tally.critical}",
        _first,
    ),
)

_LIMITS: Final = TransitionRule(
    State.LIMITED,
    (guards.ENOUGH_SOURCES, guards.LIMITS),
    lambda row: f"failures weigh {row.tally.weight}, limitAt is {row.policy.spec.trip.limit_at}",
)

_LIMITED_TOO_LONG: Final = TransitionRule(
    State.OPEN,
    (guards.LIMITED_TOO_LONG,),
    lambda row: f"a failure held for {row.policy.spec.trip.limit_for} while limited",
    _first,
    timed=True,
)

_RECOVERS: Final = TransitionRule(
    State.CLOSED,
    (guards.NO_CONDITION, guards.BELOW_LIMIT, guards.HEALTHY, guards.PODS_READY),
    lambda row: f"healthy for {row.policy.spec.recover.healthy_for}",
    timed=True,
)

_TRIES: Final = TransitionRule(
    State.HALF_OPEN,
    (
        guards.NOT_FORCED,
        guards.NOT_LATCHED,
        guards.AUTOMATIC,
        guards.COOLED_DOWN,
        guards.PODS_READY,
        guards.PROBE_PASSES,
        guards.QUIET,
        guards.CARRIES_LOAD,
    ),
    _why_half_open,
    _same,
    timed=True,
)

_FAILS: Final = (
    TransitionRule(State.OPEN, (guards.FAILS,), lambda row: f"failed on trial: {failing_cause(row)}", _doubled),
    TransitionRule(
        State.OPEN, (guards.LACKING_ON_TRIAL,), lambda row: f"failed on trial: {lack(row)}", _doubled, timed=True
    ),
    TransitionRule(
        State.OPEN, (guards.OVERLOADED_ON_TRIAL,), lambda row: f"failed on trial: {overload(row)}", _doubled
    ),
)

_GOES_ON: Final = (
    TransitionRule(State.HALF_OPEN, (guards.MORE_SHARES, guards.PASSED_OVER), _next_share, timed=True),
    TransitionRule(
        State.HALF_OPEN,
        (guards.MORE_SHARES, guards.PLACED, guards.STAYED_HEALTHY, guards.PODS_READY),
        _next_share,
        timed=True,
    ),
)

_PASSES: Final = TransitionRule(
    State.CLOSED,
    (guards.LAST_SHARE, guards.PLACED, guards.STAYED_HEALTHY, guards.PODS_READY),
    lambda row: f"healthy on trial for {row.policy.spec.recover.healthy_for}",
    timed=True,
)

_TAKES_TOO_LONG: Final = TransitionRule(
    State.OPEN,
    (guards.TRIAL_OVER,),
    lambda row: f"the trial took longer than {row.policy.spec.recover.max_trial}",
    _same,
    timed=True,
)

TABLE: Final[Mapping[State, tuple[TransitionRule, ...]]] = {
    State.CLOSED: (*_TRIPS, _LIMITS),
    State.LIMITED: (*_TRIPS, _LIMITED_TOO_LONG, _RECOVERS),
    State.OPEN: (_TRIES,),
    State.HALF_OPEN: (*_FAILS, *_GOES_ON, _PASSES, _TAKES_TOO_LONG),
}
"""The transitions from each state, in order. From HALF_OPEN to HALF_OPEN: the trial goes on with its next share."""


# -- what follows from it --------------------------------------------------------------------------------------------


def is_blocked(row: Row) -> bool:
    """Say whether only an operator may move the breaker now."""
    return not all(guard.is_met(row) for guard in guards.ALWAYS)


def transition(row: Row) -> Transition | None:
    """Return the transition to take now; None where the breaker stays."""
    if is_blocked(row):
        return None
    rule = next((rule for rule in TABLE[row.state.state] if rule.is_due(row)), None)
    return None if rule is None else rule.taken(row)


def moments(row: Row) -> Iterator[int]:
    """Yield the times at which time alone may change the breaker; some may have passed."""
    state = row.state
    yield state.held_until
    if state.override is not None:
        yield state.override.until
    if is_blocked(row):
        return
    yield state.recheck_at
    for rule in TABLE[state.state]:
        due_at = rule.due_at(row) if rule.timed else None
        if due_at is not None:
            yield due_at
    if state.since == state.clock and transition(row) is not None:
        yield state.clock + 1  # a transition may be due at once after a transition


def next_due(row: Row) -> int | None:
    """Return when time alone may change the breaker, in milliseconds since 1970; None when it cannot."""
    to_come = (moment for moment in moments(row) if moment > row.state.clock)
    moment = min(to_come, default=None)
    return None if moment is None else max(moment, row.state.held_until)
