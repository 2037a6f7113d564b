"""The table of edges: capacity, load, classes, modes, trials and the flap guard."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement, Result, Shares
from fuseboard.breaker.state import FLAPS, State
from fuseboard.breaker.step import adopt
from fuseboard.events.types import CapacityChanged, Failure, FailureDetected, Phase
from fuseboard.roles import Role
from fuseboard.testing.panel import MINUTE, Panel, limited, on_trial, opened
from fuseboard.testing.policies import policy

TARGET: dict[str, Any] = {"name": "login", "minReady": 2, "capacity": 300}
LOADED: dict[str, Any] = {"query": "load", "every": "15s"}


def guarded(**parts: Any) -> Panel:  # noqa: ANN401  - parts of a spec
    """Return a panel whose target must keep two pods ready and carry 300 at most."""
    return Panel(policy(target=TARGET, signals={"load": LOADED}, **parts))


# -- capacity: what must trip ----------------------------------------------------------------------------------------


def test_too_few_ready_pods_for_ready_for_open() -> None:
    """One of three pods ready where two must be: it opens after 15 s, by the clock alone."""
    panel = guarded()
    panel.pods(1)
    assert (panel.state, panel.due) == (State.CLOSED, 15)
    panel.wait(14.999).tick()
    assert panel.at(State.CLOSED)
    moved = panel.wait(0.001).tick()
    assert panel.at(State.OPEN)
    assert moved.reply is not None
    assert moved.reply.reason == "1 pod is ready, minReady is 2"


def test_a_lack_counts_from_when_it_was_taken_in() -> None:
    """A signal that came late does not make the time longer."""
    panel = guarded()
    panel.pods(1, ago=10)
    assert panel.due == 5


def test_a_lack_that_is_told_again_goes_on() -> None:
    """The watcher repeats what lacks; the time does not begin anew, nor when another pod is lost."""
    panel = guarded()
    panel.pods(1)
    panel.wait(10).pods(1)
    panel.wait(4).pods(0)
    assert panel.due == 1


def test_a_limited_target_that_lacks_pods_opens() -> None:
    """A lack that began before the warning is not forgotten by the transition that the warning brought."""
    panel = guarded()
    panel.pods(1)
    panel.wait(5).fire("slow")
    assert panel.at(State.LIMITED)
    panel.wait(10).tick()
    assert panel.at(State.OPEN)


def test_a_rollout_that_never_gets_ready_opens() -> None:
    """A rollout has 60 s; then too few pods are too few."""
    panel = guarded()
    panel.pods(1, phase=Phase.ROLLOUT)
    panel.wait(59.999).tick()
    assert panel.at(State.CLOSED)
    panel.wait(0.001).tick()
    assert panel.at(State.OPEN)
    assert "during a rollout" in panel.breaker.reason


def test_a_rollout_that_is_given_up_has_no_more_time() -> None:
    """Once its deadline is exceeded a rollout is no excuse: the 15 s are over already."""
    panel = guarded()
    panel.pods(1, phase=Phase.ROLLOUT)
    panel.wait(30).pods(1, phase=Phase.STEADY)
    assert panel.at(State.OPEN)


def test_scaling_down_to_less_than_min_ready_needs_all_that_are_desired() -> None:
    """Where one pod is desired, one is enough, and none is too few."""
    panel = guarded()
    panel.pods(0, desired=1)
    panel.wait(15).tick()
    assert panel.at(State.OPEN)


# -- capacity: what must not trip ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ready", "desired", "phase"),
    [
        pytest.param(2, 3, Phase.STEADY, id="as many as must be"),
        pytest.param(1, 1, Phase.STEADY, id="scaled in by an HPA"),
        pytest.param(0, 0, Phase.STEADY, id="scaled to zero by KEDA"),
        pytest.param(0, 3, Phase.FRESH, id="fresh, and never ready yet"),
    ],
)
def test_what_is_no_lack_never_opens(ready: int, desired: int, phase: Phase) -> None:
    """Nothing is due, and an hour later nothing has happened."""
    panel = guarded()
    panel.pods(ready, desired, phase)
    assert panel.due is None
    panel.wait(60 * MINUTE).tick()
    assert panel.at(State.CLOSED)


@pytest.mark.parametrize("phase", [Phase.STEADY, Phase.ROLLOUT, Phase.DISRUPTION])
def test_a_lack_that_ends_in_time_does_not_open(phase: Phase) -> None:
    """A pod that is back before its time is over leaves nothing behind, and the next lack begins anew."""
    panel = guarded()
    panel.pods(1, phase=phase)
    panel.wait(14).pods(2)
    assert panel.due is None
    panel.wait(100).pods(1)
    assert panel.due == 15


def test_a_drain_has_the_time_of_a_rollout() -> None:
    """Pods that are moved elsewhere need as long as new ones."""
    panel = guarded()
    panel.pods(1, phase=Phase.DISRUPTION)
    assert panel.due == 60


def test_what_is_not_known_does_not_open() -> None:
    """Without a word about its pods a target lacks none, and the standby's are not the target's."""
    panel = guarded()
    panel.tell(CapacityChanged(Role.STANDBY, 0, 3))
    assert panel.due is None


def test_an_older_word_about_pods_changes_nothing() -> None:
    """What was taken in before is not news, whenever it is delivered."""
    panel = guarded()
    panel.pods(3)
    panel.pods(0, ago=5)
    assert panel.due is None


def test_min_ready_zero_switches_it_off() -> None:
    """Whoever sets minReady to 0 does not want to hear of pods."""
    panel = Panel(policy(target={"name": "login", "minReady": 0}))
    panel.pods(0)
    assert panel.due is None


# -- load ------------------------------------------------------------------------------------------------------------


def test_a_load_above_the_capacity_opens() -> None:
    """The table's capacity exceeded trips at once."""
    panel = guarded()
    panel.load(300.1)
    assert panel.at(State.OPEN)
    assert panel.breaker.reason == "the load is 300.1, the target's capacity is 300"


