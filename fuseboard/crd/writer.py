"""Write a breaker's status to its CircuitBreaker, and keep the finalizer on it while its traffic is moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard.breaker.placement import Shares
from fuseboard.crd import conditions as statuses
from fuseboard.crd import resource as resources
from fuseboard.errors import ClusterUnavailable, Conflict, NotEnrolled, NotFound

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import State
    from fuseboard.cluster import Writable
    from fuseboard.crd.resource import Resource
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store

MANAGER: Final = "fuseboard-status"
"""Who owns what is said of the breaker; what is said of the policy is ``fuseboard-policy``'s."""
MAX_CONFLICTS: Final = 5


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Says what the record says: it is read again each time, so that what was late says nothing old."""

    store: Store
    cluster: Writable

    def write(self, key: str) -> None:
        """Write the status of a breaker, if it says anything new; without a CircuitBreaker there is none.

        Raises:
            NotEnrolled, Refused, Unavailable: as the store and the cluster raise them.

        """
        for _ in range(MAX_CONFLICTS):
            record = self.store.read(key)
            try:
                found = resources.read(self.cluster.get(resources.path_of(key)))
                if self._is_marked(record, found):
                    return self._say(record, found)
            except Conflict:
                continue
            except NotFound:
                return None
        raise ClusterUnavailable(f"{key}: its CircuitBreaker was changed {MAX_CONFLICTS} times in between")

    def _is_marked(self, record: Row, found: Resource) -> bool:
        """Put the finalizer on or take it off; return whether nothing was to be done."""
        patch = resources.held(found, hold=record.placement.shares != Shares())
        if patch is not None:
            self.cluster.patch(found.path, patch)
        return patch is None

    def _say(self, record: Row, found: Resource) -> None:
        depends = {name: self._state(record.policy, name) for name in record.policy.spec.depends_on}
        status = statuses.status_of(record, found.status, depends)
        if statuses.renews(status, found.status):
            body = resources.said(found.key, status, found.version)
            self.cluster.apply(f"{found.path}/status", body, MANAGER)

    def _state(self, policy: Policy, name: str) -> State | None:
        try:
            return self.store.read(f"{policy.namespace}/{name}").state.state
        except NotEnrolled:
            return None
