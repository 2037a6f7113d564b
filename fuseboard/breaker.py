"""The breaker: should the target serve?

``step`` is the only place where the rules of the breaker table exist. It is pure: it is given the time and does not
ask for it. States and edges are Nygard's ("Release It!", 2nd ed., ch. 5: Circuit Breaker) with one more, LIMITED,
before OPEN: the abnormal traffic is limited to a small range first.

Times are milliseconds since 1970 of the store's clock. *Seen* is when evidence was taken in. The *watermark* is when
the evidence of the last transition was seen, or the time of one that time alone brought: what happened at or before it
is journaled and never counted again, nor is a condition that was last seen before it. (Not the time of the decision: of
two alerts taken in together, the second must not go stale because the first was decided before it arrived.)
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from fuseboard.events import BreakerClosed, BreakerHalfOpened, BreakerLimited, BreakerMoved, BreakerOpened, digest
from fuseboard.evidence import Condition, Evidence, Occurrence, Resolved, Weighed
from fuseboard.policy import millis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from fuseboard.events import Event
    from fuseboard.placement import Placement
    from fuseboard.policy import Policy

MAX_REMEMBERED: Final = 32
MAX_REPLIES: Final = 4
"""Caps that keep a record small whatever comes in; the oldest goes first."""

REMEMBER_MS: Final = 24 * 3_600_000
"""How long an event's id is remembered: redelivery within 24 h has no second effect."""

CLOCK_STEP_MS: Final = 60_000
"""A clock that runs back by less is ignored; by more, it is adopted after one cool-down."""

_TOLD_CAUSES: Final = 10

_NAME_LENGTH: Final = 16
"""Of a remembered id: 64 bits are plenty among so few, and the ids are most of a record."""


class State(StrEnum):
    """Whether the target should serve."""

    CLOSED = "CLOSED"
    LIMITED = "LIMITED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Remembered(Struct, frozen=True, array_like=True):
    """An event that has been decided, and the epoch of the transition that answered it (0: none)."""

    seen: int
    epoch: int = 0


class Breaker(Struct, frozen=True, rename="camel", omit_defaults=True):
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
    def weighing(self) -> tuple[Occurrence | Condition, ...]:
        """Occurrences since the watermark, and all conditions that hold."""
        fresh = [each for each in self.occurrences if each.seen > self.watermark]
        return (*fresh, *self.conditions.values())

    @property
    def weight(self) -> int:
        """What the window and the conditions that hold weigh together."""
        return sum(each.weight for each in self.weighing)

    @property
    def causes(self) -> tuple[str, ...]:
        """The distinct causes that weigh anything, in order of the alphabet."""
        return tuple(sorted({each.cause for each in self.weighing}))


class Edge(Struct, frozen=True):
    """An edge of the table that is to be taken, and why."""

    to: State
    reason: str
    cool_down: int = 0
    timed: bool = False
    """Time alone brought it, not evidence."""


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
    current = _on_time(breaker, policy, now)
    # A fact sent again has the same id and is taken in later: only the same delivery is a duplicate.
    name = digest(signal.source, signal.id, str(signal.time))[:_NAME_LENGTH]
    memory = current.remembered.get(name)
    if memory is not None and memory.seen > current.clock - REMEMBER_MS:
        reply = next((each for each in breaker.replies if each.epoch == memory.epoch), None)
        return Transition(breaker, breaker, reply=reply, duplicate=True)
    seen = current.clock if signal.time is None else min(signal.time, current.clock)
    current, weighed = _absorb(current, signal, seen, policy)
    edge = None if current.clock < current.held_until else _EDGES[current.state](current, placement, policy)
    reply = None
    if edge is not None:
        current, reply = _take(current, edge, policy)
    if reply is not None or weighed:
        memory = Remembered(current.clock, reply.epoch if reply else 0)
        current = replace(current, remembered=_remember(current, name, memory))
    return Transition(breaker, current, weighed, reply)


def adopt(breaker: Breaker, fence: int, policy: Policy, now: int) -> Breaker:
    """Return the breaker after a loss of memory: the route's fence is above its epoch.

    Nothing is done for one cool-down, and the epoch goes on above the fence (design, section 6).
    """
    hold = now + millis(policy.spec.recover.cool_down)
    reason = f"memory was lost: the route carries epoch {fence}, the store knew {breaker.epoch}"
    epoch = max(fence, breaker.epoch) + 1
    return replace(breaker, epoch=epoch, since=now, watermark=now, clock=now, held_until=hold, reason=reason)


