"""What keeps a breaker where it is, and what comes next if nobody says anything.

What blocks is read off the table of edges (``edges.py``): the two change together, and a test holds them together. What
comes next is not worked out a second time: the breaker itself is shown the times that it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker.row import Row
from fuseboard.breaker.state import State
from fuseboard.breaker.step import FLAPS, next_due, step
from fuseboard.breaker.thresholds import is_overloaded, is_probe_failing, lack, overload
from fuseboard.breaker.transitions import edge, on_trial_since
from fuseboard.events.event import Event
from fuseboard.events.types import TimerElapsed
from fuseboard.policy.enums import Mode, RecoverMode
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fuseboard.breaker.state import Dependency, Override
    from fuseboard.breaker.step import Decision

MAX_LOOKS: Final = 600
"""How many times are looked at: more than there are leases in a record."""


class Blocked(Struct, frozen=True):
    """One thing that keeps a breaker where it is."""

    text: str
    until: int = 0
    """When it ends by itself; 0 where time does not end it."""


class Ahead(Struct, frozen=True):
    """What time alone brings, if nobody says anything until then."""

    at: int
    state: State
    text: str


class Outlook(Struct, frozen=True):
    """Why a breaker stays, and what comes next."""

    row: Row
    """As it is now: what time has ended is left behind."""
    blocked: tuple[Blocked, ...]
    ahead: Ahead | None
    evidence: str
    """What failures would do to it; empty where they do nothing."""


def outlook(row: Row, dependencies: Sequence[Dependency] = ()) -> Outlook:
    """Return how things stand with a breaker at the row's time."""
    then = _at(row, max(row.now, row.state.clock), dependencies)
    ahead = _passes(then)
    if ahead is not None:  # its time has come, and nobody has told it yet
        return Outlook(row, (), ahead, "")
    current = then.after
    return Outlook(current, tuple(_blocked(current)), _ahead(current, dependencies), _evidence(current))


# -- what comes next -------------------------------------------------------------------------------------------------


def _ahead(row: Row, dependencies: Sequence[Dependency]) -> Ahead | None:
    for _ in range(MAX_LOOKS):
        at = next_due(row)
        if at is None:
            return None
        then = _at(row, at, dependencies)
        found = _passes(then)
        if found is not None:
            return found
        row = then.after
    return None


def _at(row: Row, now: int, dependencies: Sequence[Dependency]) -> Decision:
    tick = Event(id="", source="/fuseboard/outlook", subject=row.key, data=TimerElapsed(due_at=now), time=now)
    return step(row.at(now), tick, dependencies)


def _passes(then: Decision) -> Ahead | None:
    """Return what a time brought, if it brought anything."""
    after = then.after.state
    if then.moved:
        return Ahead(after.since, after.state, after.reason)
    if after.trial > then.before.state.trial:
        return Ahead(after.trial_since, after.state, f"the trial goes on with {then.after.wanted.target} %")
    return None


# -- what blocks -----------------------------------------------------------------------------------------------------


def _blocked(row: Row) -> Iterator[Blocked]:
    """Yield what keeps the breaker from moving, or from getting well; nothing where an edge is to be taken."""
    anyway = list(_blocked_anyway(row))
    yield from anyway
    if anyway or edge(row) is None:  # what blocks besides a hold is there when it ends
        yield from _BLOCKED[row.state.state](row)


def _blocked_anyway(row: Row) -> Iterator[Blocked]:
    override = row.state.override
    if row.state.clock < row.state.held_until:
        yield Blocked("nothing moves it: memory was lost, or the clock was set back", row.state.held_until)
    if override is not None and row.state.is_held:
        yield Blocked(f"held by {_who(override)}", override.until)
    if row.mode is Mode.DISABLED:
        yield Blocked("the mode is Disabled: nothing moves it but an operator")


def _when_closed(row: Row) -> Iterator[Blocked]:
    trip = row.policy.spec.trip
    if row.state.weight >= trip.limit_at and len(row.state.causes) < trip.minimum_sources:
        text = f"failures weigh {row.state.weight}, of {len(row.state.causes)} causes: minimumSources is"
        yield Blocked(f"{text} {trip.minimum_sources}")


