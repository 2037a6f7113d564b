"""Evidence: what counts, what comes too late, and what is kept of it."""

from __future__ import annotations

from typing import Final

import msgspec

from fuseboard.breaker.evidence import LAG_MS, Outcome
from fuseboard.breaker.state import State
from fuseboard.breaker.weighing import MAX_OCCURRENCES
from fuseboard.events.types import Failure, FailureDetected, FailureResolved
from fuseboard.testing.panel import HOUR, MINUTE, Panel, opened
from fuseboard.testing.policies import policy

MAX_RECORD_BYTES: Final = 2 * 1024 * 1024


# -- the watermark ---------------------------------------------------------------------------------------------------


def test_evidence_from_before_the_transition_is_stale() -> None:
    """What was taken in before the evidence that moved the breaker comes too late to count."""
    panel = Panel()
    panel.wait(10).fire("down", severity="critical")
    transition = panel.fire("slow", ago=5)
    assert transition.weighed[0].verdict is Outcome.STALE
    assert "slow" not in panel.breaker.conditions


def test_the_rest_of_a_notification_is_not_stale() -> None:
    """Conditions of a notification that was too large for one event hold, though its first event moved the breaker."""
    panel = Panel()
    panel.fire("slow")
    assert panel.fire("down", severity="critical").weighed[0].verdict is Outcome.COUNTED
    assert (panel.state, panel.breaker.epoch) == (State.OPEN, 2)


def test_an_occurrence_that_lagged_a_little_still_counts() -> None:
    """Emitted just before the transition and taken in after it, it counts; emitted long before, it is stale."""
    panel = Panel()
    panel.wait(30).happen("a", "b", "c")
    assert panel.state is State.LIMITED
    now = panel.now
    panel.wait(1)

    lagged = panel.tell(FailureDetected(failures=(Failure(key="d", cause="BackOff", started_at=now - 2_000),)))
    old = panel.tell(FailureDetected(failures=(Failure(key="e", cause="BackOff", started_at=now - 10_000),)))

    assert (lagged.weighed[0].verdict, old.weighed[0].verdict) == (Outcome.COUNTED, Outcome.STALE)


def test_occurrences_at_the_watermark_are_stale() -> None:
    """What merely happened at the moment of the watermark is over."""
    panel = Panel()
    panel.happen("a", "b", "c")
    assert panel.happen("d").weighed[0].verdict is Outcome.STALE


def test_an_alert_that_was_on_its_way_is_not_stale() -> None:
    """The watermark is when the evidence was taken in, not when it was decided: its neighbours still count."""
    panel = Panel().wait(10)
    panel.fire("slow", ago=5)
    assert panel.at(State.LIMITED)
    panel.fire("down", severity="critical", ago=4)
    assert panel.at(State.OPEN)


def test_a_late_signal_that_finds_a_time_over_does_not_turn_back_the_watermark() -> None:
    """A stale event may be what finds the cool-down over; the watermark is then a little before that."""
    panel = opened()
    panel.resolve("down")
    transition = panel.wait(99).happen("old", ago=100)
    assert (panel.state, transition.weighed[0].verdict) == (State.HALF_OPEN, Outcome.STALE)
    assert panel.breaker.watermark == panel.now - LAG_MS


def test_evidence_out_of_order_is_used_up_together() -> None:
    """Of two occurrences that move a breaker, the one that was taken in later is the watermark."""
    panel = Panel().wait(10)
    panel.happen("a", "b")
    panel.happen("c", ago=5)
    assert panel.at(State.LIMITED)
    assert panel.breaker.weight == 0


def test_what_happened_before_the_window_is_stale() -> None:
    """An event that its emitter dates before the window says nothing about now."""
    panel = Panel().wait(100)
    assert panel.happen("a", started=30).weighed[0].verdict is Outcome.STALE
    assert panel.happen("b", started=90).weighed[0].verdict is Outcome.COUNTED


