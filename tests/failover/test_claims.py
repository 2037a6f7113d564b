"""The placement's rules by example and at their boundaries: what is owed, by whom, until when, and what is said."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import (
    Claim,
    Fence,
    Placement,
    Result,
    Shares,
)
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import Problem
from fuseboard.failover.claims import awaited, busy, claimed, given_back, last_step, settled
from fuseboard.failover.plan import Move, Observed, Stay, gains_target, plan, route_of, without_cluster
from fuseboard.policy.spec import Policy, Route
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy

NOW: Final = 1_750_000_000_000
AWAY: Final = Shares(0, 100)
BOTH: Final = Shares(50, 50)
HOME: Final = Shares()
STANDBY: Final[dict[str, Any]] = {"standby": {"name": "login-standby"}, "route": {"name": "login"}}
OPEN: Final = BreakerState(state=State.OPEN, epoch=2, since=NOW)
CLAIM: Final = Claim("somebody", 2, 3, NOW + 15_000)


def enforcing(**parts: Any) -> Policy:  # noqa: ANN401  - parts of a spec
    """Return a policy that acts and has somewhere to go."""
    return policy(**{"mode": "Enforce", **STANDBY, **parts})


# -- what is asked for -----------------------------------------------------------------------------------------------


def test_each_state_asks_for_its_shares() -> None:
    """OPEN for none of the traffic, LIMITED for half, CLOSED for all; a trial for its share, the last one at most."""
    shares = enforcing(recover={"trialShares": [50, 100]})
    assert row_of(policy=shares, state=BreakerState()).wanted == HOME
    assert row_of(policy=shares, state=replace(OPEN, state=State.LIMITED)).wanted == BOTH
    assert row_of(policy=shares, state=OPEN).wanted == AWAY
    trials = [
        row_of(policy=shares, state=BreakerState(state=State.HALF_OPEN, trial=trial)).wanted for trial in range(4)
    ]
    assert trials == [BOTH, HOME, HOME, HOME]


def test_a_fence_is_in_order_by_epoch_then_step() -> None:
    """So whoever is behind can tell."""
    assert Fence(1, 9) < Fence(2, 0) < Fence(2, 1)


def test_only_inexpressible_is_inexpressible() -> None:
    """A share that is passed over is one that the route cannot have, no other."""
    assert [each for each in Result if Placement(result=each).inexpressible] == [Result.INEXPRESSIBLE]


# -- what is clear without a look ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["Observe", "Disabled"])
def test_who_does_not_act_says_what_it_would_do(mode: str) -> None:
    """It is observed; where the traffic is there already, that is so."""
    chosen = enforcing(mode=mode)
    told = Stay(Result.OBSERVED, f"would move to standby 100 %, but the mode is {mode}")
    assert without_cluster(row_of(policy=chosen, state=OPEN, placement=Placement())) == told
    there = Stay(Result.VERIFIED, "in place already: standby 100 %")
    assert without_cluster(row_of(policy=chosen, state=OPEN, placement=Placement(shares=AWAY))) == there


def test_without_a_standby_the_target_keeps_the_traffic() -> None:
    """That is not expressible; where all is at home already, it is so; with a standby, one has to look."""
    alone = policy(mode="Enforce")
    told = Stay(Result.INEXPRESSIBLE, "there is no standby: the target keeps the traffic")
    assert without_cluster(row_of(policy=alone, state=OPEN, placement=Placement())) == told
    home = Stay(Result.VERIFIED, "in place already: target 100 %")
    assert without_cluster(row_of(policy=alone, state=BreakerState(), placement=Placement())) == home
    assert without_cluster(row_of(policy=enforcing(), state=OPEN, placement=Placement())) is None


def test_the_route_that_has_moved_is_the_one_to_undo() -> None:
    """Only while traffic is moved; without a standby there is none."""
    old = Route("old")
    assert route_of(row_of(policy=enforcing(), placement=Placement(shares=AWAY, route=old))) == old
    assert route_of(row_of(policy=enforcing(), placement=Placement(shares=AWAY))) == Route("login")
    assert route_of(row_of(policy=enforcing(), placement=Placement(route=old))) == Route("login")
    assert route_of(row_of(policy=policy(mode="Enforce"), placement=Placement())) is None
    assert route_of(row_of(policy=policy(mode="Enforce", route={"name": "login"}), placement=Placement())) is None
    assert route_of(row_of(policy=policy(mode="Enforce"), placement=Placement(shares=AWAY, route=old))) == old


# -- what is planned -------------------------------------------------------------------------------------------------


def planned(
    breaker: BreakerState = OPEN,
    chosen: Policy | None = None,
    impossible: str = "",
    **seen: Any,  # noqa: ANN401  - fields of ``Observed``
) -> Move | Stay:
    """Return what is planned where the target serves and this was seen."""
    observed = Observed(Fence(1, 1), **{"shares": HOME, **seen})
    problem = Problem(impossible) if impossible else None
    return plan(row_of(policy=chosen or enforcing(), state=breaker), Fence(2, 1), observed, lambda _: problem)


def test_a_move_is_planned_where_nothing_is_in_its_way() -> None:
    """Ready pods that are not known are not in its way."""
    assert planned() == planned(ready_standby=1) == Move(AWAY, Fence(2, 1))
    assert (
        planned(BreakerState(), shares=AWAY)
        == planned(BreakerState(), shares=AWAY, ready_target=1)
        == Move(HOME, Fence(2, 1))
    )


def test_what_is_in_the_way_is_told() -> None:
    """A route that is neither's, one that cannot, and pods that are not there."""
    assert planned(shares=None, note="neither") == Stay(Result.REFUSED, "neither")
    assert planned(impossible="it cannot") == Stay(Result.INEXPRESSIBLE, "it cannot")
    no_standby = Stay(Result.REFUSED, "the standby Deployment/login-standby has no ready pod")
    assert planned(ready_standby=0) == no_standby
    no_target = Stay(Result.REFUSED, "the target Deployment/login has no ready pod")
    assert planned(BreakerState(), shares=AWAY, ready_target=0) == no_target
    gone = policy(mode="Enforce", route={"name": "login"})
    assert planned(chosen=gone, ready_standby=0) == Stay(Result.REFUSED, "the standby has no ready pod")
    assert planned(chosen=gone, ready_standby=1) == Move(AWAY, Fence(2, 1))