def test_a_load_at_the_capacity_does_not_open() -> None:
    """Up to its capacity a target can carry its load."""
    panel = guarded()
    panel.load(300)
    assert panel.at(State.CLOSED)


def test_without_a_capacity_no_load_opens() -> None:
    """A load means nothing where nobody said how much is too much."""
    panel = Panel(policy())
    panel.load(1e9)
    assert panel.at(State.CLOSED)


def test_a_load_of_long_ago_does_not_open() -> None:
    """A load that was taken in three asks ago says nothing of now."""
    panel = guarded()
    panel.load(301, ago=45)
    assert panel.at(State.CLOSED)


def test_a_load_that_goes_on_blocks_the_trial_up_to_max_cool_down() -> None:
    """A target that could not carry the load is not given it back, until maxCoolDown is over."""
    panel = guarded(recover={"coolDown": "100s", "maxCoolDown": "200s"})
    panel.load(400)
    for _ in range(13):
        panel.wait(15).load(400)
    assert panel.at(State.OPEN)
    panel.wait(15).load(400)
    assert panel.at(State.HALF_OPEN)


def test_a_load_that_is_no_longer_told_blocks_no_trial() -> None:
    """What is not known does not block: the lease of a load is three asks."""
    panel = guarded()
    panel.load(400)
    panel.wait(80).load(400)
    panel.wait(20).tick()
    assert (panel.state, panel.due) == (State.OPEN, 25)
    panel.wait(25).tick()
    assert panel.at(State.HALF_OPEN)


# -- the way back ----------------------------------------------------------------------------------------------------


def test_a_target_without_its_pods_is_not_tried() -> None:
    """After the cool-down it stays open until the pods are there; nobody has to ask."""
    panel = guarded()
    panel.fire("down", severity="critical")
    panel.wait(10).resolve("down")
    panel.wait(80).pods(1)
    panel.wait(20).tick()
    assert panel.at(State.OPEN)
    panel.wait(5).pods(2)
    assert panel.at(State.HALF_OPEN)


