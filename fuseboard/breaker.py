"""The breaker: should the target serve?

``step`` is the only place where the rules of the breaker table exist. It is pure: it is given the time and does not
ask for it. States and edges are Nygard's ("Release It!", 2nd ed., ch. 5: Circuit Breaker) with one more, LIMITED,
before OPEN: the abnormal traffic is limited to a small range first.

Times are milliseconds since 1970 of the store's clock. *Seen* is when evidence was taken in. The *watermark* is when
the evidence of the last transition was seen, or the time of one that time alone brought: evidence seen at or before it
is journaled and never counted again. (Not the time of the decision: of two alerts taken in together, the second must
not go stale because the first was decided before it arrived.)
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from fuseboard.events import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerLimited,
    BreakerMoved,
    BreakerOpened,
    FailureDetected,
    FailureResolved,
    digest,
)
from fuseboard.policy import millis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fuseboard.events import Data, Event, Failure, Foreign
    from fuseboard.placement import Placement
    from fuseboard.policy import Policy

MAX_OCCURRENCES: Final = 256
MAX_CONDITIONS: Final = 256
MAX_REMEMBERED: Final = 32
"""Caps that keep a record small whatever comes in; the oldest goes first."""

REMEMBER_MS: Final = 24 * 3_600_000
"""How long an event's id is remembered: redelivery within 24 h has no second effect."""

RESOLVED_MS: Final = 10 * 60_000
"""How long a resolve outweighs an older firing that arrives after it: twice Alertmanager's default group_interval."""

CLOCK_STEP_MS: Final = 60_000
"""A clock that runs back by less is ignored; by more, it is adopted after one cool-down."""

MAX_REPLIES: Final = 4

_TOLD_CAUSES: Final = 10

_NAME_LENGTH: Final = 16
"""Of a remembered id: 64 bits are plenty among 64 ids, and the ids are most of a record."""

Value = TypeVar("Value")


class State(StrEnum):
    """Whether the target should serve."""

    CLOSED = "CLOSED"
    LIMITED = "LIMITED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Verdict(StrEnum):
    """What became of one failure."""

    COUNTED = "counted"
    RENEWED = "renewed"
    RESOLVED = "resolved"
    STALE = "stale"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    WEIGHTLESS = "weightless"


