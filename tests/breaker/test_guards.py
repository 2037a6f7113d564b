"""Guards by themselves: when each is met, to the millisecond, when time alone meets it, and its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker import guards
from fuseboard.breaker.evidence import Condition, Occurrence
from fuseboard.breaker.guards import Guard
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import CAPACITY_LEASE_MS, BreakerState, Load, Override, ReadyPods, State
from fuseboard.events.types import Action
from fuseboard.roles import Role
from fuseboard.testing.panel import START, row_of
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row

SECOND: Final = 1_000
HOUR: Final = 3_600 * SECOND
LEASE: Final = 12 * HOUR
"""The lease of a condition by the default policy: three times four hours."""


def having(spec: dict[str, Any] | None = None, placement: Placement | None = None, /, **fields: Any) -> Row:  # noqa: ANN401  - fields of several types
    """Return a row whose breaker has these fields; its clock is at ``START`` unless the fields name another time."""
    return row_of(policy(**(spec or {})), BreakerState(**({"clock": START} | fields)), placement)


def condition(weight: int = 3, seen: int = START - 1, since: int = START - 1, **fields: Any) -> Condition:  # noqa: ANN401
    """Return a condition."""
    return Condition("slow", weight, since, seen, **fields)


def occurrence(weight: int, seen: int, cause: str = "BackOff", **fields: Any) -> Occurrence:  # noqa: ANN401
    """Return an occurrence."""
    return Occurrence(f"{cause}{seen}", cause, weight, seen, **fields)


def conditions(*holding: Condition) -> dict[str, Condition]:
    """Return conditions by name, as a breaker keeps them."""
    return {f"c{number}": each for number, each in enumerate(holding)}


def assert_met_from(guard: Guard, row: Row, moment: int) -> None:
    """Check that a guard is unmet a millisecond before a moment and met at the moment, and foretells it."""
    before = row.having(clock=moment - 1)
    assert (guard.is_met(before), guard.until(before)) == (False, moment)
    assert guard.is_met(row.having(clock=moment))
    assert guard.is_met(row.having(clock=moment + 1))


# -- a guard that a moment meets -------------------------------------------------------------------------------------


def test_a_moment_meets_a_guard_from_then_on() -> None:
    """At the moment itself the guard is met; without a moment it never is."""
    assert_met_from(guards.at(lambda _: START + 5), having(), START + 5)
    never = guards.at(lambda _: None)
    assert (never.is_met(having()), never.until(having()), never.text(having())) == (False, None, "")


def test_a_guard_for_signals_has_neither_moment_nor_text() -> None:
    """Unless it is given one."""
    guard = Guard(lambda _: False)
    assert (guard.until(having()), guard.text(having())) == (None, "")


# -- of every transition ---------------------------------------------------------------------------------------------


def test_a_breaker_settles_when_its_hold_ends() -> None:
    """After a loss of memory the hold ends at ``held_until``."""
    row = having(held_until=START + 9)
    assert_met_from(guards.SETTLED, row, START + 9)
    assert guards.SETTLED.text(row) == "nothing moves it: memory was lost, or the clock was set back"


HOLD: Final = Override(Action.HOLD, "anna", "a drill", START - 5)


def test_an_operators_hold_ends_at_its_end_or_by_a_request() -> None:
    """Only a hold blocks every transition; the guard knows its end, if it has one."""
    row = having(override=HOLD)
    assert (guards.NOT_HELD.is_met(row), guards.NOT_HELD.until(row)) == (False, None)
    assert guards.NOT_HELD.text(row) == "held by anna: a drill"
    ending = having(override=replace(HOLD, until=START + 7))
    assert guards.NOT_HELD.until(ending) == START + 7
    assert guards.NOT_HELD.is_met(having(override=replace(HOLD, action=Action.TRIP)))
    assert guards.NOT_HELD.is_met(having())
    assert guards.NOT_HELD.until(having()) is None


def test_a_disabled_breaker_says_so() -> None:
    """The mode blocks until the policy changes."""
    row = having({"mode": "Disabled"})
    assert (guards.ENABLED.is_met(row), guards.ENABLED.until(row)) == (False, None)
    assert guards.ENABLED.text(row) == "the mode is Disabled: nothing moves it but an operator"
    assert guards.ENABLED.is_met(having())


# -- of CLOSED and LIMITED -------------------------------------------------------------------------------------------


def test_enough_sources_are_as_many_as_the_policy_asks_for() -> None:
    """Exactly so many are enough; the text stands where the weight alone would limit, and only while CLOSED."""
    spec = {"trip": {"minimumSources": 2}}
    one = having(spec, occurrences=(occurrence(3, START),))
    assert not guards.ENOUGH_SOURCES.is_met(one)
    assert guards.ENOUGH_SOURCES.text(one) == "failures weigh 3, of 1 causes: minimumSources is 2"
    assert guards.ENOUGH_SOURCES.text(one.having(state=State.LIMITED)) == ""
    assert guards.ENOUGH_SOURCES.text(having(spec, occurrences=(occurrence(2, START),))) == ""
    two = having(spec, occurrences=(occurrence(1, START), occurrence(1, START, "OOMKilled")))
    assert guards.ENOUGH_SOURCES.is_met(two)


def test_weight_limits_and_opens_at_its_threshold() -> None:
    """At limitAt and openAt exactly; evidence that only limits does not open."""
    trips = {"trip": {"limitAt": 4, "openAt": 6}}
    met = {
        weight: (guards.LIMITS.is_met(row), guards.OPENS.is_met(row))
        for weight in (3, 4, 5, 6, 7)
        for row in [having(trips, occurrences=(occurrence(weight, START),))]
    }
    assert met == {3: (False, False), 4: (True, False), 5: (True, False), 6: (True, True), 7: (True, True)}
    limits_only = having(trips, occurrences=(occurrence(7, START, limits_only=True),))
    assert (guards.LIMITS.is_met(limits_only), guards.OPENS.is_met(limits_only)) == (True, False)


def test_a_critical_failure_opens_unless_the_policy_says_otherwise() -> None:
    """``tripOnCritical`` decides."""
    critical = (occurrence(1, START, critical=True),)
    assert guards.CRITICAL.is_met(having(occurrences=critical))
    assert not guards.CRITICAL.is_met(having({"trip": {"tripOnCritical": False}}, occurrences=critical))
    assert not guards.CRITICAL.is_met(having(occurrences=(occurrence(1, START),)))


def test_a_load_seen_after_the_watermark_overloads() -> None:
    """A load that was seen at the watermark brought the last transition: it brings no further one."""
    spec = {"target": {"name": "login", "capacity": 10}}
    row = having(spec, load=Load(11, START - 1), watermark=START - 2)
    assert guards.OVERLOADED.is_met(row)
    assert not guards.OVERLOADED.is_met(row.having(watermark=START - 1))
    assert not guards.OVERLOADED.is_met(row.having(load=Load(10, START - 1)))


# -- of LIMITED ------------------------------------------------------------------------------------------------------


def test_limit_for_counts_from_the_first_condition_that_opens() -> None:
    """From the later of the limit and the first condition; without one, or without the field, time brings nothing."""
    spec = {"trip": {"limitFor": "20s"}}
    first, second = condition(since=START + 2), condition(since=START + 9)
    row = having(spec, since=START, conditions=conditions(second, first))
    assert_met_from(guards.LIMITED_TOO_LONG, row, START + 2 + 20 * SECOND)
    assert_met_from(guards.LIMITED_TOO_LONG, row.having(since=START + 5), START + 5 + 20 * SECOND)
    for never in (
        having(spec, since=START),
        having(since=START, conditions=conditions(first)),
        having(spec, since=START, conditions=conditions(condition(limits_only=True))),
    ):
        assert guards.LIMITED_TOO_LONG.until(never) is None
        assert not guards.LIMITED_TOO_LONG.is_met(never)


def test_no_condition_holds_when_the_last_lease_ends() -> None:
    """The text counts the conditions and their weight."""
    row = having(conditions=conditions(condition(3, START - 9), condition(5, START - 1)))
    assert (guards.NO_CONDITION.is_met(row), guards.NO_CONDITION.until(row)) == (False, START - 1 + LEASE)
    assert guards.NO_CONDITION.text(row) == "2 conditions weigh 8"
    assert guards.NO_CONDITION.text(having(conditions=conditions(condition(3)))) == "1 condition weighs 3"
    assert guards.NO_CONDITION.is_met(having())
    assert guards.NO_CONDITION.until(having()) is None
    assert guards.NO_CONDITION.is_met(having(conditions=conditions(condition(attributed="db"))))


def test_weight_falls_below_the_limit_with_the_lapse_that_makes_it_less() -> None:
    """Weight equal to the limit still limits: the guard waits for the next lapse, an occurrence's or a condition's."""
    window = 60 * SECOND
    seen = (occurrence(2, START - 3), occurrence(2, START - 1), occurrence(1, START - 2))
    row = having(occurrences=seen)
    assert (guards.BELOW_LIMIT.is_met(row), guards.BELOW_LIMIT.until(row)) == (False, START - 2 + window)
    assert guards.BELOW_LIMIT.text(row) == "failures weigh 5, limitAt is 3"
    with_condition = having(occurrences=seen[:1], conditions=conditions(condition(3, START - 7)))
    assert guards.BELOW_LIMIT.until(with_condition) == START - 7 + LEASE
    assert guards.BELOW_LIMIT.text(with_condition) == ""
    assert not guards.BELOW_LIMIT.is_met(having(occurrences=(occurrence(3, START),)))
    assert guards.BELOW_LIMIT.is_met(having(occurrences=(occurrence(2, START),)))
    assert guards.BELOW_LIMIT.until(having()) is None


def test_pods_are_ready_or_not_known() -> None:
    """A report is valid for five minutes; the text describes the lack."""
    row = having(capacity={Role.TARGET: ReadyPods(0, 2, START)})
    assert_met_from(guards.PODS_READY, row, START + CAPACITY_LEASE_MS)
    assert guards.PODS_READY.text(row) == "no pods are ready, minReady is 1"
    assert guards.PODS_READY.is_met(having(capacity={Role.TARGET: ReadyPods(1, 2, START)}))
    assert guards.PODS_READY.until(having()) == 0


def test_a_limited_breaker_is_healthy_after_healthy_for() -> None:
    """From ``healthy_since`` on; while that is unknown, the guard names the clock, so that others decide the time."""
    row = having(healthy_since=START + 4)
    assert_met_from(guards.HEALTHY, row, START + 4 + 30 * SECOND)
    assert guards.HEALTHY.text(row) == "not yet healthy for 30s"
    unknown = having()
    assert (guards.HEALTHY.is_met(unknown), guards.HEALTHY.until(unknown)) == (False, START)
    assert guards.HEALTHY.text(unknown) == ""


# -- of OPEN ---------------------------------------------------------------------------------------------------------

MAX_COOL_DOWN: Final = HOUR


def test_force_ends_with_the_request_or_with_the_policy() -> None:
    """An operator's trip may have an end; the policy's mode has none, whatever a request says."""
    trip = replace(HOLD, action=Action.TRIP, until=START + 7)
    row = having(override=trip)
    assert (guards.NOT_FORCED.is_met(row), guards.NOT_FORCED.until(row)) == (False, START + 7)
    assert guards.NOT_FORCED.text(row) == "ForcedOpen by anna: a drill"
    by_policy = having({"mode": "ForcedOpen"}, override=trip)
    assert (guards.NOT_FORCED.is_met(by_policy), guards.NOT_FORCED.until(by_policy)) == (False, None)
    assert guards.NOT_FORCED.text(by_policy) == "the policy's mode is ForcedOpen"
    assert guards.NOT_FORCED.is_met(having(override=HOLD))


def test_latched_and_manual_breakers_wait_for_an_operator() -> None:
    """Time does not meet these guards, and the text has the command."""
    latched, manual = having(latched=True), having({"recover": {"mode": "Manual"}})
    assert (guards.NOT_LATCHED.is_met(latched), guards.NOT_LATCHED.until(latched)) == (False, None)
    assert guards.NOT_LATCHED.text(latched) == (
        "latched: opened 3 times within an hour: fuseboard reset shop/login --reason …"
    )
    assert (guards.AUTOMATIC.is_met(manual), guards.AUTOMATIC.until(manual)) == (False, None)
    assert guards.AUTOMATIC.text(manual) == "recover.mode is Manual: fuseboard reset shop/login --reason …"
    assert guards.NOT_LATCHED.is_met(manual)
    assert guards.AUTOMATIC.is_met(latched)


def test_a_cool_down_counts_from_the_opening() -> None:
    """The text has the length in seconds."""
    row = having(since=START, cool_down=1_500)
    assert_met_from(guards.COOLED_DOWN, row, START + 1_500)
    assert guards.COOLED_DOWN.text(row) == "the cool-down of 1.5s is not over"


def test_a_probe_blocks_while_it_is_known_to_fail() -> None:
    """For five minutes after the report, and only where the policy has a probe."""
    spec = {"recover": {"probe": {"http": "/healthz"}}}
    failing = {Role.TARGET: ReadyPods(1, 1, START, probe="503")}
    row = having(spec, capacity=failing)
    assert_met_from(guards.PROBE_PASSES, row, START + CAPACITY_LEASE_MS)
    assert guards.PROBE_PASSES.text(row) == "the probe fails: 503"
    assert guards.PROBE_PASSES.is_met(having(capacity=failing))
    for probe in ("", "ok"):
        assert guards.PROBE_PASSES.is_met(having(spec, capacity={Role.TARGET: ReadyPods(1, 1, START, probe=probe)}))


def test_conditions_block_a_trial_until_their_lapse_or_max_cool_down() -> None:
    """Conditions of exactly limitAt block; whichever comes first ends the wait."""
    short = {"signals": {"repeatInterval": "1m"}}
    lease = 3 * 60 * SECOND
    row = having(short, state=State.OPEN, since=START, conditions=conditions(condition(3, START)))
    assert (guards.QUIET.is_met(row), guards.QUIET.until(row)) == (False, START + lease)
    assert guards.QUIET.text(row) == "1 condition weighs 3, limitAt is 3"
    longer = having(state=State.OPEN, since=START, conditions=conditions(condition(3, START)))
    assert_met_from(guards.QUIET, longer, START + MAX_COOL_DOWN)
    light = having(state=State.OPEN, since=START, conditions=conditions(condition(2, START)))
    assert guards.QUIET.is_met(light)
    assert guards.QUIET.until(having(since=START)) == START + MAX_COOL_DOWN


def test_load_blocks_a_trial_while_it_is_known_or_until_max_cool_down() -> None:
    """A load is known for three intervals of its query."""
    spec = {"target": {"name": "login", "capacity": 10}, "signals": {"load": {"query": "load", "every": "10s"}}}
    row = having(spec, state=State.OPEN, since=START, load=Load(11, START))
    assert_met_from(guards.CARRIES_LOAD, row, START + 30 * SECOND)
    assert guards.CARRIES_LOAD.text(row) == "the load is 11, the target's capacity is 10"
    end = START + MAX_COOL_DOWN
    assert_met_from(guards.CARRIES_LOAD, row.having(load=Load(11, end - 1)), end)
    assert guards.CARRIES_LOAD.is_met(row.having(load=Load(10, START)))
    assert guards.CARRIES_LOAD.until(row.having(load=None)) == 0


def test_an_open_breaker_is_quiet_without_conditions_and_load() -> None:
    """Either of them disturbs."""
    spec = {"target": {"name": "login", "capacity": 10}}
    heavy, load = conditions(condition(3, START)), Load(11, START)
    assert guards.is_quiet(having(spec))
    assert not guards.is_quiet(having(spec, conditions=heavy))
    assert not guards.is_quiet(having(spec, load=load))
    assert not guards.is_quiet(having(spec, conditions=heavy, load=load))


# -- of HALF_OPEN ----------------------------------------------------------------------------------------------------

PLACED: Final = Placement(epoch=4, shares=Shares(50, 50), verified_at=START + 1)
SHARES: Final = {"recover": {"trialShares": [50, 100]}}


def half_open(placement: Placement = PLACED, spec: dict[str, Any] = SHARES, /, **fields: Any) -> Row:  # noqa: ANN401
    """Return the row of a half-open breaker whose trial is placed."""
    defaults = {"state": State.HALF_OPEN, "epoch": 4, "since": START, "watermark": START, "clock": START + 2}
    return having(spec, placement, **(defaults | fields))


UNPLACED: Final = replace(PLACED, epoch=3)


def test_a_trial_is_placed_when_its_placement_is_verified() -> None:
    """With traffic for the target, by the breaker's epoch."""
    assert guards.PLACED.is_met(half_open())
    row = half_open(UNPLACED)
    assert (guards.PLACED.is_met(row), guards.PLACED.until(row)) == (False, None)
    assert guards.PLACED.text(row) == "the placement of its trial with 50 % is not verified yet"


