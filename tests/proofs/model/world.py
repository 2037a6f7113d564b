"""One target of the model and whoever works on it: every single effect, and what must hold when it is had.

The functions are the real ones: ``breaker.step``, ``begin``, ``ClaimedStep`` and ``Attempt`` over a store that is
one row, ``placement.plan``. What is small is the object, its fence and its shares, and time: it passes in ticks, and a
row is kept as it is seen from now, so that two rows that differ by their age alone are one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.placement import Claim, Fence, Placement, Shares
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.step import Decision, step
from fuseboard.breaker.transitions import next_due
from fuseboard.errors import Busy, Problem
from fuseboard.events.event import Event
from fuseboard.events.types import Failure, FailureDetected, FailureResolved, StepDue, TimerElapsed
from fuseboard.failover import claims, plan
from fuseboard.failover.attempt import Attempt, Sent
from fuseboard.failover.begin import Begun, begin
from fuseboard.failover.claimed import ClaimedStep
from fuseboard.failover.plan import Move, Observed, Stay
from fuseboard.failover.routes.driver import Seen
from fuseboard.stores.records import Change, dues
from fuseboard.testing.policies import movable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.cluster import Manifest
    from fuseboard.stores.records import Decide

NOW: Final = 1_700_000_000_000
TICK_MS: Final = 15_000
OLD_MS: Final = 45_000
"""Older than that is all the same: no duration of the model's policy is as long."""
AGELESS: Final = ("remembered", "replies", "past", "opened", "at")

POLICY: Final = movable(
    trip={"window": "15s"},
    recover={"coolDown": "15s", "maxCoolDown": "30s", "healthyFor": "15s", "maxTrial": "30s"},
    signals={"repeatInterval": "10s"},
)
KEY: Final = POLICY.key
ALERT: Final = (Failure(key="a", cause="a", condition="a", severity="critical"),)
EVENTS: Final = tuple(
    Event(id=str(number), source="/s", subject=KEY, data=data)
    for number, data in enumerate((FailureDetected(ALERT), FailureResolved(ALERT)))
)
TIMER: Final = Event(id="timer", source="/clock", subject=KEY, data=TimerElapsed(due_at=0))
HINT: Final = Event(id="hint", source="/clock", subject=KEY, data=StepDue(due_at=0))


class Violated(Exception):
    """An invariant does not hold."""


class Target(Struct, frozen=True, array_like=True):
    """A row of the table, its object in the cluster, and what has been told about it."""

    state: BreakerState = BreakerState()
    placement: Placement = Placement()
    fence: Fence = Fence()
    shares: Shares = Shares()
    told: int = 0
    """Which events have been delivered at least once: bits."""
    counted: int = 0
    """Which of them have had their effect."""
    lost: bool = False
    """The row was lost once."""

    @property
    def row(self) -> Row:
        """The row as the store has it."""
        return Row(POLICY, self.state, self.placement, NOW)


class Work(Struct, frozen=True, array_like=True):
    """What a worker holds while it carries out one claimed step."""

    claim: Claim
    state: State
    trial: int
    before: Placement
    unsealed: bool
    called: Shares
    """What the row asked for when it was claimed, whatever the worker thinks."""
    lost: bool
    """Whether the row had been lost by then."""
    stage: str = "claimed"
    fence: Fence = Fence()
    shares: Shares = Shares()
    """What it saw of the object."""

    @property
    def begun(self) -> Begun:
        """What the real code begins with."""
        breaker = BreakerState(state=self.state, epoch=self.claim.epoch, trial=self.trial)
        return Begun(Row(POLICY, breaker, self.before, NOW), self.claim, self.unsealed)


