"""What is exact: the numbers that the design names, a record without anything known, and a clock that is set back."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from fuseboard.breaker import criticality, evidence, placement, state, weighing
from fuseboard.breaker import step as breaker
from fuseboard.breaker.criticality import Past
from fuseboard.breaker.evidence import Condition, Occurrence, Outcome, Resolved, Weighed
from fuseboard.breaker.placement import Claim, Fence, Placement, Result, Shares
from fuseboard.breaker.row import CLOCK_STEP_MS, Row
from fuseboard.breaker.state import BreakerState, Dependency, Load, Override, ReadyPods, Remembered, State
from fuseboard.breaker.step import Decision, step
from fuseboard.breaker.transitions import Transition
from fuseboard.events.event import Event
from fuseboard.events.types import Action, Failure, Phase, TimerElapsed
from fuseboard.failover import attempt, begin
from fuseboard.policy import enums as enumss
from fuseboard.policy import spec as policy
from fuseboard.roles import Role
from fuseboard.stores import records as pacing
from fuseboard.stores import scripts
from fuseboard.testing.panel import START, Panel, on_trial, row_of
from fuseboard.testing.policies import policy as policy_of

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

NUMBERS: Final = {
    "a clock that runs back by less than a minute is ignored": (CLOCK_STEP_MS, MINUTE),
    "an event is remembered for a day": (breaker.REMEMBER_MS, 24 * HOUR),
    "32 events are remembered": (breaker.MAX_REMEMBERED, 32),
    "the last four replies are kept": (breaker.MAX_REPLIES, 4),
    "three episodes": (state.FLAPS, 3),
    "within an hour latch a breaker": (state.FLAP_WINDOW_MS, HOUR),
    "ten causes are told": (breaker._SHOWN_CAUSES, 10),
    "of an id 64 bits are kept": (breaker._NAME_LENGTH, 16),
    "a lack of pods is known for five minutes": (state.CAPACITY_LEASE_MS, 5 * MINUTE),
    "a load is known for three times as long as it is asked for": (state.LOAD_LEASES, 3),
    "two lost repeats do not end a condition": (policy.LEASE_REPEATS, 3),
    "256 occurrences": (weighing.MAX_OCCURRENCES, 256),
    "256 conditions": (weighing.MAX_CONDITIONS, 256),
    "a resolve outweighs for ten minutes": (weighing.RESOLVED_MS, 10 * MINUTE),
    "an occurrence may take five seconds": (evidence.LAG_MS, 5 * SECOND),
    "a resolve is kept for an hour": (weighing.RESOLVES_KEPT_MS, HOUR),
    "the past of 32 reasons": (criticality.MAX_PAST, 32),
    "less than a quarter of one time is forgotten": (criticality._FORGOTTEN, 0.25),
    "of a verdict 128 characters are shown": (criticality._SHOWN, 128),
    "a debt is tried again after two seconds": (placement.FIRST_RETRY_MS, 2 * SECOND),
    "a claim lasts fifteen seconds": (begin.LEASE_MS, 15 * SECOND),
    "a route may change five times in between": (attempt.MAX_CONFLICTS, 5),
    "a decision may be off by 250 ms": (scripts.MAX_DRIFT_MS, 250),
    "what is due comes again after five seconds": (pacing.FIRST_AGAIN_MS, 5 * SECOND),
    "and once a minute at least": (pacing.LAST_AGAIN_MS, MINUTE),
    "a thousand entries of a journal": (pacing.JOURNAL_CAP, 1_000),
}


@pytest.mark.parametrize("fact", NUMBERS)
def test_the_numbers_are_those_that_are_promised(fact: str) -> None:
    """A number that people rely on does not change by the way: whoever changes it says so here."""
    found, promised = NUMBERS[fact]
    assert found == promised


EMPTY: Final = (
    BreakerState(),
    Placement(),
    Fence(),
    Remembered(5),
    ReadyPods(1, 2, 5),
    Override(Action.HOLD, "anna", "a drill", 5),
    Dependency("db", State.CLOSED),
    Weighed("a", Outcome.STALE),
    Occurrence("a", "a", 1, 5),
    Condition("a", 1, 5, 5),
    criticality.Judgement(enumss.FailureClass.NODE, 1),
    Transition(State.OPEN, "why"),
    Decision(row_of(), row_of()),
)


@pytest.mark.parametrize("part", EMPTY, ids=lambda part: type(part).__name__)
def test_what_is_not_known_is_nothing(part: msgspec.Struct) -> None:
    """A part of a record says nothing that it was not given: no time, no count, no flag."""
    fields = [each for each in msgspec.structs.fields(part) if each.default is not msgspec.NODEFAULT]
    assert fields
    enums = {"state": State.CLOSED, "phase": Phase.STEADY, "result": Result.VERIFIED, "shares": Shares(100, 0)}
    for each in fields:
        found = getattr(part, each.name)
        assert found == enums[each.name] if each.name in enums else not found, each.name


# -- a clock that is set back ----------------------------------------------------------------------------------------

KNOWN: Final = BreakerState(
    state=State.HALF_OPEN,
    epoch=2,
    since=START - 1,
    watermark=START - 2,
    clock=START,
    cool_down=100 * SECOND,
    healthy_since=START - 3,
    trial_since=START - 4,
    opened=(START - 5, START - 6),
    override=Override(Action.HOLD, "anna", "a drill", START - 7, START + HOUR),
    asked=START - 8,
    recheck_at=START + 9,
    capacity={
        Role.TARGET: ReadyPods(0, 2, START - 10, short_since=START - 11),
        Role.STANDBY: ReadyPods(1, 2, START - 12),
    },
    load=Load(1.0, START - 13),
    occurrences=(Occurrence("o", "o", 1, START - 14),),
    conditions={"c": Condition("c", 1, START - 15, START - 16)},
    resolved={"r": Resolved(7, START - 17)},
    past={"p": Past(1.0, START - 18)},
    remembered={"m": Remembered(START - 19, 1)},
)
"""A breaker of which everything is known, at a time of its own each."""


def test_all_times_move_back_with_the_clock() -> None:
    """When the clock is set back, every moment of a record is set back as far, whatever field it is in."""
    back = 2 * CLOCK_STEP_MS
    event = Event(id="t", source="/clock", subject="shop/login", data=TimerElapsed(due_at=0))
    after = step(row_of(policy=policy_of(), state=KNOWN, placement=Placement(), now=START - back), event).after.state
    assert moments_of(KNOWN) == [each + back for each in moments_of(after)]
    assert after.held_until == START - back + 100 * SECOND


def test_a_placements_retry_and_lease_move_back_with_the_clock() -> None:
    """As far as the breaker's own moments; what has passed stays."""
    back = 2 * CLOCK_STEP_MS
    placed = Placement(retry_at=START + 5, claim=Claim("a", 2, 1, START + 9))
    event = Event(id="t", source="/clock", subject="shop/login", data=TimerElapsed(due_at=0))
    after = step(row_of(policy=policy_of(), state=KNOWN, placement=placed, now=START - back), event).after.placement
    assert after.retry_at == START - back + 5
    assert after.claim is not None
    assert after.claim.until == START - back + 9
    assert placed.set_back(back, START + 5).retry_at == START + 5


