"""The read API's JSON, byte for byte: people's scripts read it.

``wire.json`` has the answers as they were when the shape was fixed. ``python -m tests.board.test_wire`` writes them
anew; a difference in it is a change of the API.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Flask

from fuseboard.board.api import blueprint
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.events.json import encode_data
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
from tests.functions.test_breaker import House, fires

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row

GOLDEN: Final = Path(__file__).with_name("wire.json")
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


def answers() -> dict[str, Any]:
    """Return the API's answers by their path, each indented; a policy's spec is only named."""
    found = house()
    app = Flask(__name__)
    app.register_blueprint(blueprint(found.store, lambda _: []))
    client = app.test_client()
    paths = ["/api/breakers", *(f"/api/breakers/{each.key}" for each in POLICIES), "/api/journal?breaker=shop/open"]
    return {path: _indented(client.get(path).data) for path in paths}


def _indented(body: bytes) -> list[str]:
    for each in POLICIES:
        body = body.replace(b'"policy":' + encode_data(each.spec), b'"policy":"the spec of %s"' % each.key.encode())
    return msgspec.json.format(body, indent=1).decode().splitlines()


def test_the_answers_are_as_they_always_were() -> None:
    """Names, values, nulls and order; a policy is its whole spec."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = answers()
    assert found.keys() == golden.keys()
    for path, lines in golden.items():
        assert found[path] == lines, path


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(answers(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
