"""What becomes of a breaker whose CircuitBreaker is being deleted, or is gone: its traffic goes home first."""

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
WHY: Final = "its CircuitBreaker is being deleted"


class Parting(StrEnum):
    """What is to be done about a breaker that is to go."""

    LET_GO = "let go"
    """Nothing of it is left, or nobody minds."""
    WAIT = "wait"
    """Its traffic is on its way home."""
    GIVE_UP = "give up"
    """It has been for too long: let go, and tell a human what is left moved."""


def parting(row: Row, *, is_over: bool) -> Parting:
    """Return what is to be done; ``is_over`` once it was waited for long enough."""
    if at_home(row) or row.policy.spec.on_delete is OnDelete.LEAVE:
        return Parting.LET_GO
    if not is_over:
        return Parting.WAIT
    return Parting.GIVE_UP if row.placement.shares != Shares() else Parting.LET_GO


def at_home(row: Row) -> bool:
    """Say whether the target has all of its traffic, and nobody is about to change that."""
    claim = row.placement.claim
    is_worked_on = claim is not None and claim.until > row.now
    is_asked_for = row.wanted != Shares() and row.mode.acts
    return row.placement.shares == Shares() and not is_worked_on and not is_asked_for


def is_retired(breaker: BreakerState) -> bool:
    """Say whether a breaker is held because its CircuitBreaker was deleted."""
    override = breaker.override
    return override is not None and breaker.is_held and (override.operator, override.reason) == (OWN, WHY)


def retirement(key: str, name: str) -> Event:
    """Return the signal that brings a breaker's traffic home for good; whoever sends it gives it the same id."""
    asked = OperatorRequested(action=Action.RETIRE, operator=OWN, reason=WHY)
    return Event(id=digest(key, name, Action.RETIRE), source=SOURCE, subject=key, data=asked)


def comeback(key: str, name: str) -> Event:
    """Return the signal that lets a retired breaker work again: there is a new CircuitBreaker of its name."""
    asked = OperatorRequested(action=Action.RELEASE, operator=OWN, reason="its CircuitBreaker is there again")
    return Event(id=digest(key, name, Action.RELEASE), source=SOURCE, subject=key, data=asked)


def left_moved(key: str, name: str, placement: Placement, waited_s: float) -> Event:
    """Return the event that tells a human what nobody will bring home any more."""
    route = placement.route
    where = f"{route.kind} {route.name}" if route is not None else "the route"
    told = FailoverFailed(
        epoch=placement.epoch,
        step=placement.step,
        result=Result.FAILED.value,
        reason=f"its CircuitBreaker is deleted and {where} could not be brought home within {waited_s:.0f} s: "
        f"{placement.shares} is left: move it by hand",
        shares=msgspec.to_builtins(placement.shares),
        rehearsed=placement.rehearsed,
    )
    return Event(id=digest(key, name, "left moved"), source=SOURCE, subject=key, data=told)
