"""The types of events: a class for the data of each type, and its CloudEvents type.

A CloudEvents type is ``dev.fuseboard.<noun>.<past participle>`` and follows from the name of the class. The docstrings
below become descriptions in the JSON schemas (``schemas/*.json``).
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

Key = Annotated[str, Meta(min_length=1, max_length=128, description="Identifies the failure, also when repeated.")]
Timestamp = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Milliseconds since 1970, to the year 9999.")]
Duration = Annotated[int, Meta(ge=0, le=253_402_300_799_999, description="Milliseconds.")]
Cause = Annotated[str, Meta(min_length=1, max_length=320, description="Alert name or reason, and the object.")]
Reason = Annotated[str, Meta(max_length=128, description="Alert name, Kubernetes reason or container exit reason.")]
ANY: Final[EventTypes] = frozenset({"*"})
"""The types that a function consumes if its Trigger has no filter."""


class Data(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The data of an event; camelCase on the wire."""


class Failure(Data, frozen=True):
    """A failure of a target.

    With ``condition`` the failure lasts until resolved, as a firing alert does. Without ``condition`` the failure is an
    occurrence, as a Kubernetes Event is.
    """

    key: Key
    cause: Cause
    condition: Annotated[str, Meta(max_length=128)] = ""
    severity: Annotated[str, Meta(max_length=64)] = ""
    started_at: Timestamp = 0
    """When the failure began; 0 if unknown. Evidence from too long ago does not count."""
    emitted_at: Timestamp = 0
    """The emitter's own timestamp, if ``started_at`` is from another clock."""
    reason: Reason = ""
    """The reason by which the table of failures (``failures.json``) classifies the failure."""
    chain: Annotated[tuple[Reason, ...], Meta(max_length=8)] = ()
    """Reasons that led to the failure, the nearest first, such as ``OOMKilled`` for a ``BackOff``."""
    container: Annotated[str, Meta(max_length=64)] = ""
    """The container of the pod."""

    @property
    def name(self) -> str:
        """The reason, or the first word of the cause without a reason."""
        return self.reason or self.cause.partition(" ")[0]


class FailureDetected(Data, frozen=True):
    """New failures of a target, from a single notification."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class FailureResolved(Data, frozen=True):
    """Conditions of a target that no longer hold."""

    failures: Annotated[tuple[Failure, ...], Meta(min_length=1)]


class IngestGapFound(Data, frozen=True):
    """Signals about a namespace may be lost: no watch ran for a time, and the cluster no longer has the Events."""

    namespace: Annotated[str, Meta(max_length=63)]
    since: Timestamp = field(name="from")
    until: Timestamp = field(name="to")
    reason: Annotated[str, Meta(max_length=1024)]


class Phase(StrEnum):
    """Planned work on a workload, which explains unready pods."""

    STEADY = "steady"
    ROLLOUT = "rollout"
    DISRUPTION = "disruption"
    """A drain, an eviction or a preemption moves pods to another node."""
    FRESH = "fresh"
    """A new workload that has never been available, within its time to become available."""


class CapacityChanged(Data, frozen=True):
    """The number of ready pods of a target or a standby, as of now."""

    role: Role
    ready: Annotated[int, Meta(ge=0)]
    desired: Annotated[int, Meta(ge=0)]
    phase: Phase = Phase.STEADY
    probe: Annotated[str, Meta(max_length=256, description="Why the policy's probe fails, or 'ok'.")] = ""
    """Empty without a probe."""


class LoadChanged(Data, frozen=True):
    """The load of a target, as of now, in the unit of its capacity."""

    load: Annotated[float, Meta(ge=0)]


class Action(StrEnum):
    """Requests of an operator."""

    TRIP = "trip"
    RESET = "reset"
    HOLD = "hold"
    RELEASE = "release"
    RETIRE = "retire"
    """Reset and hold, because the CircuitBreaker is being deleted: the traffic returns to the target permanently."""


class OperatorRequested(Data, frozen=True):
    """A request of an operator; the journal records name and reason."""

    action: Action
    operator: Annotated[str, Meta(min_length=1, max_length=128)]
    reason: Annotated[str, Meta(min_length=1, max_length=512)]
    duration_ms: Duration = 0
    """How long the request lasts, in milliseconds from its arrival; 0 until another request ends it."""


class TimerElapsed(Data, frozen=True):
    """The end of a time that a breaker waited for: a cool-down, a lease, a trial."""

    due_at: Timestamp


class BreakerMoved(Data, frozen=True):
    """A transition of a breaker; there is a subclass for each state."""

    state: str
    previous: str
    epoch: int
    mode: str
    since: int
    reason: str
    weight: int = 0
    causes: tuple[str, ...] = ()


class BreakerLimited(BreakerMoved, frozen=True):
    """The target should serve only a part of the traffic."""


class BreakerOpened(BreakerMoved, frozen=True):
    """The target should not serve."""


class BreakerHalfOpened(BreakerMoved, frozen=True):
    """The target serves on trial."""


class BreakerClosed(BreakerMoved, frozen=True):
    """The target serves."""


class StepDue(Data, frozen=True):
    """A breaker's traffic has still to be moved."""

    due_at: Timestamp


class FailoverDone(Data, frozen=True):
    """The result of a step of a failover; there is a subclass for each result."""

    epoch: int
    step: int
    result: str
    reason: str
    shares: dict[str, int]
    rehearsed: bool = False


class FailoverCompleted(FailoverDone, frozen=True):
    """The traffic is placed as the breaker requests, or no step is needed (observed only, or not expressible)."""


class FailoverRefused(FailoverDone, frozen=True):
    """The step did not begin; it is repeated later."""


class FailoverFailed(FailoverDone, frozen=True):
    """The cluster refused the step permanently; the step is repeated after a cool-down."""


class FailoverReverted(FailoverDone, frozen=True):
    """The step had no lasting effect and was undone."""


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
    """Return the CloudEvents types of some classes."""
    return frozenset(type_of(kind) for kind in kinds)


SIGNALS: Final = types_of(
    FailureDetected, FailureResolved, CapacityChanged, LoadChanged, OperatorRequested, TimerElapsed
)
BREAKER_EVENTS: Final = types_of(BreakerLimited, BreakerOpened, BreakerHalfOpened, BreakerClosed)
FAILOVER_EVENTS: Final = types_of(FailoverCompleted, FailoverRefused, FailoverFailed, FailoverReverted)