class TargetStore:
    """A store that is one row: a change is one atomic step."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def read(self, key: str) -> Row:
        del key
        return self.target.row

    def change(self, key: str, decide: Decide) -> Change:
        del key
        change = decide(self.target.row)
        self.target = replace(self.target, state=change.state, placement=change.placement)
        return change


class Object:
    """A route that is a fence and shares; for one attempt."""

    PERMISSIONS: ClassVar[tuple[()]] = ()
    EXAMPLE: ClassVar[str] = ""
    assumed: ClassVar[dict[str, str]] = {}
    route = POLICY.spec.route

    def __init__(self, store: TargetStore) -> None:
        self._store = store

    def verify(self, seen: Seen, move: Move) -> Problem | None:
        del seen
        found = (self._store.target.fence, self._store.target.shares)
        return None if found == (move.fence, move.shares) else Problem("somebody else has changed it since")

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        del seen
        return None if self._store.target.fence >= fence else {}


class Wiring(Struct, frozen=True):
    """Which functions the model runs; a seeded bug is one of them exchanged."""

    step: Callable[[Row, Event], Decision] = step
    begin: Callable[[Row, Event, str], Change] = begin
    claim: type[ClaimedStep] = ClaimedStep
    overtaken: Callable[[Fence, Fence], bool] = Fence.__ge__
    """Of the fence on the object and our own."""
    marks_first: bool = False
    """Remember an event in a write of its own, before its effect."""
    checks_version: bool = True
    """Whether a patch is refused when the object has changed since it was read."""
    reads_again: bool = True
    """Whether what is done follows from the row at the claim, or from what was read before it."""


class Model:
    """The effects that can be had on one target, each with what follows."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    # -- signals and time --------------------------------------------------------------------------------------------

    def deliver(self, target: Target, number: int) -> Iterator[Target]:
        """An event is delivered, for the first time or once more."""
        event, bit = EVENTS[number], 1 << number
        done = self._wiring.step(target.row, event)
        after = done.after.state
        if done.duplicate:
            expect(target.counted & bit or target.lost, "I4: seen, but without an effect")
            expect(after == target.state, "I3: a duplicate has changed something")
            yield replace(target, told=target.told | bit)
            return
        legal(target.state, after)
        if self._wiring.marks_first:
            marked = replace(target.state, remembered=after.remembered)
            yield replace(target, state=marked, told=target.told | bit)
        yield replace(target, state=after, told=target.told | bit, counted=target.counted | bit)

    def wake(self, target: Target) -> Target | None:
        """The clock says that a time has come, if it has."""
        due = next_due(target.row)
        if due is None or due > NOW:
            return None
        after = self._wiring.step(target.row, TIMER).after.state
        legal(target.state, after)
        return replace(target, state=after)

    def waits(self, target: Target) -> bool:
        """Say whether time alone will bring anything."""
        return bool(dues(target.row))

    def later(self, target: Target) -> Target:
        """Return the target one tick later."""
        return replace(target, state=_aged(target.state), placement=_aged(target.placement))

    def lose(self, target: Target) -> Target:
        """The store loses the row, and what was delivered may be delivered again."""
        return replace(target, state=BreakerState(), placement=Placement(), counted=0, lost=True)

    # -- a worker ----------------------------------------------------------------------------------------------------

    def awaited(self, target: Target) -> bool:
        """Say whether a step is owed and its time has come."""
        return claims.awaited(target.row)

    def begin(self, target: Target, owner: str, read: BreakerState | None = None) -> tuple[Target, Work | None] | None:
        """A worker claims the step that is owed; None where it has to wait."""
        store = TargetStore(target)
        try:
            answer = store.change(KEY, lambda row: self._wiring.begin(row, HINT, owner)).answer
        except Busy:
            return None
        if not isinstance(answer, Begun):
            return store.target, None
        claim, known = replace(answer.claim, until=0), target.state if read is None else read
        before = Placement(shares=answer.row.placement.shares, route=answer.row.placement.route)
        called = target.row.wanted
        return store.target, Work(claim, known.state, known.trial, before, answer.unsealed, called, target.lost)

    def advance(self, target: Target, work: Work) -> tuple[Target, Work | None]:
        """A worker has its next effect."""
        store = TargetStore(target)
        claim = self._wiring.claim(store, Object(store), HINT, work.begun, rehearsed=True)  # type: ignore[arg-type]
        if work.stage == "claimed":
            return target, self._look(target, work)
        seen = Seen(Observed(work.fence, work.shares), {})
        fence = work.begun.fence
        if work.stage == "overtaken":
            claim.overtaken(work.fence, work.shares)
            return in_order(target, store.target), None
        todo = plan.plan(work.begun.row, fence, seen.observed, lambda _: None)
        if work.stage == "sent":
            Attempt(claim).verify(Sent(seen, todo, {}))
            return in_order(target, store.target), None
        if target.fence != work.fence and self._wiring.checks_version:
            return target, replace(work, stage="claimed")  # a conflict: it is read again
        shares = work.shares if isinstance(todo, Stay) else todo.shares
        return effect(target, fence, shares, work), replace(work, stage="sent")

    def _look(self, target: Target, work: Work) -> Work:
        is_overtaken = self._wiring.overtaken(target.fence, work.begun.fence)
        stage = "overtaken" if is_overtaken else "seen"
        return replace(work, stage=stage, fence=target.fence, shares=target.shares)


