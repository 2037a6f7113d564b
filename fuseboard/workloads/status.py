"""The status of a workload, as its Deployment or StatefulSet reports it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import DEPLOYMENT, STATEFUL_SET
from fuseboard.cluster.objects import ObjectCondition, RollingUpdate, WorkloadObject
from fuseboard.errors import InvalidInput
from fuseboard.events.event import digest
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


COMPLETE: Final = "NewReplicaSetAvailable"
"""Reason of the condition Progressing after a rollout."""
TIMED_OUT: Final = "ProgressDeadlineExceeded"
"""Reason of the condition Progressing after the progress deadline."""

_FIRST_CONDITION_MS: Final = 60_000
"""Within this time after the creation of a Deployment, its controller writes the first condition Available."""


class WorkloadStatus(Struct, frozen=True):
    """The part of a workload's status that the phase rules need."""

    kind: str
    name: str
    uid: str
    generation: int
    """Grows with every change of the spec."""
    desired: int
    """How many pods the spec asks for."""
    created_at: int
    """In milliseconds since 1970."""
    template: str
    """Digest of the pod template."""
    is_behind: bool = False
    """Whether the controller has yet to observe the latest generation."""
    is_rolling: bool = False
    is_late: bool = False
    """Whether the rollout has exceeded its progress deadline."""
    is_available: bool = False
    was_available: bool = False
    """Whether the status shows that the workload was available at some time."""
    has_deadline: bool = False
    """Whether the controller reports an exceeded progress deadline."""
    progress_changed_at: str = ""
    """Timestamp of the condition Progressing: changes whenever ``is_late`` does."""


def read_workload(kind: str, manifest: Mapping[str, Any]) -> WorkloadStatus:
    """Read a Deployment or a StatefulSet; the kind is given because items of a list do not carry theirs.

    Raises:
        InvalidInput: the object has not the fields of this kind.

    """
    try:
        return _READERS[kind](msgspec.convert(manifest, WorkloadObject))
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"not a {kind}: {error}") from error


def _deployment(workload: WorkloadObject) -> WorkloadStatus:
    spec, status = workload.spec, workload.status
    conditions = {each.type: each for each in status.conditions or ()}
    progress, available = conditions.get("Progressing", _NONE), conditions.get("Available", _NONE)
    desired = 1 if spec.replicas is None else spec.replicas
    old = status.replicas - status.updated_replicas
    # With the strategy Recreate, Progressing already says complete while the last old pods terminate.
    done = progress.reason == COMPLETE and not old and (status.updated_replicas > 0 or not desired)
    has_deadline = progress.reason is not None
    short = status.updated_replicas < desired or (has_deadline and status.available_replicas < status.updated_replicas)
    created = parse_timestamp(workload.metadata.creation_timestamp)
    available_changed = parse_timestamp(available.last_transition_time)
    return _status(
        workload,
        DEPLOYMENT,
        is_rolling=not (done or spec.paused) and (old > 0 or short),
        is_late=progress.reason == TIMED_OUT,
        is_available=available.status == "True",
        was_available=progress.reason == COMPLETE or available_changed > created + _FIRST_CONDITION_MS,
        has_deadline=has_deadline,
        progress_changed_at=progress.last_transition_time or "",
    )


def _stateful_set(workload: WorkloadObject) -> WorkloadStatus:
    spec, status = workload.spec, workload.status
    desired = 1 if spec.replicas is None else spec.replicas
    partition = (spec.update_strategy.rolling_update or RollingUpdate()).partition or 0
    to_do = status.updated_replicas < desired - partition or not partition
    differs = status.update_revision != status.current_revision
    available = status.observed_generation > 0 and status.ready_replicas >= desired
    is_rolling = differs and to_do and spec.update_strategy.type != "OnDelete"
    return _status(workload, STATEFUL_SET, is_rolling=is_rolling, is_available=available)


_READERS: Final[Mapping[str, Callable[[WorkloadObject], WorkloadStatus]]] = {
    DEPLOYMENT: _deployment,
    STATEFUL_SET: _stateful_set,
}


def _status(workload: WorkloadObject, kind: str, **judged: Any) -> WorkloadStatus:  # noqa: ANN401  - fields of the status
    meta, spec = workload.metadata, workload.spec
    return WorkloadStatus(
        kind=kind,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        desired=1 if spec.replicas is None else spec.replicas,
        created_at=parse_timestamp(meta.creation_timestamp),
        template=digest(json.dumps(spec.template, sort_keys=True)),
        is_behind=meta.generation > workload.status.observed_generation,
        **judged,
    )


_NONE: Final = ObjectCondition("")
"""Stands for a missing condition."""
