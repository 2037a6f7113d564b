"""Kubernetes objects as the API server writes them: the fields that Fuseboard reads, and no others.

The structs are the input of ``msgspec.convert`` and the only description of these objects in the code. A field that the
API server may omit or set to null has a default. Each kind has its own metadata, because each reader requires different
fields.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class OwnerReference(Struct, frozen=True):
    """An owner of an object."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    """Whether this owner controls the object; at most one owner does."""


class ManagedFields(Struct, frozen=True):
    """The last write of one field manager."""

    time: str | None = None
    subresource: str | None = None


# -- core/v1 and events.k8s.io/v1: Event -----------------------------------------------------------------------------


class EventMeta(Struct, frozen=True, rename="camel"):
    """Metadata of an Event."""

    uid: str
    resource_version: str
    creation_timestamp: str | None = None
    managed_fields: list[ManagedFields] | None = None


class ObjectReference(Struct, frozen=True, rename="camel"):
    """The object that an Event is about."""

    namespace: str | None = None
    kind: str | None = None
    name: str | None = None
    uid: str | None = None
    field_path: str | None = None


class EventSeries(Struct, frozen=True, rename="camel"):
    """Repetitions of an Event, as the newer recorder counts them."""

    count: int | None = None
    last_observed_time: str | None = None


class EventObject(Struct, frozen=True, rename="camel"):
    """An Event of either API group: a field that the groups name differently stands here under both names."""

    metadata: EventMeta
    type: str | None = None
    reason: str | None = None
    series: EventSeries | None = None
    event_time: str | None = None
    involved_object: ObjectReference | None = None
    regarding: ObjectReference | None = None
    message: str | None = None
    note: str | None = None
    count: int | None = None
    deprecated_count: int | None = None
    last_timestamp: str | None = None
    deprecated_last_timestamp: str | None = None
    reporting_component: str | None = None
    reporting_controller: str | None = None


# -- core/v1: Pod ----------------------------------------------------------------------------------------------------


class ObjectCondition(Struct, frozen=True, rename="camel"):
    """A condition in the status of a Pod, a Deployment or a StatefulSet."""

    type: str
    status: str = ""
    reason: str | None = None
    last_transition_time: str | None = None


class PodMeta(Struct, frozen=True, rename="camel"):
    """Metadata of a Pod."""

    uid: str
    name: str
    namespace: str
    labels: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    deletion_timestamp: str | None = None
    managed_fields: list[ManagedFields] | None = None


class ContainerPort(Struct, frozen=True, rename="camel"):
    """A port that a container names."""

    container_port: int = 0


class ContainerSpec(Struct, frozen=True):
    """A container as the spec of its Pod describes it."""

    ports: list[ContainerPort] | None = None


class PodSpec(Struct, frozen=True):
    """The spec of a Pod."""

    containers: list[ContainerSpec] = []


class WaitingState(Struct, frozen=True):
    """Why a container waits."""

    reason: str | None = None


class TerminatedState(Struct, frozen=True, rename="camel"):
    """How and when a container ended."""

    exit_code: int = 0
    reason: str | None = None
    finished_at: str | None = None


class ContainerState(Struct, frozen=True):
    """The state of a container; one of the three is set."""

    waiting: WaitingState | None = None
    running: dict[str, Any] | None = None
    terminated: TerminatedState | None = None


class ContainerStatus(Struct, frozen=True, rename="camel"):
    """A container as the status of its Pod reports it."""

    name: str
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodStatus(Struct, frozen=True, rename="camel"):
    """The status of a Pod."""

    pod_ip: str | None = field(name="podIP", default=None)
    start_time: str | None = None
    conditions: list[ObjectCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class PodObject(Struct, frozen=True):
    """A Pod."""

    metadata: PodMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# -- apps/v1: Deployment and StatefulSet -----------------------------------------------------------------------------


class WorkloadMeta(Struct, frozen=True, rename="camel"):
    """Metadata of a workload."""

    name: str
    uid: str
    generation: int = 0
    creation_timestamp: str | None = None


class RollingUpdate(Struct, frozen=True):
    """Parameters of a rolling update."""

    partition: int | None = None
    """Pods of a StatefulSet with a lower ordinal keep the old revision."""


class UpdateStrategy(Struct, frozen=True, rename="camel"):
    """How a StatefulSet replaces its pods."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Struct, frozen=True, rename="camel"):
    """The spec of a workload."""

    replicas: int | None = None
    paused: bool = False
    template: dict[str, Any] = {}
    update_strategy: UpdateStrategy = UpdateStrategy()


class WorkloadObjectStatus(Struct, frozen=True, rename="camel"):
    """The status of a workload."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    ready_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    conditions: list[ObjectCondition] | None = None


class WorkloadObject(Struct, frozen=True):
    """A Deployment or a StatefulSet; an item of a list does not name its kind."""

    metadata: WorkloadMeta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadObjectStatus = WorkloadObjectStatus()


# -- fuseboard.dev/v1alpha1: CircuitBreaker --------------------------------------------------------------------------


class CircuitBreakerMeta(Struct, frozen=True, rename="camel"):
    """Metadata of a CircuitBreaker."""

    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