class _Part(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the record in the store."""


class Occurrence(_Part, frozen=True):
    """Something that happened, while it is in the window."""

    key: str
    cause: str
    weight: int
    seen: int


class Condition(_Part, frozen=True):
    """Something that is so, until it is resolved or its lease ends."""

    cause: str
    weight: int
    since: int
    seen: int
    started_at: int = 0


class Resolved(_Part, frozen=True):
    """That a condition ended: an older firing that comes late does not begin it again."""

    started_at: int
    seen: int


class Remembered(_Part, frozen=True, array_like=True):
    """An event that has been decided, and the epoch of the transition that answered it (0: none)."""

    seen: int
    epoch: int = 0


class Breaker(_Part, frozen=True):
    """The state of one breaker."""

    state: State = State.CLOSED
    epoch: int = 0
    since: int = 0
    reason: str = ""
    watermark: int = 0
    clock: int = 0
    held_until: int = 0
    cool_down: int = 0
    healthy_since: int = 0
    occurrences: tuple[Occurrence, ...] = ()
    conditions: dict[str, Condition] = {}
    resolved: dict[str, Resolved] = {}
    remembered: dict[str, Remembered] = {}
    replies: tuple[BreakerMoved, ...] = ()

    @property
    def weight(self) -> int:
        """What the window and the conditions that hold weigh together."""
        return sum(each.weight for each in self.weighing)

    @property
    def causes(self) -> tuple[str, ...]:
        """The distinct causes that weigh anything, in order of the alphabet."""
        return tuple(sorted({each.cause for each in self.weighing}))

    @property
    def weighing(self) -> tuple[Occurrence | Condition, ...]:
        """Occurrences since the watermark, and all conditions that hold, if they weigh anything."""
        fresh = [each for each in self.occurrences if each.weight and each.seen > self.watermark]
        return (*fresh, *(each for each in self.conditions.values() if each.weight))


class Weighed(_Part, frozen=True):
    """One failure and what became of it."""

    key: str
    verdict: Verdict
    weight: int = 0


class Edge(Struct, frozen=True):
    """An edge of the table that is to be taken, and why."""

    to: State
    reason: str
    cool_down: int = 0


class Transition(Struct, frozen=True):
    """What one signal did to a breaker."""

    before: Breaker
    breaker: Breaker
    weighed: tuple[Weighed, ...] = ()
    reply: BreakerMoved | None = None
    duplicate: bool = False

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


def step(breaker: Breaker, placement: Placement, signal: Event, policy: Policy, now: int) -> Transition:
    """Return what the breaker becomes when it is told of a signal at ``now``."""
    current = _forget(_on_time(breaker, policy, now), policy)
    name = digest(signal.source, signal.id)[:_NAME_LENGTH]
    memory = current.remembered.get(name)
    # A fact sent again has the same id and is taken in later: only what was taken in by then is a duplicate.
    taken_in = signal.time if signal.time is not None else memory.seen if memory else current.clock
    if memory is not None and taken_in <= memory.seen:
        reply = next((each for each in current.replies if each.epoch == memory.epoch), None)
        return Transition(breaker, current, reply=reply, duplicate=True)
    seen = min(taken_in, current.clock)
    current, weighed = _absorb(current, signal.data, seen, policy)
    current = _judge_health(current, policy)
    edge = None if current.clock < current.held_until else _EDGES[current.state](current, placement, policy)
    reply = None
    if edge is not None:
        current, reply = _take(current, edge, policy, watermark=seen if weighed else current.clock)
        current = _judge_health(current, policy)
    if reply is not None or weighed:
        memory = Remembered(seen=taken_in, epoch=reply.epoch if reply else 0)
        current = replace(current, remembered=_put(current.remembered, name, memory, MAX_REMEMBERED))
    return Transition(breaker, current, weighed, reply)


def adopt(breaker: Breaker, fence: int, policy: Policy, now: int) -> Breaker:
    """Return the breaker after a loss of memory: the route's fence is above its epoch.

    Nothing is done for one cool-down, and the epoch goes on above the fence (design, section 6).
    """
    hold = now + millis(policy.spec.recover.cool_down)
    reason = f"memory was lost: the route carries epoch {fence}, the store knew {breaker.epoch}"
    return replace(breaker, epoch=fence + 1, since=now, watermark=now, clock=now, held_until=hold, reason=reason)


def next_due(breaker: Breaker, placement: Placement, policy: Policy) -> int | None:
    """Return when time alone may change the breaker, or None when it cannot."""
    moments = [moment for moment in _moments(breaker, placement, policy) if moment > 0]
    if not moments:
        return None
    return max(min(moments), breaker.held_until)


def verified(breaker: Breaker, placement: Placement) -> int:
    """Return since when the placement of this epoch is verified, in milliseconds since 1970; 0 when it is not."""
    return placement.verified_at if placement.epoch == breaker.epoch else 0


# -- time ------------------------------------------------------------------------------------------------------------


def _on_time(breaker: Breaker, policy: Policy, now: int) -> Breaker:
    """Let the time pass: it never runs back by less than a minute; more than that holds one cool-down and is adopted."""
    if now >= breaker.clock - CLOCK_STEP_MS:
        return replace(breaker, clock=max(now, breaker.clock))
    back = breaker.clock - now
    return replace(
        breaker,
        clock=now,
        held_until=now + millis(policy.spec.recover.cool_down),
        since=_earlier(breaker.since, back),
        watermark=_earlier(breaker.watermark, back),
        healthy_since=_earlier(breaker.healthy_since, back),
        occurrences=tuple(replace(each, seen=each.seen - back) for each in breaker.occurrences),
        conditions={
            name: replace(each, seen=each.seen - back, since=each.since - back)
            for name, each in breaker.conditions.items()
        },
        resolved={name: replace(each, seen=each.seen - back) for name, each in breaker.resolved.items()},
    )


def _earlier(moment: int, back: int) -> int:
    return moment - back if moment else 0


def _forget(breaker: Breaker, policy: Policy) -> Breaker:
    """Drop what time has ended: occurrences out of the window, leases, memories."""
    now = breaker.clock
    oldest, lease = now - millis(policy.spec.trip.window), now - policy.spec.signals.lease_ms
    occurrences = breaker.occurrences
    if any(each.seen <= oldest for each in occurrences):
        occurrences = tuple(each for each in occurrences if each.seen > oldest)
    return replace(
        breaker,
        occurrences=occurrences,
        conditions=_kept(breaker.conditions, lambda each: each.seen <= lease),
        resolved=_kept(breaker.resolved, lambda each: each.seen <= now - RESOLVED_MS),
        remembered=_kept(breaker.remembered, lambda each: each.seen <= now - REMEMBER_MS),
    )


def _kept(found: dict[str, Value], is_over: Callable[[Value], bool]) -> dict[str, Value]:
    if not any(map(is_over, found.values())):
        return found
    return {name: each for name, each in found.items() if not is_over(each)}


def _put(found: Mapping[str, Value], name: str, value: Value, cap: int) -> dict[str, Value]:
    """Put a value in as the newest; over the cap, the oldest goes."""
    put = {**found, name: value} if name not in found else {**_without(found, name), name: value}
    if len(put) > cap:
        del put[next(iter(put))]
    return put


def _without(found: Mapping[str, Value], name: str) -> dict[str, Value]:
    return {each: value for each, value in found.items() if each != name}


# -- evidence --------------------------------------------------------------------------------------------------------


def _absorb(breaker: Breaker, data: Data | Foreign, seen: int, policy: Policy) -> tuple[Breaker, tuple[Weighed, ...]]:
    """Take in what a signal says; nothing here moves the breaker."""
    weighed = []
    for failure in data.failures if isinstance(data, FailureDetected | FailureResolved) else ():
        if isinstance(data, FailureResolved):
            breaker, verdict = _resolve(breaker, failure, seen)
        elif failure.condition:
            breaker, verdict = _hold(breaker, failure, seen, policy)
        else:
            breaker, verdict = _count(breaker, failure, seen, policy)
        weighed.append(verdict)
    return breaker, tuple(weighed)


def _hold(breaker: Breaker, failure: Failure, seen: int, policy: Policy) -> tuple[Breaker, Weighed]:
    """A condition holds, again or for the first time."""
    known = breaker.conditions.get(failure.condition)
    ended = breaker.resolved.get(failure.condition)
    if seen <= breaker.watermark or (ended and _is_older(failure, seen, ended)):
        return breaker, Weighed(failure.key, Verdict.STALE)
    if known and (seen <= known.seen or failure.started_at < known.started_at):
        return breaker, Weighed(failure.key, Verdict.DUPLICATE)
    weight = policy.spec.signals.weigh(failure.severity, condition=True)
    condition = Condition(
        cause=failure.cause,
        weight=weight,
        since=known.since if known else seen,
        seen=seen,
        started_at=failure.started_at,
    )
    conditions = _put(breaker.conditions, failure.condition, condition, MAX_CONDITIONS)
    verdict = Verdict.RENEWED if known else Verdict.COUNTED if weight else Verdict.WEIGHTLESS
    return replace(breaker, conditions=conditions), Weighed(failure.key, verdict, weight)


def _is_older(failure: Failure, seen: int, ended: Resolved) -> bool:
    return seen <= ended.seen or 0 < failure.started_at <= ended.started_at


def _resolve(breaker: Breaker, failure: Failure, seen: int) -> tuple[Breaker, Weighed]:
    """A condition holds no longer; healthy evidence is never blocked, unless it is of an earlier episode."""
    known = breaker.conditions.get(failure.condition)
    if known and 0 < failure.started_at < known.started_at:
        return breaker, Weighed(failure.key, Verdict.STALE)
    conditions = _without(breaker.conditions, failure.condition)
    marker = Resolved(started_at=max(failure.started_at, known.started_at if known else 0), seen=seen)
    resolved = _put(breaker.resolved, failure.condition, marker, MAX_CONDITIONS)
    verdict = Weighed(failure.key, Verdict.RESOLVED if known else Verdict.UNKNOWN)
    return replace(breaker, conditions=conditions, resolved=resolved), verdict


def _count(breaker: Breaker, failure: Failure, seen: int, policy: Policy) -> tuple[Breaker, Weighed]:
    """Something happened: it counts once, while it is in the window."""
    if any(each.key == failure.key for each in breaker.occurrences):
        return breaker, Weighed(failure.key, Verdict.DUPLICATE)
    oldest = max(breaker.watermark, breaker.clock - millis(policy.spec.trip.window))
    if seen <= oldest or 0 < failure.started_at <= oldest:
        return breaker, Weighed(failure.key, Verdict.STALE)
    weight = policy.spec.signals.weigh(failure.severity, condition=False)
    occurrences = (*breaker.occurrences, Occurrence(failure.key, failure.cause, weight, seen))
    if len(occurrences) > MAX_OCCURRENCES:
        first, second, *rest = occurrences
        # Two of the oldest become one: the record stays small and nothing that counts is forgotten early.
        occurrences = (replace(second, weight=first.weight + second.weight), *rest)
    verdict = Verdict.COUNTED if weight else Verdict.WEIGHTLESS
    return replace(breaker, occurrences=occurrences), Weighed(failure.key, verdict, weight)


def _judge_health(breaker: Breaker, policy: Policy) -> Breaker:
    """Note since when the evidence is below ``limitAt`` and no condition holds."""
    ill = breaker.weight >= policy.spec.trip.limit_at or any(each.weight for each in breaker.conditions.values())
    return replace(breaker, healthy_since=0 if ill else breaker.healthy_since or breaker.clock)


# -- the table -------------------------------------------------------------------------------------------------------


def _from_closed(breaker: Breaker, _: Placement, policy: Policy) -> Edge | None:
    trip = policy.spec.trip
    weight, sources = breaker.weight, len(breaker.causes)
    if sources < trip.minimum_sources:
        return None
    if weight >= trip.open_at:
        return _opening(policy, f"failures weigh {weight}, openAt is {trip.open_at}")
    if weight >= trip.limit_at:
        return Edge(State.LIMITED, f"failures weigh {weight}, limitAt is {trip.limit_at}")
    return None


def _from_limited(breaker: Breaker, placement: Placement, policy: Policy) -> Edge | None:
    grown = _from_closed(breaker, placement, policy)
    if grown is not None and grown.to is State.OPEN:
        return grown
    limit_for, healthy_for = policy.spec.trip.limit_for, policy.spec.recover.healthy_for
    if limit_for and any(moment <= breaker.clock for moment in _limits(breaker, policy)):
        return _opening(policy, f"a failure held for {limit_for} while limited")
    if breaker.healthy_since and breaker.clock >= breaker.healthy_since + millis(healthy_for):
        return Edge(State.CLOSED, f"healthy for {healthy_for}")
    return None


def _from_open(breaker: Breaker, _: Placement, policy: Policy) -> Edge | None:
    recover = policy.spec.recover
    open_for = breaker.clock - breaker.since
    if open_for < breaker.cool_down:
        return None
    holding = sum(each.weight for each in breaker.conditions.values())
    if holding < policy.spec.trip.limit_at:
        return Edge(State.HALF_OPEN, f"the cool-down of {breaker.cool_down / 1000:g}s is over", breaker.cool_down)
    if open_for >= millis(recover.max_cool_down):
        return Edge(State.HALF_OPEN, f"open for maxCoolDown ({recover.max_cool_down})", breaker.cool_down)
    return None


def _from_half_open(breaker: Breaker, placement: Placement, policy: Policy) -> Edge | None:
    recover = policy.spec.recover
    since = verified(breaker, placement)
    failed = [each.cause for each in breaker.weighing if since and each.seen > max(since, breaker.watermark)]
    if failed:
        doubled = min(2 * breaker.cool_down, millis(recover.max_cool_down))
        return Edge(State.OPEN, f"failed on trial: {failed[0]}", doubled)
    if since and breaker.clock >= since + millis(recover.healthy_for):
        return Edge(State.CLOSED, f"healthy on trial for {recover.healthy_for}")
    if breaker.clock >= breaker.since + millis(recover.max_trial):
        return Edge(State.OPEN, f"the trial took longer than {recover.max_trial}", breaker.cool_down)
    return None


_EDGES: Final[Mapping[State, Callable[[Breaker, Placement, Policy], Edge | None]]] = {
    State.CLOSED: _from_closed,
    State.LIMITED: _from_limited,
    State.OPEN: _from_open,
    State.HALF_OPEN: _from_half_open,
}

_ANNOUNCED: Final[Mapping[State, type[BreakerMoved]]] = {
    State.CLOSED: BreakerClosed,
    State.LIMITED: BreakerLimited,
    State.OPEN: BreakerOpened,
    State.HALF_OPEN: BreakerHalfOpened,
}


def _opening(policy: Policy, reason: str) -> Edge:
    return Edge(State.OPEN, reason, millis(policy.spec.recover.cool_down))


def _take(breaker: Breaker, edge: Edge, policy: Policy, *, watermark: int) -> tuple[Breaker, BreakerMoved]:
    """Enter another state."""
    reply = BreakerMoved(
        state=edge.to,
        previous=breaker.state,
        epoch=breaker.epoch + 1,
        mode=policy.spec.mode,
        since=breaker.clock,
        reason=edge.reason,
        weight=breaker.weight,
        causes=breaker.causes[:_TOLD_CAUSES],
    )
    entered = replace(
        breaker,
        state=edge.to,
        epoch=reply.epoch,
        since=reply.since,
        reason=edge.reason,
        watermark=watermark,
        cool_down=edge.cool_down,
        healthy_since=0,
        # Conditions that were never seen again while the target served on trial are taken to be over.
        conditions={} if edge.to is State.CLOSED else breaker.conditions,
        replies=(*breaker.replies, reply)[-MAX_REPLIES:],
    )
    return entered, reply


def _moments(breaker: Breaker, placement: Placement, policy: Policy) -> Iterator[int]:
    """Yield the times at which an edge may open by itself."""
    recover, signals = policy.spec.recover, policy.spec.signals
    if breaker.clock < breaker.held_until:
        yield breaker.held_until
    leases = [each.seen + signals.lease_ms for each in breaker.conditions.values() if each.weight]
    match breaker.state:
        case State.LIMITED if breaker.healthy_since:
            yield breaker.healthy_since + millis(recover.healthy_for)
        case State.LIMITED:
            yield from (*leases, *_limits(breaker, policy))
            window = millis(policy.spec.trip.window)
            yield from (each.seen + window for each in breaker.occurrences if each.seen > breaker.watermark)
        case State.OPEN if breaker.clock < breaker.since + breaker.cool_down:
            yield breaker.since + breaker.cool_down
        case State.OPEN:
            yield from (*leases, breaker.since + millis(recover.max_cool_down))
        case State.HALF_OPEN:
            since = verified(breaker, placement)
            yield breaker.since + millis(recover.max_trial)
            if since:
                yield since + millis(recover.healthy_for)


def _limits(breaker: Breaker, policy: Policy) -> list[int]:
    """When conditions will have held for ``limitFor`` in LIMITED."""
    limit_for = policy.spec.trip.limit_for
    if limit_for is None:
        return []
    held = [max(each.since, breaker.since) for each in breaker.conditions.values() if each.weight]
    return [since + millis(limit_for) for since in held]
