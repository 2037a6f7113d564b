"""Evidence at its boundaries: what is kept for how long, and that no weight is lost where there is too much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from fuseboard.breaker.evidence import LAG_MS, Occurrence, Outcome, Weighed
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.weighing import MAX_OCCURRENCES
from fuseboard.events.types import Failure, FailureDetected
from fuseboard.testing.panel import HOUR, START, Panel
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENT: Final = {"trip": {"limitAt": 1_000, "openAt": 2_000}}


def test_a_resolve_is_remembered_for_an_hour() -> None:
    """A millisecond before, an older firing does not begin the condition again; then it is forgotten."""
    panel = Panel()
    panel.resolve("slow")
    panel.now = START + HOUR * 1_000 - 1
    panel.fire("other", severity="info")
    assert "slow" in panel.breaker.resolved
    panel.wait(0.001).fire("third", severity="info")
    assert "slow" not in panel.breaker.resolved


def test_what_is_not_critical_has_no_past() -> None:
    """Only a failure that is critical by itself, and counts, is remembered as one."""
    panel = Panel()
    panel.fire("slow")
    assert panel.breaker.past == {}
    panel = Panel()
    panel.fire("down", severity="critical")
    assert panel.breaker.past.keys() == {"down"}
    panel = Panel()
    panel.fire("down", severity="critical", ago=13 * HOUR)
    assert panel.breaker.past == {}


def test_the_same_moment_again_is_a_duplicate_and_says_nothing() -> None:
    """Two events of one millisecond that tell of one alert: the second neither renews nor is called critical."""
    panel = Panel()
    panel.fire("down", severity="critical")
    (again,) = panel.fire("down", severity="critical").weighed
    assert (again.verdict, again.weight, again.critical) == (Outcome.DUPLICATE, 0, "")
    (renewed,) = panel.wait(0.001).fire("down", severity="critical").weighed
    assert (renewed.verdict, renewed.weight, renewed.critical) == (Outcome.RENEWED, 10, "severity critical")


def test_a_repeat_does_not_begin_anew() -> None:
    """A condition that is seen again has held since it was first seen."""
    panel = Panel()
    panel.fire("slow")
    panel.wait(5).fire("slow")
    condition = panel.breaker.conditions["slow"]
    assert (condition.since, condition.seen) == (START, START + 5_000)


def test_occurrences_of_a_class_that_only_limits_never_open() -> None:
    """However many there are."""
    panel = Panel(policy(trip={"classes": {"configuration": "Limit"}}))
    failures = tuple(Failure(key=f"{number}", cause="x", reason="FailedMount") for number in range(30))
    panel.tell(FailureDetected(failures=failures))
    assert panel.at(State.LIMITED)


def crowded(*limits_only: bool, watermark: int = 0) -> Panel:
    """Return a panel whose window is full; the first ones count as told, each weighs its number."""
    kinds = [*limits_only, *[False] * MAX_OCCURRENCES][:MAX_OCCURRENCES]
    occurrences = tuple(
        Occurrence(f"k{number}", "x", number + 1, START + number, limits_only=kind) for number, kind in enumerate(kinds)
    )
    breaker = BreakerState(occurrences=occurrences, watermark=watermark, clock=START + 300)
    return Panel(policy(**PATIENT), breaker=replace(breaker, state=State.OPEN, epoch=1), now=START + 300)


def weighs(occurrences: Iterable[Occurrence], *, limits_only: bool) -> int:
    """Return what those weigh that count, or count not, towards opening."""
    return sum(each.weight for each in occurrences if each.limits_only is limits_only)


def test_what_no_longer_counts_makes_room_first() -> None:
    """One at the watermark goes, and all others stay as they are."""
    panel = crowded(watermark=START)
    before = panel.breaker.occurrences
    panel.happen("new")
    assert panel.breaker.occurrences[:-1] == before[1:]


def test_the_two_oldest_become_one() -> None:
    """Where all count, the oldest two weigh together from then on, as of the newer one."""
    panel = crowded()
    before = panel.breaker.occurrences
    panel.happen("new")
    after = panel.breaker.occurrences
    assert len(after) == MAX_OCCURRENCES
    assert after[0] == replace(before[1], weight=3)
    assert after[1:-1] == before[2:]


def test_no_weight_changes_its_kind() -> None:
    """What only limits is never put together with what opens, whichever of the oldest three it is."""
    for kinds in (
        (True, False, True),
        (False, True, True),
        (True, True, False),
        (True, False, False),
        (False, True, False),
    ):
        panel = crowded(*kinds)
        before = panel.breaker.occurrences
        panel.happen("new")
        after = panel.breaker.occurrences
        assert len(after) == MAX_OCCURRENCES
        assert weighs(after[:-1], limits_only=True) == weighs(before, limits_only=True)
        assert weighs(after[:-1], limits_only=False) == weighs(before, limits_only=False)


def test_a_condition_that_weighs_nothing_any_more_is_over() -> None:
    """When an alert fires on with another severity, it weighs what that one does: of nothing, nothing is kept."""
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.fire("slow")
    assert panel.breaker.weight == 3
    (again,) = panel.wait(1).fire("slow", severity="info").weighed
    assert (again.verdict, panel.breaker.conditions) == (Outcome.WEIGHTLESS, {})


def test_a_repeat_that_does_not_say_when_it_began_began_when_it_was_told() -> None:
    """The start of an episode is not forgotten because a repeat leaves it out."""
    panel = Panel()
    panel.fire("slow", started=5)
    panel.wait(1).fire("slow")
    assert panel.breaker.conditions["slow"].started_at == START + 5_000
    panel.wait(1).fire("other")
    assert panel.breaker.conditions["other"].started_at == 0


def test_an_occurrence_that_weighs_nothing_is_not_kept() -> None:
    """It takes no room in the window."""
    panel = Panel(policy(signals={"weights": {"occurrence": 0}}))
    (weighed,) = panel.happen("a").weighed
    assert (weighed.verdict, panel.breaker.occurrences) == (Outcome.WEIGHTLESS, ())


def test_two_that_become_one_are_as_new_as_the_newer_one() -> None:
    """What came late is not thereby older: none of the weight leaves the window too early."""
    panel = crowded()
    first, second, *others = panel.breaker.occurrences
    panel.breaker = replace(panel.breaker, occurrences=(replace(first, seen=START + 299), second, *others))
    panel.happen("new")
    assert panel.breaker.occurrences[0] == replace(second, weight=3, seen=START + 299)


def test_two_that_become_one_are_critical_if_one_of_them_was() -> None:
    """What is critical is not lost among much that is not."""
    panel = crowded()
    first, *others = panel.breaker.occurrences
    panel.breaker = replace(panel.breaker, occurrences=(replace(first, critical=True), *others))
    panel.happen("new")
    assert [each.critical for each in panel.breaker.occurrences[:2]] == [True, False]


def test_of_one_moment_a_resolve_outweighs_a_firing() -> None:
    """Where neither says when its episode began, whichever of the two is delivered first."""
    panel = Panel()
    panel.resolve("slow")
    (late,) = panel.fire("slow").weighed
    assert (late.verdict, panel.breaker.conditions) == (Outcome.STALE, {})
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.fire("slow")
    (ended,) = panel.resolve("slow").weighed
    assert (ended.verdict, panel.breaker.conditions) == (Outcome.RESOLVED, {})


def test_an_occurrence_can_be_critical() -> None:
    """However little it weighs, what happened once may be enough to open."""
    panel = Panel(policy(signals={"weights": {"critical": 1}}))
    panel.tell(FailureDetected(failures=(Failure(key="k", cause="x", severity="critical"),)))
    assert (panel.state, panel.breaker.reason) == (State.OPEN, "a critical failure: x")


def test_an_occurrence_may_lag_by_five_seconds() -> None:
    """One that began just then before the window does not count any more, one that began a millisecond later does."""
    began = START - 60_000 - LAG_MS
    for started_at, verdict in ((began, Outcome.STALE), (began + 1, Outcome.COUNTED), (0, Outcome.COUNTED)):
        told = Failure(key="k", cause="x", started_at=started_at)
        (weighed,) = Panel().tell(FailureDetected(failures=(told,))).weighed
        assert weighed.verdict is verdict


def test_the_journal_says_class() -> None:
    """The name that the policy has for it."""
    assert msgspec.to_builtins(Weighed("k", Outcome.STALE, kind="node"))["class"] == "node"
