"""The inventory knows which pods belong to the workloads of the table, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fuseboard.errors import ClusterUnavailable
from fuseboard.testing.objects import deployment, pod, stateful_set
from fuseboard.workloads.readiness import is_planned
from tests.workloads.targets import policy
from tests.workloads.watched import LATER, UP, WatchedNamespace, fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.testing.objects import Manifest


@pytest.mark.parametrize(
    "other",
    [
        pod("x", owner=("", "", "")),
        pod("x", owner=("ReplicaSet", "cart-7d9c5b8f6d", "u")),
        pod("x", owner=("StatefulSet", "login", "u")),
        pod("x", owner=("Job", "login", "u")),
        pod("x") | {"metadata": pod("x")["metadata"] | {"namespace": "elsewhere"}},
        pod("x", leaving=True),
    ],
)
def test_pods_of_others_do_not_count(other: Manifest) -> None:
    """Made by hand, another's, a StatefulSet's of the same name, a Job's, in another namespace, on its way out."""
    assert WatchedNamespace().begin(deployment(), *UP, other).again() == [fact(3)]


def test_only_replica_sets_that_bear_the_name_are_asked_about() -> None:
    """One read for each, however many pods it has; and none for a thousand others."""
    told = WatchedNamespace().begin(
        deployment(), *UP, *(pod(f"x{n}", owner=("ReplicaSet", f"cart-{n}", "u")) for n in range(100))
    )

    assert told.asked == ["/apis/apps/v1/namespaces/shop/replicasets/login-7d9c5b8f6d"]


def test_a_replica_set_of_somebody_else_by_the_same_name_does_not_count() -> None:
    """An Argo Rollout may have the Deployment's name, and selects the same pods."""
    rollout = {
        "metadata": {"uid": "uid-set", "ownerReferences": [{"kind": "Rollout", "name": "login", "controller": True}]}
    }

    assert WatchedNamespace(owner=lambda _: rollout).begin(deployment(), *UP).again() == [fact(0)]


def test_a_replica_set_that_cannot_be_read_is_known_by_its_name() -> None:
    """An API server that does not answer just then makes no pod unready."""

    def fails(_: str) -> Mapping[str, Any]:
        raise ClusterUnavailable("not now")

    assert WatchedNamespace(owner=fails).begin(deployment(), *UP).again() == [fact(3)]


def test_a_pod_that_was_let_go_does_not_count() -> None:
    """Its labels were changed, to look at it: its ReplicaSet makes another."""
    told = WatchedNamespace().begin(deployment(), *UP).see(pod("a", owner=("", "", "")))

    assert told.again() == [fact(3), fact(2)]
    assert is_planned(told.inventory, "uid-a", LATER, is_unready=False)


def test_a_stateful_set_of_before_has_pods_of_its_own() -> None:
    """By uid: one deleted and made anew shares the name of its pods."""
    mine, before = (pod(name, owner=("StatefulSet", "login", uid)) for name, uid in (("a", "uid-login"), ("b", "old")))
    told = WatchedNamespace(policy(kind="StatefulSet")).begin(stateful_set(2), mine, before, kind="StatefulSet")

    assert told.again() == [fact(1, 2)]


def test_while_all_is_listed_anew_nothing_is_told() -> None:
    """What was left out before may count now: half a list would be a false alarm."""
    told = WatchedNamespace().begin(deployment(), *UP)
    told.inventory.unlist({"shop"})
    told.see(pod("a", ready=False, turned_s=100))
    assert told.again() == [fact(3)]

    assert told.begin(deployment(), *UP).again() == []
