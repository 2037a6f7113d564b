"""Planned work explains what Events say of pods that leave, are deleted or start."""

from __future__ import annotations

from fuseboard.testing.objects import condition, deployment, pod, starting
from fuseboard.workloads.readiness import is_planned
from tests.workloads.watched import LATER, WatchedNamespace


class TestPlanned:
    """What Events say of pods that leave, or have just come."""

    def test_what_leaves_or_is_gone(self) -> None:
        """Its last Events come when it is gone."""
        told = WatchedNamespace().begin(deployment(), pod("a", leaving=True), pod("b", disrupted_s=50), pod("c"))
        told.inventory.delete_pod("uid-a")

        assert [is_planned(told.inventory, f"uid-{name}", LATER, is_unready=False) for name in "abcx"] == [
            True, True, False, False,
        ]  # fmt: skip

    def test_a_slow_start_of_a_new_pod(self) -> None:
        """In a rollout; a pod that was ready, and one of no rollout, has failed its probe."""
        going = (condition("Available"), condition("Progressing", reason="ReplicaSetUpdated"))
        told = WatchedNamespace().begin(
            deployment(conditions=going, updatedReplicas=1), pod("a", ready=False, turned_s=30), starting("b")
        )
        assert [is_planned(told.inventory, f"uid-{name}", LATER, is_unready=True) for name in "ab"] == [False, True]
        assert not is_planned(told.inventory, "uid-b", LATER, is_unready=False)

        late = (condition("Available"), condition("Progressing", "False", "ProgressDeadlineExceeded"))
        told.change(deployment(conditions=late, updatedReplicas=1))
        assert not is_planned(told.inventory, "uid-b", LATER, is_unready=True)
