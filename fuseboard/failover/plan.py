"""The next step of a placement towards the shares that its breaker asks for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fuseboard.breaker.placement import Fence, Result, Shares
from fuseboard.errors import Problem
from fuseboard.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy, Route


class Observed(Struct, frozen=True):
    """The route as its driver found it in the cluster."""

    fence: Fence
    shares: Shares | None
    """None: the route belongs neither to the target nor to the standby; ``note`` describes the route."""
    note: str = ""
    ready_target: int | None = None
    ready_standby: int | None = None
    """Ready pods; None while unknown, which does not block."""


class Move(Struct, frozen=True):
    """Give the route these shares, or only seal the route with the new fence where the shares are in place."""

    shares: Shares
    fence: Fence


class Stay(Struct, frozen=True):
    """Leave the cluster alone, with this result."""

    result: Result
    reason: str


def without_cluster(row: Row) -> Stay | None:
    """Return the step where no look at the cluster is needed, else None."""
    asked, is_there, mode = row.wanted, row.placement.shares == row.wanted, row.policy.spec.mode
    if mode.acts and route_of(row) is not None:
        return None
    if is_there:
        return Stay(Result.VERIFIED, f"in place already: {asked}")
    if not mode.acts:
        return Stay(Result.OBSERVED, f"would move to {asked}, but the mode is {mode}")
    return Stay(Result.INEXPRESSIBLE, "there is no standby: the target keeps the traffic")


def route_of(row: Row) -> Route | None:
    """Return the route to act on: the route that moved the traffic, else the policy's, if there is a standby."""
    policy, placement = row.policy, row.placement
    if placement.shares != Shares() and placement.route is not None:
        return placement.route
    return policy.spec.route if policy.spec.standby is not None else None


def plan(row: Row, fence: Fence, observed: Observed, expresses: Callable[[Shares], Problem | None]) -> Move | Stay:
    """Return the next step towards the shares that the breaker asks for.

    ``expresses`` checks that the route can have certain shares.
    """
    asked, policy = row.wanted, row.policy
    if observed.shares is None:
        return Stay(Result.REFUSED, observed.note)
    if observed.shares == asked:
        return Move(asked, fence)
    impossible = expresses(asked)
    if impossible is not None:
        return Stay(Result.INEXPRESSIBLE, str(impossible))
    # A standby that gives traffic away may have few pods: less traffic helps.
    lack = _lack_of_target(policy, observed) if gains_target(observed.shares, asked) else _lack(policy, observed)
    if lack is not None:
        return Stay(Result.REFUSED, str(lack))
    return Move(asked, fence)


def gains_target(before: Shares | None, asked: Shares) -> bool:
    """Say whether the target gets more traffic, or all: then the target has to be ready."""
    return not asked.standby or (before is not None and asked.target > before.target)


def _lack_of_target(policy: Policy, observed: Observed) -> Problem | None:
    return Problem(f"the {_name(policy, Role.TARGET)} has no ready pod") if observed.ready_target == 0 else None


def _lack(policy: Policy, observed: Observed) -> Problem | None:
    """Check that the standby can take traffic: minReady pods must be ready first."""
    ready, standby = observed.ready_standby, policy.spec.standby
    least = max(1, standby.min_ready if standby is not None else 1)
    if ready is None or ready >= least:
        return None
    if not ready:
        return Problem(f"the {_name(policy, Role.STANDBY)} has no ready pod")
    return Problem(f"the {_name(policy, Role.STANDBY)} has {ready} ready pods, its minReady is {least}")


def _name(policy: Policy, role: Role) -> str:
    workload = policy.spec.workload(role)
    # The policy may have been edited since the traffic was moved.
    return f"{role} {workload.kind}/{workload.name}" if workload is not None else role
