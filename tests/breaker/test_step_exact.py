"""What a decision leaves behind, to the millisecond: what is noted, remembered and forgotten, and at which boundary."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from fuseboard.breaker.placement import Placement
from fuseboard.breaker.state import BreakerState, Dependency, ReadyPods, State
from fuseboard.breaker.step import REMEMBER_MS, adopt
from fuseboard.events.types import Action
from fuseboard.roles import Role
from fuseboard.testing.panel import HOUR, START, Panel, limited, on_trial, opened, row_of
from fuseboard.testing.policies import policy

DAY: Final = 24 * HOUR

# -- what goes on the record -----------------------------------------------------------------------------------------


def test_only_news_of_capacity_are_noted() -> None:
    """The first word about pods and every change go on the record; the same again, or what is older, does not."""
    panel = Panel()
    assert panel.pods(2).noted
    assert not panel.wait(1).pods(2).noted
    assert panel.pods(1).noted
    assert not panel.pods(3, ago=10).noted
    assert panel.breaker.capacity[Role.TARGET].ready == 1


def test_load_failures_and_time_are_not_noted() -> None:
    """A load is told every few seconds: neither it nor the passing of time is worth a line; a failure has its own."""
    panel = Panel()
    done = [panel.load(5), panel.load(4, ago=10), panel.tick(), panel.fire("slow", severity="info")]
    assert [each.noted for each in done] == [False] * 4
    assert not panel.resolve("slow").noted


@pytest.mark.parametrize("action", Action)
def test_every_request_is_noted_and_remembered(action: Action) -> None:
    """What an operator asks for goes on the record once, whether or not it moved anything."""
    panel = Panel()
    assert panel.ask(action).noted
    assert panel.deliver(panel.last).duplicate


def test_only_a_request_from_before_the_last_one_is_stale() -> None:
    """What an operator asked of another state is told to be late; what was obeyed is not, nor is any other signal."""
    panel = Panel()
    assert not panel.ask(Action.HOLD).stale
    assert panel.ask(Action.RELEASE, ago=10).stale
    assert [panel.tick().stale, panel.pods(1).stale, panel.fire("slow").stale] == [False] * 3


def test_what_weighs_nothing_is_remembered() -> None:
    """An event that was looked into is a duplicate the next time, even if nothing of it counted."""
    panel = Panel()
    panel.fire("slow", severity="info")
    assert panel.at(State.CLOSED)
    assert panel.deliver(panel.last).duplicate


def test_an_event_is_remembered_for_exactly_a_day() -> None:
    """A millisecond before a day has passed an event is a duplicate, then it is not; and its name is gone."""
    panel = Panel()
    panel.fire("slow", severity="info")
    event = panel.last
    panel.now = START + REMEMBER_MS - 1
    assert panel.deliver(event).duplicate
    panel.now += 1
    assert not panel.deliver(event).duplicate
    panel = Panel()
    panel.fire("slow", severity="info")
    panel.wait(DAY).fire("other", severity="info")
    assert len(panel.breaker.remembered) == 1


def test_a_lost_memory_begins_now() -> None:
    """After a loss of memory everything is as of now, and nothing moves for a cool-down."""
    after = adopt(row_of(policy=policy(), state=BreakerState(epoch=2), now=START), 5).state
    assert (after.epoch, after.clock, after.since, after.watermark) == (6, START, START, START)
    assert after.held_until == START + 100_000
    assert after.reason == "memory was lost: the route carries epoch 5, the store knew 2"
    assert adopt(row_of(policy=policy(), state=BreakerState(epoch=7), now=START), 5).state.epoch == 8


def test_as_many_events_are_remembered_as_promised() -> None:
    """Of thirty-three events the first is forgotten, of thirty-two none."""
    panel = Panel()
    for number in range(32):
        panel.fire(f"a{number}", severity="info")
    assert len(panel.breaker.remembered) == 32
    first = next(iter(panel.breaker.remembered))
    panel.fire("b", severity="info")
    assert len(panel.breaker.remembered) == 32
    assert first not in panel.breaker.remembered


def test_what_moved_the_breaker_is_remembered_and_what_only_told_of_pods_is_not() -> None:
    """A timer that opened it is a duplicate the next time, with the same answer; a number of pods is told anew."""
    panel = Panel()
    panel.pods(0)
    assert not panel.deliver(panel.last).duplicate
    moved = panel.wait(15).tick()
    assert panel.at(State.OPEN)
    again = panel.deliver(panel.last)
    assert again.duplicate
    assert again.reply == moved.reply
    panel.wait(1).ask(Action.RESET)
    assert [each.epoch for each in panel.breaker.replies] == [1, 2]


def test_tripping_what_is_open_is_noted() -> None:
    """It moves nothing, but from then on only an operator lets it try its target."""
    panel = opened()
    assert panel.ask(Action.TRIP).noted
    assert panel.due is None


# -- loads and pods --------------------------------------------------------------------------------------------------


def test_of_two_loads_of_one_moment_the_later_one_counts() -> None:
    """A load that was taken in before the last one says nothing; one of the same moment does."""
    panel = Panel()
    panel.load(1)
    panel.load(2)
    assert panel.breaker.load is not None
    assert panel.breaker.load.value == 2
    panel.load(3, ago=0.001)
    assert panel.breaker.load.value == 2


def test_of_two_counts_of_pods_of_one_moment_the_later_one_counts() -> None:
    """What was taken in before the last one says nothing; what was taken in at the same moment does."""
    panel = Panel()
    panel.pods(1)
    panel.pods(2)
    assert panel.breaker.capacity[Role.TARGET].ready == 2


def test_a_lack_that_an_edit_has_made_begins_now() -> None:
    """When the policy asks for more pods, the target lacks them from the next decision on, however late its signal."""
    panel = Panel()
    panel.pods(1)
    panel.policy = policy(target={"name": "login", "minReady": 2})
    panel.wait(20).resolve("slow", ago=10)
    assert panel.breaker.capacity[Role.TARGET].short_since == panel.now


def test_a_lack_that_was_told_at_the_watermark_is_not_counted() -> None:
    """What was told at the very moment of the last transition counts when it is told again, and not before."""
    known = ReadyPods(0, 2, START)
    panel = Panel(breaker=BreakerState(watermark=START, clock=START, capacity={Role.TARGET: known}))
    panel.tick()
    assert panel.breaker.capacity[Role.TARGET].short_since == 0
    panel.wait(0.001).pods(0, 2)
    assert panel.breaker.capacity[Role.TARGET].short_since == panel.now


def test_a_limited_target_is_ill_while_occurrences_weigh() -> None:
    """Without any condition it is not healthy as long as the window weighs as much as limits."""
    panel = Panel()
    panel.happen("a", "b", "c")
    assert (panel.state, panel.breaker.healthy_since) == (State.LIMITED, START)
    panel.wait(1).happen("d", "e")
    assert panel.breaker.healthy_since == START
    panel.happen("f")
    assert panel.breaker.healthy_since == 0


def test_a_limited_target_is_ill_while_a_condition_holds() -> None:
    """However little the condition weighs: it is healthy from when the condition is resolved."""
    panel = Panel(policy(signals={"weights": {"info": 1}}))
    panel.happen("a", "b")
    panel.fire("slow", severity="info")
    assert panel.at(State.LIMITED)
    panel.wait(61).tick()
    assert (panel.breaker.weight, panel.breaker.healthy_since) == (1, 0)
    panel.resolve("slow")
    assert panel.breaker.healthy_since == panel.now


def test_a_limited_target_is_ill_while_pods_lack() -> None:
    """It is healthy from when its pods are ready again, not from when its alert was resolved."""
    panel = limited()
    panel.pods(0)
    panel.wait(1).resolve("slow")
    assert panel.breaker.healthy_since == 0
    panel.wait(1).pods(1)
    assert panel.breaker.healthy_since == panel.now


# -- what a transition resets ----------------------------------------------------------------------------------------


def test_a_transition_begins_anew() -> None:
    """No cool-down, no share of a trial and no healthy time is carried from one state into the next."""
    panel = limited()
    panel.resolve("slow")
    assert panel.breaker.healthy_since
    panel.wait(1).fire("down", severity="critical")
    assert (panel.state, panel.breaker.healthy_since, panel.breaker.cool_down) == (State.OPEN, 0, 100_000)
    panel.wait(1).ask(Action.RESET)
    assert (panel.state, panel.breaker.cool_down) == (State.CLOSED, 0)


def test_a_further_share_has_its_own_time_and_the_next_state_has_none() -> None:
    """The time of a share begins when it is asked for; after the trial there is none."""
    panel = on_trial(recover={"trialShares": [50, 100]})
    panel.wait(30).tick()
    assert (panel.breaker.trial, panel.breaker.trial_since) == (1, panel.now)
    panel.wait(1).verify().wait(30).tick()
    assert panel.at(State.CLOSED)
    assert (panel.breaker.trial, panel.breaker.trial_since) == (0, 0)


def test_a_closed_breaker_waits_for_no_dependency() -> None:
    """When it closes, what was put down to a dependency is over, and is not looked at again."""
    panel = on_trial()
    panel.breaker = replace(panel.breaker, recheck_at=panel.now + HOUR * 1000)
    panel.wait(30).tick()
    assert (panel.state, panel.breaker.recheck_at) == (State.CLOSED, 0)


def test_what_an_operator_asks_for_begins_at_the_request() -> None:
    """A trip by hand puts the watermark at now and is no episode for the flap guard."""
    panel = Panel()
    panel.ask(Action.TRIP)
    assert (panel.state, panel.breaker.watermark, panel.breaker.opened) == (State.OPEN, panel.now, ())
    panel.wait(1).ask(Action.RESET)
    assert (panel.breaker.watermark, panel.breaker.asked) == (panel.now, panel.now)


def test_a_reset_forgets_a_lack_of_pods() -> None:
    """Of a closed breaker too: its lack of pods counts from when it is told again."""
    panel = Panel()
    panel.pods(0)
    assert panel.breaker.capacity[Role.TARGET].short_since
    panel.wait(5).ask(Action.RESET)
    assert panel.breaker.capacity[Role.TARGET].short_since == 0
    assert panel.due is None


def test_a_reset_forgets_what_a_closed_breaker_has_against_its_target() -> None:
    """Conditions that did not suffice, and those that were put down to a dependency, are gone."""
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.fire("slow")
    assert (panel.state, len(panel.breaker.conditions)) == (State.CLOSED, 1)
    panel.wait(1).ask(Action.RESET)
    assert panel.breaker.conditions == {}
    panel = depending()
    panel.wait(1).ask(Action.RESET)
    assert (panel.breaker.conditions, panel.breaker.recheck_at) == ({}, 0)


def test_a_closed_breaker_begins_with_enough_pods() -> None:
    """A lack that nobody has told of for long does not keep a trial from closing, and does not count afterwards."""
    panel = on_trial()
    old = ReadyPods(0, 2, panel.now - 600_000, short_since=panel.now - 600_000)
    panel.breaker = replace(panel.breaker, capacity={Role.TARGET: old})
    panel.wait(30).tick()
    assert (panel.state, panel.breaker.capacity[Role.TARGET].short_since) == (State.CLOSED, 0)


def test_the_watermark_is_where_the_evidence_was_seen() -> None:
    """Of a transition that evidence brought, it is when that was taken in, not when it was decided."""
    panel = Panel()
    panel.fire("down", severity="critical", ago=10)
    assert (panel.state, panel.breaker.watermark) == (State.OPEN, START - 10_000)


def test_an_episode_of_exactly_an_hour_ago_is_no_flap() -> None:
    """Three episodes within less than an hour latch; where the first is an hour old, they do not."""
    for ago, latches in ((3_600_000, False), (3_599_999, True)):
        panel = Panel()
        panel.breaker = replace(panel.breaker, opened=(START - ago, START - 5_000))
        panel.fire("down", severity="critical")
        assert panel.breaker.latched is latches


# -- dependencies ----------------------------------------------------------------------------------------------------


def depending(verified: int = 0) -> Panel:
    """Return a panel with an alert that is put down to a dependency that is open."""
    panel = Panel(policy(dependsOn=["db"]), dependencies=(Dependency("db", State.OPEN, verified),))
    panel.fire("slow")
    assert (panel.state, panel.breaker.recheck_at) == (State.CLOSED, panel.now + 30_000)
    return panel


def test_a_dependency_covers_until_its_standby_has_served_for_healthy_for() -> None:
    """At a recheck the alert is still put down to it; once its placement is 30 s old, the alert counts."""
    panel = depending()
    panel.wait(30)
    panel.dependencies = (Dependency("db", State.OPEN, panel.now - 29_999),)
    panel.tick()
    assert (panel.state, panel.breaker.recheck_at) == (State.CLOSED, panel.now + 30_000)
    panel.wait(29.999).tick()
    assert panel.at(State.CLOSED)
    panel.wait(0.001).tick()
    assert (panel.state, panel.breaker.recheck_at) == (State.LIMITED, 0)


def test_what_is_stale_is_put_down_to_nobody() -> None:
    """Only what would have counted is put down to a dependency, and the record says to which."""
    panel = depending()
    (fresh,) = panel.wait(1).fire("other").weighed
    (old,) = panel.fire("other", ago=0.5).weighed
    assert (fresh.attributed, old.attributed) == ("db", "")


def test_who_is_left_alone_is_not_looked_at() -> None:
    """A breaker of which nothing is known waits for nothing."""
    assert Panel().due is None
    cooling = opened()
    cooling.resolve("down")
    assert cooling.due == 99
    assert Panel(placement=Placement(verified_at=START)).due is None