def next_due(breaker: Breaker, placement: Placement, policy: Policy) -> int | None:
    """Return when time alone may change the breaker, or None when it cannot."""
    moment = min(_moments(breaker, placement, policy), default=None)
    return None if moment is None else max(moment, breaker.held_until)


def verified(breaker: Breaker, placement: Placement) -> int:
    """Return since when the placement of this epoch is verified, in milliseconds since 1970; 0 when it is not."""
    return placement.verified_at if placement.epoch == breaker.epoch else 0


# -- time ------------------------------------------------------------------------------------------------------------


def _on_time(breaker: Breaker, policy: Policy, now: int) -> Breaker:
    """Let the time pass; it never runs back by less than a minute, and more than that holds one cool-down."""
    if now >= breaker.clock - CLOCK_STEP_MS:
        return breaker if now <= breaker.clock else replace(breaker, clock=now)
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
        remembered={name: replace(each, seen=each.seen - back) for name, each in breaker.remembered.items()},
    )


def _earlier(moment: int, back: int) -> int:
    return moment - back if moment else 0


# -- evidence --------------------------------------------------------------------------------------------------------


def _absorb(breaker: Breaker, signal: Event, seen: int, policy: Policy) -> tuple[Breaker, tuple[Weighed, ...]]:
    """Take in what a signal says; nothing here moves the breaker."""
    evidence = Evidence(
        breaker.occurrences,
        breaker.conditions,
        breaker.resolved,
        policy,
        watermark=breaker.watermark,
        clock=breaker.clock,
    )
    weighed = evidence.take_in(signal.data, seen)
    absorbed = replace(
        breaker,
        occurrences=tuple(evidence.occurrences),
        conditions=evidence.conditions,
        resolved=evidence.resolved,
    )
    return _judge_health(absorbed, policy), weighed


def _judge_health(breaker: Breaker, policy: Policy) -> Breaker:
    """Note in LIMITED since when the evidence is below ``limitAt`` and no condition holds."""
    if breaker.state is not State.LIMITED:
        return breaker
    ill = bool(breaker.conditions) or breaker.weight >= policy.spec.trip.limit_at
    return replace(breaker, healthy_since=0 if ill else breaker.healthy_since or breaker.clock)


def _remember(breaker: Breaker, name: str, memory: Remembered) -> dict[str, Remembered]:
    """Remember an event as the newest; the oldest goes when it is over its time, or over the cap."""
    kept = {**breaker.remembered, name: memory}
    for oldest, each in breaker.remembered.items():
        if len(kept) <= MAX_REMEMBERED and each.seen > breaker.clock - REMEMBER_MS:
            break
        del kept[oldest]
    return kept


# -- the table -------------------------------------------------------------------------------------------------------


def _from_closed(breaker: Breaker, _: Placement, policy: Policy) -> Edge | None:
    trip, weighing = policy.spec.trip, breaker.weighing
    weight = sum(each.weight for each in weighing)
    if weight < trip.limit_at or len({each.cause for each in weighing}) < trip.minimum_sources:
        return None
    if weight >= trip.open_at:
        return Edge(State.OPEN, f"failures weigh {weight}, openAt is {trip.open_at}", _first_cool_down(policy))
    return Edge(State.LIMITED, f"failures weigh {weight}, limitAt is {trip.limit_at}")


def _from_limited(breaker: Breaker, placement: Placement, policy: Policy) -> Edge | None:
    grown = _from_closed(breaker, placement, policy)
    if grown is not None and grown.to is State.OPEN:
        return grown
    limit_for, healthy_for = policy.spec.trip.limit_for, policy.spec.recover.healthy_for
    if any(moment <= breaker.clock for moment in _limits(breaker, policy)):
        return Edge(State.OPEN, f"a failure held for {limit_for} while limited", _first_cool_down(policy), timed=True)
    if breaker.healthy_since and breaker.clock >= breaker.healthy_since + millis(healthy_for):
        return Edge(State.CLOSED, f"healthy for {healthy_for}", timed=True)
    return None


