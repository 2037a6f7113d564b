"""The table of edges: which state follows, and when time alone may bring it.

``edge`` looks at a breaker as it is now and takes nothing in; ``moments`` has the times at which ``edge`` may answer
otherwise without a signal. The two change together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.placement import verified
from fuseboard.breaker.state import State
from fuseboard.breaker.thresholds import (
    is_overloaded,
    is_probe_failing,
    lack,
    lacking_at,
    load_lease,
    overload,
    unknown_at,
)
from fuseboard.policy.enums import Mode, RecoverMode
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from fuseboard.breaker.evidence import Occurrence
    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.state import BreakerState
    from fuseboard.policy.spec import Policy

CLOCK_STEP_MS: Final = 60_000
"""A clock that runs back by less is ignored; by more, it is adopted after one cool-down."""


class Transition(Struct, frozen=True):
    """An edge of the table that is to be taken, and why."""

    to: State
    reason: str
    cool_down: int = 0
    timed: bool = False
    """Time alone brought it, not evidence."""
    asked: bool = False
    """An operator did."""


def edge(breaker: BreakerState, placement: Placement, policy: Policy) -> Transition | None:
    """Return the edge that is to be taken now; None where the breaker stays."""
    return None if _is_blocked(breaker, policy) else _EDGES[breaker.state](breaker, placement, policy)


def next_share(breaker: BreakerState, placement: Placement, policy: Policy) -> bool:
    """Say whether a trial goes on to its next share: this one stayed healthy, or the route cannot express it."""
    if breaker.state is not State.HALF_OPEN or _is_blocked(breaker, policy) or _is_last(breaker, policy):
        return False
    if _is_passed_over(breaker, placement):
        return True
    since = on_trial_since(breaker, placement)
    healthy = bool(since) and breaker.clock >= since + duration_ms(policy.spec.recover.healthy_for)
    return healthy and not breaker.lacks(policy) and not _failed(breaker, since, policy)


def moments(breaker: BreakerState, placement: Placement, policy: Policy) -> Iterator[int]:
    """Yield the times at which time alone may move the breaker; some may have passed."""
    yield breaker.held_until
    if breaker.override is not None:
        yield breaker.override.until
    if not _is_blocked(breaker, policy) or breaker.clock < breaker.held_until:
        yield breaker.recheck_at
        yield from _MOMENTS[breaker.state](breaker, placement, policy)


def on_trial_since(breaker: BreakerState, placement: Placement) -> int:
    """Return since when the trial's share counts; 0 when it does not yet, or the target was not given any traffic."""
    since = verified(breaker, placement) if placement.shares.target else 0
    if since > breaker.clock + CLOCK_STEP_MS and breaker.since < breaker.held_until:
        return breaker.held_until  # the clock was set back since: the placement has its time from before
    return since


def first_cool_down(policy: Policy) -> int:
    """Return the cool-down of an episode's first opening, in milliseconds."""
    return duration_ms(policy.spec.recover.cool_down)


def _is_blocked(breaker: BreakerState, policy: Policy) -> bool:
    return breaker.clock < breaker.held_until or breaker.is_held or breaker.mode(policy) is Mode.DISABLED


# -- CLOSED and LIMITED ----------------------------------------------------------------------------------------------


def _from_closed(breaker: BreakerState, _: Placement, policy: Policy) -> Transition | None:
    return _exceeded(breaker, policy) or _weighs(breaker, policy)


def _from_limited(breaker: BreakerState, _: Placement, policy: Policy) -> Transition | None:
    grown = _exceeded(breaker, policy) or _weighs(breaker, policy)
    if grown is not None and grown.to is State.OPEN:
        return grown
    limit_for, healthy_for = policy.spec.trip.limit_for, policy.spec.recover.healthy_for
    if any(moment <= breaker.clock for moment in _limits(breaker, policy)):
        return Transition(
            State.OPEN, f"a failure held for {limit_for} while limited", first_cool_down(policy), timed=True
        )
    if breaker.healthy_since and breaker.clock >= breaker.healthy_since + duration_ms(healthy_for):
        return Transition(State.CLOSED, f"healthy for {healthy_for}", timed=True)
    return None


