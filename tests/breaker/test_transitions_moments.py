"""When time alone moves a breaker, to the millisecond, and what it must not move."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from fuseboard.breaker.evidence import LAG_MS
from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.row import CLOCK_STEP_MS
from fuseboard.breaker.state import BreakerState, Override, State
from fuseboard.breaker.transitions import next_due, transition
from fuseboard.breaker.trial import on_trial_since
from fuseboard.events.types import Action, Phase
from fuseboard.testing.panel import START, Panel, limited, on_trial, opened, row_of
from fuseboard.testing.policies import policy

SHARES: Final = {"trialShares": [50, 100]}


# -- trials ----------------------------------------------------------------------------------------------------------


def test_a_trial_that_is_held_goes_on_to_no_further_share() -> None:
    """While an operator holds it, a share that stayed healthy is not the last word."""
    panel = on_trial(recover=SHARES)
    panel.ask(Action.HOLD)
    panel.wait(60).tick()
    assert (panel.state, panel.breaker.trial) == (State.HALF_OPEN, 0)


def test_a_trial_that_lacks_pods_goes_on_to_no_further_share() -> None:
    """With a pod too few, if not yet for long enough to fail, the target is not given more traffic."""
    panel = on_trial(recover=SHARES)
    panel.wait(25).pods(0)
    panel.wait(10).tick()
    assert (panel.state, panel.breaker.trial) == (State.HALF_OPEN, 0)
    panel.pods(1)
    assert panel.breaker.trial == 1


def test_a_failure_after_the_last_look_fails_the_trial() -> None:
    """An alert that is the first word after a share was healthy for long enough opens: it is no further share."""
    panel = on_trial(recover=SHARES)
    panel.wait(40).fire("down", severity="critical")
    assert panel.at(State.OPEN)


def test_a_trial_takes_ten_minutes_at_most() -> None:
    """A trial whose placement never came opens again exactly when its time is over, and the clock knows when."""
    panel = on_trial(placed=False)
    assert panel.due == 599
    panel.wait(598.999).tick()
    assert panel.at(State.HALF_OPEN)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 100_000)
    assert panel.breaker.watermark == panel.now - LAG_MS


def test_a_share_that_the_route_cannot_have_is_passed_over_when_that_is_known() -> None:
    """The clock looks as soon as the placement says so, and the next share is asked for; the last one is not passed."""
    panel = on_trial(placed=False, recover=SHARES)
    told = Placement(epoch=2, result=Result.INEXPRESSIBLE, shares=Shares(0, 100), verified_at=panel.now + 1_000)
    panel.placement = told
    assert panel.due == 1
    panel.wait(1).tick()
    assert panel.breaker.trial == 1
    panel.placement = replace(told, trial=1, verified_at=panel.now + 1_000)
    assert panel.due != 1


def test_a_trial_counts_from_its_placement() -> None:
    """By the placement's own time, unless that is from before the clock was set back: then from the end of the hold."""
    breaker = BreakerState(state=State.HALF_OPEN, epoch=1, since=START - 100, held_until=START - 50, clock=START)
    assert on_trial_since(row_of(state=breaker, placement=Placement(epoch=1, verified_at=START - 10))) == START - 10
    later = START + CLOCK_STEP_MS
    assert on_trial_since(row_of(state=breaker, placement=Placement(epoch=1, verified_at=later))) == later
    assert on_trial_since(row_of(state=breaker, placement=Placement(epoch=1, verified_at=later + 1))) == START - 50
    unheld = replace(breaker, held_until=breaker.since)
    assert on_trial_since(row_of(state=unheld, placement=Placement(epoch=1, verified_at=later + 1))) == later + 1
    assert (
        on_trial_since(row_of(state=breaker, placement=Placement(epoch=1, verified_at=START, shares=Shares(0, 100))))
        == 0
    )
    assert on_trial_since(row_of(state=breaker, placement=Placement(epoch=2, verified_at=START))) == 0


# -- what time brings leaves a little behind it ----------------------------------------------------------------------