def _from_open(breaker: Breaker, _: Placement, policy: Policy) -> Edge | None:
    recover = policy.spec.recover
    open_for = breaker.clock - breaker.since
    if open_for < breaker.cool_down:
        return None
    if sum(each.weight for each in breaker.conditions.values()) < policy.spec.trip.limit_at:
        reason = f"the cool-down of {breaker.cool_down / 1000:g}s is over"
    elif open_for >= millis(recover.max_cool_down):
        reason = f"open for maxCoolDown ({recover.max_cool_down})"
    else:
        return None
    return Edge(State.HALF_OPEN, reason, breaker.cool_down, timed=True)


def _from_half_open(breaker: Breaker, placement: Placement, policy: Policy) -> Edge | None:
    recover = policy.spec.recover
    since = _on_trial_since(breaker, placement)
    failed = [each.cause for each in breaker.weighing if since and each.seen > max(since, breaker.watermark)]
    if failed:
        doubled = max(breaker.cool_down, min(2 * breaker.cool_down, millis(recover.max_cool_down)))
        return Edge(State.OPEN, f"failed on trial: {failed[0]}", doubled)
    if since and breaker.clock >= since + millis(recover.healthy_for):
        return Edge(State.CLOSED, f"healthy on trial for {recover.healthy_for}", timed=True)
    if breaker.clock >= breaker.since + millis(recover.max_trial):
        return Edge(State.OPEN, f"the trial took longer than {recover.max_trial}", breaker.cool_down, timed=True)
    return None


def _on_trial_since(breaker: Breaker, placement: Placement) -> int:
    """Return since when the trial counts; 0 when it does not yet, or the target was not given any traffic."""
    since = verified(breaker, placement) if placement.shares.target else 0
    if since > breaker.clock + CLOCK_STEP_MS and breaker.since < breaker.held_until:
        return breaker.held_until  # the clock was set back since: the placement has its time from before
    return since


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


def _first_cool_down(policy: Policy) -> int:
    return millis(policy.spec.recover.cool_down)


def _take(breaker: Breaker, edge: Edge, policy: Policy) -> tuple[Breaker, BreakerMoved]:
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
        watermark=breaker.clock if edge.timed else max(breaker.watermark, *(each.seen for each in breaker.weighing)),
        cool_down=edge.cool_down,
        healthy_since=0,
        # Conditions that were never seen again while the target served on trial are taken to be over.
        conditions={} if edge.to is State.CLOSED else breaker.conditions,
        replies=(*breaker.replies, reply)[-MAX_REPLIES:],
    )
    return _judge_health(entered, policy), reply


def _moments(breaker: Breaker, placement: Placement, policy: Policy) -> Iterator[int]:
    """Yield the times at which an edge may open by itself."""
    recover = policy.spec.recover
    if breaker.clock < breaker.held_until:
        yield breaker.held_until
    match breaker.state:
        case State.LIMITED if breaker.healthy_since:
            yield breaker.healthy_since + millis(recover.healthy_for)
        case State.LIMITED:
            yield from (*_lapses(breaker.weighing, policy), *_limits(breaker, policy))
        case State.OPEN if breaker.clock < breaker.since + breaker.cool_down:
            yield breaker.since + breaker.cool_down
        case State.OPEN:
            yield from (*_lapses(breaker.conditions.values(), policy), breaker.since + millis(recover.max_cool_down))
        case State.HALF_OPEN:
            yield breaker.since + millis(recover.max_trial)
            since = _on_trial_since(breaker, placement)
            if since:
                yield since + millis(recover.healthy_for)


def _lapses(weighing: Iterable[Occurrence | Condition], policy: Policy) -> Iterator[int]:
    """Yield when evidence weighs no more, if nobody says anything."""
    lease, window = policy.spec.signals.lease_ms, millis(policy.spec.trip.window)
    for each in weighing:
        yield each.seen + (lease if isinstance(each, Condition) else window)


def _limits(breaker: Breaker, policy: Policy) -> list[int]:
    """Return when conditions will have held for ``limitFor`` in LIMITED."""
    limit_for = policy.spec.trip.limit_for
    if limit_for is None:
        return []
    return [max(each.since, breaker.since) + millis(limit_for) for each in breaker.conditions.values()]