def _exceeded(breaker: BreakerState, policy: Policy) -> Transition | None:
    """Return the edge where the table's capacity is exceeded: too few pods for too long, or too much load."""
    known, lacking = breaker.capacity.get(Role.TARGET), lacking_at(breaker, policy)
    if known is not None and lacking is not None and lacking <= breaker.clock:
        return Transition(State.OPEN, lack(known, policy), first_cool_down(policy), timed=True)
    if is_overloaded(breaker, breaker.watermark, policy):
        return Transition(State.OPEN, overload(breaker, policy), first_cool_down(policy))
    return None


def _weighs(breaker: BreakerState, policy: Policy) -> Transition | None:
    """Return the edge that the weight of the evidence asks for."""
    trip, causes, weight, opens, critical = policy.spec.trip, set[str](), 0, 0, ""
    for each in breaker.weighing:  # one pass: the window may be long, and this is at every decision
        causes.add(each.cause)
        weight += each.weight
        opens += 0 if each.limits_only else each.weight
        critical = critical or (each.cause if each.critical else "")
    if len(causes) < trip.minimum_sources:
        return None
    if opens >= trip.open_at:
        return Transition(State.OPEN, f"failures weigh {opens}, openAt is {trip.open_at}", first_cool_down(policy))
    if critical and trip.trip_on_critical:
        return Transition(State.OPEN, f"a critical failure: {critical}", first_cool_down(policy))
    if weight >= trip.limit_at:
        return Transition(State.LIMITED, f"failures weigh {weight}, limitAt is {trip.limit_at}")
    return None


