"""The placement's rules, for any policy, breaker and cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker import placement as placements
from fuseboard.breaker.placement import PAID, Claim, Fence, Placement, Result, Shares
from fuseboard.breaker.state import BreakerState, State
from fuseboard.errors import Problem
from fuseboard.failover.claims import awaited, busy, claimed, given_back, settled
from fuseboard.failover.plan import Move, Observed, Stay, plan, route_of, without_cluster
from fuseboard.testing.panel import row_of
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

NOW = 1_750_000_000_000
COOL_DOWN_MS = 100_000
ROUTE = {"name": "login"}

moments = st.integers(min_value=NOW - 1_000_000, max_value=NOW + 1_000_000)
epochs = st.integers(min_value=0, max_value=5)
all_shares = st.sampled_from([Shares(), Shares(target=50, standby=50), Shares(target=0, standby=100)])
claims = st.builds(Claim, owner=st.just("somebody"), epoch=epochs, step=st.integers(1, 9), until=moments)
breakers = st.builds(
    BreakerState,
    state=st.sampled_from(list(State)),
    epoch=epochs,
    since=st.integers(min_value=NOW - 1_000_000, max_value=NOW),
    held_until=st.just(0) | moments,
)


def policy_of(**spec: object) -> Policy:
    """Return a policy that enforces and has somewhere to go."""
    return policy(**({"mode": "Enforce", "standby": {"name": "login-standby"}, "route": ROUTE} | spec))


@st.composite
def placed(draw: st.DrawFn) -> tuple[BreakerState, Placement]:
    """Draw a breaker and a placement that it may have."""
    breaker = draw(breakers)
    placement = Placement(
        epoch=draw(st.integers(0, breaker.epoch)),
        step=draw(st.integers(0, 9)),
        shares=draw(all_shares),
        result=draw(st.sampled_from(list(Result))),
        tries=draw(st.integers(0, 100)),
        retry_at=draw(st.just(0) | moments),
        claim=draw(st.none() | claims.filter(lambda each: each.epoch <= breaker.epoch)),
    )
    return breaker, placement


policies = st.sampled_from(
    [policy_of(), policy_of(mode="Observe"), policy_of(standby=None), policy_of(standby=None, route=None)]
)
ready = st.none() | st.integers(0, 3)
observations = st.builds(
    Observed,
    fence=st.builds(Fence, epochs, st.integers(0, 9)),
    shares=st.none() | all_shares,
    note=st.just("somebody else's"),
    ready_target=ready,
    ready_standby=ready,
)


class TestShares:
    """Who serves."""

    @given(breakers)
    def test_they_sum_to_100(self, breaker: BreakerState) -> None:
        """Whatever the state, all of the traffic goes somewhere."""
        shares = row_of(policy=policy_of(), state=breaker).wanted
        assert shares.target + shares.standby == 100
        assert min(shares.target, shares.standby) >= 0

    @pytest.mark.parametrize(
        ("state", "target"), [(State.CLOSED, 100), (State.LIMITED, 50), (State.OPEN, 0), (State.HALF_OPEN, 100)]
    )
    def test_what_each_state_asks_for(self, state: State, target: int) -> None:
        """The target serves unless it is limited or open."""
        assert row_of(policy=policy_of(), state=BreakerState(state=state)).wanted.target == target

    def test_they_are_readable(self) -> None:
        """A share of nothing is not worth a word."""
        assert str(Shares(target=0, standby=100)) == "standby 100 %"
        assert str(Shares(target=50, standby=50)) == "target 50 %, standby 50 %"


class TestPlan:
    """The next step."""

    @given(policies, breakers, observations, st.sampled_from(["", "no weights"]))
    def test_never_to_zero_ready(self, policy: Policy, breaker: BreakerState, observed: Observed, why_not: str) -> None:
        """Traffic is never moved to where no pod is ready; what is not known does not block."""
        problem = Problem(why_not) if why_not else None
        step = plan(row_of(policy=policy, state=breaker), Fence(breaker.epoch, 1), observed, lambda _: problem)
        if isinstance(step, Move) and step.shares != observed.shares:
            asked = row_of(policy=policy, state=breaker).wanted
            more = asked.target > observed.shares.target if observed.shares is not None else False
            assert more or observed.ready_standby != 0
            assert not more or observed.ready_target != 0
            assert not why_not

    def test_a_standby_below_its_least_capacity_is_given_nothing(self) -> None:
        """One ready pod of the two that it must have: refused, and said why; two are enough."""
        policy = policy_of(standby={"name": "login-standby", "minReady": 2}, route={"name": "login"})
        breaker, fence = BreakerState(state=State.OPEN, epoch=1), Fence(1, 1)
        observed = Observed(Fence(), Shares(), ready_standby=1)
        step = plan(row_of(policy=policy, state=breaker), fence, observed, lambda _: None)
        assert isinstance(step, Stay)
        assert step.reason == "the standby Deployment/login-standby has 1 ready pods, its minReady is 2"
        for enough in (2, None):
            seen = replace(observed, ready_standby=enough)
            assert isinstance(plan(row_of(policy=policy, state=breaker), fence, seen, lambda _: None), Move)

    @pytest.mark.parametrize("ready", [0, 1, None])
    def test_a_standby_below_its_least_capacity_may_give_some_away(self, ready: int | None) -> None:
        """A trial with half of the traffic is no burden to the standby that had all of it; its target must be ready."""
        policy = policy_of(standby={"name": "login-standby", "minReady": 2}, recover={"trialShares": [50, 100]})
        breaker, fence = BreakerState(state=State.HALF_OPEN, epoch=2), Fence(2, 1)
        observed = Observed(Fence(1, 1), Shares(0, 100), ready_standby=ready, ready_target=1)
        assert isinstance(plan(row_of(policy=policy, state=breaker), fence, observed, lambda _: None), Move)
        step = plan(row_of(policy=policy, state=breaker), fence, replace(observed, ready_target=0), lambda _: None)
        assert step == Stay(Result.REFUSED, "the target Deployment/login has no ready pod")

    @given(policies, breakers, observations)
    def test_a_move_is_what_was_asked_for_under_our_fence(
        self, policy: Policy, breaker: BreakerState, observed: Observed
    ) -> None:
        """A step goes straight to what the breaker asks for."""
        fence = Fence(breaker.epoch, 3)
        step = plan(row_of(policy=policy, state=breaker), fence, observed, lambda _: None)
        if isinstance(step, Move):
            assert (step.shares, step.fence) == (row_of(policy=policy, state=breaker).wanted, fence)

    @given(policies, breakers, observations)
    def test_somebody_elses_route_is_left_alone(
        self, policy: Policy, breaker: BreakerState, observed: Observed
    ) -> None:
        """Shares that are neither target's nor standby's are never overwritten."""
        step = plan(row_of(policy=policy, state=breaker), Fence(1, 1), replace(observed, shares=None), lambda _: None)
        assert step == Stay(Result.REFUSED, "somebody else's")

    @given(breakers, ready)
    def test_what_is_in_place_needs_no_expressing(self, breaker: BreakerState, pods: int | None) -> None:
        """Shares that are there already are only sealed, whatever the route could not do."""
        row = row_of(policy=policy_of(), state=breaker)
        observed = Observed(Fence(), row.wanted, ready_target=pods, ready_standby=pods)
        assert isinstance(plan(row, Fence(1, 1), observed, lambda _: Problem("no")), Move)


class TestWithoutCluster:
    """Steps that need no look at the cluster."""

    @given(placed())
    def test_observe_never_acts(self, found: tuple[BreakerState, Placement]) -> None:
        """In mode Observe every debt is paid by saying so."""
        breaker, placement = found
        stay = without_cluster(row_of(policy=policy_of(mode="Observe"), state=breaker, placement=placement))
        assert stay is not None
        assert stay.result in PAID

    @given(placed(), policies)
    def test_every_answer_pays(self, found: tuple[BreakerState, Placement], policy: Policy) -> None:
        """What is settled without the cluster is settled for good."""
        stay = without_cluster(row_of(policy, *found))
        assert stay is None or stay.result in PAID

    def test_moved_traffic_is_never_forgotten(self) -> None:
        """Without a standby in the policy any more, moved traffic still has its route back."""
        route = policy_of().spec.route
        away = Placement(epoch=1, step=1, shares=Shares(target=0, standby=100), route=route)
        policy = policy_of(standby=None, route=None)
        assert (
            without_cluster(row_of(policy=policy, state=BreakerState(state=State.CLOSED, epoch=2), placement=away))
            is None
        )
        assert route_of(row_of(policy=policy, placement=away)) == route

    def test_another_route_in_the_policy_does_not_change_what_is_undone(self) -> None:
        """The route that moved the traffic brings it back."""
        away = Placement(shares=Shares(target=0, standby=100), route=policy_of().spec.route)
        found = route_of(row_of(policy=policy_of(route={"name": "other"}), placement=away))
        assert found is not None
        assert found.name == "login"


class TestDebts:
    """Whatever becomes of a step, the debt is paid or comes again."""

    @given(placed(), st.sampled_from(list(Result)))
    def test_paid_or_rescheduled(self, found: tuple[BreakerState, Placement], result: Result) -> None:
        """A settled step owes nothing, or is due within a cool-down; never neither."""
        breaker, placement = found
        outcome = Placement(epoch=breaker.epoch, step=1, result=result)
        after = settled(row_of(policy=policy_of(), placement=placement, now=NOW), outcome)
        due = row_of(state=breaker, placement=after).debt_due
        if result in PAID:
            assert (due, after.verified_at) == (None, NOW)
        else:
            assert due is not None
            assert due <= max(NOW + COOL_DOWN_MS, breaker.held_until, breaker.since + placements.FIRST_RETRY_MS)
            assert after.verified_at == 0
            assert after.retry_at > NOW

    @given(placed())
    def test_what_is_owed_is_due_some_day(self, found: tuple[BreakerState, Placement]) -> None:
        """There is no debt without a time at which it may be paid."""
        breaker, placement = found
        due = row_of(state=breaker, placement=placement).debt_due
        assert (due is not None) == row_of(state=breaker, placement=placement).owed
        if due is not None:
            assert awaited(row_of(state=breaker, placement=placement, now=due))

    @given(placed(), moments)
    def test_a_claim_is_no_end(self, found: tuple[BreakerState, Placement], now: int) -> None:
        """Whoever dies with a claim leaves a debt that is due when the lease ends."""
        breaker, placement = found
        if row_of(state=breaker, placement=placement).owed:
            after = claimed(row_of(state=breaker, placement=placement, now=now), "me", 15_000)
            due = row_of(state=breaker, placement=after).debt_due
            assert due is not None
            assert due >= now + 15_000
            assert not busy(row_of(state=breaker, placement=after, now=due))

    @given(placed(), st.integers(1, 50))
    def test_no_step_is_claimed_twice(self, found: tuple[BreakerState, Placement], times: int) -> None:
        """However often claims are lost, given back or settled, the fence rises."""
        breaker, placement = found
        fences = []
        for turn in range(times):
            placement = claimed(row_of(state=breaker, placement=placement, now=NOW), "me", 15_000)
            assert placement.claim is not None
            fences.append((placement.claim.epoch, placement.claim.step))
            if turn % 3 == 1:
                placement = given_back(row_of(policy=policy_of(), placement=placement, now=NOW))
            if turn % 3 == 2:
                outcome = Placement(epoch=breaker.epoch, step=fences[-1][1], result=Result.REFUSED)
                placement = settled(row_of(policy=policy_of(), placement=placement, now=NOW), outcome)
        assert fences == sorted(set(fences))

    @given(st.integers(1, 1_000))
    def test_ever_later_up_to_the_cool_down(self, tries: int) -> None:
        """The pause doubles from 2 s, and never grows beyond a cool-down."""
        placement = Placement(epoch=1, tries=tries - 1, result=Result.REFUSED)
        after = settled(
            row_of(policy=policy_of(), placement=placement, now=NOW), Placement(epoch=1, step=1, result=Result.REFUSED)
        )
        assert after.retry_at - NOW == min(2_000 * 2 ** (tries - 1), COOL_DOWN_MS)

    def test_failed_for_good_waits_a_cool_down(self) -> None:
        """What a human must mend is not hammered."""
        after = settled(
            row_of(policy=policy_of(), placement=Placement(), now=NOW), Placement(epoch=1, step=1, result=Result.FAILED)
        )
        assert after.retry_at == NOW + COOL_DOWN_MS

    def test_a_new_epoch_begins_anew(self) -> None:
        """The pauses of one transition are not those of the next."""
        worn = Placement(epoch=1, tries=9, retry_at=NOW + COOL_DOWN_MS, result=Result.REFUSED)
        after = claimed(row_of(state=BreakerState(epoch=2), placement=worn, now=NOW), "me", 15_000)
        assert (after.tries, after.retry_at) == (0, 0)

    def test_a_paid_debt_is_not_looked_at(self) -> None:
        """Nothing owed, nothing due, nothing awaited."""
        paid = Placement(epoch=3, result=Result.INEXPRESSIBLE)
        assert row_of(state=BreakerState(epoch=3), placement=paid).debt_due is None
        assert not awaited(row_of(state=BreakerState(epoch=3), placement=paid, now=NOW))


class TestClaims:
    """Who may act."""

    def test_a_lease_keeps_others_out(self) -> None:
        """Until it ends, and not a moment longer."""
        placement = claimed(row_of(state=BreakerState(epoch=1), placement=Placement(), now=NOW), "me", 15_000)
        assert busy(row_of(state=BreakerState(epoch=1), placement=placement, now=NOW + 14_999))
        assert not busy(row_of(state=BreakerState(epoch=1), placement=placement, now=NOW + 15_000))

    def test_a_newer_epoch_supersedes_by_sealing(self) -> None:
        """Who does not seal the route has to wait."""
        placement = claimed(row_of(state=BreakerState(epoch=1), placement=Placement(), now=NOW), "me", 15_000)
        assert not busy(row_of(state=BreakerState(epoch=2), placement=placement, now=NOW))
        assert busy(row_of(state=BreakerState(epoch=2), placement=placement, now=NOW), seals=False)

    def test_nobody_is_at_work(self) -> None:
        """No claim, no wait."""
        assert not busy(row_of(state=BreakerState(epoch=1), placement=Placement(), now=NOW), seals=False)
        assert given_back(row_of(policy=policy_of(), placement=Placement(), now=NOW)) == Placement()
