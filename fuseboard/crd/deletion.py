"""The end of a breaker whose CircuitBreaker is deleted: its traffic returns to the target first."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from fuseboard.breaker.placement import Result, Shares
from fuseboard.cluster.names import OWN
from fuseboard.events.event import Event, digest
from fuseboard.events.types import Action, FailoverFailed, OperatorRequested
from fuseboard.policy.enums import OnDelete

if TYPE_CHECKING:
    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState

SOURCE: Final = "/circuitbreakers"
DELETED_REASON: Final = "its CircuitBreaker is being deleted"
"""The reason of a retirement, by which ``is_retired`` knows a retired breaker."""


class DeletionStep(StrEnum):
    """The next step towards the end of a breaker."""

    LET_GO = "let go"
    """Remove the breaker: the target has its traffic, or the policy says to leave the traffic as it is."""
    WAIT = "wait"
    """Wait until the traffic is back at the target."""
    GIVE_UP = "give up"
    """Remove the breaker, because the wait was too long, and report the traffic that stays moved."""


def deletion_step(row: Row, *, is_over: bool) -> DeletionStep:
    """Return the next step; ``is_over`` says that the time for the traffic's return is over."""
    if at_home(row) or row.policy.spec.on_delete is OnDelete.LEAVE:
        return DeletionStep.LET_GO
    if not is_over:
        return DeletionStep.WAIT
    return DeletionStep.GIVE_UP if row.placement.shares != Shares() else DeletionStep.LET_GO


def at_home(row: Row) -> bool:
    """Say whether the target has all of its traffic, and no move away from it is in progress or asked for."""
    claim = row.placement.claim
    is_worked_on = claim is not None and claim.until > row.now
    is_asked_for = row.wanted != Shares() and row.mode.acts
    return row.placement.shares == Shares() and not is_worked_on and not is_asked_for


def is_retired(breaker: BreakerState) -> bool:
    """Say whether a breaker is held because its CircuitBreaker was deleted."""
    override = breaker.override
    return override is not None and breaker.is_held and (override.operator, override.reason) == (OWN, DELETED_REASON)


def retire_request(key: str, name: str) -> Event:
    """Return the signal that brings a breaker's traffic back to the target permanently.

    ``name`` identifies the deletion: every watcher sends the signal of a deletion under the same id.
    """
    request = OperatorRequested(action=Action.RETIRE, operator=OWN, reason=DELETED_REASON)
    return Event(id=digest(key, name, Action.RETIRE), source=SOURCE, subject=key, data=request)


def release_request(key: str, name: str) -> Event:
    """Return the signal that lets a retired breaker work again, because a new CircuitBreaker has its name."""
    request = OperatorRequested(action=Action.RELEASE, operator=OWN, reason="its CircuitBreaker is there again")
    return Event(id=digest(key, name, Action.RELEASE), source=SOURCE, subject=key, data=request)


def left_moved_event(key: str, name: str, placement: Placement, waited_s: float) -> Event:
    """Return the event that reports traffic that Fuseboard leaves moved, for a human to move back."""
    route = placement.route
    where = f"{route.kind} {route.name}" if route is not None else "the route"
    failed = FailoverFailed(
        epoch=placement.epoch,
        step=placement.step,
        result=Result.FAILED.value,
        reason=f"its CircuitBreaker is deleted and {where} could not be brought home within {waited_s:.0f} s: "
        f"{placement.shares} is left: move it by hand",
        shares=msgspec.to_builtins(placement.shares),
        rehearsed=placement.rehearsed,
    )
    return Event(id=digest(key, name, "left moved"), source=SOURCE, subject=key, data=failed)
