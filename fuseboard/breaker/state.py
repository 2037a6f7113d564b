"""The state of one breaker, with the part of the past that still matters.

Times are milliseconds since 1970 of the store's clock. *Seen* is the time when a signal was taken in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from fuseboard.breaker.criticality import Past
from fuseboard.breaker.evidence import Condition, Occurrence, Resolved
from fuseboard.events.types import Action, BreakerMoved, Phase
from fuseboard.roles import Role

CAPACITY_LEASE_MS: Final = 5 * 60_000
"""How long a report of ready pods is valid: a lack of pods and a failing probe are reported again every 30 s."""

LOAD_LEASES: Final = 3
"""A load is valid for this many times the interval of its query."""


FLAPS: Final = 3
FLAP_WINDOW_MS: Final = 3_600_000
"""This many episodes that open within this window latch the breaker until a human looks (design, flap guard)."""


class State(StrEnum):
    """Whether the target should serve."""

    CLOSED = "CLOSED"
    LIMITED = "LIMITED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class _RecordPart(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the row in the store."""


class Remembered(Struct, frozen=True, array_like=True):
    """An event that has been decided, and the epoch of the transition in reply (0: none)."""

    seen: int
    epoch: int = 0


class ReadyPods(_RecordPart, frozen=True):
    """Pods of a workload by the last report."""

    ready: int
    desired: int
    seen: int
    phase: Phase = Phase.STEADY
    probe: str = ""
    """``ok``, or why the policy's probe fails; empty without a probe."""
    short_since: int = 0
    """Since when the target has fewer ready pods than minReady; 0 when there are enough."""

    def lacks(self, min_ready: int) -> bool:
        """Say whether there are fewer ready pods than ``min_ready``, or than desired where fewer are desired."""
        return self.ready < min(min_ready, self.desired)


class Load(_RecordPart, frozen=True):
    """The load of the target by the last report, in the unit of the target's capacity."""

    value: float
    seen: int


class Override(_RecordPart, frozen=True):
    """A request in force over the policy: ForcedOpen (``trip``), or no transitions at all (``hold``)."""

    action: Action
    operator: str
    reason: str
    since: int
    until: int = 0
    """0: until another request ends the override."""


class Dependency(Struct, frozen=True):
    """A breaker that another breaker depends on, at the time of a decision."""

    name: str
    state: State
    verified: int = 0
    """Since when its standby serves for the current epoch; 0 while the standby does not."""


class BreakerState(_RecordPart, frozen=True):
    """The state of one breaker."""

    state: State = State.CLOSED
    epoch: int = 0
    since: int = 0
    reason: str = ""
    watermark: int = 0
    clock: int = 0
    held_until: int = 0
    """No transition until then: memory was lost, or the clock was set back."""
    cool_down: int = 0
    healthy_since: int = 0
    trial: int = 0
    """The index of the trial's share."""
    trial_since: int = 0
    """Since when the share is asked for; 0 for the first share, which the transition asks for."""
    opened: tuple[int, ...] = ()
    """The times at which the last episodes opened, for the flap guard."""
    latched: bool = False
    """The breaker opened too often and stays open until an operator resets it."""
    override: Override | None = None
    asked: int = 0
    """The time of the last request of an operator."""
    recheck_at: int = 0
    """When attributed conditions are checked against their dependencies again; 0 without attributed conditions."""
    capacity: dict[Role, ReadyPods] = {}
    load: Load | None = None
    occurrences: tuple[Occurrence, ...] = ()
    conditions: dict[str, Condition] = {}
    resolved: dict[str, Resolved] = {}
    past: dict[str, Past] = {}
    remembered: dict[str, Remembered] = {}
    replies: tuple[BreakerMoved, ...] = ()

    @property
    def holding(self) -> tuple[Condition, ...]:
        """The conditions that hold and are not attributed to a dependency."""
        return tuple(each for each in self.conditions.values() if not each.attributed)

    @property
    def weighing(self) -> tuple[Occurrence | Condition, ...]:
        """Occurrences since the watermark, and all conditions that hold."""
        fresh = [each for each in self.occurrences if each.seen > self.watermark]
        return (*fresh, *self.holding)

    @property
    def weight(self) -> int:
        """The weight of the window and of the conditions that hold."""
        return sum(each.weight for each in self.weighing)

    @property
    def causes(self) -> tuple[str, ...]:
        """The distinct causes of all evidence that weighs, sorted."""
        return tuple(sorted({each.cause for each in self.weighing}))

    @property
    def is_held(self) -> bool:
        """Whether an operator holds the breaker in its state."""
        return self.override is not None and self.override.action is Action.HOLD


def set_back(breaker: BreakerState, now: int, held_until: int) -> BreakerState:
    """Move all times back as far as the clock was set back, so that no wait gets shorter or longer."""
    back = breaker.clock - now
    load, override = breaker.load, breaker.override
    return replace(
        breaker,
        clock=now,
        held_until=held_until,
        since=_earlier(breaker.since, back),
        watermark=_earlier(breaker.watermark, back),
        healthy_since=_earlier(breaker.healthy_since, back),
        trial_since=_earlier(breaker.trial_since, back),
        recheck_at=_earlier(breaker.recheck_at, back),
        asked=_earlier(breaker.asked, back),
        opened=tuple(each - back for each in breaker.opened),
        override=override and replace(override, since=override.since - back, until=_earlier(override.until, back)),
        load=load and replace(load, seen=load.seen - back),
        capacity={
            role: replace(each, seen=each.seen - back, short_since=_earlier(each.short_since, back))
            for role, each in breaker.capacity.items()
        },
        past={name: replace(each, at=each.at - back) for name, each in breaker.past.items()},
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
