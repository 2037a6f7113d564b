"""The table of edges: which state follows, and when time alone may bring it.

``edge`` looks at a breaker as it is now and takes nothing in; ``moments`` has the times at which ``edge`` may answer
otherwise without a signal. The two change together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.row import CLOCK_STEP_MS
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
    from fuseboard.breaker.row import Row


class Transition(Struct, frozen=True):
    """An edge of the table that is to be taken, and why."""

    to: State
    reason: str
    cool_down: int = 0
    timed: bool = False
    """Time alone brought it, not evidence."""
    asked: bool = False
    """An operator did."""


def edge(row: Row) -> Transition | None:
    """Return the edge that is to be taken now; None where the breaker stays."""
    return None if _is_blocked(row) else _EDGES[row.state.state](row)


def next_share(row: Row) -> bool:
    """Say whether a trial goes on to its next share: this one stayed healthy, or the route cannot express it."""
    if row.state.state is not State.HALF_OPEN or _is_blocked(row) or _is_last(row):
        return False
    if _is_passed_over(row):
        return True
    since = on_trial_since(row)
    healthy = bool(since) and row.state.clock >= since + duration_ms(row.policy.spec.recover.healthy_for)
    return healthy and not row.lacks and not _failed(row, since)


def moments(row: Row) -> Iterator[int]:
    """Yield the times at which time alone may move the breaker; some may have passed."""
    yield row.state.held_until
    if row.state.override is not None:
        yield row.state.override.until
    if not _is_blocked(row) or row.state.clock < row.state.held_until:
        yield row.state.recheck_at
        yield from _MOMENTS[row.state.state](row)


def on_trial_since(row: Row) -> int:
    """Return since when the trial's share counts; 0 when it does not yet, or the target was not given any traffic."""
    since = row.verified_since if row.placement.shares.target else 0
    if since > row.state.clock + CLOCK_STEP_MS and row.state.since < row.state.held_until:
        return row.state.held_until  # the clock was set back since: the placement has its time from before
    return since


def _is_blocked(row: Row) -> bool:
    return row.state.clock < row.state.held_until or row.state.is_held or row.mode is Mode.DISABLED


# -- CLOSED and LIMITED ----------------------------------------------------------------------------------------------


def _from_closed(row: Row) -> Transition | None:
    return _exceeded(row) or _weighs(row)


def _from_limited(row: Row) -> Transition | None:
    grown = _exceeded(row) or _weighs(row)
    if grown is not None and grown.to is State.OPEN:
        return grown
    limit_for, healthy_for = row.policy.spec.trip.limit_for, row.policy.spec.recover.healthy_for
    if any(moment <= row.state.clock for moment in _limits(row)):
        return Transition(State.OPEN, f"a failure held for {limit_for} while limited", row.first_cool_down, timed=True)
    if row.state.healthy_since and row.state.clock >= row.state.healthy_since + duration_ms(healthy_for):
        return Transition(State.CLOSED, f"healthy for {healthy_for}", timed=True)
    return None


def _exceeded(row: Row) -> Transition | None:
    """Return the edge where the table's capacity is exceeded: too few pods for too long, or too much load."""
    known, lacking = row.state.capacity.get(Role.TARGET), lacking_at(row)
    if known is not None and lacking is not None and lacking <= row.state.clock:
        return Transition(State.OPEN, lack(known, row), row.first_cool_down, timed=True)
    if is_overloaded(row, row.state.watermark):
        return Transition(State.OPEN, overload(row), row.first_cool_down)
    return None


def _weighs(row: Row) -> Transition | None:
    """Return the edge that the weight of the evidence asks for."""
    trip, causes, weight, opens, critical = row.policy.spec.trip, set[str](), 0, 0, ""
    for each in row.state.weighing:  # one pass: the window may be long, and this is at every decision
        causes.add(each.cause)
        weight += each.weight
        opens += 0 if each.limits_only else each.weight
        critical = critical or (each.cause if each.critical else "")
    if len(causes) < trip.minimum_sources:
        return None
    if opens >= trip.open_at:
        return Transition(State.OPEN, f"failures weigh {opens}, openAt is {trip.open_at}", row.first_cool_down)
    if critical and trip.trip_on_critical:
        return Transition(State.OPEN, f"a critical failure: {critical}", row.first_cool_down)
    if weight >= trip.limit_at:
        return Transition(State.LIMITED, f"failures weigh {weight}, limitAt is {trip.limit_at}")
    return None


def _when_closed(row: Row) -> Iterator[int]:
    yield lacking_at(row) or 0
    if row.state.conditions and _weighs(row) is not None:
        yield row.state.clock + 1  # a condition that only limits was left by a trial


def _when_limited(row: Row) -> Iterator[int]:
    yield lacking_at(row) or 0
    if row.state.healthy_since:
        yield row.state.healthy_since + duration_ms(row.policy.spec.recover.healthy_for)
    else:
        yield from _lapses((*row.state.weighing, *row.state.conditions.values()), row)
        yield from _limits(row)
        yield unknown_at(row)


def _limits(row: Row) -> list[int]:
    """Return when conditions will have held for ``limitFor`` in LIMITED."""
    limit_for = row.policy.spec.trip.limit_for
    if limit_for is None:
        return []
    opening = (each for each in row.state.holding if not each.limits_only)
    return [max(each.since, row.state.since) + duration_ms(limit_for) for each in opening]