def test_a_lack_that_is_no_longer_told_blocks_no_trial() -> None:
    """A watcher that is gone must not keep a breaker open: a lack is known for five minutes."""
    panel = guarded()
    panel.fire("down", severity="critical")
    panel.wait(1).pods(0)
    panel.wait(1).resolve("down")
    panel.wait(98).tick()
    assert (panel.state, panel.due) == (State.OPEN, 201)
    panel.wait(201).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_lack_that_is_no_longer_told_keeps_nothing_limited() -> None:
    """Of a target that never was ready, and of which nobody says more, nothing is known after five minutes."""
    panel = limited()
    panel.pods(0, phase=Phase.FRESH)
    panel.resolve("slow")
    assert panel.due == 5 * MINUTE
    panel.wait(panel.due).tick()
    assert panel.due == 30
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)


def test_a_lack_that_is_no_longer_told_fails_no_trial() -> None:
    """What is not known any more neither blocks the trial nor fails it."""
    panel = guarded()
    panel.pods(0)
    panel.wait(15).tick()
    panel.wait(300).tick()
    assert panel.at(State.HALF_OPEN)
    panel.verify().wait(30).tick()
    assert panel.at(State.CLOSED)


def test_a_probe_that_fails_blocks_the_trial() -> None:
    """The target's own pods say that they are not well: it waits, and tries once they are."""
    panel = guarded(recover={"probe": {"http": "/healthz"}})
    panel.fire("down", severity="critical")
    panel.wait(1).resolve("down")
    panel.wait(98).pods(3, probe="503 Service Unavailable")
    panel.wait(1).tick()
    assert panel.at(State.OPEN)
    panel.wait(30).pods(3, probe="ok")
    assert panel.at(State.HALF_OPEN)


@pytest.mark.parametrize("probe", ["", "ok"])
def test_a_probe_that_passes_or_is_not_known_does_not_block(probe: str) -> None:
    """What is not known does not block."""
    panel = guarded(recover={"probe": {"http": "/healthz"}})
    panel.fire("down", severity="critical")
    panel.wait(1).resolve("down")
    panel.wait(98).pods(3, probe=probe)
    panel.wait(1).tick()
    assert panel.at(State.HALF_OPEN)


def test_a_probe_that_nobody_asked_for_does_not_block() -> None:
    """The policy has no probe any more: an old result is nobody's concern."""
    panel = guarded()
    panel.fire("down", severity="critical")
    panel.wait(1).resolve("down")
    panel.wait(98).pods(3, probe="503")
    panel.wait(1).tick()
    assert panel.at(State.HALF_OPEN)


def test_pods_lost_on_trial_open_and_double() -> None:
    """A lack that begins on trial is a failure of the trial once readyFor is over."""
    panel = on_trial(target=TARGET)
    panel.pods(1)
    assert panel.due == 15
    panel.wait(15).tick()
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 200_000)
    assert panel.breaker.reason == "failed on trial: 1 pod is ready, minReady is 2"


def test_a_load_above_the_capacity_on_trial_opens_and_doubles() -> None:
    """The target cannot carry what it is given: it fails its trial."""
    panel = on_trial(target=TARGET)
    panel.load(301)
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 200_000)


def test_a_trial_does_not_close_while_pods_lack() -> None:
    """Fewer ready pods than must be, for less than readyFor: neither failed nor healthy."""
    panel = on_trial(target=TARGET)
    panel.wait(20).pods(1)
    panel.wait(9).tick()
    assert panel.at(State.HALF_OPEN)
    panel.wait(1).pods(3)
    assert panel.at(State.CLOSED)


def test_manual_recovery_waits_for_an_operator() -> None:
    """recover.mode Manual: no time and no evidence tries the target."""
    panel = opened(recover={"mode": "Manual"})
    panel.wait(10).resolve("down")
    assert panel.due is None
    panel.wait(60 * MINUTE).tick()
    assert panel.at(State.OPEN)


# -- trial shares ----------------------------------------------------------------------------------------------------


