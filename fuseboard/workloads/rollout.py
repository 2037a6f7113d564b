"""What a workload goes through: is it short of ready pods on purpose?

Pure: told by what Deployment, StatefulSet and pods say of themselves. The rules stand in one table; the first that
holds decides. What a phase means for a breaker is the breaker's to say.

*Rolled out* is ``kubectl rollout status``' rule (``polymorphichelpers/rollout_status.go``), with one thing added: a
Deployment whose controller has said ``NewReplicaSetAvailable`` is done until the next change of its template, so that
pods which then fail, or are too few because of a quota, are not taken for a rollout. One that has exceeded its progress
deadline, or is paused, is steady.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import DEPLOYMENT, STATEFUL_SET
from fuseboard.cluster.objects import ObjectCondition, RollingUpdate, WorkloadObject
from fuseboard.errors import InvalidInput
from fuseboard.events.event import digest
from fuseboard.events.types import Phase
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fuseboard.workloads.pods import Pod

COMPLETE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"

LONGEST_MS: Final = 10 * 60_000
"""A disruption excuses no longer, nor does youth: as long as a Deployment's progress deadline is by default."""

_FIRST_MS: Final = 60_000
"""A Deployment's controller says for the first time whether it is available so soon after it was made."""


class WorkloadStatus(Struct, frozen=True):
    """What a workload says of itself."""

    kind: str
    name: str
    uid: str
    generation: int
    """Grows with every change of its spec."""
    desired: int
    created_at: int
    template: str
    """Stands for what its pods are to be."""
    is_behind: bool = False
    """Its controller has not looked at its last change yet."""
    is_rolling: bool = False
    is_late: bool = False
    """Its rollout has exceeded its deadline."""
    is_available: bool = False
    was_available: bool = False
    """It was available once, as far as it says."""
    has_deadline: bool = False
    """Its controller says when it has been late for too long."""
    stamp: str = ""
    """Changes whenever ``is_late`` does."""


@dataclass(frozen=True, slots=True)
class View:
    """All that decides about a phase."""

    status: WorkloadStatus
    pods: Sequence[Pod]
    now: int
    template: str = ""
    """What was rolled out when its controller had looked last; empty where that was not seen."""
    was_available: bool = False
    disrupted_at: int = 0
    """When the last of its pods was told to leave, since it was last complete."""

    @property
    def ready(self) -> int:
        """How many of its pods are ready."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def starting(self) -> int:
        """How many of its pods are new, and well as far as is known."""
        return sum(pod.is_starting for pod in self.pods)


def phase(view: View) -> Phase:
    """Return the phase of a workload."""
    return next((found for found, holds in RULES if holds(view)), Phase.STEADY)


def _is_fresh(view: View) -> bool:
    status = view.status
    young = view.now < status.created_at + LONGEST_MS or (status.is_rolling and status.has_deadline)
    return young and not (status.is_late or status.is_available or status.was_available or view.was_available)


def _is_rolled_out(view: View) -> bool:
    status = view.status
    # Scaling it is a change that its controller must look at, too, and no rollout.
    changed = status.is_behind and status.template != view.template
    return (status.is_rolling or changed) and not status.is_late


def _is_disrupted(view: View) -> bool:
    return view.ready < view.status.desired and view.now < view.disrupted_at + LONGEST_MS


def _grows(view: View) -> bool:
    """Say whether all that is missing are pods that have just been made."""
    missing = view.status.desired - view.ready
    return 0 < missing <= view.starting and not view.status.is_late


RULES: Final[tuple[tuple[Phase, Callable[[View], bool]], ...]] = (
    (Phase.FRESH, _is_fresh),
    (Phase.ROLLOUT, _is_rolled_out),
    (Phase.DISRUPTION, _is_disrupted),
    (Phase.ROLLOUT, _grows),
)


def read(kind: str, found: Mapping[str, Any]) -> WorkloadStatus:
    """Return what a Deployment or a StatefulSet says of itself; in a list it does not say which it is.

    Raises:
        InvalidInput: it is none.

    """
    try:
        return _READERS[kind](msgspec.convert(found, WorkloadObject))
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"this is no {kind}: {error}") from error


def _deployment(found: WorkloadObject) -> WorkloadStatus:
    spec, status = found.spec, found.status
    conditions = {each.type: each for each in status.conditions or ()}
    progress, available = conditions.get("Progressing", _NONE), conditions.get("Available", _NONE)
    desired = 1 if spec.replicas is None else spec.replicas
    old = status.replicas - status.updated_replicas
    # With the strategy Recreate it still says that it is complete while the last old pods take their time to go.
    done = progress.reason == COMPLETE and not old and (status.updated_replicas > 0 or not desired)
    has_deadline = progress.reason is not None
    short = status.updated_replicas < desired or (has_deadline and status.available_replicas < status.updated_replicas)
    created = parse_timestamp(found.metadata.creation_timestamp)
    turned = parse_timestamp(available.last_transition_time)
    return _status(
        found,
        DEPLOYMENT,
        is_rolling=not (done or spec.paused) and (old > 0 or short),
        is_late=progress.reason == TIMED_OUT,
        is_available=available.status == "True",
        was_available=progress.reason == COMPLETE or turned > created + _FIRST_MS,
        has_deadline=has_deadline,
        stamp=progress.last_transition_time or "",
    )


def _stateful_set(found: WorkloadObject) -> WorkloadStatus:
    spec, status = found.spec, found.status
    desired = 1 if spec.replicas is None else spec.replicas
    partition = (spec.update_strategy.rolling_update or RollingUpdate()).partition or 0
    to_do = status.updated_replicas < desired - partition or not partition
    differs = status.update_revision != status.current_revision
    available = status.observed_generation > 0 and status.ready_replicas >= desired
    is_rolling = differs and to_do and spec.update_strategy.type != "OnDelete"
    return _status(found, STATEFUL_SET, is_rolling=is_rolling, is_available=available)


_READERS: Final[Mapping[str, Callable[[WorkloadObject], WorkloadStatus]]] = {
    DEPLOYMENT: _deployment,
    STATEFUL_SET: _stateful_set,
}


def _status(found: WorkloadObject, kind: str, **said: Any) -> WorkloadStatus:  # noqa: ANN401  - fields of Status
    meta, spec = found.metadata, found.spec
    return WorkloadStatus(
        kind=kind,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        desired=1 if spec.replicas is None else spec.replicas,
        created_at=parse_timestamp(meta.creation_timestamp),
        template=digest(json.dumps(spec.template, sort_keys=True)),
        is_behind=meta.generation > found.status.observed_generation,
        **said,
    )


_NONE: Final = ObjectCondition("")