def test_closing_by_time_lets_count_what_was_on_its_way() -> None:
    """The watermark of a transition that time brought lies five seconds before it."""
    panel = limited()
    panel.resolve("slow")
    panel.wait(30).tick()
    assert (panel.state, panel.breaker.watermark) == (State.CLOSED, panel.now - LAG_MS)
    assert panel.breaker.healthy_since == 0
    panel = on_trial()
    panel.wait(30).tick()
    assert (panel.state, panel.breaker.watermark) == (State.CLOSED, panel.now - LAG_MS)


def test_opening_by_time_lets_count_what_was_on_its_way() -> None:
    """So it does where a failure held for too long, and where pods lacked for too long."""
    panel = limited(trip={"limitFor": "20s"})
    panel.wait(19).tick()
    assert (panel.state, panel.breaker.watermark) == (State.OPEN, panel.now - LAG_MS)
    panel = Panel()
    panel.pods(0)
    panel.wait(15).tick()
    assert (panel.state, panel.breaker.watermark) == (State.OPEN, panel.now - LAG_MS)


# -- what the clock waits for ----------------------------------------------------------------------------------------


def test_an_open_breaker_waits_for_its_cool_down_alone() -> None:
    """What does not block its trial is not waited for; a condition that does is, up to maxCoolDown."""
    panel = opened()
    panel.load(1)
    panel.pods(3)
    assert panel.due == 3_599
    panel.resolve("down")
    assert panel.due == 99


def test_a_limited_breaker_waits_for_its_window() -> None:
    """What weighs are occurrences: it looks again when the first of them leaves the window, not when a lease ends."""
    panel = Panel()
    panel.happen("a", "b", "c")
    panel.wait(1).happen("d", "e", "f")
    assert (panel.state, panel.breaker.healthy_since, panel.due) == (State.LIMITED, 0, 60)


def test_a_held_breaker_waits_for_nothing() -> None:
    """Neither for its cool-down nor for the end of a hold that is over."""
    override = Override(Action.HOLD, "anna", "a drill", START)
    breaker = BreakerState(state=State.OPEN, epoch=1, since=START - 1, clock=START, held_until=START, cool_down=100_000)
    assert next_due(row_of(policy=policy(), state=replace(breaker, override=override), placement=Placement())) is None
    until = replace(breaker, override=replace(override, until=START + 5))
    assert next_due(row_of(policy=policy(), state=until, placement=Placement())) == START + 5


def test_only_a_trial_has_shares() -> None:
    """A route that cannot be moved away does not make an open breaker go on to a share of a trial."""
    panel = opened(recover=SHARES)
    panel.placement = Placement(epoch=1, result=Result.INEXPRESSIBLE, verified_at=panel.now)
    panel.tick()
    assert (panel.state, panel.breaker.trial) == (State.OPEN, 0)


def test_a_limited_breaker_waits_for_its_pods() -> None:
    """That too few are ready opens it in fifteen seconds, whatever else it waits for."""
    panel = limited()
    panel.pods(0)
    assert panel.due == 15


def test_a_limited_breaker_does_not_wait_for_ever_for_pods_that_nobody_tells_of() -> None:
    """A lack that was told at the watermark opens nothing; after five minutes without a repeat it is over."""
    panel = Panel()
    panel.happen("a", "b", "c")
    panel.pods(0)
    assert (panel.state, panel.breaker.healthy_since) == (State.LIMITED, 0)
    panel.wait(60).tick()
    assert panel.due == 240
    panel.wait(240).tick()
    assert panel.breaker.healthy_since == panel.now


def test_a_trial_without_traffic_does_not_wait_for_pods() -> None:
    """What lacks before the target serves fails no trial, so that nobody needs to look."""
    panel = on_trial(placed=False)
    panel.pods(0)
    assert panel.due == 599


def test_a_trial_that_fails_for_its_pods_lets_count_what_was_on_its_way() -> None:
    """It is time that brings it."""
    panel = on_trial()
    panel.pods(0)
    panel.wait(15).tick()
    assert (panel.state, panel.breaker.watermark) == (State.OPEN, panel.now - LAG_MS)