def test_a_trial_stays_healthy_from_its_placement_on() -> None:
    """Without a placement the time does not begin."""
    row = half_open()
    assert_met_from(guards.STAYED_HEALTHY, row, START + 1 + 30 * SECOND)
    assert guards.STAYED_HEALTHY.text(row) == "not yet healthy for 30s with 50 %"
    unplaced = half_open(UNPLACED)
    assert (guards.STAYED_HEALTHY.is_met(unplaced), guards.STAYED_HEALTHY.until(unplaced)) == (False, None)
    assert guards.STAYED_HEALTHY.text(unplaced) == ""


def test_a_share_that_the_route_cannot_express_is_passed_over() -> None:
    """When that is known for the current share, and not before."""
    row = half_open(replace(PLACED, result=Result.INEXPRESSIBLE, verified_at=START + 5))
    assert_met_from(guards.PASSED_OVER, row, START + 5)
    assert guards.PASSED_OVER.until(half_open()) is None
    unplaced = half_open(replace(UNPLACED, result=Result.INEXPRESSIBLE))
    assert (guards.PASSED_OVER.is_met(unplaced), guards.PASSED_OVER.until(unplaced)) == (False, None)


def test_the_last_share_is_not_followed_by_another() -> None:
    """Of the two guards one is met."""
    met = [(guards.LAST_SHARE.is_met(row), guards.MORE_SHARES.is_met(row)) for row in (half_open(), half_open(trial=1))]
    assert met == [(False, True), (True, False)]