def test_what_is_in_place_is_only_sealed() -> None:
    """Whatever the route could not have, and whoever is not ready."""
    assert planned(shares=AWAY, impossible="it cannot", ready_standby=0) == Move(AWAY, Fence(2, 1))


def test_pods_of_who_is_not_asked_for_do_not_matter() -> None:
    """Going away needs no target, coming home no standby; half of both needs the standby."""
    assert planned(ready_target=0) == Move(AWAY, Fence(2, 1))
    assert planned(BreakerState(), shares=AWAY, ready_standby=0) == Move(HOME, Fence(2, 1))
    half = planned(replace(OPEN, state=State.LIMITED), ready_standby=0)
    assert isinstance(half, Stay)


def test_a_standby_needs_its_least_capacity() -> None:
    """One of two is too few, and is told; with minReady 0 there must be one even so."""
    two = enforcing(standby={"name": "login-standby", "minReady": 2})
    told = "the standby Deployment/login-standby has 1 ready pods, its minReady is 2"
    assert planned(chosen=two, ready_standby=1) == Stay(Result.REFUSED, told)
    assert planned(chosen=two, ready_standby=2) == Move(AWAY, Fence(2, 1))
    none = enforcing(standby={"name": "login-standby", "minReady": 0})
    assert isinstance(planned(chosen=none, ready_standby=0), Stay)
    assert planned(chosen=none, ready_standby=1) == Move(AWAY, Fence(2, 1))


# -- what is owed ----------------------------------------------------------------------------------------------------

PAID: Final = Placement(epoch=2, step=1, shares=AWAY)
REFUSED: Final = replace(PAID, result=Result.REFUSED, tries=2, retry_at=NOW + 4_000)