def moments_of(known: BreakerState) -> list[int]:
    """Return all moments in a record: a number as large as this is nothing else."""

    def walk(value: Any) -> list[int]:  # noqa: ANN401  - JSON
        if isinstance(value, dict):
            return [moment for each in value.values() for moment in walk(each)]
        if isinstance(value, list | tuple):
            return [moment for each in value for moment in walk(each)]
        return [value] if isinstance(value, int) and value > START - 10**9 else []

    return walk(msgspec.to_builtins(replace(known, held_until=0)))


def test_moments_that_were_never_stay_so() -> None:
    """A moment that is not known is still not known after the clock was set back."""
    bare = BreakerState(clock=START, capacity={Role.TARGET: ReadyPods(2, 2, START)})
    bare = replace(bare, override=Override(Action.TRIP, "anna", "a drill", START))
    event = Event(id="t", source="/clock", subject="shop/login", data=TimerElapsed(due_at=0))
    after = step(
        row_of(policy=policy_of(), state=bare, placement=Placement(), now=START - 2 * CLOCK_STEP_MS), event
    ).after.state
    names = ("since", "watermark", "healthy_since", "trial_since", "recheck_at", "asked")
    assert [getattr(after, name) for name in names] == [0] * len(names)
    assert after.capacity[Role.TARGET].short_since == 0
    assert after.override is not None
    assert after.override.until == 0


