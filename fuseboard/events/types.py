"""Fuseboard's events, and how they travel as CloudEvents 1.0.

A type is ``dev.fuseboard.<noun>.<past participle>`` and follows from the name of the class that holds its data.
``subject`` is ``namespace/breaker``; ``partitionkey`` equals it. Ids are deterministic: the same fact has the same
``source`` and ``id``, whoever sends it, so that a duplicate can be known as one.

Bindings and validation are the CloudEvents SDK's (``cloudevents.core``); only the JSON in them is read more strictly
than Python reads it by itself: no NaN, no duplicate keys, no lone surrogates, no unbounded depth.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct, field

from fuseboard.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    EventTypes = frozenset[str]
    """Types that a function consumes or emits."""

TYPE_PREFIX: Final = "dev.fuseboard."
SCHEMA_PREFIX: Final = "https://fuseboard.dev/schemas/"
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")

Key = Annotated[str, Meta(min_length=1, max_length=128, description="What makes this failure this one.")]
Timestamp = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Milliseconds since 1970, to the year 9999.")]
Cause = Annotated[str, Meta(min_length=1, max_length=320, description="Alert name or reason, and the object.")]
Reason = Annotated[str, Meta(max_length=128, description="Alert name, Kubernetes reason or container exit reason.")]
ANY: Final[EventTypes] = frozenset({"*"})
"""What a function consumes whose Trigger has no filter."""


class Data(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What an event says; camelCase on the wire."""


class Failure(Data, frozen=True):
    """One thing that went wrong with a target.

    With ``condition`` it is something that is so until it is resolved (a firing alert); without, something that
    happened (a Kubernetes event).
    """

    key: Key
    cause: Cause
    condition: Annotated[str, Meta(max_length=128)] = ""
    severity: Annotated[str, Meta(max_length=64)] = ""
    started_at: Timestamp = 0
    """When it began, in milliseconds since 1970; 0 when it is not known. Evidence of too long ago does not count."""
    emitted_at: Timestamp = 0
    """The emitter's own stamp, where ``started_at`` is somebody else's."""
    reason: Reason = ""
    """What went wrong, by the name that the table of failures knows it by."""
    chain: Annotated[tuple[Reason, ...], Meta(max_length=8)] = ()
    """What led to it, by reason, the nearest first: ``OOMKilled`` behind a ``BackOff``."""
    container: Annotated[str, Meta(max_length=64)] = ""
    """The container of the pod that it is about."""
    summary: Annotated[str, Meta(max_length=1024)] = ""

    @property
    def name(self) -> str:
        """Its reason; where none is given, the first word of its cause."""
        return self.reason or self.cause.partition(" ")[0]


class FailureDetected(Data, frozen=True):
    """Failures of one target, as one notification told them."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class FailureResolved(Data, frozen=True):
    """Conditions of one target that hold no longer."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class IngestGapFound(Data, frozen=True):
    """Signals about a namespace may have been lost: for a while nobody looked, and what was missed is no more."""

    namespace: Annotated[str, Meta(max_length=63)]
    since: Timestamp = field(name="from")
    until: Timestamp = field(name="to")
    reason: Annotated[str, Meta(max_length=1024)]


class Phase(StrEnum):
    """What a workload goes through that makes pods unready on purpose."""

    STEADY = "steady"
    ROLLOUT = "rollout"
    DISRUPTION = "disruption"
    """A drain, an eviction, a preemption: pods are moved elsewhere."""
    FRESH = "fresh"
    """It has never been available since it was made, and its time to become so is not over."""


class CapacityChanged(Data, frozen=True):
    """How many pods of a target or a standby are ready, as of now."""

    role: Role
    ready: Annotated[int, Meta(ge=0)]
    desired: Annotated[int, Meta(ge=0)]
    phase: Phase = Phase.STEADY
    probe: Annotated[str, Meta(max_length=256, description="Why the policy's probe fails; 'ok' where it passes.")] = ""
    """Empty where nothing was probed."""


