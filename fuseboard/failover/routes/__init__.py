"""Route drivers: each reads and writes the shares of one kind of object, and says which it can express.

One file per kind. A driver carries the permissions that it needs and an example of a policy's ``route`` for it. What
it writes is fenced at the object: ``(epoch, step)`` per breaker changes together with the shares, under the
``resourceVersion`` of what was read, and only rises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct

from fuseboard.failover.plan import Observed

if TYPE_CHECKING:
    from fuseboard.breaker.placement import Fence, Shares
    from fuseboard.cluster import Manifest
    from fuseboard.failover.plan import Move
    from fuseboard.policy.spec import Route


class Permission(Struct, frozen=True):
    """A rule of the Role that a driver needs."""

    group: str
    resource: str
    verbs: tuple[str, ...]


class Seen(Struct, frozen=True):
    """A route as it was read: what it says about the placement, and the object itself."""

    observed: Observed
    manifest: dict[str, Any]


class RouteDriver(Protocol):
    """Knows one route, for the length of one step.

    Whatever asks the cluster raises as ``Cluster`` does.
    """

    PERMISSIONS: ClassVar[tuple[Permission, ...]]
    EXAMPLE: ClassVar[str]

    @property
    def route(self) -> Route:
        """The route, as the policy had it when the traffic was moved."""

    @property
    def assumed(self) -> dict[str, str]:
        """What a rehearsal takes for granted, in words; empty where nothing is."""

    def observe(self, asked: Shares) -> Seen:
        """Read the route, and how many pods are ready where ``asked`` would send traffic that does not go there yet."""

    def expresses(self, seen: Seen, shares: Shares) -> str:
        """Say why the route cannot have these shares; nothing where it can."""

    def patch(self, seen: Seen, move: Move) -> Manifest:
        """Return the one patch that makes the move; where its shares are in place, it only seals."""

    def seal(self, seen: Seen, fence: Fence) -> Manifest:
        """Return the patch that raises the fence and changes nothing else."""

    def apply(self, patch: Manifest) -> None:
        """Send a patch.

        Raises:
            Conflict: the route has changed since it was read.

        """

    def verify(self, seen: Seen, move: Move) -> str:
        """Say why the move from what was seen does not hold; nothing where it does."""

    def revert(self, seen: Seen, fence: Fence) -> Manifest | None:
        """Read the route again, and return the patch that undoes the move from what was seen.

        Only what is still ours is put back; None where nothing is.
        """