def _when_limited(row: Row) -> Iterator[Blocked]:
    if row.state.healthy_since:
        healthy_for = row.policy.spec.recover.healthy_for
        yield Blocked(f"not yet healthy for {healthy_for}", row.state.healthy_since + duration_ms(healthy_for))
    elif row.state.holding:
        yield Blocked(_conditions(row))
    elif row.state.weight >= row.policy.spec.trip.limit_at:
        yield Blocked(f"failures weigh {row.state.weight}, limitAt is {row.policy.spec.trip.limit_at}")
    yield from _short(row)


def _when_open(row: Row) -> Iterator[Blocked]:
    yield from _stays_open(row)
    cooled = row.state.since + row.state.cool_down
    if row.state.clock < cooled:
        yield Blocked(f"the cool-down of {row.state.cool_down / 1000:g}s is not over", cooled)
    yield from _short(row)
    known = row.state.capacity.get(Role.TARGET)
    if known is not None and is_probe_failing(row):
        yield Blocked(f"the probe fails: {known.probe}")
    gives_in = row.state.since + duration_ms(row.policy.spec.recover.max_cool_down)
    if row.state.clock >= gives_in:
        return
    limit_at = row.policy.spec.trip.limit_at
    if sum(each.weight for each in row.state.holding) >= limit_at:
        yield Blocked(f"{_conditions(row)}, limitAt is {limit_at}", gives_in)
    if is_overloaded(row, 0):
        yield Blocked(overload(row), gives_in)


def _stays_open(row: Row) -> Iterator[Blocked]:
    """Yield what only an operator, or an edit of the policy, ends."""
    override = row.state.override
    if row.policy.spec.mode is Mode.FORCED_OPEN:
        yield Blocked("the policy's mode is ForcedOpen")
    elif override is not None and row.mode is Mode.FORCED_OPEN:
        yield Blocked(f"ForcedOpen by {_who(override)}", override.until)
    if row.state.latched:
        yield Blocked(f"latched: opened {FLAPS} times within an hour: fuseboard reset {row.policy.key} --reason …")
    if row.policy.spec.recover.mode is RecoverMode.MANUAL:
        yield Blocked(f"recover.mode is Manual: fuseboard reset {row.policy.key} --reason …")


def _when_half_open(row: Row) -> Iterator[Blocked]:
    healthy_for, since = row.policy.spec.recover.healthy_for, on_trial_since(row)
    share = row.wanted.target
    if not since:
        yield Blocked(f"the placement of its trial with {share} % is not verified yet")
    elif row.state.clock < since + duration_ms(healthy_for):
        yield Blocked(f"not yet healthy for {healthy_for} with {share} %", since + duration_ms(healthy_for))
    yield from _short(row)


def _short(row: Row) -> Iterator[Blocked]:
    known = row.state.capacity.get(Role.TARGET)
    if known is not None and row.lacks:
        yield Blocked(lack(known, row))


def _conditions(row: Row) -> str:
    count, weight = len(row.state.holding), sum(each.weight for each in row.state.holding)
    return f"{count} condition{'s weigh' if count > 1 else ' weighs'} {weight}"


def _who(override: Override) -> str:
    return f"{override.operator}: {override.reason}"


_BLOCKED: Final[Mapping[State, Callable[[Row], Iterator[Blocked]]]] = {
    State.CLOSED: _when_closed,
    State.LIMITED: _when_limited,
    State.OPEN: _when_open,
    State.HALF_OPEN: _when_half_open,
}


# -- what failures would do ------------------------------------------------------------------------------------------


def _evidence(row: Row) -> str:
    """Say what failures would do."""
    trip, weight = row.policy.spec.trip, row.state.weight
    if any(_blocked_anyway(row)) or row.state.state is State.OPEN:
        return ""
    if row.state.state is State.CLOSED:
        return f"failures weigh {weight}: it limits from {trip.limit_at} on, and opens from {trip.open_at} on"
    if row.state.state is State.LIMITED:
        return f"failures weigh {weight}: it opens from {trip.open_at} on"
    return "a failure that counts opens it again, for a longer cool-down"
