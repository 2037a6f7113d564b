"""The interface of a route driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from msgspec import Struct

from fuseboard.failover.plan import Observed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.placement import Fence, Shares
    from fuseboard.cluster import Cluster, Manifest
    from fuseboard.errors import Problem
    from fuseboard.failover.plan import Move
    from fuseboard.policy.spec import Policy, Route


class Permission(Struct, frozen=True):
    """A rule in the Role of a driver."""

    group: str
    resource: str
    verbs: tuple[str, ...]


class Seen(Struct, frozen=True):
    """A route object as the driver has read it, and the placement in it."""

    observed: Observed
    manifest: dict[str, Any]


class RouteDriver(Protocol):
    """Reads and changes one route object, for the length of a step.

    Methods that call the cluster raise the errors of ``Cluster``.
    """

    PERMISSIONS: ClassVar[tuple[Permission, ...]]
    EXAMPLE: ClassVar[str]
    """Target, standby and route of a policy, in YAML."""

    @classmethod
    def of(cls, cluster: Cluster, policy: Policy, route: Route) -> Self:
        """Return the driver of a route; in a rehearsal, assume the objects first."""

    @property
    def route(self) -> Route:
        """The route, as the policy described it when the traffic was moved."""

    @property
    def assumed(self) -> Mapping[str, str]:
        """Assumptions of a rehearsal by role, in words; empty without a rehearsal."""

    def observe(self, asked: Shares) -> Seen:
        """Read the route, and count the ready pods of the role that gains traffic by ``asked``."""

    def expresses(self, seen: Seen, shares: Shares) -> Problem | None:
        """Check whether the route can have these shares."""

    def patch(self, seen: Seen, move: Move) -> Manifest:
        """Return the patch for a move; if the route has the shares already, the patch only seals."""

    def seal(self, seen: Seen, fence: Fence) -> Manifest:
        """Return the patch that only raises the fence."""

    def apply(self, patch: Manifest) -> None:
        """Send a patch.

        Raises:
            Conflict: the route has changed since the driver read it.

        """

    def verify(self, seen: Seen, move: Move) -> Problem | None:
        """Read the route again, and check the move; ``seen`` is the route before the move."""

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """Read the route again, and return the patch back to ``seen``.

        Return None if another client has changed the route since the move.
        """
