"""What keeps a breaker where it is, and what comes next if nobody says anything.

What blocks is read off the table of edges (``edges.py``): the two change together, and a test holds them together. What
comes next is not worked out a second time: the breaker itself is shown the times that it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker.placement import wanted
from fuseboard.breaker.state import BreakerState, State
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

    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.state import Dependency, Override
    from fuseboard.breaker.step import Decision
    from fuseboard.policy.spec import Policy

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

    breaker: BreakerState
    """As it is now: what time has ended is left behind."""
    blocked: tuple[Blocked, ...]
    ahead: Ahead | None
    evidence: str
    """What failures would do to it; empty where they do nothing."""


def outlook(
    breaker: BreakerState, placement: Placement, policy: Policy, now: int, dependencies: Sequence[Dependency] = ()
) -> Outlook:
    """Return how things stand with a breaker at ``now``."""
    then = _at(breaker, placement, policy, max(now, breaker.clock), dependencies)
    ahead = _passes(then, breaker, policy)
    if ahead is not None:  # its time has come, and nobody has told it yet
        return Outlook(breaker, (), ahead, "")
    current = then.breaker
    blocked = tuple(_blocked(current, placement, policy))
    return Outlook(current, blocked, _ahead(current, placement, policy, dependencies), _evidence(current, policy))


# -- what comes next -------------------------------------------------------------------------------------------------


def _ahead(
    breaker: BreakerState, placement: Placement, policy: Policy, dependencies: Sequence[Dependency]
) -> Ahead | None:
    for _ in range(MAX_LOOKS):
        at = next_due(breaker, placement, policy)
        if at is None:
            return None
        then = _at(breaker, placement, policy, at, dependencies)
        found = _passes(then, breaker, policy)
        if found is not None:
            return found
        breaker = then.breaker
    return None


def _at(
    breaker: BreakerState, placement: Placement, policy: Policy, at: int, dependencies: Sequence[Dependency]
) -> Decision:
    tick = Event(id="", source="/fuseboard/outlook", subject=policy.key, data=TimerElapsed(due_at=at), time=at)
    return step(breaker, placement, tick, policy, at, dependencies)


def _passes(then: Decision, before: BreakerState, policy: Policy) -> Ahead | None:
    """Return what a time brought, if it brought anything."""
    after = then.breaker
    if then.moved:
        return Ahead(after.since, after.state, after.reason)
    if after.trial > before.trial:
        return Ahead(after.trial_since, after.state, f"the trial goes on with {wanted(after, policy).target} %")
    return None


# -- what blocks -----------------------------------------------------------------------------------------------------


def _blocked(breaker: BreakerState, placement: Placement, policy: Policy) -> Iterator[Blocked]:
    """Yield what keeps the breaker from moving, or from getting well; nothing where an edge is to be taken."""
    anyway = list(_blocked_anyway(breaker, policy))
    yield from anyway
    if anyway or edge(breaker, placement, policy) is None:  # what blocks besides a hold is there when it ends
        yield from _BLOCKED[breaker.state](breaker, placement, policy)


def _blocked_anyway(breaker: BreakerState, policy: Policy) -> Iterator[Blocked]:
    override = breaker.override
    if breaker.clock < breaker.held_until:
        yield Blocked("nothing moves it: memory was lost, or the clock was set back", breaker.held_until)
    if override is not None and breaker.is_held:
        yield Blocked(f"held by {_who(override)}", override.until)
    if breaker.mode(policy) is Mode.DISABLED:
        yield Blocked("the mode is Disabled: nothing moves it but an operator")


def _when_closed(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[Blocked]:
    trip = policy.spec.trip
    if breaker.weight >= trip.limit_at and len(breaker.causes) < trip.minimum_sources:
        text = f"failures weigh {breaker.weight}, of {len(breaker.causes)} causes: minimumSources is"
        yield Blocked(f"{text} {trip.minimum_sources}")


def _when_limited(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[Blocked]:
    if breaker.healthy_since:
        healthy_for = policy.spec.recover.healthy_for
        yield Blocked(f"not yet healthy for {healthy_for}", breaker.healthy_since + duration_ms(healthy_for))
    elif breaker.holding:
        yield Blocked(_conditions(breaker))
    elif breaker.weight >= policy.spec.trip.limit_at:
        yield Blocked(f"failures weigh {breaker.weight}, limitAt is {policy.spec.trip.limit_at}")
    yield from _short(breaker, policy)


def _when_open(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[Blocked]:
    yield from _stays_open(breaker, policy)
    cooled = breaker.since + breaker.cool_down
    if breaker.clock < cooled:
        yield Blocked(f"the cool-down of {breaker.cool_down / 1000:g}s is not over", cooled)
    yield from _short(breaker, policy)
    known = breaker.capacity.get(Role.TARGET)
    if known is not None and is_probe_failing(breaker, policy):
        yield Blocked(f"the probe fails: {known.probe}")
    gives_in = breaker.since + duration_ms(policy.spec.recover.max_cool_down)
    if breaker.clock >= gives_in:
        return
    limit_at = policy.spec.trip.limit_at
    if sum(each.weight for each in breaker.holding) >= limit_at:
        yield Blocked(f"{_conditions(breaker)}, limitAt is {limit_at}", gives_in)
    if is_overloaded(breaker, 0, policy):
        yield Blocked(overload(breaker, policy), gives_in)


def _stays_open(breaker: BreakerState, policy: Policy) -> Iterator[Blocked]:
    """Yield what only an operator, or an edit of the policy, ends."""
    override = breaker.override
    if policy.spec.mode is Mode.FORCED_OPEN:
        yield Blocked("the policy's mode is ForcedOpen")
    elif override is not None and breaker.mode(policy) is Mode.FORCED_OPEN:
        yield Blocked(f"ForcedOpen by {_who(override)}", override.until)
    if breaker.latched:
        yield Blocked(f"latched: opened {FLAPS} times within an hour: fuseboard reset {policy.key} --reason …")
    if policy.spec.recover.mode is RecoverMode.MANUAL:
        yield Blocked(f"recover.mode is Manual: fuseboard reset {policy.key} --reason …")


def _when_half_open(breaker: BreakerState, placement: Placement, policy: Policy) -> Iterator[Blocked]:
    healthy_for, since = policy.spec.recover.healthy_for, on_trial_since(breaker, placement)
    share = wanted(breaker, policy).target
    if not since:
        yield Blocked(f"the placement of its trial with {share} % is not verified yet")
    elif breaker.clock < since + duration_ms(healthy_for):
        yield Blocked(f"not yet healthy for {healthy_for} with {share} %", since + duration_ms(healthy_for))
    yield from _short(breaker, policy)


def _short(breaker: BreakerState, policy: Policy) -> Iterator[Blocked]:
    known = breaker.capacity.get(Role.TARGET)
    if known is not None and breaker.lacks(policy):
        yield Blocked(lack(known, policy))


def _conditions(breaker: BreakerState) -> str:
    count, weight = len(breaker.holding), sum(each.weight for each in breaker.holding)
    return f"{count} condition{'s weigh' if count > 1 else ' weighs'} {weight}"


def _who(override: Override) -> str:
    return f"{override.operator}: {override.reason}"


_BLOCKED: Final[Mapping[State, Callable[[BreakerState, Placement, Policy], Iterator[Blocked]]]] = {
    State.CLOSED: _when_closed,
    State.LIMITED: _when_limited,
    State.OPEN: _when_open,
    State.HALF_OPEN: _when_half_open,
}


# -- what failures would do ------------------------------------------------------------------------------------------


def _evidence(breaker: BreakerState, policy: Policy) -> str:
    """Say what failures would do."""
    trip, weight = policy.spec.trip, breaker.weight
    if any(_blocked_anyway(breaker, policy)) or breaker.state is State.OPEN:
        return ""
    if breaker.state is State.CLOSED:
        return f"failures weigh {weight}: it limits from {trip.limit_at} on, and opens from {trip.open_at} on"
    if breaker.state is State.LIMITED:
        return f"failures weigh {weight}: it opens from {trip.open_at} on"
    return "a failure that counts opens it again, for a longer cool-down"