def in_steps() -> Panel:
    """Return a panel whose target is on trial with half of the traffic."""
    return on_trial(recover={"trialShares": [50, 100], "maxTrial": "2m"})


def test_each_share_has_to_stay_healthy() -> None:
    """Half first; after healthyFor all is asked for, and only that, in place and healthy, closes."""
    panel = in_steps()
    assert panel.placement.shares == Shares(50, 50)
    panel.wait(29).tick()
    assert (panel.state, panel.breaker.trial) == (State.HALF_OPEN, 1)
    assert panel.breaker.epoch == panel.placement.epoch
    panel.wait(50).tick()
    assert panel.at(State.HALF_OPEN)
    panel.verify().wait(29.999).tick()
    assert panel.at(State.HALF_OPEN)
    panel.wait(0.001).tick()
    assert panel.at(State.CLOSED)


def test_a_share_is_not_passed_before_its_time() -> None:
    """The first share counts from when it was in place."""
    panel = in_steps()
    panel.wait(28.999).tick()
    assert panel.breaker.trial == 0


def test_a_failure_at_a_later_share_opens() -> None:
    """The whole trial failed, whichever share it was at; the next one begins with the first."""
    panel = in_steps()
    panel.wait(29).tick()
    panel.verify().wait(1).fire("slow")
    assert (panel.state, panel.breaker.trial, panel.breaker.cool_down) == (State.OPEN, 0, 200_000)


def test_a_failure_between_two_shares_opens() -> None:
    """Until the second share is in place the target serves by the first: what it does then counts."""
    panel = in_steps()
    panel.wait(29).tick()
    assert panel.breaker.trial == 1
    panel.wait(1).fire("broken")
    assert (panel.state, panel.breaker.reason) == (State.OPEN, "failed on trial: broken")


def test_a_failure_between_two_shares_is_no_failure_where_the_first_gave_nothing() -> None:
    """A share that was passed over gave the target no traffic: nothing was tried yet."""
    panel = in_steps()
    panel.placement = replace(panel.placement, shares=Shares(0, 100), result=Result.INEXPRESSIBLE)
    panel.tick()
    assert panel.breaker.trial == 1
    panel.wait(1).fire("broken")
    assert panel.at(State.HALF_OPEN)


def test_the_longest_trial_is_over_all_shares() -> None:
    """MaxTrial counts from the beginning of the trial, not of a share."""
    panel = in_steps()
    panel.wait(29).tick()
    panel.wait(90).tick()
    assert (panel.state, panel.breaker.cool_down) == (State.OPEN, 100_000)


def test_a_share_that_cannot_be_expressed_is_passed_over() -> None:
    """Where the route cannot have half, the trial goes on with all."""
    panel = on_trial(placed=False, recover={"trialShares": [50, 100]})
    epoch = panel.breaker.epoch
    panel.placement = Placement(
        epoch=epoch, step=1, shares=Shares(0, 100), result=Result.INEXPRESSIBLE, verified_at=panel.now
    )
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.trial) == (State.HALF_OPEN, 1)


def test_a_share_that_was_passed_over_by_a_clock_a_little_behind() -> None:
    """The next share is asked for at once, though the last decision was made by a clock that is a little ahead."""
    panel = in_steps()
    panel.placement = replace(
        panel.placement, shares=Shares(0, 100), result=Result.INEXPRESSIBLE, verified_at=panel.breaker.clock - 100
    )
    assert panel.due is not None
    assert panel.due <= 0
    panel.tick()
    assert panel.breaker.trial == 1


def test_the_last_share_is_never_passed_over() -> None:
    """A trial that gave the target nothing closes nothing."""
    panel = on_trial(placed=False)
    shares = Shares(0, 100)
    panel.placement = Placement(
        epoch=panel.breaker.epoch, step=1, shares=shares, result=Result.INEXPRESSIBLE, verified_at=panel.now
    )
    panel.wait(60).tick()
    assert (panel.state, panel.breaker.trial) == (State.HALF_OPEN, 0)