def test_a_debt_is_an_older_epoch_or_share_or_a_bad_result() -> None:
    """What is in place is not owed, nor is it awaited."""
    assert not row_of(state=OPEN, placement=PAID).owed
    assert not awaited(row_of(state=OPEN, placement=PAID, now=NOW))
    assert row_of(state=OPEN, placement=REFUSED).owed
    assert row_of(state=OPEN, placement=replace(PAID, epoch=1)).is_behind
    assert row_of(state=replace(OPEN, trial=1), placement=PAID).is_behind
    assert not row_of(state=OPEN, placement=replace(PAID, trial=1)).is_behind


def test_a_debt_waits_for_its_time() -> None:
    """For the end of a hold always; for the next try where the last one failed and nobody has given back since."""
    assert awaited(row_of(state=OPEN, placement=replace(PAID, epoch=1), now=NOW))
    held = replace(OPEN, held_until=NOW + 1)
    assert [awaited(row_of(state=held, placement=replace(PAID, epoch=1), now=NOW + after)) for after in (0, 1)] == [
        False,
        True,
    ]
    assert [awaited(row_of(state=OPEN, placement=REFUSED, now=NOW + after)) for after in (3_999, 4_000)] == [
        False,
        True,
    ]
    assert awaited(row_of(state=OPEN, placement=replace(REFUSED, claim=CLAIM), now=NOW))


def test_a_claim_takes_the_next_step() -> None:
    """Within an epoch steps go on and tries are kept; a new epoch begins with its first step and no tries."""
    after = claimed(row_of(state=OPEN, placement=REFUSED, now=NOW), "me", 15_000)
    assert after == replace(REFUSED, claim=Claim("me", 2, 2, NOW + 15_000))
    newer = claimed(row_of(state=replace(OPEN, epoch=3), placement=REFUSED, now=NOW), "me", 15_000)
    assert newer == replace(REFUSED, claim=Claim("me", 3, 1, NOW + 15_000), tries=0, retry_at=0)
    assert last_step(row_of(state=OPEN, placement=replace(PAID, claim=CLAIM))) == 3
    assert last_step(row_of(state=OPEN, placement=replace(PAID, step=9, claim=CLAIM))) == 9
    third = replace(OPEN, epoch=3)
    rows = [row_of(state=third, placement=each) for each in (PAID, replace(PAID, claim=CLAIM))]
    assert [last_step(each) for each in rows] == [0, 0]


def test_what_is_given_back_is_tried_again_ever_later() -> None:
    """After 2, 4, 8 … seconds, until a cool-down; the step stays used, and the claim is at an end at once."""
    assert given_back(row_of(policy=enforcing(), placement=PAID, now=NOW)) == PAID
    placement, waits = replace(PAID, epoch=1, claim=CLAIM), []
    for tries in range(1, 9):
        placement = given_back(row_of(policy=enforcing(), placement=placement, now=NOW))
        assert (placement.tries, placement.claim) == (tries, replace(CLAIM, until=NOW))
        waits.append(placement.retry_at - NOW)
    assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 100_000]
    long = enforcing(recover={"coolDown": "720h", "maxCoolDown": "720h"})
    assert (
        given_back(row_of(policy=long, placement=replace(placement, tries=40), now=NOW)).retry_at == NOW + 2_000 * 2**20
    )


def test_somebody_is_at_work_until_the_lease_ends() -> None:
    """A newer epoch need not wait where it seals the route; whoever does not seal waits."""
    at_work = replace(PAID, epoch=1, claim=CLAIM)
    assert not busy(row_of(state=OPEN, placement=PAID, now=NOW))
    assert [busy(row_of(state=OPEN, placement=at_work, now=CLAIM.until + after)) for after in (-1, 0)] == [True, False]
    assert not busy(row_of(state=replace(OPEN, epoch=3), placement=at_work, now=NOW))
    assert busy(row_of(state=replace(OPEN, epoch=3), placement=at_work, now=NOW), seals=False)


@pytest.mark.parametrize("result", [Result.VERIFIED, Result.OBSERVED, Result.INEXPRESSIBLE])
def test_what_pays_begins_anew(result: Result) -> None:
    """No tries, no time to wait for, no claim: as of now."""
    outcome = replace(REFUSED, result=result, claim=CLAIM)
    paid = replace(outcome, at=NOW, verified_at=NOW, tries=0, retry_at=0, claim=None)
    assert settled(row_of(policy=enforcing(), placement=replace(REFUSED, claim=CLAIM), now=NOW), outcome) == paid