def test_an_open_breaker_waits_for_the_end_of_a_lease() -> None:
    """After its cool-down, an alert that is not repeated any more may be over before maxCoolDown is."""
    panel = opened(signals={"repeatInterval": "1m"})
    panel.wait(99).tick()
    assert (panel.state, panel.due) == (State.OPEN, 80)
    panel.wait(80).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_load_is_known_for_three_times_as_long_as_it_is_asked_for() -> None:
    """By the policy's own interval, where it has one."""
    target = {"name": "login", "capacity": 300}
    panel = opened(target=target, signals={"load": {"query": "load", "every": "1m"}})
    panel.wait(99).load(301)
    panel.resolve("down")
    assert panel.due == 180


def test_limit_for_counts_from_the_limit() -> None:
    """A condition that held before the breaker was limited opens it only after it was limited for that long."""
    panel = Panel(policy(trip={"limitFor": "20s", "minimumSources": 2}))
    panel.fire("slow")
    panel.wait(10).fire("slower")
    assert (panel.state, panel.due) == (State.LIMITED, 20)
    panel.wait(19.999).tick()
    assert panel.at(State.LIMITED)
    panel.wait(0.001).tick()
    assert panel.at(State.OPEN)


PROBED: Final = {"probe": {"http": "/healthz"}}


def test_a_probe_that_is_not_told_again_blocks_nothing() -> None:
    """A failing probe keeps a breaker open while it is known, for five minutes; one that was never told, not at all."""
    panel = opened(recover=PROBED)
    panel.resolve("down")
    panel.wait(99).tick()
    assert panel.at(State.HALF_OPEN)
    panel = opened(recover=PROBED)
    panel.resolve("down")
    panel.pods(3, probe="503")
    panel.wait(299.999).tick()
    assert (panel.state, panel.due) == (State.OPEN, 0.001)
    panel.wait(0.001).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_lack_of_pods_is_told_in_words() -> None:
    """One pod is, two are; fewer desired are enough, and a rollout is named."""
    told = [
        "1 pod is ready, minReady is 3",
        "no pods are ready, minReady is 1",
        "2 pods are ready, minReady is 3 (during a rollout)",
    ]
    texts = []
    for ready, desired, phase in ((1, 3, Phase.STEADY), (0, 1, Phase.STEADY), (2, 3, Phase.ROLLOUT)):
        panel = Panel(policy(target={"name": "login", "minReady": 3}))
        panel.pods(ready, desired, phase)
        panel.wait(60).tick()
        texts.append(panel.breaker.reason)
    assert texts == told


# -- reasons ---------------------------------------------------------------------------------------------------------


def test_a_trial_says_which_time_brought_it() -> None:
    """The end of the cool-down, or of maxCoolDown where conditions or the load still weigh."""
    panel = opened()
    panel.resolve("down")
    panel.wait(99).tick()
    assert (panel.state, panel.breaker.reason) == (State.HALF_OPEN, "the cool-down of 100s is over")
    panel = opened()
    panel.wait(3_599).tick()
    assert (panel.state, panel.breaker.reason) == (State.HALF_OPEN, "open for maxCoolDown (1h)")


def test_a_trial_that_goes_on_has_the_share_as_its_reason() -> None:
    """The share that follows, not the share that was healthy."""
    panel = on_trial(recover=SHARES)
    panel.wait(29)
    row = row_of(panel.policy, replace(panel.breaker, clock=panel.now), panel.placement, panel.now)
    taken = transition(row)
    assert taken is not None
    assert (taken.to, taken.reason) == (State.HALF_OPEN, "the trial goes on with 100 %")


def test_a_policy_that_is_edited_gives_evidence_no_time_of_its_own() -> None:
    """Where a lower limit makes the evidence enough, the next signal limits: only timed rules have a moment."""
    panel = Panel()
    panel.happen("a", "b")
    panel.wait(1).tick()
    panel.policy = policy(trip={"limitAt": 2})
    assert panel.due is None
    panel.tick()
    assert panel.at(State.LIMITED)
