"""What stands in ``.status`` of a ``CircuitBreaker``: what Fuseboard says about it, on transitions only."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

_INT64: Final = {"format": "int64"}

Count = Annotated[int, Meta(ge=0, extra_json_schema=_INT64)]
Text = Annotated[str, Meta(max_length=1024)]
Moment = Annotated[datetime, Meta(tz=True)]
Percent = Annotated[int, Meta(ge=0, le=100)]


class ConditionStatus(StrEnum):
    """Whether a condition is so."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class _StatusPart(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the status: immutable, camelCase on the wire, what is not known left out."""


class PlacementShares(_StatusPart, frozen=True):
    """Who serves, in percent; what is left of 100 goes to an error page."""

    target: Percent | None = None
    """What the target is given."""
    standby: Percent | None = None
    """What the standby is given."""


class PlacementStatus(_StatusPart, frozen=True):
    """Who serves, and the transition that put it there."""

    epoch: Count | None = None
    """The transition that it answers; one below the breaker's is still owed."""
    step: Count | None = None
    """Changes made to the cluster within that epoch."""
    shares: PlacementShares | None = None
    result: Text | None = None
    """What came of it: verified, observed, refused, failed and the like."""
    reason: Text | None = None
    """Why, where it is not verified."""
    verified_at: Moment | None = None
    """When it was seen to be in place."""


class StatusCondition(_StatusPart, frozen=True):
    """A condition in the Kubernetes convention."""

    type: Annotated[str, Meta(pattern=r"^[A-Za-z]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", max_length=316)]
    """What it is about; one of each type."""
    status: ConditionStatus
    last_transition_time: Moment
    """When the status changed last."""
    reason: Annotated[str, Meta(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Meta(max_length=32_768)]
    """Why, for people."""
    observed_generation: Count | None = None
    """The generation of the resource that it is about."""


class DependencyStatus(_StatusPart, frozen=True):
    """A breaker that this one depends on."""

    name: Text
    """Its name, in this namespace."""
    state: Text | None = None
    """Its state; none where there is no such breaker."""


class BreakerStatus(_StatusPart, frozen=True):
    """The breaker as it stands. Fuseboard writes it on transitions only."""

    state: Text | None = None
    """CLOSED, LIMITED, OPEN or HALF_OPEN: whether the target should serve."""
    epoch: Count | None = None
    """Transitions that the breaker has made."""
    since: Moment | None = None
    """When it came to this state."""
    reason: Text | None = None
    """Why it did."""
    mode: Text | None = None
    """The mode in force: the policy's, or an operator's."""
    serving: Text | None = None
    """Who serves, such as 'target 50 %, standby 50 %'."""
    ready: Text | None = None
    """Pods of the target that are ready, of those that are desired, such as 2/2."""
    standby: Text | None = None
    """Pods of the standby that are ready, of those that are desired, such as 1/1."""
    observed_generation: Count | None = None
    """The generation of the resource that is in force; an edit that cannot be used leaves the one before."""
    placement: PlacementStatus | None = None
    """Who serves, and what came of the last change."""
    dependencies: Annotated[tuple[DependencyStatus, ...], Meta(max_length=32)] | None = None
    """Breakers that this one depends on, as they stand."""
    conditions: Annotated[tuple[StatusCondition, ...], Meta(max_length=16)] | None = None
    """What is so about the breaker, in the Kubernetes convention."""