def test_a_two_hour_old_delivery_is_stale() -> None:
    """An occurrence that waited in a queue for longer than the window does not count."""
    panel = Panel().wait(2 * HOUR)
    transition = panel.happen("a", "b", "c", ago=2 * HOUR)
    assert {each.verdict for each in transition.weighed} == {Outcome.STALE}
    assert panel.at(State.CLOSED)


def test_an_alert_that_waited_longer_than_its_lease_is_stale() -> None:
    """A condition whose lease is already over when it is delivered does not hold."""
    panel = Panel().wait(24 * HOUR)
    assert panel.fire("slow", ago=12 * HOUR).weighed[0].verdict is Outcome.STALE


def test_a_long_alert_is_not_stale() -> None:
    """That an alert began days ago does not make it old: it holds."""
    panel = Panel().wait(100 * HOUR)
    panel.fire("slow", started=1)
    assert panel.at(State.LIMITED)


# -- resolves, late and early ----------------------------------------------------------------------------------------


def test_a_resolve_before_its_firing() -> None:
    """An alert that is delivered after its resolve does not hold."""
    panel = Panel().wait(10)
    assert panel.resolve("slow", started=1, ago=1).weighed[0].verdict is Outcome.UNKNOWN
    assert panel.fire("slow", started=1, ago=2).weighed[0].verdict is Outcome.STALE
    assert panel.at(State.CLOSED)


def test_a_twin_that_repeats_a_firing_late() -> None:
    """The second Alertmanager's firing of what the first has resolved does not begin it again."""
    panel = Panel()
    panel.fire("slow", started=1)
    panel.wait(10).resolve("slow", started=1)
    panel.wait(5 * MINUTE).fire("slow", started=1)
    assert not panel.breaker.conditions
    panel.wait(1).resolve("slow", started=1)
    assert not panel.breaker.conditions


def test_the_order_of_a_late_twin_does_not_matter() -> None:
    """A resolve outweighs a firing that a twin took in shortly after, whichever is delivered first."""
    panel = Panel().wait(100)
    panel.fire("slow", started=1, ago=10)
    panel.fire("slow", started=1, ago=5)
    panel.resolve("slow", started=1, ago=7)
    assert not panel.breaker.conditions


def test_the_same_start_may_fire_again_later() -> None:
    """After Prometheus was cut off, the same startsAt fires again, and is real."""
    panel = Panel()
    panel.fire("slow", started=1)
    panel.wait(10).resolve("slow", started=1)
    panel.wait(10 * MINUTE).fire("slow", started=1)
    assert panel.at(State.LIMITED)
    assert panel.resolve("slow", started=1, ago=9 * MINUTE).weighed[0].verdict is Outcome.RESOLVED


def test_a_resolve_from_long_before_a_firing_does_not_end_it() -> None:
    """A resolve that was taken in long before the alert was last seen is of an earlier time."""
    panel = Panel().wait(HOUR)
    panel.fire("slow", started=1)
    assert panel.resolve("slow", started=1, ago=20 * MINUTE).weighed[0].verdict is Outcome.STALE
    assert "slow" in panel.breaker.conditions


def test_a_new_episode_is_not_ended_by_the_last_ones_resolve() -> None:
    """A late resolve of the episode before does not resolve this one."""
    panel = Panel().wait(100)
    panel.fire("slow", started=50)
    assert panel.resolve("slow", started=1).weighed[0].verdict is Outcome.STALE
    assert "slow" in panel.breaker.conditions


def test_a_new_episode_begins_though_the_last_ones_resolve_came_late() -> None:
    """A resolve of the episode before, taken in after this one's firing but delivered earlier, does not hide it."""
    panel = Panel().wait(100)
    panel.resolve("slow", started=1, ago=1)
    panel.fire("slow", started=50, ago=2)
    assert panel.at(State.LIMITED)


