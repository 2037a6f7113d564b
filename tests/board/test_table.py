"""Breakers from the store as views."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from fuseboard.board.story import journal_json
from fuseboard.board.table import all_breakers, breaker_detail
from fuseboard.events.json import encode_data
from fuseboard.events.types import (
    Action,
    CapacityChanged,
    Failure,
    FailureDetected,
    LoadChanged,
    OperatorRequested,
    Phase,
)
from fuseboard.roles import Role
from fuseboard.stores.records import Entry
from fuseboard.testing.policies import policy
from tests.functions.house import KEY, House, fires


def house(**parts: Any) -> House:  # noqa: ANN401  - parts of a spec
    """Return a function with two breakers, the first by this policy."""
    found = House()
    found.store.apply([policy(**parts), policy("cart")])
    return found


def seen(found: House, key: str = KEY) -> Any:  # noqa: ANN401  - JSON
    """Return the JSON of a breaker."""
    return json.loads(encode_data(breaker_detail(found.store, key)))


def test_an_operators_mode_is_the_one_in_force() -> None:
    """A hold is shown as Hold, a forced breaker as ForcedOpen, with operator, reason and end."""
    found = house()
    found.handle(OperatorRequested(Action.HOLD, "anna", "load test", 60_000), "1")
    held = seen(found)
    assert (held["mode"], held["policy"]["mode"], held["acts"]) == ("Hold", "Observe", False)
    assert held["override"] == {
        "action": "hold",
        "operator": "anna",
        "reason": "load test",
        "since": "2023-11-14T22:13:20.000Z",
        "until": "2023-11-14T22:14:20.000Z",
    }
    found.now += 1
    found.handle(OperatorRequested(Action.TRIP, "anna", "INC-42", 60_000), "2")
    assert seen(found)["mode"] == "ForcedOpen"
    found.now += 1
    found.handle(OperatorRequested(Action.RELEASE, "anna", "done"), "3")
    assert (seen(found)["mode"], seen(found)["override"]) == ("Observe", None)


def test_capacity_and_load_are_shown() -> None:
    """Ready of desired pods, the least, the phase and the probe; the load."""
    found = house(standby={"name": "spare", "minReady": 2}, route={"name": "login"})
    assert (seen(found)["capacity"], seen(found)["load"]) == ({}, None)
    found.handle(CapacityChanged(Role.TARGET, 2, 3, Phase.ROLLOUT, "ok"), "1")
    found.handle(CapacityChanged(Role.STANDBY, 1, 1), "2")
    found.handle(LoadChanged(12.5), "3")
    shown = seen(found)
    assert (shown["capacity"]["target"]["ready"], shown["capacity"]["target"]["phase"]) == ("2/3", "rollout")
    assert (shown["capacity"]["standby"]["ready"], shown["capacity"]["standby"]["minReady"]) == ("1/1", 2)
    assert shown["load"]["value"] == 12.5


def test_a_standby_that_left_the_policy_is_still_shown() -> None:
    """Its known pods stay in the answer, with a minReady of 0."""
    found = house(standby={"name": "spare"}, route={"name": "login"})
    found.handle(CapacityChanged(Role.STANDBY, 1, 1), "1")
    found.store.apply([policy(), policy("cart")])
    assert seen(found)["capacity"]["standby"]["minReady"] == 0


def test_an_open_dependency_is_shown() -> None:
    """Conditions attributed to the dependency are shown with its name, and weigh 0."""
    found = house(dependsOn=["cart"])
    found.handle(fires(), "1", subject="shop/cart")
    found.handle(fires("down"), "2")
    shown = seen(found)
    assert shown["dependsOn"] == [{"name": "cart", "state": "OPEN", "verifiedAt": None}]
    assert shown["attributed"] == [{"cause": "down", "to": "cart"}]
    assert [(row["weight"], row["attributed"]) for row in shown["weighing"]] == [(0, "cart")]
    assert all_breakers(found.store)[1].depends_on[0].state == "OPEN"


def test_a_dependency_that_is_not_in_the_table_is_left_out() -> None:
    """A missing dependency is no error."""
    assert seen(house(dependsOn=["nobody"]))["dependsOn"] == []


def test_evidence_is_added_up_by_cause() -> None:
    """Occurrences of a cause are a row with their count, heaviest first; occurrences before the window are left out."""
    found = house(trip={"limitAt": 100, "openAt": 200, "tripOnCritical": False})
    found.handle(FailureDetected(tuple(Failure(key=key, cause="BackOff Pod/a") for key in "abc")), "1")
    found.handle(fires(), "2")
    rows = seen(found)["weighing"]
    assert [(row["cause"], row["kind"], row["count"], row["weight"]) for row in rows] == [
        ("down", "condition", 1, 10),
        ("BackOff Pod/a", "occurrence", 3, 3),
    ]
    assert seen(found)["past"] == [{"reason": "down", "score": 1.0, "pastAt": 3}]
    found.now += 60_001
    assert [row["cause"] for row in seen(found)["weighing"]] == ["down"]
    assert seen(found)["weight"] == 10


def test_a_trial_has_its_share() -> None:
    """A trial has its share, the position of the share, and the number of shares; other states have no trial."""
    found = house(recover={"trialShares": [50, 100], "coolDown": "1s", "maxCoolDown": "1s"})
    assert seen(found)["trial"] is None
    found.handle(OperatorRequested(Action.TRIP, "anna", "x"), "1")
    found.now += 1_001
    found.handle(LoadChanged(0), "2")
    trial = seen(found)["trial"]
    assert (trial["share"], trial["number"], trial["of"]) == (50, 1, 2)


def test_an_entry_of_another_version_can_be_read() -> None:
    """Unknown fields are ignored at every level; missing fields are empty."""
    house = House()
    house.handle(fires())
    raw = json.loads(encode_data(house.journal()[0]))
    raw["mood"], raw["version"] = {"a": [1]}, 9
    raw["weighed"][0]["shade"] = "blue"
    raw["signal"]["failures"][0]["shade"] = "blue"
    entry = msgspec.json.decode(encode_data(raw), type=Entry)
    assert (entry.version, entry.weighed[0].verdict) == (9, "counted")
    assert journal_json(entry)["signal"]["failures"][0]["shade"] == "blue"
    assert msgspec.json.decode(b'{"kind": "step"}', type=Entry).weighed == ()
