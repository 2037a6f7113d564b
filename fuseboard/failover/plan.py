"""The next step of a placement: pure."""

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
    """What a route driver found in the cluster."""

    fence: Fence
    shares: Shares | None
    """None: neither the target's nor the standby's; ``note`` says what is there instead."""
    note: str = ""
    ready_target: int | None = None
    ready_standby: int | None = None
    """Ready pods; None when it is not known, which blocks nothing."""


class Move(Struct, frozen=True):
    """Give the route these shares, or only seal it with the new fence where it has them already."""

    shares: Shares
    fence: Fence


class Stay(Struct, frozen=True):
    """Do nothing to the cluster, with this result."""

    result: Result
    reason: str


def without_cluster(row: Row) -> Stay | None:
    """Return the step where it is clear without a look at the cluster."""
    asked, is_there, mode = row.wanted, row.placement.shares == row.wanted, row.policy.spec.mode
    if mode.acts and route_of(row) is not None:
        return None
    if is_there:
        return Stay(Result.VERIFIED, f"in place already: {asked}")
    if not mode.acts:
        return Stay(Result.OBSERVED, f"would move to {asked}, but the mode is {mode}")
    return Stay(Result.INEXPRESSIBLE, "there is no standby: the target keeps the traffic")


def route_of(row: Row) -> Route | None:
    """Return the route to act on: the one that has moved the traffic, else the policy's, if there is a standby."""
    policy, placement = row.policy, row.placement
    if placement.shares != Shares() and placement.route is not None:
        return placement.route
    return policy.spec.route if policy.spec.standby is not None else None


def plan(row: Row, fence: Fence, observed: Observed, expresses: Callable[[Shares], Problem | None]) -> Move | Stay:
    """Return the next step towards what the breaker asks for.

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
    # A standby that gives some away may have however few pods: that is a help to it.
    lack = _lack_of_target(policy, observed) if gains_target(observed.shares, asked) else _lack(policy, observed)
    if lack is not None:
        return Stay(Result.REFUSED, str(lack))
    return Move(asked, fence)


def gains_target(before: Shares | None, asked: Shares) -> bool:
    """Say whether it is the target that is given more, or all: then it is the target that has to be ready."""
    return not asked.standby or (before is not None and asked.target > before.target)


def _lack_of_target(policy: Policy, observed: Observed) -> Problem | None:
    return Problem(f"the {_name(policy, Role.TARGET)} has no ready pod") if observed.ready_target == 0 else None


def _lack(policy: Policy, observed: Observed) -> Problem | None:
    """Check that the standby can take traffic: it must have its least capacity before it is given any."""
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