def test_an_old_resolve_does_not_hide_a_newer_one() -> None:
    """Of two resolves that come in the wrong order, the newer one is remembered."""
    panel = Panel().wait(100)
    panel.resolve("slow", started=50, ago=1)
    panel.resolve("slow", started=1, ago=3)
    assert panel.fire("slow", started=50, ago=2).weighed[0].verdict is Outcome.STALE


def test_a_late_firing_is_stale_for_longer_than_ten_minutes() -> None:
    """What was taken in before a resolve stays stale when a broker delivers it half an hour later."""
    panel = Panel().wait(10)
    panel.resolve("slow", started=1)
    panel.wait(30 * MINUTE)
    assert panel.fire("slow", started=1, ago=30 * MINUTE + 5).weighed[0].verdict is Outcome.STALE


def test_an_older_episode_does_not_renew() -> None:
    """A late firing of the episode before is not the condition seen again."""
    panel = Panel().wait(100)
    panel.fire("slow", started=50)
    assert panel.wait(1).fire("slow", started=1).weighed[0].verdict is Outcome.STALE


def test_a_firing_without_a_start_renews() -> None:
    """Where the emitter's time is not known, order of ingest decides."""
    panel = Panel()
    panel.fire("slow", started=1)
    assert panel.wait(1).fire("slow").weighed[0].verdict is Outcome.RENEWED
    assert panel.wait(1).resolve("slow").weighed[0].verdict is Outcome.RESOLVED
    assert panel.fire("slow", ago=0.5).weighed[0].verdict is Outcome.STALE


def test_a_resolve_of_what_is_no_condition_is_unknown() -> None:
    """An occurrence cannot be resolved, and leaves no mark."""
    panel = Panel()
    transition = panel.tell(FailureResolved(failures=(Failure(key="k", cause="c"),)))
    assert transition.weighed[0].verdict is Outcome.UNKNOWN
    assert not panel.breaker.resolved


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_a_storm_weighs_what_it_weighs() -> None:
    """Over the cap the two oldest become one: nothing that counts is forgotten."""
    panel = Panel(policy(trip={"limitAt": 100_000, "openAt": 200_000}))
    for number in range(4):
        panel.wait(1).happen(*(f"{number}-{each}" for each in range(200)))
    assert panel.breaker.weight == 800
    assert len(panel.breaker.occurrences) == MAX_OCCURRENCES


def test_what_is_made_one_does_not_count_again() -> None:
    """Occurrences at the watermark never lend their weight to newer ones."""
    panel = Panel(policy(trip={"limitAt": 250, "openAt": 1_000}))
    panel.happen(*(f"a{each}" for each in range(250)))
    assert panel.at(State.LIMITED)
    panel.wait(1).happen(*(f"b{each}" for each in range(250)))
    assert panel.breaker.weight == 250


def test_the_largest_record_is_bounded() -> None:
    """A record stays below its bound, whatever is sent in whatever length."""
    panel = Panel(policy(trip={"limitAt": 1, "openAt": 1_000_000}, recover={"maxTrial": "1h"}))
    for number in range(300):
        panel.wait(0.1)
        longest = f"{number:04}" + "\x01" * 124
        cause = "\x01" * 316 + f"{number:04}"
        panel.tell(FailureDetected(failures=(Failure(key=longest, cause=cause),)), name=longest)
        held = Failure(key=longest, cause=cause, condition=longest, severity="warning")
        panel.tell(FailureResolved(failures=(held,)), ago=0.01)
        panel.tell(FailureDetected(failures=(held,)))
    size = len(msgspec.json.encode(panel.breaker))
    assert size < MAX_RECORD_BYTES
    assert len(panel.breaker.conditions) == len(panel.breaker.resolved) == 256


def test_weightless_alerts_do_not_push_out_what_weighs() -> None:
    """A flood of information does not end a critical condition."""
    panel = opened()
    panel.fire(*(f"fyi{each}" for each in range(300)), severity="info")
    assert set(panel.breaker.conditions) == {"down"}