def effect(target: Target, fence: Fence, shares: Shares, work: Work) -> Target:
    """The object is changed: I1, I2 and I16 are about this very moment."""
    expect(fence != target.fence, f"I1: a second effect of {tuple_of(fence)}")
    expect(fence > target.fence, f"I2: the fence goes back from {tuple_of(target.fence)} to {tuple_of(fence)}")
    expect(shares in (target.shares, work.called), f"I16: moved to {shares}, the breaker asked for {work.called}")
    if work.lost:
        expect(shares == target.shares or target.state.held_until <= NOW, "I17: moved while memory is lost")
    return replace(target, fence=fence, shares=shares)


def in_order(before: Target, after: Target) -> Target:
    """I8: a late result of an old epoch or step changes nothing."""
    was = Fence(before.placement.epoch, before.placement.step)
    expect(Fence(after.placement.epoch, after.placement.step) >= was, "I8: a late result has changed something")
    return after


def settled(target: Target) -> None:
    """I19: when nothing more will happen, the object is what the breaker asks for."""
    expect(not target.row.owed, "I19: a debt is never paid")
    known = target.state.epoch >= target.fence.epoch  # else memory was lost, and nothing has been asked for since
    expect(
        not known or target.shares == target.row.wanted,
        "I19: not what the breaker asks for",
    )
    expect(target.lost or target.told == target.counted, "I4: an event was delivered and never had its effect")


def legal(before: BreakerState, after: BreakerState) -> None:
    """I6: one edge of the table, one epoch."""
    if before.state is after.state:
        expect(before.epoch == after.epoch, "I6: an epoch without an edge")
        return
    expect(after.epoch == before.epoch + 1, "I6: an edge without an epoch")
    illegal = {(State.OPEN, State.CLOSED), (State.OPEN, State.LIMITED), (State.HALF_OPEN, State.LIMITED)}
    expect((before.state, after.state) not in illegal, f"I6: {before.state} to {after.state}")


def expect(holds: object, message: str) -> None:
    """Raise where something does not hold."""
    if not holds:
        raise Violated(message)


def tuple_of(fence: Fence) -> tuple[int, int]:
    """Return a fence, to be read."""
    return fence.epoch, fence.step


@lru_cache(maxsize=1_000_000)
def _aged_json(raw: bytes) -> bytes:
    return msgspec.json.encode(_older(msgspec.json.decode(raw)))


def _aged(part: Any) -> Any:  # noqa: ANN401  - a breaker or a placement
    return msgspec.json.decode(_aged_json(msgspec.json.encode(part)), type=type(part))


def _older(value: Any) -> Any:  # noqa: ANN401  - JSON
    """Return JSON with all its moments one tick ago: whatever field they are in."""
    if isinstance(value, dict):
        # What is remembered and what was answered does not get old in so short a time.
        return {name: each if name in AGELESS else _older(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_older(each) for each in value]
    is_moment = isinstance(value, int) and value > NOW - 1_000_000_000
    return max(value - TICK_MS, NOW - OLD_MS) if is_moment else value
