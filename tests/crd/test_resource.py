"""What is read of a CircuitBreaker, and what is written to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard.crd.resource import FINALIZER, finalizer_patch, read_resource, resource_path, status_patch
from fuseboard.errors import InvalidInput
from fuseboard.testing.objects import circuit_breaker
from fuseboard.times import kubernetes_timestamp, parse_timestamp


def test_a_resource_is_a_policy_with_a_life_of_its_own() -> None:
    """Metadata that are Kubernetes' own, and the status, are no part of the policy."""
    found = read_resource(
        circuit_breaker(
            status={"state": "OPEN"},
            labels={"a": "b"},
            managedFields=[{}],
            finalizers=["x"],
            creationTimestamp="2026-01-01T00:00:00Z",
            deletionTimestamp="2026-01-01T00:00:01Z",
        )
    )
    assert found.policy is not None
    assert found.policy.key == found.key == "shop/login"
    assert (
        found.path
        == resource_path("shop/login")
        == "/apis/fuseboard.dev/v1alpha1/namespaces/shop/circuitbreakers/login"
    )
    assert (found.uid, found.version, found.generation) == ("u", "7", 1)
    assert (found.status, found.finalizers) == ({"state": "OPEN"}, ("x",))
    assert found.deleted_at == parse_timestamp("2026-01-01T00:00:01Z")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (None, "spec"),
        ({}, "spec"),
        ({"target": {"name": "login"}, "trip": {"limitAt": 12}}, "spec.trip.limitAt is 12"),
        ({"target": {"name": "login"}, "colour": "red"}, "colour"),
        ({"target": {"name": "login"}, "signals": {"match": ['severity=~"("']}}, "spec.signals.match[0]"),
    ],
)
def test_one_that_is_no_policy_says_why(spec: object, told: str) -> None:
    """It is a resource all the same: its status can say what is wrong with it."""
    found = read_resource(circuit_breaker(spec))
    assert found.policy is None
    assert found.key == "shop/login"
    assert told in found.problem


@pytest.mark.parametrize("found", [{}, {"metadata": None}, {"metadata": {"name": 1}}, {"metadata": {"name": "a"}}])
def test_what_is_no_object_is_refused(found: dict[str, Any]) -> None:
    """Without a name and a namespace there is nobody to tell."""
    with pytest.raises(InvalidInput):
        read_resource(found)


def test_a_status_of_another_shape_is_none() -> None:
    """Whatever somebody has written there is not read."""
    assert read_resource(circuit_breaker(status=["x"])).status == {}


def test_the_finalizer_is_put_on_and_taken_off_beside_those_of_others() -> None:
    """Others' finalizers stay, and what is so already is not patched."""
    bare, ours = (
        read_resource(circuit_breaker(finalizers=["other/one"])),
        read_resource(circuit_breaker(finalizers=["other/one", FINALIZER])),
    )
    on, off = finalizer_patch(bare, hold=True), finalizer_patch(ours, hold=False)
    assert on == {"metadata": {"resourceVersion": "7", "finalizers": ["other/one", FINALIZER]}}
    assert off == {"metadata": {"resourceVersion": "7", "finalizers": ["other/one"]}}
    assert finalizer_patch(bare, hold=False) is finalizer_patch(ours, hold=True) is None


def test_no_finalizer_is_put_on_what_is_being_deleted() -> None:
    """Kubernetes would refuse it."""
    leaving = read_resource(circuit_breaker(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert finalizer_patch(leaving, hold=True) is None


@given(st.integers(0, 4_000_000_000))
def test_times_are_read_as_they_are_written(seconds: int) -> None:
    """To the second."""
    assert parse_timestamp(kubernetes_timestamp(seconds * 1000)) == seconds * 1000


def test_no_time_is_no_time() -> None:
    """What is none reads as none."""
    assert parse_timestamp("soon") == 0


def test_a_status_may_be_for_one_version_only() -> None:
    """With a version, it is applied to that one alone."""
    assert "resourceVersion" not in status_patch("shop/login", {})["metadata"]
    assert status_patch("shop/login", {}, "7")["metadata"] == {
        "name": "login",
        "namespace": "shop",
        "resourceVersion": "7",
    }
