"""The row of a breaker: the shares it asks for, the debt of its placement, and its value as a dependency."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker.evidence import Occurrence
from fuseboard.breaker.placement import FIRST_RETRY_MS, Claim, Placement, Result, Shares
from fuseboard.breaker.row import CLOCK_STEP_MS, Row, Tally
from fuseboard.breaker.state import CAPACITY_LEASE_MS, BreakerState, Dependency, Override, ReadyPods, State
from fuseboard.events.types import Action
from fuseboard.policy.enums import Mode
from fuseboard.roles import Role
from fuseboard.testing.panel import START, row_of
from fuseboard.testing.policies import policy

OPEN: Final = BreakerState(state=State.OPEN, epoch=4, since=START, clock=START)
DONE: Final = Placement(epoch=4, shares=Shares(0, 100), verified_at=START + 7)


def row(placement: Placement = DONE, **fields: Any) -> Row:  # noqa: ANN401  - fields of several types
    """Return the row of an open breaker."""
    return row_of(state=replace(OPEN, **fields), placement=placement)


# -- shares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "trial", "shares"),
    [
        (State.CLOSED, 0, Shares(100, 0)),
        (State.LIMITED, 0, Shares(50, 50)),
        (State.OPEN, 0, Shares(0, 100)),
        (State.HALF_OPEN, 0, Shares(50, 50)),
        (State.HALF_OPEN, 1, Shares(100, 0)),
        pytest.param(State.HALF_OPEN, 2, Shares(100, 0), id="after an edit of the policy that left fewer shares"),
    ],
)
def test_each_state_asks_for_its_shares(state: State, trial: int, shares: Shares) -> None:
    """A trial asks for the share of its index, or for the last share."""
    chosen = policy(recover={"trialShares": [50, 100]})
    assert row_of(chosen, BreakerState(state=state, trial=trial)).wanted == shares


# -- the debt --------------------------------------------------------------------------------------------------------


def test_a_placement_is_owed_until_it_is_as_asked() -> None:
    """By the breaker's epoch and trial, with a result that clears the debt."""
    assert not row().owed
    assert not row(replace(DONE, epoch=5)).owed
    assert row(replace(DONE, epoch=3)).is_behind
    assert row(replace(DONE, epoch=3)).owed
    assert row(trial=1).owed
    assert {result: row(replace(DONE, result=result)).owed for result in Result} == {
        Result.VERIFIED: False,
        Result.OBSERVED: False,
        Result.INEXPRESSIBLE: False,
        Result.REFUSED: True,
        Result.FAILED: True,
        Result.REVERTED: True,
    }


def test_only_the_placement_asked_for_is_verified() -> None:
    """A placement of another epoch or trial is not."""
    assert row().verified_since == START + 7
    assert row(replace(DONE, epoch=3)).verified_since == 0
    assert row(trial=1).verified_since == 0


CLAIM: Final = Claim("a", 4, 1, START + 15_000)


def test_a_debt_is_due_two_seconds_after_the_transition() -> None:
    """Or when the trial's share was asked for, but not before the end of a hold; without a debt it never is."""
    behind = replace(DONE, epoch=3, retry_at=START + 60_000)
    assert row().debt_due is None
    assert row(behind).debt_due == START + FIRST_RETRY_MS
    assert row(behind, trial_since=START + 90).debt_due == START + 90
    assert row(behind, held_until=START + 9_000).debt_due == START + 9_000


def test_a_failed_step_is_due_at_its_retry_and_after_its_claim() -> None:
    """The retry of an earlier epoch does not count, nor does its claim."""
    failed = replace(DONE, result=Result.FAILED, retry_at=START + 6_000)
    assert row(failed).debt_due == START + 6_000
    assert row(replace(failed, claim=CLAIM)).debt_due == CLAIM.until
    behind = replace(failed, epoch=3)
    assert row(behind).debt_due == START + FIRST_RETRY_MS
    assert row(replace(behind, claim=CLAIM)).debt_due == CLAIM.until
    assert row(replace(behind, claim=replace(CLAIM, until=START + 5_000))).debt_due == START + 6_000
    assert row(replace(behind, claim=replace(CLAIM, epoch=3))).debt_due == START + FIRST_RETRY_MS


# -- to its dependents -----------------------------------------------------------------------------------------------


def test_a_standby_helps_dependents_only_where_it_serves() -> None:
    """Observed and inexpressible placements move no traffic."""
    assert row().as_dependency == Dependency("login", State.OPEN, START + 7)
    for result in set(Result) - {Result.VERIFIED}:
        assert row(replace(DONE, result=result)).as_dependency == Dependency("login", State.OPEN, 0)
    assert row(replace(DONE, epoch=3)).as_dependency == Dependency("login", State.OPEN, 0)


# -- what guards read ------------------------------------------------------------------------------------------------


def test_the_time_of_a_row_does_not_run_back() -> None:
    """Not by a millisecond, and not by a minute; by more, the store's clock was set back."""
    times = {ahead: row(clock=START + ahead).moment - START for ahead in (-1, 0, 1, CLOCK_STEP_MS, CLOCK_STEP_MS + 1)}
    assert times == {-1: 0, 0: 0, 1: 1, CLOCK_STEP_MS: CLOCK_STEP_MS, CLOCK_STEP_MS + 1: 0}


def test_an_operators_trip_is_the_mode_in_force() -> None:
    """Another request is not."""
    trip = Override(Action.TRIP, "anna", "a drill", START)
    assert row(override=trip).mode is Mode.FORCED_OPEN
    assert row(override=replace(trip, action=Action.HOLD)).mode is Mode.OBSERVE
    assert row().mode is Mode.OBSERVE


def test_evidence_is_tallied_in_one_pass() -> None:
    """Weight, weight that opens, causes, and the first critical cause."""
    evidence = (
        Occurrence("a", "BackOff", 1, START),
        Occurrence("b", "BackOff", 2, START, limits_only=True),
        Occurrence("c", "OOMKilled", 4, START, critical=True),
        Occurrence("d", "Evicted", 8, START, critical=True),
    )
    found = row(occurrences=evidence).tally
    assert found == Tally(15, 13, frozenset({"BackOff", "OOMKilled", "Evicted"}), "OOMKilled")
    assert row().tally == Tally(0, 0, frozenset(), "")


def test_a_lack_of_pods_is_known_for_five_minutes() -> None:
    """After the lease, the report counts no more."""
    short = {Role.TARGET: ReadyPods(0, 2, START)}
    assert row(capacity=short).lacks
    assert row(capacity=short, clock=START + CAPACITY_LEASE_MS - 1).lacks
    assert not row(capacity=short, clock=START + CAPACITY_LEASE_MS).lacks
    assert not row(capacity={Role.TARGET: ReadyPods(1, 2, START)}).lacks
    assert not row(capacity={Role.STANDBY: ReadyPods(0, 2, START)}).lacks
