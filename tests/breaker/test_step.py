"""The breaker: the table of the design row by row, what is remembered, and time that does not behave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from fuseboard.breaker.evidence import LAG_MS, Outcome
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import BreakerState, State
from fuseboard.breaker.step import adopt
from fuseboard.events.event import Event, Foreign
from fuseboard.events.types import BreakerMoved, FailureDetected
from fuseboard.testing.panel import HOUR, MINUTE, START, Panel, alert, limited, on_trial, opened
from fuseboard.testing.policies import policy

# -- CLOSED → LIMITED ------------------------------------------------------------------------------------------------


def test_one_warning_limits() -> None:
    """Weight 3 reaches limitAt of 3."""
    panel = Panel()
    transition = panel.fire("slow")
    assert (panel.state, panel.breaker.epoch, panel.breaker.since) == (State.LIMITED, 1, START)
    assert transition.weighed[0].verdict is Outcome.COUNTED
    assert panel.breaker.reason == "failures weigh 3, limitAt is 3"


def test_three_occurrences_limit() -> None:
    """Kubernetes warnings weigh 1 each."""
    panel = Panel()
    panel.happen("a", "b")
    assert panel.at(State.CLOSED)
    panel.wait(1).happen("c")
    assert panel.at(State.LIMITED)


def test_occurrences_that_left_the_window_do_not_limit() -> None:
    """Occurrences count for the length of the window and no longer."""
    panel = Panel()
    panel.happen("a", "b")
    panel.wait(60).happen("c")
    assert panel.at(State.CLOSED)


def test_one_cause_is_not_two_sources() -> None:
    """With minimumSources 2, any number of failures of one cause does nothing."""
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.happen("a", "b", "c", "d")
    assert panel.at(State.CLOSED)
    panel.happen("e", cause="OOMKilled")
    assert panel.at(State.LIMITED)


def test_a_weightless_alert_does_not_limit() -> None:
    """Severity info weighs nothing, so it is not even kept."""
    panel = Panel()
    transition = panel.fire("fyi", severity="info")
    assert panel.at(State.CLOSED)
    assert transition.weighed[0].verdict is Outcome.WEIGHTLESS
    assert not panel.breaker.conditions


def test_an_event_that_says_nothing_of_failures_does_not_limit() -> None:
    """A foreign event changes nothing."""
    panel = Panel()
    assert not panel.tell(Foreign("com.example.any", {"failures": 10})).moved
    assert not panel.tick().moved


def test_a_failure_twice_in_one_event_counts_once() -> None:
    """Each failure has a key of its own, whatever event carries it."""
    panel = Panel()
    transition = panel.happen("a", "a", "a")
    assert panel.breaker.weight == 1
    assert [each.verdict for each in transition.weighed] == ["counted", "duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("severity", "weight"), [("", 3), ("warning", 3), ("critical", 10), ("page", 10), ("odd", 3), ("low", 1)]
)
def test_severity_decides_the_weight(severity: str, weight: int) -> None:
    """A missing or unknown severity is a warning, and the policy may add its own."""
    panel = Panel(policy(signals={"weights": {"low": 1}}))
    panel.fire("x", severity=severity)
    assert panel.breaker.weight == weight


# -- CLOSED, LIMITED → OPEN ------------------------------------------------------------------------------------------


def test_one_critical_opens_at_once() -> None:
    """Weight 10 reaches openAt without passing LIMITED."""
    panel = Panel()
    panel.fire("down", severity="critical")
    assert (panel.state, panel.breaker.epoch, panel.breaker.cool_down) == (State.OPEN, 1, 100_000)


def test_a_growing_number_opens() -> None:
    """Conditions that already held go on to weigh, so that four warnings open."""
    panel = limited()
    panel.fire("errors", "latency")
    assert panel.at(State.LIMITED)
    panel.wait(1).fire("restarts")
    assert (panel.state, panel.breaker.epoch) == (State.OPEN, 2)


def test_occurrences_that_limited_do_not_open_too() -> None:
    """What moved the breaker once is at its watermark, and counts no more."""
    panel = Panel()
    panel.happen(*"abcdef")
    assert panel.at(State.LIMITED)
    panel.wait(1).happen(*"ghijklmno")
    assert panel.at(State.LIMITED)
    panel.wait(1).happen("p")
    assert panel.at(State.OPEN)


def test_the_same_warning_again_does_not_open() -> None:
    """A repeat renews a condition and adds nothing."""
    panel = limited()
    for _ in range(10):
        transition = panel.wait(60).fire("slow")
        assert transition.weighed[0].verdict is Outcome.RENEWED
    assert (panel.state, panel.breaker.weight) == (State.LIMITED, 3)


def test_a_condition_that_holds_for_limit_for_opens() -> None:
    """Where the policy sets limitFor, a condition that holds that long in LIMITED opens."""
    panel = limited(trip={"limitFor": "5m"})
    assert panel.due == 299
    panel.wait(298.999).tick()
    assert panel.at(State.LIMITED)
    panel.wait(0.001).tick()
    assert panel.at(State.OPEN)
    assert panel.breaker.watermark == panel.now - LAG_MS


def test_without_limit_for_a_condition_holds_without_opening() -> None:
    """A warning that just goes on keeps the breaker limited."""
    panel = limited()
    panel.wait(2 * HOUR).tick()
    assert panel.at(State.LIMITED)


def test_a_condition_that_ends_before_limit_for_does_not_open() -> None:
    """Only a condition that still holds counts towards limitFor."""
    panel = limited(trip={"limitFor": "5m"})
    panel.wait(200).resolve("slow")
    panel.wait(200).tick()
    assert panel.at(State.CLOSED)


# -- LIMITED → CLOSED ------------------------------------------------------------------------------------------------


def test_healthy_for_long_enough_closes() -> None:
    """Below limitAt and without a condition for healthyFor, the breaker closes."""
    panel = limited()
    panel.resolve("slow")
    assert panel.due == 30
    panel.wait(29.999).tick()
    assert panel.at(State.LIMITED)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.epoch) == (State.CLOSED, 2)


def test_a_lease_that_ends_is_as_good_as_a_resolve() -> None:
    """An alert that nobody repeats for three repeat intervals is over."""
    panel = limited(signals={"repeatInterval": "1h"})
    assert panel.due == 3 * HOUR - 1
    panel.wait(3 * HOUR - 1).tick()
    assert panel.at(State.LIMITED)
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)


def test_an_alert_that_only_repeats_keeps_its_breaker() -> None:
    """A repeat renews the lease, though its id is that of the first."""
    panel = Panel()
    failures = FailureDetected(failures=(alert("slow", started=1),))
    for _ in range(20):
        panel.tell(failures, name="same")
        panel.wait(4 * HOUR).tick()
        assert panel.at(State.LIMITED)
    assert panel.breaker.epoch == 1


def test_a_condition_keeps_it_limited() -> None:
    """While a condition holds, even one below limitAt, the breaker does not close."""
    panel = limited(signals={"weights": {"low": 1}})
    panel.fire("nag", severity="low")
    panel.resolve("slow")
    panel.wait(HOUR).tick()
    assert panel.at(State.LIMITED)


def test_a_failure_starts_the_healthy_time_anew() -> None:
    """Health is counted from the last moment of illness."""
    panel = limited()
    panel.resolve("slow")
    panel.wait(20).fire("slow2")
    panel.wait(20).resolve("slow2")
    panel.wait(29).tick()
    assert panel.at(State.LIMITED)
    panel.wait(1).tick()
    assert panel.at(State.CLOSED)


# -- OPEN → HALF_OPEN ------------------------------------------------------------------------------------------------


def test_the_cool_down_ends_in_a_trial() -> None:
    """After coolDown, with nothing that still holds, the target gets a trial."""
    panel = opened()
    panel.resolve("down")
    assert panel.due == 99
    panel.wait(98.999).tick()
    assert panel.at(State.OPEN)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.epoch) == (State.HALF_OPEN, 2)


def test_a_condition_that_holds_blocks_the_trial() -> None:
    """Conditions that weigh limitAt or more keep the breaker open after its cool-down."""
    panel = opened()
    panel.wait(99).tick()
    assert panel.at(State.OPEN)
    panel.wait(30 * MINUTE).tick()
    assert panel.at(State.OPEN)
    panel.resolve("down")
    assert panel.at(State.HALF_OPEN)


def test_a_condition_below_limit_at_does_not_block_the_trial() -> None:
    """What would not even limit does not keep a breaker open."""
    panel = opened(signals={"weights": {"low": 1}})
    panel.fire("nag", severity="low")
    panel.resolve("down")
    panel.wait(99).tick()
    assert panel.at(State.HALF_OPEN)


def test_after_max_cool_down_conditions_no_longer_block() -> None:
    """An alert that nobody resolves cannot keep a breaker open for longer than maxCoolDown."""
    panel = opened()
    panel.wait(99).tick()
    assert panel.due == HOUR - 100
    panel.wait(HOUR - 100.001).tick()
    assert panel.at(State.OPEN)
    panel.wait(0.001).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_resolve_does_not_end_the_cool_down() -> None:
    """Healthy evidence is taken in, and the cool-down goes on."""
    panel = opened()
    panel.resolve("down")
    assert panel.at(State.OPEN)


def test_failures_do_not_prolong_the_cool_down() -> None:
    """What happens while the target does not serve says little about it."""
    panel = opened()
    panel.resolve("down")
    panel.wait(90).happen(*"abcdefghijklm")
    panel.wait(9).tick()
    assert panel.at(State.HALF_OPEN)


# -- HALF_OPEN → CLOSED ----------------------------------------------------------------------------------------------


def test_a_healthy_trial_closes() -> None:
    """The breaker closes healthyFor after the trial's placement was verified."""
    panel = on_trial()
    assert panel.due == 29
    panel.wait(28.999).tick()
    assert panel.at(State.HALF_OPEN)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.epoch, panel.breaker.cool_down) == (State.CLOSED, 3, 0)


