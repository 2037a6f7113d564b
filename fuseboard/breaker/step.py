"""The breaker: should the target serve?

``step`` with the table of edges (``edges.py``) is the only place where the rules of the breaker table exist. It is
pure: it is given the time and does not ask for it. States and edges are Nygard's ("Release It!", 2nd ed., ch. 5:
Circuit Breaker) with one more, LIMITED, before OPEN: the abnormal traffic is limited to a small range first.

Times are milliseconds since 1970 of the store's clock. *Seen* is when evidence was taken in. The *watermark* is when
the evidence of the last transition was seen; of one that time alone brought, a little before it. What happened at or
before it is journaled and never counted again, nor is a condition that was last seen before it. (Not the time of the
decision: of two alerts taken in together, the second must not go stale because the first was decided before it
arrived, nor one that was on its way when a timer closed the breaker.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from fuseboard.breaker.evidence import LAG_MS, Evidence, Weighed
from fuseboard.breaker.requests import obey, unless_over
from fuseboard.breaker.row import CLOCK_STEP_MS, Row
from fuseboard.breaker.state import BreakerState, Dependency, Load, ReadyPods, Remembered, State, set_back
from fuseboard.breaker.transitions import Transition, edge, moments, next_share
from fuseboard.events.event import digest
from fuseboard.events.types import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerLimited,
    BreakerMoved,
    BreakerOpened,
    CapacityChanged,
    LoadChanged,
    OperatorRequested,
)
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fuseboard.breaker.evidence import Condition
    from fuseboard.events.event import Event

MAX_REMEMBERED: Final = 32
MAX_REPLIES: Final = 4
"""Caps that keep a record small whatever comes in; the oldest goes first."""

REMEMBER_MS: Final = 24 * 3_600_000
"""How long an event's id is remembered: redelivery within 24 h has no second effect."""

FLAPS: Final = 3
FLAP_WINDOW_MS: Final = 3_600_000
"""So many episodes that opened within so long latch the breaker: somebody has to look (design, flap guard)."""

_TOLD_CAUSES: Final = 10

_NAME_LENGTH: Final = 16
"""Of a remembered id: 64 bits are plenty among so few, and the ids are most of a record."""

_ANNOUNCED: Final[Mapping[State, type[BreakerMoved]]] = {
    State.CLOSED: BreakerClosed,
    State.LIMITED: BreakerLimited,
    State.OPEN: BreakerOpened,
    State.HALF_OPEN: BreakerHalfOpened,
}


class Decision(Struct, frozen=True):
    """What one signal did to a breaker."""

    before: Row
    after: Row
    weighed: tuple[Weighed, ...] = ()
    reply: BreakerMoved | None = None
    duplicate: bool = False
    noted: bool = False
    """Something that is no failure was taken in, and changes what is known: it goes on the record."""
    stale: bool = False
    """An operator asked for something of another state, or before another request; it was not done, and is told."""

    @property
    def moved(self) -> bool:
        """Whether the breaker changed its state."""
        return self.after.state.epoch > self.before.state.epoch

    def announcement(self, cause: Event) -> Event | None:
        """Return the event that tells of it; a duplicate of its cause yields the same one."""
        if self.reply is None:
            return None
        kind = _ANNOUNCED[State(self.reply.state)]
        return cause.reply(kind(**asdict(self.reply)), step=str(self.reply.epoch), time=self.reply.since)


def step(row: Row, signal: Event, dependencies: Sequence[Dependency] = ()) -> Decision:
    """Return what becomes of a breaker that is told of a signal at the row's time.

    ``dependencies`` are the breakers that the policy names in ``dependsOn``, as they stand.
    """
    current = _on_time(row)
    # A fact sent again has the same id and is taken in later: only the same delivery is a duplicate.
    name = digest(signal.source, signal.id, str(signal.time))[:_NAME_LENGTH]
    memory = current.state.remembered.get(name)
    if memory is not None and memory.seen > current.state.clock - REMEMBER_MS:
        reply = next((each for each in row.state.replies if each.epoch == memory.epoch), None)
        return Decision(row, row, reply=reply, duplicate=True)
    clock = current.state.clock
    seen = clock if signal.time is None else min(signal.time, clock)
    current, weighed = _weigh(_recheck(current, dependencies), signal, seen, dependencies)
    current, asked, noted = _note(current, signal, seen)
    # A request that was long on its way may be over when it comes: nobody would be woken to end it.
    current = _judge(unless_over(current), signal, seen)
    taken = asked or edge(current)
    reply = None
    if taken is not None:
        current, reply = _take(current, taken)
    is_request = isinstance(signal.data, OperatorRequested)
    if reply is not None or weighed or is_request:
        memory = Remembered(clock, reply.epoch if reply else 0)
        current = current.having(remembered=_remember(current.state, name, memory))
    return Decision(row, current, weighed, reply, noted=noted, stale=is_request and not noted)


def adopt(row: Row, fence: int) -> Row:
    """Return the row after a loss of memory: the route's fence is above its epoch.

    Nothing is done for one cool-down, and the epoch goes on above the fence (design, section 6).
    """
    now, known = row.now, row.state.epoch
    hold = now + row.first_cool_down
    reason = f"memory was lost: the route carries epoch {fence}, the store knew {known}"
    epoch = max(fence, known) + 1
    return row.having(epoch=epoch, since=now, watermark=now, clock=now, held_until=hold, reason=reason)


