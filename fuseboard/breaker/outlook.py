"""The outlook of a breaker: why it stays in its state, and its next transition if no signal comes.

Both are read from the table of transitions: unmet guards keep the breaker in its state, and the next
transition is found by showing the breaker the times that its guards wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker import guards
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import State
from fuseboard.breaker.step import step
from fuseboard.breaker.transitions import TABLE, is_blocked, next_due, transition
from fuseboard.events.event import Event
from fuseboard.events.types import TimerElapsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuseboard.breaker.guards import Guard
    from fuseboard.breaker.state import Dependency
    from fuseboard.breaker.step import Decision

MAX_LOOKS: Final = 600
"""How many moments are tried: more than a row has leases."""


class Blocked(Struct, frozen=True):
    """A guard that keeps a breaker in its state."""

    text: str
    until: int = 0
    """When time meets the guard, in milliseconds since 1970; 0 where it does not, or where the breaker moves before."""


class Ahead(Struct, frozen=True):
    """The transition that time alone brings if no signal comes before."""

    at: int
    state: State
    text: str


class Outlook(Struct, frozen=True):
    """Why a breaker stays, and its next transition."""

    row: Row
    """The row as it is now: evidence and overrides that time has ended are gone."""
    blocked: tuple[Blocked, ...]
    ahead: Ahead | None
    evidence: str
    """The effect of further failures; empty without an effect."""


def outlook(row: Row, dependencies: Sequence[Dependency] = ()) -> Outlook:
    """Return why a breaker stays and its next transition, at the row's time."""
    then = _at(row, max(row.now, row.state.clock), dependencies)
    ahead = _brought(then)
    if ahead is not None:  # due, and the clock has not sent the timer yet
        return Outlook(row, (), ahead, "")
    current, ahead = then.after, _ahead(then.after, dependencies)
    return Outlook(current, tuple(_blocked(current, ahead)), ahead, _evidence(current))


# -- the next transition -----------------------------------------------------------------------------------------------


def _ahead(row: Row, dependencies: Sequence[Dependency]) -> Ahead | None:
    for _ in range(MAX_LOOKS):
        at = next_due(row)
        if at is None:
            return None
        then = _at(row, at, dependencies)
        ahead = _brought(then)
        if ahead is not None:
            return ahead
        row = then.after
    return None


def _at(row: Row, now: int, dependencies: Sequence[Dependency]) -> Decision:
    tick = Event(id="", source="/fuseboard/outlook", subject=row.key, data=TimerElapsed(due_at=now), time=now)
    return step(row.at(now), tick, dependencies)


def _brought(then: Decision) -> Ahead | None:
    """Return the transition that a time brought; None where the breaker stayed."""
    after = then.after.state
    if then.moved:
        return Ahead(after.since, after.state, after.reason)
    if after.trial > then.before.state.trial:
        return Ahead(after.trial_since, after.state, f"the trial goes on with {then.after.wanted.target} %")
    return None


# -- unmet guards -----------------------------------------------------------------------------------------------------


def _blocked(row: Row, ahead: Ahead | None) -> Iterator[Blocked]:
    """Yield the unmet guards; none where a transition is due."""
    if not is_blocked(row) and transition(row) is not None:
        return
    of_state = (guard for rule in TABLE[row.state.state] for guard in rule.guards)
    for guard in dict.fromkeys((*guards.ALWAYS, *of_state)):  # a guard of several transitions is listed once
        text = "" if guard.is_met(row) else guard.text(row)
        if text:
            yield Blocked(text, _until(guard, row, ahead))


def _until(guard: Guard, row: Row, ahead: Ahead | None) -> int:
    """Return when time meets a guard; 0 where it does not, or where another transition comes first."""
    until = guard.until(row) or 0
    return 0 if ahead is not None and until > ahead.at else until


# -- the effect of failures ------------------------------------------------------------------------------------------


def _evidence(row: Row) -> str:
    """Describe the effect of further failures."""
    trip, weight, state = row.policy.spec.trip, row.tally.weight, row.state.state
    if is_blocked(row) or state is State.OPEN:
        return ""
    if state is State.CLOSED:
        return f"failures weigh {weight}: it limits from {trip.limit_at} on, and opens from {trip.open_at} on"
    if state is State.LIMITED:
        return f"failures weigh {weight}: it opens from {trip.open_at} on"
    return "a failure that counts opens it again, for a longer cool-down"