# -- OPEN ------------------------------------------------------------------------------------------------------------


def _from_open(row: Row) -> Transition | None:
    recover, open_for = row.policy.spec.recover, row.state.clock - row.state.since
    if _stays_open(row) or open_for < row.state.cool_down:
        return None
    if row.lacks or is_probe_failing(row):
        return None
    still_holds = sum(each.weight for each in row.state.holding) >= row.policy.spec.trip.limit_at
    if not still_holds and not is_overloaded(row, 0):
        reason = f"the cool-down of {row.state.cool_down / 1000:g}s is over"
    elif open_for >= duration_ms(recover.max_cool_down):
        reason = f"open for maxCoolDown ({recover.max_cool_down})"
    else:
        return None
    return Transition(State.HALF_OPEN, reason, row.state.cool_down, timed=True)


def _stays_open(row: Row) -> bool:
    """Say whether only an operator, or an edit of the policy, lets it try its target."""
    forced = row.mode is Mode.FORCED_OPEN
    return forced or row.state.latched or row.policy.spec.recover.mode is RecoverMode.MANUAL


def _when_open(row: Row) -> Iterator[int]:
    if _stays_open(row):
        return
    cooled = row.state.since + row.state.cool_down
    yield cooled
    if row.state.clock >= cooled:
        yield from _lapses(row.state.holding, row)
        yield row.state.since + duration_ms(row.policy.spec.recover.max_cool_down)
        yield unknown_at(row)
        if row.state.load is not None:
            yield row.state.load.seen + load_lease(row)


# -- HALF_OPEN -------------------------------------------------------------------------------------------------------


def _from_half_open(row: Row) -> Transition | None:
    recover, since = row.policy.spec.recover, on_trial_since(row)
    failed = _failed(row, _at_stake_since(row))
    if failed:
        doubled = max(row.state.cool_down, min(2 * row.state.cool_down, duration_ms(recover.max_cool_down)))
        return Transition(State.OPEN, f"failed on trial: {failed}", doubled, timed=row.lacks)
    healthy = bool(since) and row.state.clock >= since + duration_ms(recover.healthy_for)
    if healthy and _is_last(row) and not row.lacks:
        return Transition(State.CLOSED, f"healthy on trial for {recover.healthy_for}", timed=True)
    if row.state.clock >= row.state.since + duration_ms(recover.max_trial):
        return Transition(
            State.OPEN, f"the trial took longer than {recover.max_trial}", row.state.cool_down, timed=True
        )
    return None


def _at_stake_since(row: Row) -> int:
    """Return since when failures fail the trial: between two shares, the target serves on by the one before."""
    since = on_trial_since(row)
    serves = row.placement.epoch == row.state.epoch and row.placement.shares.target
    return since or (row.state.trial_since if serves else 0)


def _failed(row: Row, since: int) -> str:
    """Say what failed the trial since it counts; nothing where nothing did."""
    if not since:
        return ""
    floor = max(since, row.state.watermark)
    cause = next((each.cause for each in row.state.weighing if each.seen > floor and not each.limits_only), "")
    if cause:
        return cause
    known, lacking = row.state.capacity.get(Role.TARGET), lacking_at(row, since)
    if known is not None and lacking is not None and lacking <= row.state.clock:
        return lack(known, row)
    return overload(row) if is_overloaded(row, floor) else ""


def _is_last(row: Row) -> bool:
    return row.state.trial >= len(row.policy.spec.recover.shares) - 1


def _is_passed_over(row: Row) -> bool:
    """Say whether the route cannot express the trial's share."""
    return bool(row.verified_since) and row.placement.inexpressible


def _when_half_open(row: Row) -> Iterator[int]:
    yield row.state.since + duration_ms(row.policy.spec.recover.max_trial)
    since = on_trial_since(row)
    if since:
        yield since + duration_ms(row.policy.spec.recover.healthy_for)
    at_stake_since = _at_stake_since(row)
    if at_stake_since:
        yield lacking_at(row, at_stake_since) or 0
    if _is_passed_over(row) and not _is_last(row):
        # Whoever placed it may be a little behind whoever last decided, by the store's clock as each of them knows it.
        yield max(row.placement.verified_at, row.state.clock + 1)


def _lapses(weighing: Iterable[Occurrence | Condition], row: Row) -> Iterator[int]:
    """Yield when evidence weighs no more, if nobody says anything."""
    lease, window = row.policy.spec.signals.lease_ms, duration_ms(row.policy.spec.trip.window)
    for each in weighing:
        yield each.seen + (lease if isinstance(each, Condition) else window)


_EDGES: Final[Mapping[State, Callable[[Row], Transition | None]]] = {
    State.CLOSED: _from_closed,
    State.LIMITED: _from_limited,
    State.OPEN: _from_open,
    State.HALF_OPEN: _from_half_open,
}

_MOMENTS: Final[Mapping[State, Callable[[Row], Iterator[int]]]] = {
    State.CLOSED: _when_closed,
    State.LIMITED: _when_limited,
    State.OPEN: _when_open,
    State.HALF_OPEN: _when_half_open,
}