def next_due(row: Row) -> int | None:
    """Return when time alone may change the breaker, or None when it cannot."""
    to_come = (moment for moment in moments(row) if moment > row.state.clock)
    moment = min(to_come, default=None)
    return None if moment is None else max(moment, row.state.held_until)


# -- time ------------------------------------------------------------------------------------------------------------


def _on_time(row: Row) -> Row:
    """Let the time pass; it never runs back by less than a minute, and more than that holds one cool-down."""
    now, clock = row.now, row.state.clock
    if now < clock - CLOCK_STEP_MS:
        state = set_back(row.state, now, now + row.first_cool_down)
        row = replace(row, state=state, placement=row.placement.set_back(clock - now, now))
    elif now > clock:
        row = row.having(clock=now)
    return unless_over(row)


# -- what a signal says ----------------------------------------------------------------------------------------------


def _weigh(row: Row, signal: Event, seen: int, dependencies: Sequence[Dependency]) -> tuple[Row, tuple[Weighed, ...]]:
    """Take in the failures of a signal; nothing here moves the breaker."""
    state = row.state
    blamed = next((each.name for each in dependencies if each.state is State.OPEN and not each.verified), "")
    evidence = Evidence(state, row.policy, watermark=state.watermark, clock=state.clock, blamed=blamed)
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
    """Let conditions count that were put down to a dependency, once its standby has served for ``healthyFor``."""
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
    """Take in what is no failure; return the edge that an operator asks for, and whether anything was new."""
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


def _judge(row: Row, signal: Event, seen: int) -> Row:
    """Note since when the target lacks pods, since when it is healthy, and which share of a trial is asked for."""
    told = isinstance(signal.data, CapacityChanged) and signal.data.role is Role.TARGET
    judged = _judge_health(_judge_capacity(row, seen if told else row.state.clock))
    if next_share(judged):
        return judged.having(trial=judged.state.trial + 1, trial_since=judged.state.clock)
    return judged


def _judge_capacity(row: Row, moment: int) -> Row:
    known = row.state.capacity.get(Role.TARGET)
    if known is None:
        return row
    since = 0
    if row.lacks:
        # What was told before the last transition counts again when it is told again.
        since = known.short_since or (moment if known.seen > row.state.watermark else 0)
    if since == known.short_since:
        return row
    return row.having(capacity={**row.state.capacity, Role.TARGET: replace(known, short_since=since)})


def _judge_health(row: Row) -> Row:
    """Note in LIMITED since when the evidence is below ``limitAt``, no condition holds and no pod lacks."""
    state = row.state
    if state.state is not State.LIMITED:
        return row
    ill = bool(state.holding) or state.weight >= row.policy.spec.trip.limit_at or row.lacks
    return row.having(healthy_since=0 if ill else state.healthy_since or state.clock)


def _remember(state: BreakerState, name: str, memory: Remembered) -> dict[str, Remembered]:
    """Remember an event as the newest; the oldest goes when it is over its time, or over the cap."""
    kept = {**state.remembered, name: memory}
    for oldest, each in state.remembered.items():
        if len(kept) <= MAX_REMEMBERED and each.seen > state.clock - REMEMBER_MS:
            break
        del kept[oldest]
    return kept


# -- transitions -----------------------------------------------------------------------------------------------------


def _take(row: Row, taken: Transition) -> tuple[Row, BreakerMoved]:
    """Enter another state."""
    state = row.state
    opened, latched = _flaps(state, taken)
    reply = BreakerMoved(
        state=taken.to,
        previous=state.state,
        epoch=state.epoch + 1,
        mode=row.mode,
        since=state.clock,
        reason=f"{taken.reason}; opened {FLAPS} times within an hour: it stays open until reset"
        if latched and not state.latched
        else taken.reason,
        weight=state.weight,
        causes=state.causes[:_TOLD_CAUSES],
    )
    entered = row.having(
        state=taken.to,
        epoch=reply.epoch,
        since=reply.since,
        reason=reply.reason,
        watermark=_watermark(state, taken),
        cool_down=taken.cool_down,
        healthy_since=0,
        trial=0,
        trial_since=0,
        opened=opened,
        latched=latched,
        replies=(*state.replies, reply)[-MAX_REPLIES:],
    )
    if taken.to is State.CLOSED:
        left = _left(state)
        recheck_at = entered.state.recheck_at if any(each.attributed for each in left.values()) else 0
        entered = entered.having(conditions=left, recheck_at=recheck_at)
    return _judge_health(entered), reply


def _left(state: BreakerState) -> dict[str, Condition]:
    """Return the conditions that hold though the target serves again: a dependency's, and those that only limit.

    What was never seen again while the target served on trial is taken to be over.
    """
    if state.state is State.LIMITED:
        return state.conditions
    return {
        name: each
        for name, each in state.conditions.items()
        if each.seen > state.since and (each.attributed or each.limits_only)
    }


def _watermark(state: BreakerState, taken: Transition) -> int:
    if taken.asked:
        return state.clock
    newest = max(state.watermark, *(each.seen for each in state.weighing), 0)
    return max(newest, state.clock - LAG_MS) if taken.timed else newest


def _flaps(state: BreakerState, taken: Transition) -> tuple[tuple[int, ...], bool]:
    """Return when episodes opened within the last hour, and whether that is too often; operators do not count."""
    begins = taken.to is State.OPEN and state.state in (State.CLOSED, State.LIMITED)
    if not begins or taken.asked:
        return state.opened, state.latched
    opened = (*(each for each in state.opened if each > state.clock - FLAP_WINDOW_MS), state.clock)[-FLAPS:]
    return opened, state.latched or len(opened) == FLAPS