def test_a_trial_that_is_not_in_place_does_not_close() -> None:
    """Only what was verified is a trial: before, the target did not serve."""
    panel = on_trial(placed=False)
    panel.wait(60).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_late_result_of_an_old_epoch_does_not_close() -> None:
    """The placement of the epoch before says nothing about this trial."""
    panel = on_trial(placed=False)
    panel.placement = Placement(epoch=panel.breaker.epoch - 1, step=1, verified_at=panel.now)
    assert panel.row.verified_since == 0
    panel.wait(60).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_condition_that_is_never_seen_again_is_dropped() -> None:
    """An alert that was never repeated during a healthy trial is taken to be over."""
    panel = opened()
    panel.wait(HOUR).tick()
    assert panel.at(State.HALF_OPEN)
    panel.verify().wait(30).tick()
    assert panel.at(State.CLOSED)
    assert not panel.breaker.conditions


# -- HALF_OPEN → OPEN ------------------------------------------------------------------------------------------------


def test_a_failure_on_trial_opens_and_doubles() -> None:
    """A counted failure ends the trial, and the next cool-down is twice as long."""
    panel = on_trial()
    panel.happen("a")
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 200_000)
    panel.wait(199.999).tick()
    assert panel.at(State.OPEN)
    panel.wait(0.001).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_condition_that_is_seen_again_fails_the_trial() -> None:
    """An alert that still held when the trial began counts once it is repeated."""
    panel = opened()
    panel.wait(HOUR).tick()
    panel.wait(1).verify().wait(1)
    panel.tick()
    assert panel.at(State.HALF_OPEN)
    panel.fire("down", severity="critical")
    assert panel.at(State.OPEN)


