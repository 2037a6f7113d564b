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
from fuseboard.breaker.state import BreakerState, Dependency, Load, ReadyPods, Remembered, State, set_back
from fuseboard.breaker.transitions import CLOCK_STEP_MS, Transition, edge, moments, next_share
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
    from fuseboard.breaker.placement import Placement
    from fuseboard.events.event import Event
    from fuseboard.policy.spec import Policy

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

    before: BreakerState
    breaker: BreakerState
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
        return self.breaker.epoch > self.before.epoch

    def announcement(self, cause: Event) -> Event | None:
        """Return the event that tells of it; a duplicate of its cause yields the same one."""
        if self.reply is None:
            return None
        kind = _ANNOUNCED[State(self.reply.state)]
        return cause.reply(kind(**asdict(self.reply)), step=str(self.reply.epoch), time=self.reply.since)


def step(
    breaker: BreakerState,
    placement: Placement,
    signal: Event,
    policy: Policy,
    now: int,
    dependencies: Sequence[Dependency] = (),
) -> Decision:
    """Return what the breaker becomes when it is told of a signal at ``now``.

    ``dependencies`` are the breakers that the policy names in ``dependsOn``, as they stand.
    """
    current = _on_time(breaker, policy, now)
    # A fact sent again has the same id and is taken in later: only the same delivery is a duplicate.
    name = digest(signal.source, signal.id, str(signal.time))[:_NAME_LENGTH]
    memory = current.remembered.get(name)
    if memory is not None and memory.seen > current.clock - REMEMBER_MS:
        reply = next((each for each in breaker.replies if each.epoch == memory.epoch), None)
        return Decision(breaker, breaker, reply=reply, duplicate=True)
    seen = current.clock if signal.time is None else min(signal.time, current.clock)
    current, weighed = _weigh(_recheck(current, dependencies, policy), signal, seen, policy, dependencies)
    current, asked, noted = _note(current, placement, signal, seen, policy)
    # A request that was long on its way may be over when it comes: nobody would be woken to end it.
    current = _judge(unless_over(current), placement, signal, seen, policy)
    taken = asked or edge(current, placement, policy)
    reply = None
    if taken is not None:
        current, reply = _take(current, taken, policy)
    is_request = isinstance(signal.data, OperatorRequested)
    if reply is not None or weighed or is_request:
        memory = Remembered(current.clock, reply.epoch if reply else 0)
        current = replace(current, remembered=_remember(current, name, memory))
    return Decision(breaker, current, weighed, reply, noted=noted, stale=is_request and not noted)


def adopt(breaker: BreakerState, fence: int, policy: Policy, now: int) -> BreakerState:
    """Return the breaker after a loss of memory: the route's fence is above its epoch.

    Nothing is done for one cool-down, and the epoch goes on above the fence (design, section 6).
    """
    hold = now + duration_ms(policy.spec.recover.cool_down)
    reason = f"memory was lost: the route carries epoch {fence}, the store knew {breaker.epoch}"
    epoch = max(fence, breaker.epoch) + 1
    return replace(breaker, epoch=epoch, since=now, watermark=now, clock=now, held_until=hold, reason=reason)


def next_due(breaker: BreakerState, placement: Placement, policy: Policy) -> int | None:
    """Return when time alone may change the breaker, or None when it cannot."""
    to_come = (moment for moment in moments(breaker, placement, policy) if moment > breaker.clock)
    moment = min(to_come, default=None)
    return None if moment is None else max(moment, breaker.held_until)


# -- time ------------------------------------------------------------------------------------------------------------


def _on_time(breaker: BreakerState, policy: Policy, now: int) -> BreakerState:
    """Let the time pass; it never runs back by less than a minute, and more than that holds one cool-down."""
    if now < breaker.clock - CLOCK_STEP_MS:
        breaker = set_back(breaker, now, now + duration_ms(policy.spec.recover.cool_down))
    elif now > breaker.clock:
        breaker = replace(breaker, clock=now)
    return unless_over(breaker)


# -- what a signal says ----------------------------------------------------------------------------------------------


def _weigh(
    breaker: BreakerState, signal: Event, seen: int, policy: Policy, dependencies: Sequence[Dependency]
) -> tuple[BreakerState, tuple[Weighed, ...]]:
    """Take in the failures of a signal; nothing here moves the breaker."""
    blamed = next((each.name for each in dependencies if each.state is State.OPEN and not each.verified), "")
    evidence = Evidence(breaker, policy, watermark=breaker.watermark, clock=breaker.clock, blamed=blamed)
    weighed = evidence.take_in(signal.data, seen)
    recheck_at = breaker.recheck_at
    if not recheck_at and any(each.attributed for each in evidence.conditions.values()):
        recheck_at = breaker.clock + duration_ms(policy.spec.recover.healthy_for)
    absorbed = replace(
        breaker,
        occurrences=tuple(evidence.occurrences),
        conditions=evidence.conditions,
        resolved=evidence.resolved,
        past=evidence.past,
        recheck_at=recheck_at,
    )
    return absorbed, weighed


def _recheck(breaker: BreakerState, dependencies: Sequence[Dependency], policy: Policy) -> BreakerState:
    """Let conditions count that were put down to a dependency, once its standby has served for ``healthyFor``."""
    if not breaker.recheck_at or breaker.clock < breaker.recheck_at:
        return breaker
    healthy_for = duration_ms(policy.spec.recover.healthy_for)
    covers = {
        each.name
        for each in dependencies
        if each.state is State.OPEN and (not each.verified or breaker.clock < each.verified + healthy_for)
    }
    conditions = {
        name: each if each.attributed in covers else replace(each, attributed="")
        for name, each in breaker.conditions.items()
    }
    again = any(each.attributed for each in conditions.values())
    return replace(breaker, conditions=conditions, recheck_at=breaker.clock + healthy_for if again else 0)


