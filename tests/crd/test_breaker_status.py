"""The status of a breaker, and when it is written again."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker.placement import PAID, Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, Override, ReadyPods, State
from fuseboard.crd.breaker_status import renews, status_of
from fuseboard.crd.conditions import MESSAGE_LENGTH
from fuseboard.crd.status import BreakerStatus
from fuseboard.events.types import Action
from fuseboard.roles import Role
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy

NOW = 1_700_000_000_000
POLICY = policy(mode="Enforce")
OPEN = BreakerState(state=State.OPEN, epoch=3, since=NOW, reason="too many failures")
AWAY = Placement(epoch=3, step=1, shares=Shares(target=0, standby=100), verified_at=NOW, reason="moved")
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""As Kubernetes wants the reason of a condition (metav1.Condition)."""


def status(
    breaker: BreakerState = OPEN,
    placement: Placement = AWAY,
    before: dict[str, Any] | None = None,
    now: int = NOW,
    **depends: State | None,
) -> dict[str, Any]:
    """Return a status."""
    return status_of(row_of(policy=POLICY, state=breaker, placement=placement, now=now), before or {}, depends)


def condition(said: dict[str, Any], kind: str) -> tuple[str, str]:
    """Return status and reason of a condition."""
    (found,) = (each for each in said["conditions"] if each["type"] == kind)
    return found["status"], found["reason"]


def test_a_breaker_that_has_never_moved_is_closed_and_serves() -> None:
    """What is not known is left out: since when, why, how many pods."""
    said = status(BreakerState(), Placement())
    assert (said["state"], said["epoch"], said["serving"], said["mode"]) == ("CLOSED", 0, "target 100 %", "Enforce")
    assert not {"since", "reason", "ready", "standby", "dependencies"} & said.keys()
    assert condition(said, "Ready") == ("True", "Verified")
    assert condition(said, "Tripped") == ("False", "Closed")
    assert "verifiedAt" not in said["placement"]


def test_an_open_breaker_says_since_when_why_and_who_serves() -> None:
    """All that the columns show."""
    capacity = {Role.TARGET: ReadyPods(1, 3, NOW), Role.STANDBY: ReadyPods(2, 2, NOW)}
    said = status(replace(OPEN, capacity=capacity))
    assert (said["state"], said["serving"], said["reason"]) == ("OPEN", "standby 100 %", "too many failures")
    assert (said["since"], said["ready"], said["standby"]) == ("2023-11-14T22:13:20Z", "1/3", "2/2")
    assert said["placement"]["shares"] == {"target": 0, "standby": 100}
    assert condition(said, "Tripped") == ("True", "Open")


def test_an_operators_mode_is_the_one_in_force() -> None:
    """The policy's is not."""
    forced = Override(Action.TRIP, "tess", "a drill", NOW)
    assert status(replace(OPEN, override=forced))["mode"] == "ForcedOpen"


@pytest.mark.parametrize("result", Result)
def test_ready_is_false_while_anything_is_owed(result: Result) -> None:
    """A result that pays the debt of this epoch is ready; any other is not, nor is one of an earlier epoch."""
    assert condition(status(placement=replace(AWAY, result=result)), "Ready") == (
        str(result in PAID),
        result.value.capitalize(),
    )
    assert condition(status(placement=replace(AWAY, epoch=2, result=result)), "Ready") == ("False", "Owed")


def test_a_share_of_a_trial_that_is_owed_is_not_ready() -> None:
    """The same epoch, and the next share is asked for."""
    trying = BreakerState(state=State.HALF_OPEN, epoch=3, trial=1)
    assert condition(status(trying), "Ready") == ("False", "Owed")


def test_a_dependency_that_is_open_is_named() -> None:
    """Without dependencies there is no such condition; one that is not in the table has no state."""
    assert not any(each["type"] == "DependencyOpen" for each in status()["conditions"])
    said = status(db=State.OPEN, queue=State.CLOSED, gone=None)
    assert condition(said, "DependencyOpen") == ("True", "DependencyOpen")
    assert said["dependencies"] == [
        {"name": "db", "state": "OPEN"},
        {"name": "gone"},
        {"name": "queue", "state": "CLOSED"},
    ]
    assert condition(status(db=State.HALF_OPEN), "DependencyOpen") == ("False", "DependenciesServe")


def test_the_same_again_is_nothing_new() -> None:
    """Later, in another order, beside what others have said: it is not written again."""
    said = status(db=State.OPEN)
    accepted = {"type": "Accepted", "status": "True"}
    before = {**said, "observedGeneration": 4, "conditions": [*reversed(said["conditions"]), accepted]}
    again = status_of(row_of(policy=POLICY, state=OPEN, placement=AWAY, now=NOW + 60_000), before, {"db": State.OPEN})
    assert not renews(again, before)


def test_what_has_changed_is_news() -> None:
    """Another epoch, another step, another number of pods."""
    said = status()
    for breaker, placement in (
        (replace(OPEN, epoch=4), AWAY),
        (OPEN, replace(AWAY, step=2)),
        (replace(OPEN, capacity={Role.TARGET: ReadyPods(1, 3, NOW)}), AWAY),
    ):
        assert renews(status(breaker, placement, said), said)


def test_a_condition_that_has_ended_is_news() -> None:
    """Where the policy depends on nothing any more, the condition goes."""
    assert renews(status(), status(db=State.OPEN))


FENCES = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


@given(FENCES, FENCES)
def test_it_never_goes_backwards(older: tuple[int, int, int], newer: tuple[int, int, int]) -> None:
    """By epoch, then by the placement's epoch and step."""
    older, newer = sorted((older, newer))
    said = [
        status(replace(OPEN, epoch=epoch), replace(AWAY, epoch=placed, step=step))
        for epoch, placed, step in (older, newer)
    ]
    assert not renews(said[0], said[1])
    assert renews(said[1], said[0]) == (older != newer)


@given(st.sampled_from(State), st.sampled_from(Result), st.text(max_size=2_000), st.integers(0, 4))
def test_whatever_is_said_kubernetes_takes_it(state: State, result: Result, text: str, epoch: int) -> None:
    """It fits the schema of the CRD; reasons are words for programs, messages are not too long, times are written."""
    breaker = BreakerState(state=state, epoch=epoch, since=NOW * (epoch > 0), reason=text)
    said = status(breaker, Placement(epoch=2, result=result, reason=text), db=state)
    assert (
        msgspec.to_builtins(msgspec.convert(said, BreakerStatus)).items()
        >= {"state": state.value, "epoch": epoch}.items()
    )
    assert len(said.get("reason", "")) <= MESSAGE_LENGTH
    assert len(said["placement"].get("reason", "")) <= MESSAGE_LENGTH
    for each in said["conditions"]:
        assert REASON.fullmatch(each["reason"])
        assert len(each["message"]) <= MESSAGE_LENGTH
        assert each["lastTransitionTime"]
