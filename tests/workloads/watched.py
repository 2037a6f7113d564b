"""A namespace whose inventory and readiness are fed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuseboard.events.types import CapacityChanged, Phase
from fuseboard.roles import Role
from fuseboard.testing.objects import MADE, pod
from fuseboard.workloads import pods, status
from fuseboard.workloads.inventory import Inventory
from fuseboard.workloads.owners import OwnerResolver
from fuseboard.workloads.readiness import Readiness
from tests.workloads.targets import SET, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.events.event import Event
    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy
    from fuseboard.testing.objects import Manifest


LATER = MADE + 3_600_000


class WatchedNamespace:
    """What is known of a namespace, fed by hand; keeps what is told."""

    def __init__(self, *policies: Policy, owner: Callable[[str], Mapping[str, Any]] = lambda _: SET) -> None:
        self.asked: list[str] = []
        self.now = LATER
        self._owner = owner
        self.inventory = Inventory(OwnerResolver(self._read))
        self.readiness = Readiness(self.inventory)
        self.policies = {each.key: each for each in policies or (policy(),)}
        self.readiness.set_table(self.policies)
        self.events: list[Event] = []

    def _read(self, path: str) -> Mapping[str, Any]:
        self.asked.append(path)
        return self._owner(path)

    def begin(self, found: Manifest | None = None, *some: Manifest, kind: str = "Deployment") -> WatchedNamespace:
        """Both lists are there."""
        self.inventory.replace_workloads("shop", kind, [status.read_workload(kind, found)] if found else [])
        self.died(*some)
        return self.look()

    def died(self, *some: Manifest) -> list[tuple[str, Failure]]:
        """List pods; return what has died."""
        changes = self.inventory.replace_pods("shop", map(pods.read_pod, some))
        return [died for change in changes for died in self.readiness.failures(change, self.now)]

    def change(self, found: Manifest, kind: str = "Deployment") -> WatchedNamespace:
        """A workload has changed."""
        self.inventory.update_workload("shop", status.read_workload(kind, found))
        return self.look()

    def see(self, *some: Manifest) -> WatchedNamespace:
        """Pods have come or changed."""
        for each in some:
            self.inventory.update_pod(pods.read_pod(each))
        return self.look()

    def look(self) -> WatchedNamespace:
        """Tell what is new."""
        self.events += self.readiness.changes("/apiserver", self.now)
        return self

    def again(self) -> list[CapacityChanged]:
        """Return what was told since the last call."""
        found = [each.data for each in self.events if isinstance(each.data, CapacityChanged)]
        self.events = []
        return found


def fact(ready: int, desired: int = 3, phase: Phase = Phase.STEADY, role: Role = Role.TARGET) -> CapacityChanged:
    """Return what is told."""
    return CapacityChanged(role, ready, desired, phase)


UP = (pod("a"), pod("b"), pod("c"))