def test_what_does_not_pay_is_tried_again() -> None:
    """Ever later within an epoch, after two seconds in a new one, and after a cool-down where it failed for good."""
    outcome = replace(PAID, result=Result.REVERTED, verified_at=5, claim=CLAIM)
    again = replace(outcome, at=NOW, verified_at=0, tries=3, retry_at=NOW + 8_000, claim=None)
    assert settled(row_of(policy=enforcing(), placement=REFUSED, now=NOW), outcome) == again
    assert (
        settled(row_of(policy=enforcing(), placement=replace(REFUSED, epoch=1, claim=CLAIM), now=NOW), outcome) == again
    )
    first = replace(again, tries=1, retry_at=NOW + 2_000)
    assert settled(row_of(policy=enforcing(), placement=replace(REFUSED, epoch=1), now=NOW), outcome) == first
    failed = settled(row_of(policy=enforcing(), placement=REFUSED, now=NOW), replace(outcome, result=Result.FAILED))
    assert (failed.tries, failed.retry_at) == (3, NOW + 100_000)


def test_the_clock_looks_at_a_debt_when_it_can_be_paid() -> None:
    """Two seconds after the transition; later where it is held, claimed or to be tried again; at once for a share."""
    behind = replace(PAID, epoch=1, retry_at=NOW + 99_000)
    assert row_of(state=OPEN, placement=PAID).debt_due is None
    assert row_of(state=OPEN, placement=behind).debt_due == NOW + 2_000
    assert row_of(state=replace(OPEN, held_until=NOW + 5_000), placement=behind).debt_due == NOW + 5_000
    assert row_of(state=OPEN, placement=replace(behind, claim=CLAIM, retry_at=0)).debt_due == NOW + 15_000
    assert row_of(state=OPEN, placement=replace(behind, claim=CLAIM)).debt_due == NOW + 99_000
    assert row_of(state=OPEN, placement=replace(behind, claim=replace(CLAIM, epoch=1))).debt_due == NOW + 2_000
    assert row_of(state=OPEN, placement=REFUSED).debt_due == NOW + 4_000
    share = replace(OPEN, state=State.HALF_OPEN, trial=1, trial_since=NOW + 1)
    assert row_of(state=share, placement=replace(PAID, retry_at=0)).debt_due == NOW + 1


# -- a clock that is set back ----------------------------------------------------------------------------------------


def test_what_is_waited_for_moves_with_a_clock_that_is_set_back() -> None:
    """Two hours back: the next try and the lease come as soon as they would have; what is not to come stays."""
    back, later = 7_200_000, NOW + 7_200_000
    claim = Claim("me", 1, 1, later + 15_000)
    waiting = Placement(epoch=1, step=1, retry_at=later + 2_000, verified_at=later - 5_000, claim=claim)
    moved = waiting.set_back(back, NOW)
    assert (moved.retry_at, moved.claim) == (NOW + 2_000, replace(claim, until=NOW + 15_000))
    assert replace(moved, retry_at=waiting.retry_at, claim=claim) == waiting


@pytest.mark.parametrize(("moment", "after"), [(NOW - 1, NOW - 1), (NOW, NOW), (NOW + 1, NOW + 1 - 60_000), (0, 0)])
def test_only_what_is_to_come_moves(moment: int, after: int) -> None:
    """What has come has come, to the millisecond, and what never was is not made up."""
    assert Placement(retry_at=moment).set_back(60_000, NOW) == Placement(retry_at=after)


# -- who has to be ready ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "asked", "gains"),
    [
        (AWAY, BOTH, True),
        (AWAY, Shares(), True),
        (Shares(), Shares(), True),
        (None, Shares(), True),
        (BOTH, BOTH, False),
        (Shares(), BOTH, False),
        (BOTH, AWAY, False),
        (None, BOTH, False),
    ],
)
def test_who_is_given_more_has_to_be_ready(before: Shares | None, asked: Shares, *, gains: bool) -> None:
    """The target, where it is given more than it had, or all."""
    assert gains_target(before, asked) is gains