class LoadChanged(Data, frozen=True):
    """The load of a target, as of now, in the unit of its capacity."""

    load: Annotated[float, Meta(ge=0)]


class Action(StrEnum):
    """What an operator can ask of a breaker."""

    TRIP = "trip"
    RESET = "reset"
    HOLD = "hold"
    RELEASE = "release"
    RETIRE = "retire"
    """Reset and hold: its CircuitBreaker is being deleted, and the traffic goes home for good."""


class OperatorRequested(Data, frozen=True):
    """An operator asks for something; it is on the record with name and reason."""

    action: Action
    operator: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(min_length=1, max_length=512)]
    duration_ms: Timestamp = 0
    """How long it lasts from when it was taken in; 0 until another request ends it."""


class TimerElapsed(Data, frozen=True):
    """A time that a breaker waited for has come: a cool-down, a lease, a trial."""

    due_at: Timestamp


class BreakerMoved(Data, frozen=True):
    """A transition of a breaker; every subclass is one state that was entered."""

    state: str
    previous: str
    epoch: int
    mode: str
    since: int
    reason: str
    weight: int = 0
    causes: tuple[str, ...] = ()


class BreakerLimited(BreakerMoved, frozen=True):
    """The target should serve only part of its traffic."""


class BreakerOpened(BreakerMoved, frozen=True):
    """The target should not serve."""


class BreakerHalfOpened(BreakerMoved, frozen=True):
    """The target serves on trial."""


class BreakerClosed(BreakerMoved, frozen=True):
    """The target serves."""


class StepDue(Data, frozen=True):
    """A breaker's placement is still owed."""

    due_at: Timestamp


class FailoverDone(Data, frozen=True):
    """What became of one step towards what a breaker asks for; every subclass is one outcome."""

    epoch: int
    step: int
    result: str
    reason: str
    shares: dict[str, int]
    rehearsed: bool = False


class FailoverCompleted(FailoverDone, frozen=True):
    """The placement is what the breaker asks for, or its debt is paid otherwise (observed, not expressible)."""


class FailoverRefused(FailoverDone, frozen=True):
    """The step was not begun; it is tried again later."""


class FailoverFailed(FailoverDone, frozen=True):
    """The cluster refused the step for good; it is tried again after a cool-down."""


class FailoverReverted(FailoverDone, frozen=True):
    """The step did not hold and was undone."""


@lru_cache(maxsize=64)
def type_of(kind: type[Data]) -> str:
    """Return the CloudEvents type of a class: ``BreakerHalfOpened`` is ``dev.fuseboard.breaker.half_opened``."""
    noun, *participle = _CAPITAL.split(kind.__name__)
    return f"{TYPE_PREFIX}{noun.lower()}.{'_'.join(participle).lower()}"


DATA_TYPES: Final[Mapping[str, type[Data]]] = {
    type_of(kind): kind
    for kind in (
        FailureDetected,
        FailureResolved,
        CapacityChanged,
        LoadChanged,
        OperatorRequested,
        IngestGapFound,
        TimerElapsed,
        BreakerLimited,
        BreakerOpened,
        BreakerHalfOpened,
        BreakerClosed,
        StepDue,
        FailoverCompleted,
        FailoverRefused,
        FailoverFailed,
        FailoverReverted,
    )
}


def types_of(*kinds: type[Data]) -> EventTypes:
    """Return the types of some classes of data."""
    return frozenset(type_of(kind) for kind in kinds)


SIGNALS: Final = types_of(
    FailureDetected, FailureResolved, CapacityChanged, LoadChanged, OperatorRequested, TimerElapsed
)
BREAKER_EVENTS: Final = types_of(BreakerLimited, BreakerOpened, BreakerHalfOpened, BreakerClosed)
FAILOVER_EVENTS: Final = types_of(FailoverCompleted, FailoverRefused, FailoverFailed, FailoverReverted)
