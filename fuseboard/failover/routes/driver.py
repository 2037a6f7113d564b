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
    """A rule of the Role that a driver needs."""

    group: str
    resource: str
    verbs: tuple[str, ...]


class Seen(Struct, frozen=True):
    """A route object as the driver read it, and the placement that the driver found in it."""

    observed: Observed
    manifest: dict[str, Any]


class RouteDriver(Protocol):
    """Reads and changes one route object, for the length of one step.

    Methods that call the cluster raise the errors of ``Cluster``.
    """

    PERMISSIONS: ClassVar[tuple[Permission, ...]]
    EXAMPLE: ClassVar[str]
    """Target, standby and route of a policy, in YAML."""

    @classmethod
    def of(cls, cluster: Cluster, policy: Policy, route: Route) -> Self:
        """Return the driver of a route; in a rehearsal, with the objects that the driver will read assumed."""

    @property
    def route(self) -> Route:
        """The route, as the policy described it when the traffic was moved."""

    @property
    def assumed(self) -> Mapping[str, str]:
        """Assumptions of a rehearsal by role, in words; empty without a rehearsal."""

    def observe(self, asked: Shares) -> Seen:
        """Read the route, and count the ready pods of the role that ``asked`` would give more traffic than now."""

    def expresses(self, seen: Seen, shares: Shares) -> Problem | None:
        """Check that the route can have these shares."""

    def patch(self, seen: Seen, move: Move) -> Manifest:
        """Return the patch that makes the move; if the route has the shares already, the patch only seals."""

    def seal(self, seen: Seen, fence: Fence) -> Manifest:
        """Return the patch that raises the fence and changes nothing else."""

    def apply(self, patch: Manifest) -> None:
        """Send a patch.

        Raises:
            Conflict: the route has changed since the driver read it.

        """

    def verify(self, seen: Seen, move: Move) -> Problem | None:
        """Read the route again, and check that the move holds; ``seen`` is the route before the move."""

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """Read the route again, and return the patch that restores ``seen``.

        The patch restores only values that the move set; None if others have changed them all since.
        """