def test_evidence_fails_a_trial_that_is_placed() -> None:
    """Seen after the placement."""
    row = half_open(occurrences=(occurrence(1, START + 2),))
    assert guards.FAILS.is_met(row)
    assert not guards.FAILS.is_met(half_open(UNPLACED, occurrences=(occurrence(1, START + 2),)))
    assert not guards.FAILS.is_met(half_open(occurrences=(occurrence(1, START + 1),)))


def test_pods_that_lack_fail_a_trial_that_is_placed() -> None:
    """For ``readyFor`` from the placement on, if the lack is older."""
    capacity = {Role.TARGET: ReadyPods(0, 2, START, short_since=START - 9)}
    assert_met_from(guards.LACKING_ON_TRIAL, half_open(capacity=capacity), START + 1 + 15 * SECOND)
    unplaced = half_open(UNPLACED, capacity=capacity)
    assert (guards.LACKING_ON_TRIAL.is_met(unplaced), guards.LACKING_ON_TRIAL.until(unplaced)) == (False, None)


def test_load_fails_a_trial_that_is_placed() -> None:
    """A load that was seen after the placement."""
    spec = {"target": {"name": "login", "capacity": 10}}
    assert guards.OVERLOADED_ON_TRIAL.is_met(half_open(PLACED, spec, load=Load(11, START + 2)))
    assert not guards.OVERLOADED_ON_TRIAL.is_met(half_open(PLACED, spec, load=Load(11, START + 1)))
    assert not guards.OVERLOADED_ON_TRIAL.is_met(half_open(UNPLACED, spec, load=Load(11, START + 2)))


def test_a_trial_is_over_after_max_trial() -> None:
    """Placed or not."""
    for placement in (PLACED, UNPLACED):
        assert_met_from(guards.TRIAL_OVER, half_open(placement), START + 600 * SECOND)


@pytest.mark.parametrize("guard", [guards.LACKING, guards.LACKING_ON_TRIAL])
def test_enough_pods_bring_nothing(guard: Guard) -> None:
    """A target with enough pods has no moment at which it lacks them."""
    row = half_open(capacity={Role.TARGET: ReadyPods(2, 2, START)})
    assert (guard.is_met(row), guard.until(row)) == (False, None)