def test_a_late_result_of_an_earlier_share_counts_for_nothing() -> None:
    """I8: what is verified is the share that was asked for then."""
    panel = in_steps()
    old = panel.placement
    panel.wait(29).tick()
    panel.placement = replace(old, verified_at=panel.now)
    panel.wait(60).tick()
    assert panel.at(State.HALF_OPEN)


# -- classes ---------------------------------------------------------------------------------------------------------


def crashed(reason: str, severity: str = "", *chain: str) -> FailureDetected:
    """Return a condition with a reason that the table of failures knows."""
    failure = Failure(key=reason, cause=f"{reason} Pod/login-0", condition=reason, severity=severity, reason=reason)
    return FailureDetected((replace(failure, chain=chain),))


def test_a_class_that_only_limits_never_opens() -> None:
    """However much failures of configuration weigh, the policy lets them limit only; those of runtime open."""
    panel = Panel(policy(trip={"classes": {"configuration": "Limit"}}))
    panel.tell(crashed("KubeDeploymentRolloutStuck", "critical"))
    assert panel.at(State.LIMITED)
    panel.wait(1).tell(crashed("KubeContainerWaiting", "critical"))
    assert panel.at(State.LIMITED)
    panel.wait(1).tell(crashed("KubePodCrashLooping", "critical"))
    assert panel.at(State.OPEN)


def test_a_class_that_only_limits_fails_no_trial() -> None:
    """Leading to LIMITED at most, it does not open a breaker on trial either."""
    panel = on_trial(trip={"classes": {"network": "Limit"}})
    panel.tell(crashed("NodeNetworkReceiveErrs", "warning"))
    assert panel.at(State.HALF_OPEN)


def test_what_only_limits_and_is_seen_on_trial_limits_afterwards() -> None:
    """A trial closes beside it, and since it still holds, the breaker is limited at once, by the clock alone."""
    panel = on_trial(trip={"classes": {"network": "Limit"}})
    panel.tell(crashed("NodeNetworkReceiveErrs", "warning"))
    panel.wait(30).tick()
    assert panel.at(State.CLOSED)
    assert panel.due is not None
    panel.wait(panel.due).tick()
    assert panel.at(State.LIMITED)


def test_a_class_that_is_only_journaled_weighs_nothing() -> None:
    """It is on the record with its class, and does nothing."""
    panel = Panel(policy(trip={"classes": {"node": "Journal"}}))
    weighed = panel.tell(crashed("KubeletDown", "critical")).weighed
    assert (panel.state, weighed[0].kind, weighed[0].weight) == (State.CLOSED, "node", 0)


def test_limit_for_does_not_open_by_a_class_that_only_limits() -> None:
    """A failure that may only limit may do so for ever."""
    panel = limited(trip={"classes": {"runtime": "Limit"}, "limitFor": "1m"})
    panel.wait(10 * MINUTE).tick()
    assert panel.at(State.LIMITED)


# -- critical --------------------------------------------------------------------------------------------------------


def test_a_critical_failure_opens_below_open_at() -> None:
    """tripOnCritical: however far openAt is."""
    panel = Panel(policy(trip={"openAt": 100}))
    panel.fire("down", severity="critical")
    assert (panel.state, panel.breaker.reason) == (State.OPEN, "a critical failure: down")


def test_without_trip_on_critical_only_the_weight_counts() -> None:
    """A critical failure limits where it weighs no more than that."""
    panel = Panel(policy(trip={"openAt": 100, "tripOnCritical": False}))
    panel.fire("down", severity="critical")
    assert panel.at(State.LIMITED)


def test_a_critical_failure_needs_its_sources_too() -> None:
    """MinimumSources is corroboration: one voice does not open, however loud."""
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.fire("down", severity="critical")
    assert panel.at(State.CLOSED)
    panel.fire("slow")
    assert panel.at(State.OPEN)


def test_a_critical_failure_that_was_told_to_weigh_nothing_does_not_open() -> None:
    """What weighs nothing is not critical."""
    panel = Panel(policy(signals={"weights": {"critical": 0}}))
    panel.fire("down", severity="critical")
    assert panel.at(State.CLOSED)


