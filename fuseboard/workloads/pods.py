"""Pods, reduced to the facts that matter here: readiness, planned departure, and failed containers.

A recorder may suppress an Event for half an hour, and the kubelet throttles its Events. The status of a pod is always
up to date. Failed containers are therefore read from the status, and each failure counts as an occurrence under a key
of its own: pod, container and number of the termination.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from fuseboard.cluster.names import POD
from fuseboard.cluster.objects import (
    ContainerState,
    ContainerStatus,
    ObjectCondition,
    OwnerReference,
    PodObject,
    PodStatus,
)
from fuseboard.errors import InvalidInput
from fuseboard.events.event import digest
from fuseboard.events.types import Failure
from fuseboard.text import plain
from fuseboard.times import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HASH_LABEL: Final = "pod-template-hash"
"""Label with the suffix that a Deployment gives to the name of its ReplicaSet."""

STARTING_REASONS: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons of a waiting container that is starting normally."""
CRASH_LOOP: Final = "CrashLoopBackOff"
"""Reason of a waiting container whose last termination tells the cause."""

_SAME_TIME_MS: Final = 2_000
"""A kubelet sets Ready to False when it starts a pod: the two timestamps differ by at most this time."""
_INIT: Final = "initContainers"


class Container(Struct, frozen=True):
    """One container of a pod."""

    name: str
    """Such as ``app`` or ``initContainers/app``."""
    terminations: int = 0
    """How often the container has terminated."""
    reason: str = ""
    """Reason of the last termination, as the kubelet names it: ``OOMKilled``, ``Error``, ``Completed``."""
    failed: bool = False
    """Whether the last termination had an exit code other than 0."""
    ended_at: int = 0
    """Time of the last termination by the kubelet's clock, in milliseconds since 1970."""
    waiting_for: str = ""
    """Reason why the container does not run; empty during a normal start."""

    @property
    def is_troubled(self) -> bool:
        """Whether the container has terminated, or waits for another reason than a normal start."""
        return bool(self.terminations or self.waiting_for)

    @property
    def cause(self) -> str:
        """The most specific reason why the container does not run well; empty if none is known."""
        return self.waiting_for if self.waiting_for not in ("", CRASH_LOOP) else self.reason


class Pod(Struct, frozen=True):
    """The part of a pod that Fuseboard uses; times are in milliseconds since 1970."""

    uid: str
    name: str
    namespace: str
    owner: tuple[str, str, str] = ("", "", "")
    """Kind, name and uid of the controller."""
    deployment: str = ""
    """Name of the Deployment that the name of the controlling ReplicaSet begins with; empty if there is none."""
    is_ready: bool = False
    """Whether the pod serves: Ready and not terminating."""
    ready_changed_at: int = 0
    """Last transition of the condition Ready."""
    was_ready: bool = False
    """Whether the pod is known to have been ready at some time."""
    is_terminating: bool = False
    disrupted_at: int = 0
    """When a drain, an eviction, a preemption or a taint asked the pod to leave; 0 for never."""
    ip: str = ""
    port: int = 0
    """The first port that a container names; 0 for none."""
    status_changed_at: int = 0
    """The API server's timestamp of the last change of the status."""
    containers: tuple[Container, ...] = ()

    @property
    def is_starting(self) -> bool:
        """Whether the pod has never been ready and no container has failed yet."""
        return not (self.was_ready or self.is_terminating) and not any(each.is_troubled for each in self.containers)

    @property
    def is_planned_away(self) -> bool:
        """Whether the pod leaves on purpose."""
        return self.is_terminating or bool(self.disrupted_at)

    def cause(self, container: str) -> str:
        """Return the cause of a container's trouble; without a name, the first cause of any container."""
        causes = [each.cause for each in self.containers if container in ("", each.name)]
        return next(filter(None, causes), "")


def carry_over(before: Pod | None, pod: Pod) -> Pod:
    """Return a pod, with ``was_ready`` taken over from its previous report."""
    if before is None or not before.was_ready or pod.was_ready:
        return pod
    return msgspec.structs.replace(pod, was_ready=True)