def test_a_failure_before_the_trial_was_verified_does_not_fail_it() -> None:
    """While the placement is on its way, the target does not serve yet."""
    panel = on_trial(placed=False)
    panel.happen("a")
    assert panel.at(State.HALF_OPEN)
    panel.verify().wait(1)
    panel.happen("b", ago=1)
    panel.wait(29).tick()
    assert panel.at(State.CLOSED)


def test_a_weightless_failure_does_not_fail_the_trial() -> None:
    """What weighs nothing counts nowhere."""
    panel = on_trial()
    panel.fire("fyi", severity="info")
    assert panel.at(State.HALF_OPEN)


def test_a_trial_that_takes_too_long_opens_without_doubling() -> None:
    """A trial whose placement never comes is no evidence against the target."""
    panel = on_trial(placed=False)
    panel.wait(10 * MINUTE).tick()
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 100_000)


def test_doubling_is_capped() -> None:
    """A cool-down never exceeds maxCoolDown by doubling."""
    panel = on_trial(recover={"maxCoolDown": "5m"})
    seen = []
    for _ in range(4):
        panel.happen(str(panel.now))
        seen.append(panel.breaker.cool_down // 1000)
        panel.wait(panel.breaker.cool_down / 1000).tick()
        panel.wait(1).verify().wait(1)
    assert seen == [200, 300, 300, 300]


def test_a_new_episode_begins_with_the_first_cool_down() -> None:
    """Doubling is for one episode."""
    panel = on_trial()
    panel.happen("a")
    panel.wait(200).tick()
    panel.verify().wait(30).tick()
    assert panel.at(State.CLOSED)
    panel.wait(1).fire("down", severity="critical")
    assert panel.breaker.cool_down == 100_000


def test_a_smaller_max_cool_down_does_not_shorten_a_cool_down() -> None:
    """An edit of the policy cannot make a cool-down shorter than the last one."""
    panel = on_trial(recover={"coolDown": "100s"})
    panel.policy = policy(recover={"coolDown": "10s", "maxCoolDown": "20s", "healthyFor": "15s"})
    panel.happen("a")
    assert panel.breaker.cool_down == 100_000


# -- duplicates ------------------------------------------------------------------------------------------------------


def test_a_duplicate_gets_the_same_reply() -> None:
    """The first answer may never have arrived: the second is equal to it, and nothing changes."""
    panel = Panel()
    event = Event(
        id="1", source="/s", subject="shop/login", time=START, data=FailureDetected(failures=(alert("slow"),))
    )
    first = panel.deliver(event)
    second = panel.wait(100).deliver(event)
    assert first.announcement(event) == second.announcement(event) is not None
    assert second.duplicate
    assert not second.moved
    assert second.after.state == first.after.state


def test_a_duplicate_of_what_moved_nothing_has_no_reply() -> None:
    """A duplicate is as silent as the first delivery was."""
    panel = Panel()
    event = Event(
        id="1", source="/s", subject="shop/login", time=START, data=FailureDetected(failures=(alert("slow"),))
    )
    panel.fire("down", severity="critical", ago=1)
    assert panel.deliver(event).announcement(event) is None
    assert panel.deliver(event).announcement(event) is None


def test_a_twins_repeat_does_not_take_the_reply_of_the_first() -> None:
    """A lost answer can still be given again after another Alertmanager has sent the same fact."""
    panel = Panel()
    first = Event(
        id="1", source="/s", subject="shop/login", time=START, data=FailureDetected(failures=(alert("slow"),))
    )
    told = panel.deliver(first).announcement(first)
    panel.wait(3).deliver(first.at(START + 2_000))
    assert panel.deliver(first).announcement(first) == told is not None


def test_an_id_is_forgotten_after_a_day() -> None:
    """Memories expire, so that a record does not grow."""
    panel = limited()
    panel.wait(24 * HOUR + 1).fire("other")
    assert len(panel.breaker.remembered) == 1


def test_a_reply_announces_the_state_that_was_entered() -> None:
    """The reply's type and data say what happened, when, and why."""
    panel = Panel()
    event = Event(
        id="1", source="/s", subject="shop/login", time=START, data=FailureDetected(failures=(alert("slow"),))
    )
    reply = panel.deliver(event).announcement(event)
    assert reply is not None
    assert (reply.type, reply.subject, reply.time) == ("dev.fuseboard.breaker.limited", "shop/login", START)
    assert isinstance(reply.data, BreakerMoved)
    assert (reply.data.state, reply.data.previous, reply.data.epoch) == ("LIMITED", "CLOSED", 1)
    assert (reply.data.weight, reply.data.causes, reply.data.mode) == (3, ("slow",), "Observe")


# -- time that runs back, memory that is lost ------------------------------------------------------------------------


def test_a_small_step_back_is_ignored() -> None:
    """Time never runs back by less than a minute."""
    panel = opened()
    panel.resolve("down")
    panel.wait(-59).tick()
    assert (panel.breaker.clock, panel.breaker.held_until) == (START + 1_000, 0)


def test_a_large_step_back_holds_one_cool_down() -> None:
    """A clock that was set back is adopted, and nothing moves for one cool-down."""
    panel = Panel()
    panel.happen("a")
    panel.wait(-HOUR).fire("down", severity="critical")
    assert (panel.state, panel.due) == (State.CLOSED, 100)
    panel.wait(99.999).tick()
    assert panel.at(State.CLOSED)
    panel.wait(0.001).tick()
    assert panel.at(State.OPEN)


def test_a_step_back_never_shortens_a_cool_down() -> None:
    """What was left of a cool-down is left after the step."""
    panel = opened(recover={"coolDown": "200s"})
    panel.resolve("down")
    panel.wait(49).tick()
    panel.wait(-HOUR).tick()
    panel.wait(149.999).tick()
    assert panel.at(State.OPEN)
    panel.wait(50.001).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_step_back_does_not_make_a_lease_longer() -> None:
    """All times are set back together with the clock."""
    panel = limited(signals={"repeatInterval": "1h"})
    panel.wait(-24 * HOUR).tick()
    panel.wait(3 * HOUR).tick()
    assert not panel.breaker.conditions


def test_repeats_renew_after_a_step_back() -> None:
    """Deliveries after the step are new ones, though their times are before those of the first."""
    panel = Panel()
    failures = FailureDetected(failures=(alert("slow", started=1),))
    panel.tell(failures, name="same")
    panel.wait(-24 * HOUR).tell(failures, name="same")
    for _ in range(5):
        assert panel.wait(4 * HOUR).tell(failures, name="same").weighed[0].verdict is Outcome.RENEWED
    assert panel.at(State.LIMITED)


def test_a_trial_goes_on_after_a_step_back() -> None:
    """The placement's time is from before the step; the trial counts from the end of the hold."""
    panel = on_trial()
    panel.wait(-HOUR).tick()
    panel.wait(100).tick()
    assert (panel.state, panel.due) == (State.HALF_OPEN, 30)
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)


