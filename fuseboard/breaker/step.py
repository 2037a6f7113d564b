"""The step of a breaker: the row, a signal and a time give the next row.

Pure: the step is given the time and does not ask for it. Where the breaker goes is the table's (``transitions``).

Times are milliseconds since 1970 of the store's clock. *Seen* is when evidence was taken in. The *watermark* is when
the evidence of the last transition was seen; for a transition that time alone brought, a little before the transition.
Occurrences at or before the watermark are journaled and never counted again, nor is a condition that was last seen
before the watermark. The watermark is not the time of the decision: of two alerts taken in together, the second must
not go stale because the first was decided before the second arrived, nor an alert that was on its way when a timer
closed the breaker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from fuseboard.breaker.absorb import absorb, judge_health
from fuseboard.breaker.evidence import LAG_MS, Weighed
from fuseboard.breaker.requests import unless_over
from fuseboard.breaker.row import CLOCK_STEP_MS, Row
from fuseboard.breaker.state import FLAP_WINDOW_MS, FLAPS, BreakerState, Dependency, Remembered, State, set_back
from fuseboard.breaker.transitions import Transition, transition
from fuseboard.events.event import digest
from fuseboard.events.types import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerLimited,
    BreakerMoved,
    BreakerOpened,
    OperatorRequested,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fuseboard.breaker.evidence import Condition
    from fuseboard.events.event import Event

MAX_REMEMBERED: Final = 32
MAX_REPLIES: Final = 4
"""Caps that keep a row small whatever comes in; the oldest goes first."""

REMEMBER_MS: Final = 24 * 3_600_000
"""How long an event's id is remembered: redelivery within 24 h has no second effect."""

_SHOWN_CAUSES: Final = 10

_NAME_LENGTH: Final = 16
"""Characters of a remembered id: 64 bits are plenty among so few, and the ids are most of a row."""

_ANNOUNCED: Final[Mapping[State, type[BreakerMoved]]] = {
    State.CLOSED: BreakerClosed,
    State.LIMITED: BreakerLimited,
    State.OPEN: BreakerOpened,
    State.HALF_OPEN: BreakerHalfOpened,
}


class Decision(Struct, frozen=True):
    """The effect of a signal on a breaker."""

    before: Row
    after: Row
    weighed: tuple[Weighed, ...] = ()
    reply: BreakerMoved | None = None
    duplicate: bool = False
    noted: bool = False
    """News other than a failure was taken in: the journal gets a line."""
    stale: bool = False
    """An operator's request came before the last transition or before another request: not done, but journaled."""

    @property
    def moved(self) -> bool:
        """Whether the breaker changed its state."""
        return self.after.state.epoch > self.before.state.epoch

    def announcement(self, cause: Event) -> Event | None:
        """Return the event that announces the transition; a duplicate of its cause yields the same event."""
        if self.reply is None:
            return None
        kind = _ANNOUNCED[State(self.reply.state)]
        return cause.reply(kind(**asdict(self.reply)), step=str(self.reply.epoch), time=self.reply.since)


def step(row: Row, signal: Event, dependencies: Sequence[Dependency] = ()) -> Decision:
    """Decide on a signal that comes at the row's time.

    ``dependencies`` are the breakers that the policy names in ``dependsOn``, as they stand.
    """
    current = _on_time(row)
    clock = current.state.clock
    # A fact sent again has the same id and is taken in later: only the same delivery is a duplicate.
    name = digest(signal.source, signal.id, str(signal.time))[:_NAME_LENGTH]
    memory = current.state.remembered.get(name)
    if memory is not None and memory.seen > clock - REMEMBER_MS:
        reply = next((each for each in row.state.replies if each.epoch == memory.epoch), None)
        return Decision(row, row, reply=reply, duplicate=True)
    taken_in = absorb(current, signal, dependencies)
    current, reply = _moved(taken_in.row, taken_in.asked)
    is_request = isinstance(signal.data, OperatorRequested)
    if reply is not None or taken_in.weighed or is_request:
        memory = Remembered(clock, reply.epoch if reply else 0)
        current = current.having(remembered=_remember(current.state, name, memory))
    stale = is_request and not taken_in.noted
    return Decision(row, current, taken_in.weighed, reply, noted=taken_in.noted, stale=stale)


def adopt(row: Row, fence: int) -> Row:
    """Return the row after a loss of memory: the route's fence is above its epoch.

    The breaker stays for one cool-down, and its epoch goes on above the fence (design, section 6).
    """
    now, known = row.now, row.state.epoch
    hold = now + row.first_cool_down
    reason = f"memory was lost: the route carries epoch {fence}, the store knew {known}"
    epoch = max(fence, known) + 1
    return row.having(epoch=epoch, since=now, watermark=now, clock=now, held_until=hold, reason=reason)


def _on_time(row: Row) -> Row:
    """Let the time pass; a clock that was set back by more than ``CLOCK_STEP_MS`` holds the breaker for a cool-down."""
    now, clock = row.now, row.state.clock
    if now < clock - CLOCK_STEP_MS:
        state = set_back(row.state, now, now + row.first_cool_down)
        row = replace(row, state=state, placement=row.placement.set_back(clock - now, now))
    elif now > clock:
        row = row.having(clock=now)
    return unless_over(row)


def _remember(state: BreakerState, name: str, memory: Remembered) -> dict[str, Remembered]:
    """Remember an event as the newest; the oldest goes when it is over its time, or over the cap."""
    kept = {**state.remembered, name: memory}
    for oldest, each in state.remembered.items():
        if len(kept) <= MAX_REMEMBERED and each.seen > state.clock - REMEMBER_MS:
            break
        del kept[oldest]
    return kept


# -- entering a state ------------------------------------------------------------------------------------------------


def _moved(row: Row, asked: Transition | None) -> tuple[Row, BreakerMoved | None]:
    """Take the transition asked for by an operator, or the transition that is due."""
    taken = asked or transition(row)
    if taken is not None and taken.to is row.state.state is State.HALF_OPEN:
        row = row.having(trial=row.state.trial + 1, trial_since=row.state.clock)
        taken = transition(row)
    return (row, None) if taken is None else _enter(row, taken)


def _enter(row: Row, taken: Transition) -> tuple[Row, BreakerMoved]:
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
        causes=state.causes[:_SHOWN_CAUSES],
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
    return judge_health(entered), reply


def _left(state: BreakerState) -> dict[str, Condition]:
    """Return the conditions that still hold when the target serves again: if attributed or only limiting.

    A condition that was not seen again while the target served on trial is over.
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
    """Return when episodes opened within the last hour, and whether the breaker is latched; operators do not count."""
    begins = taken.to is State.OPEN and state.state in (State.CLOSED, State.LIMITED)
    if not begins or taken.asked:
        return state.opened, state.latched
    opened = (*(each for each in state.opened if each > state.clock - FLAP_WINDOW_MS), state.clock)[-FLAPS:]
    return opened, state.latched or len(opened) == FLAPS
