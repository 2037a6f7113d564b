"""Write the status of a breaker to its CircuitBreaker, with the finalizer while the traffic is moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard.breaker.placement import Shares
from fuseboard.crd.breaker_status import renews, status_of
from fuseboard.crd.resource import finalizer_patch, read_resource, resource_path, status_patch
from fuseboard.errors import ClusterUnavailable, Conflict, NotEnrolled, NotFound

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import State
    from fuseboard.cluster import Writable
    from fuseboard.crd.resource import Resource
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store

MANAGER: Final = "fuseboard-status"
"""Field manager of the fields about the breaker; ``fuseboard-policy`` manages the fields about the policy."""
MAX_CONFLICTS: Final = 5


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Writes the row of a breaker as a status; each attempt reads the row again, because an old status is useless."""

    store: Store
    cluster: Writable

    def write(self, key: str) -> None:
        """Write the status of a breaker if it has changed; do nothing for a breaker without a CircuitBreaker.

        Raises:
            NotEnrolled, Refused, Unavailable: as the store and the cluster raise them.

        """
        for _ in range(MAX_CONFLICTS):
            row = self.store.read(key)
            try:
                resource = read_resource(self.cluster.get(resource_path(key)))
                if self._has_right_finalizer(row, resource):
                    return self._write_status(row, resource)
            except Conflict:
                continue
            except NotFound:
                return None
        raise ClusterUnavailable(f"{key}: its CircuitBreaker was changed {MAX_CONFLICTS} times in between")

    def _has_right_finalizer(self, row: Row, resource: Resource) -> bool:
        """Return whether the finalizer is as the placement demands; if not, patch the resource."""
        patch = finalizer_patch(resource, hold=row.placement.shares != Shares())
        if patch is not None:
            self.cluster.patch(resource.path, patch)
        return patch is None

    def _write_status(self, row: Row, resource: Resource) -> None:
        dependencies = {name: self._state(row.policy, name) for name in row.policy.spec.depends_on}
        status = status_of(row, resource.status, dependencies)
        if renews(status, resource.status):
            body = status_patch(resource.key, status, resource.version)
            self.cluster.apply(f"{resource.path}/status", body, MANAGER)

    def _state(self, policy: Policy, name: str) -> State | None:
        try:
            return self.store.read(f"{policy.namespace}/{name}").state.state
        except NotEnrolled:
            return None
