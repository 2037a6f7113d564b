"""A breaker table with a breaker in each state, for the tests of the views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.events.types import (
    Action,
    CapacityChanged,
    Failure,
    FailureDetected,
    LoadChanged,
    OperatorRequested,
    Phase,
    TimerElapsed,
)
from fuseboard.roles import Role
from fuseboard.stores.records import Change
from fuseboard.testing.policies import policy
from tests.functions.house import House, fires

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row

ROUTE: Final[dict[str, Any]] = {"standby": {"name": "spare", "minReady": 2}, "route": {"name": "login"}}
POLICIES: Final = (
    policy("calm"),
    policy(
        "limited", target={"name": "limited", "capacity": 40}, trip={"openAt": 90, "tripOnCritical": False}, **ROUTE
    ),
    policy("open", mode="Enforce", dependsOn=["limited", "spare", "missing"], **ROUTE),
    policy("spare", mode="Disabled"),
    policy("trial", mode="Enforce", recover={"trialShares": [50, 100], "coolDown": "1s", "maxCoolDown": "1s"}),
)


def house() -> House:
    """Return a table with a breaker in each state."""
    found = House()
    found.store.apply(POLICIES)
    found.handle(CapacityChanged(Role.TARGET, 2, 3, Phase.ROLLOUT, "ok"), "1", "shop/limited")
    found.handle(CapacityChanged(Role.STANDBY, 1, 1), "2", "shop/limited")
    found.handle(LoadChanged(12.5), "3", "shop/limited")
    found.handle(OperatorRequested(Action.TRIP, "anna", "bad release"), "4", "shop/spare")
    found.handle(OperatorRequested(Action.TRIP, "anna", "canary"), "5", "shop/trial")
    found.now += 1_001
    found.handle(fires("down", "critical"), "6", "shop/limited")
    found.handle(FailureDetected(tuple(Failure(key=key, cause="BackOff Pod/b") for key in "ab")), "13", "shop/limited")
    found.handle(FailureDetected(tuple(Failure(key=key, cause="BackOff Pod/a") for key in "ab")), "7", "shop/open")
    found.handle(fires("login down", "warning"), "8", "shop/open")
    found.handle(OperatorRequested(Action.TRIP, "anna", "INC-42 ü", 60_000), "9", "shop/open")
    found.handle(OperatorRequested(Action.TRIP, "anna", "INC-42 ü", 60_000), "10", "shop/open")
    found.handle(TimerElapsed(found.now), "11", "shop/trial")
    found.store.change("shop/open", _place)
    found.now += 2_000
    found.handle(fires("down", "critical"), "12", "shop/open")
    return found


def _place(row: Row) -> Change:
    shares = Shares(target=0, standby=100)
    placement = Placement(row.state.epoch, 1, 0, shares, Result.VERIFIED, "moved", row.now, rehearsed=True)
    return Change(row.state, placement)
