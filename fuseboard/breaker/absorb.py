"""Take a signal into the state of a breaker: evidence, capacity, load, and requests of operators.

Nothing here moves the breaker; the step looks afterwards whether a transition is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.evidence import Weighed
from fuseboard.breaker.requests import obey, unless_over
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import Load, ReadyPods, State
from fuseboard.breaker.transitions import Transition
from fuseboard.breaker.weighing import Evidence
from fuseboard.events.types import CapacityChanged, LoadChanged, OperatorRequested
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.breaker.state import Dependency
    from fuseboard.events.event import Event


class TakenIn(Struct, frozen=True):
    """A row with a signal taken in."""

    row: Row
    weighed: tuple[Weighed, ...]
    asked: Transition | None
    """The transition that an operator asked for."""
    noted: bool
    """The signal was no failure, and news."""


def absorb(row: Row, signal: Event, dependencies: Sequence[Dependency]) -> TakenIn:
    """Return the row with a signal taken in; its clock is at the time of the signal's arrival already."""
    clock = row.state.clock
    seen = clock if signal.time is None else min(signal.time, clock)
    row, weighed = _weigh(_recheck(row, dependencies), signal, seen, dependencies)
    row, asked, noted = _note(row, signal, seen)
    tells_capacity = isinstance(signal.data, CapacityChanged) and signal.data.role is Role.TARGET
    # A request that was long on its way may be over when it comes: no timer would end it.
    row = judge_health(_judge_capacity(unless_over(row), seen if tells_capacity else clock))
    return TakenIn(row, weighed, asked, noted)


def _weigh(row: Row, signal: Event, seen: int, dependencies: Sequence[Dependency]) -> tuple[Row, tuple[Weighed, ...]]:
    """Take in the failures of a signal."""
    state = row.state
    blamed = next((each.name for each in dependencies if each.state is State.OPEN and not each.verified), "")
    evidence = Evidence(row, blamed=blamed)
    weighed = evidence.take_in(signal.data, seen)
    recheck_at = state.recheck_at
    if not recheck_at and any(each.attributed for each in evidence.conditions.values()):
        recheck_at = state.clock + duration_ms(row.policy.spec.recover.healthy_for)
    absorbed = row.having(
        occurrences=tuple(evidence.occurrences),
        conditions=evidence.conditions,
        resolved=evidence.resolved,
        past=evidence.past,
        recheck_at=recheck_at,
    )
    return absorbed, weighed


def _recheck(row: Row, dependencies: Sequence[Dependency]) -> Row:
    """Let attributed conditions count once the standby of their dependency has served for ``healthyFor``."""
    if not row.state.recheck_at or row.state.clock < row.state.recheck_at:
        return row
    healthy_for = duration_ms(row.policy.spec.recover.healthy_for)
    covers = {
        each.name
        for each in dependencies
        if each.state is State.OPEN and (not each.verified or row.state.clock < each.verified + healthy_for)
    }
    conditions = {
        name: each if each.attributed in covers else replace(each, attributed="")
        for name, each in row.state.conditions.items()
    }
    again = any(each.attributed for each in conditions.values())
    return row.having(conditions=conditions, recheck_at=row.state.clock + healthy_for if again else 0)


def _note(row: Row, signal: Event, seen: int) -> tuple[Row, Transition | None, bool]:
    """Take in capacity, load or a request; return the transition asked for by an operator, and whether it was news."""
    match signal.data:
        case CapacityChanged() as told:
            known = row.state.capacity.get(told.role)
            if known is not None and seen < known.seen:
                return row, None, False
            since = known.short_since if known is not None else 0
            fresh = ReadyPods(told.ready, told.desired, seen, told.phase, told.probe, since)
            is_news = known is None or replace(known, seen=seen) != fresh
            return row.having(capacity={**row.state.capacity, told.role: fresh}), None, is_news
        case LoadChanged() as told:
            if row.state.load is not None and seen < row.state.load.seen:
                return row, None, False
            return row.having(load=Load(told.load, seen)), None, False
        case OperatorRequested() as told:
            return obey(row, told, seen)
    return row, None, False


def _judge_capacity(row: Row, moment: int) -> Row:
    known = row.state.capacity.get(Role.TARGET)
    if known is None:
        return row
    since = 0
    if row.lacks:
        # A report from before the last transition counts again when it is repeated.
        since = known.short_since or (moment if known.seen > row.state.watermark else 0)
    if since == known.short_since:
        return row
    return row.having(capacity={**row.state.capacity, Role.TARGET: replace(known, short_since=since)})


def judge_health(row: Row) -> Row:
    """Note in LIMITED since when the evidence is below ``limitAt``, no condition holds and no pod lacks."""
    state = row.state
    if state.state is not State.LIMITED:
        return row
    ill = bool(state.holding) or state.weight >= row.policy.spec.trip.limit_at or row.lacks
    return row.having(healthy_since=0 if ill else state.healthy_since or state.clock)