def container_failures(before: Pod | None, pod: Pod, since: int) -> Iterator[Failure]:
    """Yield the containers that have failed since the report ``before``.

    Of a pod without an earlier report, yield the containers that failed after ``since``, in milliseconds since 1970. A
    container that exits with 0 has not failed, nor has a container that is stopped because its pod leaves.
    """
    if pod.is_planned_away:
        return
    known = {each.name: each.terminations for each in before.containers} if before is not None else {}
    for each in pod.containers:
        is_new = each.terminations > known.get(each.name, 0) if before is not None else each.ended_at > since
        if each.failed and is_new:
            yield _failure(pod, each, pod.status_changed_at if before is not None else 0)


def read_pod(manifest: Mapping[str, Any]) -> Pod:
    """Read a pod.

    Raises:
        InvalidInput: the object has not the fields of a pod.

    """
    try:
        pod = msgspec.convert(manifest, PodObject)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"not a Pod: {error}") from error
    meta, status = pod.metadata, pod.status
    conditions = {each.type: each for each in status.conditions or ()}
    ready = conditions.get("Ready", _NONE)
    disrupted = conditions.get("DisruptionTarget", _NONE)
    owner = next((each for each in meta.owner_references or () if each.controller), OwnerReference())
    is_ready = ready.status == "True"
    ready_changed_at, started_at = parse_timestamp(ready.last_transition_time), parse_timestamp(status.start_time)
    writes = [parse_timestamp(each.time) for each in meta.managed_fields or () if each.subresource == "status"]
    return Pod(
        uid=meta.uid if len(meta.uid) <= 40 else digest(meta.uid),  # noqa: PLR2004  - Kubernetes' own have 36
        name=meta.name,
        namespace=meta.namespace,
        owner=(owner.kind, owner.name, owner.uid),
        deployment=_deployment(owner.name, (meta.labels or {}).get(HASH_LABEL, "")),
        is_ready=is_ready and not meta.deletion_timestamp,
        ready_changed_at=ready_changed_at,
        was_ready=is_ready or bool(started_at and ready_changed_at > started_at + _SAME_TIME_MS),
        is_terminating=bool(meta.deletion_timestamp),
        disrupted_at=(parse_timestamp(disrupted.last_transition_time) or 1) if disrupted.status == "True" else 0,
        ip=status.pod_ip or "",
        port=next((port.container_port for each in pod.spec.containers for port in each.ports or ()), 0),
        status_changed_at=max(writes, default=0),
        containers=tuple(_containers(status)),
    )


def _failure(pod: Pod, container: Container, changed_at: int) -> Failure:
    # A kubelet's clock may be wrong: the API server's timestamp counts for a change that was just reported.
    began = changed_at or container.ended_at
    return Failure(
        key=f"{pod.uid}/{container.name}/{container.terminations}",
        cause=f"{container.reason} {POD}/{pod.name}"[:320],
        started_at=began,
        emitted_at=container.ended_at if container.ended_at != began else 0,
        reason=container.reason,
        container=container.name,
    )


def _deployment(replica_set: str, template: str) -> str:
    return replica_set.removesuffix(f"-{template}") if template and replica_set.endswith(f"-{template}") else ""


def _containers(status: PodStatus) -> Iterator[Container]:
    for group, statuses in ((_INIT, status.init_container_statuses), ("", status.container_statuses)):
        for each in statuses or ():
            name = plain(each.name, 48)
            yield _container(f"{group}/{name}" if group else name, each)


def _container(name: str, status: ContainerStatus) -> Container:
    state = status.state or ContainerState()
    ended = state.terminated or (status.last_state or ContainerState()).terminated
    waits = plain(state.waiting.reason, 128) if state.waiting is not None else ""
    waits = "" if waits in STARTING_REASONS else waits
    if ended is None:
        return Container(name, status.restart_count, waiting_for=waits)
    # The kubelet raises restartCount when the next instance runs, not when the last instance terminates.
    ends = status.restart_count + (state.running is None)
    failed = ended.exit_code != 0
    reason = plain(ended.reason, 128) or ("Error" if failed else "Completed")
    return Container(name, ends, reason, failed, parse_timestamp(ended.finished_at), waits)


_NONE: Final = ObjectCondition("")