def test_a_trial_is_not_cut_short_by_a_clock_that_ran_back_a_little() -> None:
    """A placement is verified by the breaker's own clock: the store's may be almost a minute behind it."""
    panel = on_trial(placed=False)
    behind = panel.breaker.clock - CLOCK_STEP_MS + 1
    record = Row(panel.policy, panel.breaker, Placement(), behind)
    assert record.moment == panel.breaker.clock
    assert replace(record, now=panel.breaker.clock - CLOCK_STEP_MS).moment == panel.breaker.clock
    assert (
        replace(record, now=panel.breaker.clock - CLOCK_STEP_MS - 1).moment == panel.breaker.clock - CLOCK_STEP_MS - 1
    )
    assert replace(record, now=panel.breaker.clock + 1).moment == panel.breaker.clock + 1


def test_a_minute_back_is_ignored_and_more_is_not() -> None:
    """A clock that runs back by exactly a minute changes nothing; by one millisecond more, it holds."""
    for back, held in ((CLOCK_STEP_MS, False), (CLOCK_STEP_MS + 1, True)):
        panel = Panel()
        panel.fire("slow")
        panel.now -= back
        panel.tick()
        assert (panel.breaker.held_until > 0) is held
        assert panel.breaker.clock == (panel.now if held else START)


# -- the past --------------------------------------------------------------------------------------------------------


def test_the_past_fades_from_its_own_moment() -> None:
    """At its moment nothing has faded, nor before it; after one half-life half of it has."""
    assert [Past(1.0, START).faded(START + after, 1) for after in (-5, 0, 1, 2)] == [1.0, 1.0, 0.5, 0.25]


def test_what_is_left_of_the_past_by_a_quarter_is_kept() -> None:
    """After exactly two half-lives one time is still remembered, a millisecond later it is not."""
    chosen = policy_of(criticality={"halfLife": "1h"})
    past = {"old": Past(1.0, START)}
    assert criticality.remember(past, "new", chosen, START + 2 * HOUR).keys() == {"old", "new"}
    assert criticality.remember(past, "new", chosen, START + 2 * HOUR + 1).keys() == {"new"}


def test_of_the_past_the_oldest_goes_first() -> None:
    """As many reasons are remembered as promised; over that, the one goes that was not critical for the longest."""
    past = {f"r{number}": Past(1.0, START + number) for number in range(1, 32)}
    full = criticality.remember(past, "r0", policy_of(), START)
    assert len(full) == 32
    full = criticality.remember(past | {"a": Past(1.0, START + 99)}, "r99", policy_of(), START + 100)
    assert len(full) == 32
    assert "r1" not in full


def test_a_reason_without_a_past_is_not_critical_by_another_ones() -> None:
    """Even where one time is enough."""
    told = Failure(key="k", cause="k", reason="ABrandNewReason")
    chosen = policy_of(criticality={"pastAt": 1})
    assert criticality.judge(told, chosen, {"other": Past(1.0, START)}, START).critical == ""
    assert criticality.judge(told, chosen, {told.reason: Past(1.0, START)}, START).critical
    assert criticality.judge(told, chosen, {}, START).weight == 1


def test_a_row_of_the_table_is_of_the_runtime_unless_it_says_otherwise() -> None:
    """It weighs once and has no severity of its own."""
    assert criticality.KnownReason("x") == criticality.KnownReason("x", enumss.FailureClass.RUNTIME, "", 1)


def test_what_a_rule_calls_harmless_has_no_past() -> None:
    """A failure that a rule says is not critical is not remembered as one."""
    rules = [{"match": ['reason="Known"'], "critical": False}]
    told = Failure(key="k", cause="k", reason="Known", condition="k", severity="critical")
    judged = criticality.judge(told, policy_of(criticality={"rules": rules}), {}, START)
    assert (judged.critical, judged.critical_by, judged.weight) == ("", "", 10)