# -- the flap guard --------------------------------------------------------------------------------------------------


def episode(panel: Panel, name: str) -> None:
    """Open once and recover."""
    panel.fire(name, severity="critical")
    panel.wait(1).resolve(name)
    panel.wait(100).tick()
    panel.verify().wait(30).tick()


def test_three_episodes_within_an_hour_latch() -> None:
    """The third opening stays open until an operator resets it."""
    panel = Panel(policy())
    for name in "ab":
        episode(panel, name)
        assert panel.at(State.CLOSED)
    episode(panel, "c")
    assert panel.at(State.OPEN)
    assert panel.breaker.latched
    assert panel.due is None
    assert "opened 3 times within an hour" in panel.breaker.reason


def test_two_episodes_do_not_latch() -> None:
    """The third comes more than an hour after the first."""
    panel = Panel(policy())
    for name in "ab":
        episode(panel, name)
    panel.wait(60 * MINUTE)
    episode(panel, "c")
    assert panel.at(State.CLOSED)


def test_re_openings_within_an_episode_do_not_latch() -> None:
    """They double the cool-down, which is enough."""
    panel = on_trial()
    for number in range(FLAPS + 1):
        panel.fire(f"again{number}", severity="critical")
        assert panel.at(State.OPEN)
        panel.wait(1).resolve(f"again{number}")
        panel.wait(100 * 2 ** (number + 1)).tick()
        panel.verify().wait(1)
    assert not panel.breaker.latched


def test_a_limited_episode_does_not_count_as_a_flap() -> None:
    """Only what opened has flapped."""
    panel = Panel(policy())
    for name in "abcd":
        panel.fire(name)
        panel.wait(1).resolve(name)
        panel.wait(30).tick()
        assert panel.at(State.CLOSED)
    assert panel.breaker.opened == ()


# -- what a trial leaves behind --------------------------------------------------------------------------------------


def test_a_condition_of_before_the_trial_was_in_place_is_over_when_it_closes() -> None:
    """It was seen while the traffic was still elsewhere, and never again."""
    panel = on_trial(placed=False)
    panel.fire("slow")
    panel.wait(1).verify().wait(30).tick()
    assert (panel.state, panel.breaker.conditions) == (State.CLOSED, {})


@pytest.mark.parametrize(("later", "kept"), [(0, False), (0.001, True)])
def test_a_condition_that_only_limits_outlives_the_trial_that_saw_it(later: float, *, kept: bool) -> None:
    """Seen after the trial began it is not over, and limits as soon as the breaker is closed."""
    panel = opened(trip={"classes": {"network": "Limit"}})
    panel.wait(10).resolve("down")
    panel.wait(90).tick()
    panel.wait(later).tell(crashed("NodeNetworkReceiveErrs", "warning"))
    panel.verify().wait(30).tick()
    assert (panel.state, bool(panel.breaker.conditions)) == (State.CLOSED, kept)
    assert panel.due == (0.001 if kept else None)
    panel.wait(0.001).tick()
    assert panel.at(State.LIMITED if kept else State.CLOSED)


def test_a_share_that_is_passed_over_is_followed_at_once() -> None:
    """Its placement is as old as the last decision: there is nothing to wait for but the next millisecond."""
    panel = on_trial(placed=False, recover={"trialShares": [50, 100]})
    panel.tick()
    shares, epoch = Shares(0, 100), panel.breaker.epoch
    panel.placement = Placement(
        epoch=epoch, step=1, shares=shares, result=Result.INEXPRESSIBLE, verified_at=panel.breaker.clock
    )
    assert panel.due == 0.001


def test_what_came_while_memory_was_lost_counts_when_the_hold_is_over() -> None:
    """Nobody sends it again: the clock has to look."""
    panel = Panel(policy(trip={"window": "10m"}))
    panel.breaker = adopt(panel.row, 7).state
    panel.wait(1).happen(*"0123456789")
    assert (panel.state, panel.due) == (State.CLOSED, 99)
    panel.wait(99).tick()
    assert panel.at(State.OPEN)
