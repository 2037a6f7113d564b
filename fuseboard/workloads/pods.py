"""What a pod says of itself, kept small: whether it serves, whether it leaves on purpose, what its containers died of.

A recorder may be silent about an Event for half an hour, and the kubelet's are throttled; the status of a pod is not.
So that a container has died is read here, and counts as an occurrence with a key of its own: pod, container, number.
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
"""What a ReplicaSet's name ends with when a Deployment made it."""

NOT_YET: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Why a container waits that does well."""
BETWEEN: Final = "CrashLoopBackOff"
"""Why a container waits whose last end says more."""

_AT_ONCE_MS: Final = 2_000
"""A kubelet says that a pod is not ready when it begins with it: no more lies between the two stamps."""
_INIT: Final = "initContainers"


class Container(Struct, frozen=True):
    """One container of a pod."""

    name: str
    """``app``, or ``initContainers/app``."""
    ends: int = 0
    """How often it has ended."""
    reason: str = ""
    """Why it ended last, by the kubelet's word: ``OOMKilled``, ``Error``, ``Completed``."""
    failed: bool = False
    """Whether it ended in an error."""
    ended_at: int = 0
    """When, by the kubelet's clock, in milliseconds since 1970."""
    waits: str = ""
    """Why it does not run, other than that it is being made."""

    @property
    def cause(self) -> str:
        """What is wrong with it, as far as is known."""
        return self.waits if self.waits not in ("", BETWEEN) else self.reason


class Pod(Struct, frozen=True):
    """As much of a pod as is needed here."""

    uid: str
    name: str
    namespace: str
    owner: tuple[str, str, str] = ("", "", "")
    """Kind, name and uid of what controls it."""
    made_by: str = ""
    """Name of the Deployment whose ReplicaSet's name that of its controller is; empty where it is nobody's."""
    is_ready: bool = False
    """Whether it serves: Ready, and not on its way out."""
    turned_at: int = 0
    """When it became ready or unready."""
    was_ready: bool = False
    """Whether it ever was ready, as far as is known."""
    leaves: bool = False
    disrupted_at: int = 0
    """When somebody said that it must leave: a drain, an eviction, a preemption, a taint; 0 when nobody did."""
    ip: str = ""
    port: int = 0
    """The first one that its containers name."""
    told_at: int = 0
    """The API server's stamp of the last change of its status."""
    containers: tuple[Container, ...] = ()

    @property
    def is_starting(self) -> bool:
        """Whether it was never ready, and nothing has gone wrong with it yet."""
        return not (self.was_ready or self.leaves) and not any(each.ends or each.waits for each in self.containers)

    @property
    def is_planned_away(self) -> bool:
        """Whether it goes because somebody wants it to."""
        return self.leaves or bool(self.disrupted_at)

    def cause(self, container: str) -> str:
        """Return what is wrong with a container, or with the first that has something; empty where nothing is."""
        found = [each.cause for each in self.containers if container in ("", each.name)]
        return next(filter(None, found), "")


def carry_over(before: Pod | None, pod: Pod) -> Pod:
    """Return a pod with what was known of it before."""
    if before is None or not before.was_ready or pod.was_ready:
        return pod
    return msgspec.structs.replace(pod, was_ready=True)


def container_failures(before: Pod | None, pod: Pod, since: int) -> Iterator[Failure]:
    """Yield what has ended in an error; of a pod not known ``before``, what did so after ``since``.

    A container that is stopped because its pod leaves has not failed, nor has one that exits with 0.
    """
    if pod.is_planned_away:
        return
    known = {each.name: each.ends for each in before.containers} if before is not None else {}
    for each in pod.containers:
        is_new = each.ends > known.get(each.name, 0) if before is not None else each.ended_at > since
        if each.failed and is_new:
            yield _death(pod, each, pod.told_at if before is not None else 0)


def read_pod(found: Mapping[str, Any]) -> Pod:
    """Return what a pod says of itself.

    Raises:
        InvalidInput: it is none.

    """
    try:
        pod = msgspec.convert(found, PodObject)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"this is no Pod: {error}") from error
    meta, status = pod.metadata, pod.status
    conditions = {each.type: each for each in status.conditions or ()}
    ready = conditions.get("Ready", _NONE)
    disrupted = conditions.get("DisruptionTarget", _NONE)
    owner = next((each for each in meta.owner_references or () if each.controller), OwnerReference())
    serves, turned, began = (
        ready.status == "True",
        parse_timestamp(ready.last_transition_time),
        parse_timestamp(status.start_time),
    )
    return Pod(
        uid=meta.uid if len(meta.uid) <= 40 else digest(meta.uid),  # noqa: PLR2004  - Kubernetes' own have 36
        name=meta.name,
        namespace=meta.namespace,
        owner=(owner.kind, owner.name, owner.uid),
        made_by=_made_by(owner.name, (meta.labels or {}).get(HASH_LABEL, "")),
        is_ready=serves and not meta.deletion_timestamp,
        turned_at=turned,
        was_ready=serves or bool(began and turned > began + _AT_ONCE_MS),
        leaves=bool(meta.deletion_timestamp),
        disrupted_at=(parse_timestamp(disrupted.last_transition_time) or 1) if disrupted.status == "True" else 0,
        ip=status.pod_ip or "",
        port=next((port.container_port for each in pod.spec.containers for port in each.ports or ()), 0),
        told_at=max(
            (parse_timestamp(each.time) for each in meta.managed_fields or () if each.subresource == "status"),
            default=0,
        ),
        containers=tuple(_containers(status)),
    )


def _death(pod: Pod, container: Container, told_at: int) -> Failure:
    # A kubelet's clock may be wrong: where the API server has just been told, it is its stamp that counts.
    began = told_at or container.ended_at
    return Failure(
        key=f"{pod.uid}/{container.name}/{container.ends}",
        cause=f"{container.reason} {POD}/{pod.name}"[:320],
        started_at=began,
        emitted_at=container.ended_at if container.ended_at != began else 0,
        reason=container.reason,
        container=container.name,
    )


def _made_by(replica_set: str, template: str) -> str:
    return replica_set.removesuffix(f"-{template}") if template and replica_set.endswith(f"-{template}") else ""


def _containers(status: PodStatus) -> Iterator[Container]:
    for group, found in ((_INIT, status.init_container_statuses), ("", status.container_statuses)):
        for each in found or ():
            name = plain(each.name, 48)
            yield _container(f"{group}/{name}" if group else name, each)


def _container(name: str, found: ContainerStatus) -> Container:
    state = found.state or ContainerState()
    ended = state.terminated or (found.last_state or ContainerState()).terminated
    waits = plain(state.waiting.reason, 128) if state.waiting is not None else ""
    waits = "" if waits in NOT_YET else waits
    if ended is None:
        return Container(name, found.restart_count, waits=waits)
    # What ended is number restartCount once the next one runs; until then that count has not grown.
    ends = found.restart_count + (state.running is None)
    failed = ended.exit_code != 0
    reason = plain(ended.reason, 128) or ("Error" if failed else "Completed")
    return Container(name, ends, reason, failed, parse_timestamp(ended.finished_at), waits)


_NONE: Final = ObjectCondition("")
