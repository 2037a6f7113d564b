"""The schema of ``.status`` of a CircuitBreaker; Fuseboard writes the status on transitions only."""

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
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class _StatusPart(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the status: immutable, camelCase on the wire, without unknown values."""


class PlacementShares(_StatusPart, frozen=True):
    """Shares of the traffic, in percent; the rest of 100 goes to an error page."""

    target: Percent | None = None
    """The target's share."""
    standby: Percent | None = None
    """The standby's share."""


class PlacementStatus(_StatusPart, frozen=True):
    """The shares of target and standby, the transition that asked for them, and the result of the last change."""

    epoch: Count | None = None
    """The transition that asked for the placement; if lower than the breaker's epoch, a change is still due."""
    step: Count | None = None
    """Changes made to the cluster within that epoch."""
    shares: PlacementShares | None = None
    result: Text | None = None
    """The result of the last change: verified, observed, refused, failed and others."""
    reason: Text | None = None
    """Why the placement is not verified."""
    verified_at: Moment | None = None
    """When the placement was last verified."""


class StatusCondition(_StatusPart, frozen=True):
    """A condition in the Kubernetes convention."""

    type: Annotated[str, Meta(pattern=r"^[A-Za-z]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", max_length=316)]
    """The type of the condition; a status has at most one condition of each type."""
    status: ConditionStatus
    last_transition_time: Moment
    """When the status changed last."""
    reason: Annotated[str, Meta(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)]
    """Why, in one word for programs."""
    message: Annotated[str, Meta(max_length=32_768)]
    """Why, for people."""
    observed_generation: Count | None = None
    """The generation of the resource that the condition describes."""


class DependencyStatus(_StatusPart, frozen=True):
    """A breaker in spec.dependsOn."""

    name: Text
    """Its name, in this namespace."""
    state: Text | None = None
    """Its state; missing if the breaker does not exist."""


class BreakerStatus(_StatusPart, frozen=True):
    """The present state of the breaker. Fuseboard writes the status on transitions only."""

    state: Text | None = None
    """CLOSED, LIMITED, OPEN or HALF_OPEN."""
    epoch: Count | None = None
    """Number of transitions of the breaker."""
    since: Moment | None = None
    """Time of the last transition."""
    reason: Text | None = None
    """Reason of the last transition."""
    mode: Text | None = None
    """The mode in force: from the policy, or set by an operator."""
    serving: Text | None = None
    """Shares of target and standby, such as 'target 50 %, standby 50 %'."""
    ready: Text | None = None
    """Ready and desired pods of the target, such as 2/2."""
    standby: Text | None = None
    """Ready and desired pods of the standby, such as 1/1."""
    observed_generation: Count | None = None
    """The generation of the resource that was judged last; the condition Accepted says whether it is in force."""
    placement: PlacementStatus | None = None
    dependencies: Annotated[tuple[DependencyStatus, ...], Meta(max_length=32)] | None = None
    """The breakers in spec.dependsOn and their states."""
    conditions: Annotated[tuple[StatusCondition, ...], Meta(max_length=16)] | None = None
    """Conditions of policy and breaker, in the Kubernetes convention."""