def _note(
    breaker: BreakerState, placement: Placement, signal: Event, seen: int, policy: Policy
) -> tuple[BreakerState, Transition | None, bool]:
    """Take in what is no failure; return the edge that an operator asks for, and whether anything was new."""
    match signal.data:
        case CapacityChanged() as told:
            known = breaker.capacity.get(told.role)
            if known is not None and seen < known.seen:
                return breaker, None, False
            since = known.short_since if known is not None else 0
            fresh = ReadyPods(told.ready, told.desired, seen, told.phase, told.probe, since)
            is_news = known is None or replace(known, seen=seen) != fresh
            return replace(breaker, capacity={**breaker.capacity, told.role: fresh}), None, is_news
        case LoadChanged() as told:
            if breaker.load is not None and seen < breaker.load.seen:
                return breaker, None, False
            return replace(breaker, load=Load(told.load, seen)), None, False
        case OperatorRequested() as told:
            return obey(breaker, placement, told, seen, policy)
    return breaker, None, False


def _judge(breaker: BreakerState, placement: Placement, signal: Event, seen: int, policy: Policy) -> BreakerState:
    """Note since when the target lacks pods, since when it is healthy, and which share of a trial is asked for."""
    told = isinstance(signal.data, CapacityChanged) and signal.data.role is Role.TARGET
    judged = _judge_health(_judge_capacity(breaker, seen if told else breaker.clock, policy), policy)
    if next_share(judged, placement, policy):
        return replace(judged, trial=judged.trial + 1, trial_since=judged.clock)
    return judged


def _judge_capacity(breaker: BreakerState, moment: int, policy: Policy) -> BreakerState:
    known = breaker.capacity.get(Role.TARGET)
    if known is None:
        return breaker
    since = 0
    if breaker.lacks(policy):
        # What was told before the last transition counts again when it is told again.
        since = known.short_since or (moment if known.seen > breaker.watermark else 0)
    if since == known.short_since:
        return breaker
    return replace(breaker, capacity={**breaker.capacity, Role.TARGET: replace(known, short_since=since)})


def _judge_health(breaker: BreakerState, policy: Policy) -> BreakerState:
    """Note in LIMITED since when the evidence is below ``limitAt``, no condition holds and no pod lacks."""
    if breaker.state is not State.LIMITED:
        return breaker
    ill = bool(breaker.holding) or breaker.weight >= policy.spec.trip.limit_at or breaker.lacks(policy)
    return replace(breaker, healthy_since=0 if ill else breaker.healthy_since or breaker.clock)


def _remember(breaker: BreakerState, name: str, memory: Remembered) -> dict[str, Remembered]:
    """Remember an event as the newest; the oldest goes when it is over its time, or over the cap."""
    kept = {**breaker.remembered, name: memory}
    for oldest, each in breaker.remembered.items():
        if len(kept) <= MAX_REMEMBERED and each.seen > breaker.clock - REMEMBER_MS:
            break
        del kept[oldest]
    return kept


# -- transitions -----------------------------------------------------------------------------------------------------


def _take(breaker: BreakerState, taken: Transition, policy: Policy) -> tuple[BreakerState, BreakerMoved]:
    """Enter another state."""
    opened, latched = _flaps(breaker, taken)
    reply = BreakerMoved(
        state=taken.to,
        previous=breaker.state,
        epoch=breaker.epoch + 1,
        mode=breaker.mode(policy),
        since=breaker.clock,
        reason=f"{taken.reason}; opened {FLAPS} times within an hour: it stays open until reset"
        if latched and not breaker.latched
        else taken.reason,
        weight=breaker.weight,
        causes=breaker.causes[:_TOLD_CAUSES],
    )
    entered = replace(
        breaker,
        state=taken.to,
        epoch=reply.epoch,
        since=reply.since,
        reason=reply.reason,
        watermark=_watermark(breaker, taken),
        cool_down=taken.cool_down,
        healthy_since=0,
        trial=0,
        trial_since=0,
        opened=opened,
        latched=latched,
        replies=(*breaker.replies, reply)[-MAX_REPLIES:],
    )
    if taken.to is State.CLOSED:
        left = _left(breaker)
        recheck_at = entered.recheck_at if any(each.attributed for each in left.values()) else 0
        entered = replace(entered, conditions=left, recheck_at=recheck_at)
    return _judge_health(entered, policy), reply


def _left(breaker: BreakerState) -> dict[str, Condition]:
    """Return the conditions that hold though the target serves again: a dependency's, and those that only limit.

    What was never seen again while the target served on trial is taken to be over.
    """
    if breaker.state is State.LIMITED:
        return breaker.conditions
    return {
        name: each
        for name, each in breaker.conditions.items()
        if each.seen > breaker.since and (each.attributed or each.limits_only)
    }


def _watermark(breaker: BreakerState, taken: Transition) -> int:
    if taken.asked:
        return breaker.clock
    newest = max(breaker.watermark, *(each.seen for each in breaker.weighing), 0)
    return max(newest, breaker.clock - LAG_MS) if taken.timed else newest


def _flaps(breaker: BreakerState, taken: Transition) -> tuple[tuple[int, ...], bool]:
    """Return when episodes opened within the last hour, and whether that is too often; operators do not count."""
    begins = taken.to is State.OPEN and breaker.state in (State.CLOSED, State.LIMITED)
    if not begins or taken.asked:
        return breaker.opened, breaker.latched
    opened = (*(each for each in breaker.opened if each > breaker.clock - FLAP_WINDOW_MS), breaker.clock)[-FLAPS:]
    return opened, breaker.latched or len(opened) == FLAPS
