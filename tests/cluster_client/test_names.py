"""Paths of the API server."""

from __future__ import annotations

import pytest

from fuseboard.cluster.names import (
    CIRCUIT_BREAKER,
    DEPLOYMENT,
    EVENT,
    POD,
    REPLICA_SET,
    SERVICE,
    STATEFUL_SET,
    list_path,
    namespace_path,
    object_path,
    plural,
)
from fuseboard.policy.enums import RouteKind, WorkloadKind


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (EVENT, "/api/v1/namespaces/shop/events"),
        (POD, "/api/v1/namespaces/shop/pods"),
        (SERVICE, "/api/v1/namespaces/shop/services"),
        (REPLICA_SET, "/apis/apps/v1/namespaces/shop/replicasets"),
        (DEPLOYMENT, "/apis/apps/v1/namespaces/shop/deployments"),
        (STATEFUL_SET, "/apis/apps/v1/namespaces/shop/statefulsets"),
        (CIRCUIT_BREAKER, "/apis/fuseboard.dev/v1alpha1/namespaces/shop/circuitbreakers"),
    ],
)
def test_each_kind_has_a_path(kind: str, path: str) -> None:
    """The list in a namespace; an object is below it."""
    assert list_path(kind, "shop") == path
    assert object_path(kind, "shop", "login") == f"{path}/login"


def test_a_list_of_all_namespaces() -> None:
    """Without a namespace, the list has the objects of all namespaces."""
    assert list_path(CIRCUIT_BREAKER) == "/apis/fuseboard.dev/v1alpha1/circuitbreakers"
    assert namespace_path("shop") == "/api/v1/namespaces/shop"


@pytest.mark.parametrize("kind", [*RouteKind, *WorkloadKind])
def test_each_kind_of_a_policy_is_known(kind: RouteKind | WorkloadKind) -> None:
    """A policy names no kind that has no path."""
    assert plural(kind) == f"{kind.value.lower()}s"
