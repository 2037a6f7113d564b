"""Kinds of Kubernetes objects, the API paths of objects and lists, and the names under which Fuseboard reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard.policy.enums import RouteKind, WorkloadKind
from fuseboard.policy.spec import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN: Final = "fuseboard"
"""The reporter of Events that Fuseboard writes; they are no evidence against a target."""

NORMAL: Final = "Normal"
"""Type of an Event that reports no trouble."""
WARNING: Final = "Warning"
"""Type of an Event that reports trouble."""

EVENT: Final = "Event"
POD: Final = "Pod"
REPLICA_SET: Final = "ReplicaSet"
DEPLOYMENT: Final = WorkloadKind.DEPLOYMENT.value
STATEFUL_SET: Final = WorkloadKind.STATEFUL_SET.value
SERVICE: Final = RouteKind.SERVICE.value
CIRCUIT_BREAKER: Final = KIND

_CORE: Final = "/api/v1"
_APPS: Final = "/apis/apps/v1"
_OWN_GROUP: Final = f"/apis/{API_VERSION}"

_RESOURCES: Final[Mapping[str, tuple[str, str]]] = {
    EVENT: (_CORE, "events"),
    POD: (_CORE, "pods"),
    SERVICE: (_CORE, "services"),
    REPLICA_SET: (_APPS, "replicasets"),
    DEPLOYMENT: (_APPS, "deployments"),
    STATEFUL_SET: (_APPS, "statefulsets"),
    CIRCUIT_BREAKER: (_OWN_GROUP, "circuitbreakers"),
}
"""API group and plural of each kind."""


def plural(kind: str) -> str:
    """Return the plural of a kind in paths, such as ``deployments``."""
    return _RESOURCES[kind][1]


def list_path(kind: str, namespace: str = "") -> str:
    """Return the path of the objects of a kind in a namespace; without a namespace, in all namespaces."""
    group, resource = _RESOURCES[kind]
    return f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"


def object_path(kind: str, namespace: str, name: str) -> str:
    """Return the path of an object."""
    return f"{list_path(kind, namespace)}/{name}"


def namespace_path(namespace: str) -> str:
    """Return the path of a namespace."""
    return f"{_CORE}/namespaces/{namespace}"