def test_a_trial_can_fail_after_a_step_back() -> None:
    """Failures count although the placement's time lies in what is now the future."""
    panel = on_trial()
    panel.wait(-HOUR).tick()
    panel.wait(101).happen("a")
    assert panel.at(State.OPEN)


def test_lost_memory_never_acts_within_one_cool_down() -> None:
    """After a loss of memory the epoch goes on above the route's fence, and nothing moves for one cool-down."""
    panel = Panel()
    panel.breaker = adopt(panel.row, 7).state
    assert panel.breaker.epoch == 8
    panel.wait(1).fire("down", severity="critical")
    assert (panel.state, panel.due) == (State.CLOSED, 99)
    panel.wait(99).tick()
    assert (panel.state, panel.breaker.epoch) == (State.OPEN, 9)


def test_the_epoch_never_goes_back_when_memory_is_adopted() -> None:
    """A fence below what the store knows does not lower the epoch."""
    panel = opened()
    assert adopt(panel.row, 0).state.epoch == 2


# -- edits of the policy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"trip": {"limitAt": 11, "openAt": 20}}, State.HALF_OPEN),
        ({"trip": {"limitAt": 10, "openAt": 20}}, State.OPEN),
    ],
)
def test_an_edit_is_followed_at_the_next_look(parts: dict[str, Any], expected: State) -> None:
    """An edit that makes an edge possible needs no new evidence: the next look takes it."""
    panel = opened()
    panel.wait(200).tick()
    panel.policy = policy(**parts)
    panel.tick()
    assert panel.state is expected


def test_a_change_of_mode_moves_nothing() -> None:
    """Changing the mode alone is no transition."""
    panel = opened()
    panel.policy = policy(mode="Enforce")
    panel.tick()
    assert (panel.state, panel.breaker.epoch) == (State.OPEN, 1)


def test_a_record_of_an_older_version_is_read() -> None:
    """A record without fields that came later is a record: what it lacks has its default."""
    assert msgspec.json.decode(b'{"state": "OPEN", "epoch": 3}', type=BreakerState) == replace(
        BreakerState(), state=State.OPEN, epoch=3
    )