def _when_closed(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[int]:
    yield lacking_at(breaker, policy) or 0
    if breaker.conditions and _weighs(breaker, policy) is not None:
        yield breaker.clock + 1  # a condition that only limits was left by a trial


def _when_limited(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[int]:
    yield lacking_at(breaker, policy) or 0
    if breaker.healthy_since:
        yield breaker.healthy_since + duration_ms(policy.spec.recover.healthy_for)
    else:
        yield from _lapses((*breaker.weighing, *breaker.conditions.values()), policy)
        yield from _limits(breaker, policy)
        yield unknown_at(breaker)


def _limits(breaker: BreakerState, policy: Policy) -> list[int]:
    """Return when conditions will have held for ``limitFor`` in LIMITED."""
    limit_for = policy.spec.trip.limit_for
    if limit_for is None:
        return []
    opening = (each for each in breaker.holding if not each.limits_only)
    return [max(each.since, breaker.since) + duration_ms(limit_for) for each in opening]


# -- OPEN ------------------------------------------------------------------------------------------------------------


def _from_open(breaker: BreakerState, _: Placement, policy: Policy) -> Transition | None:
    recover, open_for = policy.spec.recover, breaker.clock - breaker.since
    if _stays_open(breaker, policy) or open_for < breaker.cool_down:
        return None
    if breaker.lacks(policy) or is_probe_failing(breaker, policy):
        return None
    still_holds = sum(each.weight for each in breaker.holding) >= policy.spec.trip.limit_at
    if not still_holds and not is_overloaded(breaker, 0, policy):
        reason = f"the cool-down of {breaker.cool_down / 1000:g}s is over"
    elif open_for >= duration_ms(recover.max_cool_down):
        reason = f"open for maxCoolDown ({recover.max_cool_down})"
    else:
        return None
    return Transition(State.HALF_OPEN, reason, breaker.cool_down, timed=True)


def _stays_open(breaker: BreakerState, policy: Policy) -> bool:
    """Say whether only an operator, or an edit of the policy, lets it try its target."""
    forced = breaker.mode(policy) is Mode.FORCED_OPEN
    return forced or breaker.latched or policy.spec.recover.mode is RecoverMode.MANUAL


def _when_open(breaker: BreakerState, _: Placement, policy: Policy) -> Iterator[int]:
    if _stays_open(breaker, policy):
        return
    cooled = breaker.since + breaker.cool_down
    yield cooled
    if breaker.clock >= cooled:
        yield from _lapses(breaker.holding, policy)
        yield breaker.since + duration_ms(policy.spec.recover.max_cool_down)
        yield unknown_at(breaker)
        if breaker.load is not None:
            yield breaker.load.seen + load_lease(policy)


# -- HALF_OPEN -------------------------------------------------------------------------------------------------------


def _from_half_open(breaker: BreakerState, placement: Placement, policy: Policy) -> Transition | None:
    recover, since = policy.spec.recover, on_trial_since(breaker, placement)
    failed = _failed(breaker, _at_stake_since(breaker, placement), policy)
    if failed:
        doubled = max(breaker.cool_down, min(2 * breaker.cool_down, duration_ms(recover.max_cool_down)))
        return Transition(State.OPEN, f"failed on trial: {failed}", doubled, timed=breaker.lacks(policy))
    healthy = bool(since) and breaker.clock >= since + duration_ms(recover.healthy_for)
    if healthy and _is_last(breaker, policy) and not breaker.lacks(policy):
        return Transition(State.CLOSED, f"healthy on trial for {recover.healthy_for}", timed=True)
    if breaker.clock >= breaker.since + duration_ms(recover.max_trial):
        return Transition(State.OPEN, f"the trial took longer than {recover.max_trial}", breaker.cool_down, timed=True)
    return None


def _at_stake_since(breaker: BreakerState, placement: Placement) -> int:
    """Return since when failures fail the trial: between two shares, the target serves on by the one before."""
    since = on_trial_since(breaker, placement)
    serves = placement.epoch == breaker.epoch and placement.shares.target
    return since or (breaker.trial_since if serves else 0)


def _failed(breaker: BreakerState, since: int, policy: Policy) -> str:
    """Say what failed the trial since it counts; nothing where nothing did."""
    if not since:
        return ""
    floor = max(since, breaker.watermark)
    cause = next((each.cause for each in breaker.weighing if each.seen > floor and not each.limits_only), "")
    if cause:
        return cause
    known, lacking = breaker.capacity.get(Role.TARGET), lacking_at(breaker, policy, since)
    if known is not None and lacking is not None and lacking <= breaker.clock:
        return lack(known, policy)
    return overload(breaker, policy) if is_overloaded(breaker, floor, policy) else ""


def _is_last(breaker: BreakerState, policy: Policy) -> bool:
    return breaker.trial >= len(policy.spec.recover.shares) - 1


def _is_passed_over(breaker: BreakerState, placement: Placement) -> bool:
    """Say whether the route cannot express the trial's share."""
    return bool(verified(breaker, placement)) and placement.inexpressible


def _when_half_open(breaker: BreakerState, placement: Placement, policy: Policy) -> Iterator[int]:
    yield breaker.since + duration_ms(policy.spec.recover.max_trial)
    since = on_trial_since(breaker, placement)
    if since:
        yield since + duration_ms(policy.spec.recover.healthy_for)
    at_stake_since = _at_stake_since(breaker, placement)
    if at_stake_since:
        yield lacking_at(breaker, policy, at_stake_since) or 0
    if _is_passed_over(breaker, placement) and not _is_last(breaker, policy):
        # Whoever placed it may be a little behind whoever last decided, by the store's clock as each of them knows it.
        yield max(placement.verified_at, breaker.clock + 1)


def _lapses(weighing: Iterable[Occurrence | Condition], policy: Policy) -> Iterator[int]:
    """Yield when evidence weighs no more, if nobody says anything."""
    lease, window = policy.spec.signals.lease_ms, duration_ms(policy.spec.trip.window)
    for each in weighing:
        yield each.seen + (lease if isinstance(each, Condition) else window)


_EDGES: Final[Mapping[State, Callable[[BreakerState, Placement, Policy], Transition | None]]] = {
    State.CLOSED: _from_closed,
    State.LIMITED: _from_limited,
    State.OPEN: _from_open,
    State.HALF_OPEN: _from_half_open,
}

_MOMENTS: Final[Mapping[State, Callable[[BreakerState, Placement, Policy], Iterator[int]]]] = {
    State.CLOSED: _when_closed,
    State.LIMITED: _when_limited,
    State.OPEN: _when_open,
    State.HALF_OPEN: _when_half_open,
}
