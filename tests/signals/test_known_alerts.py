"""What is seen again, what is gone, and when nothing can be said: Alertmanager's answers against what breakers hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.placement import Placement
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import BreakerState, State
from fuseboard.signals.alerts import condition_key
from fuseboard.signals.known_alerts import (
    AlertReconciler,
    AlertStatus,
    ConditionChanges,
    KnownAlert,
    MemberAnswer,
    PollPace,
)
from fuseboard.testing import policies

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

NOW: Final = 1_790_000_000_000
BEGAN: Final = datetime.fromtimestamp(NOW / 1000, UTC) - timedelta(minutes=10)
PACE: Final = PollPace()
LABELS: Final = {"alertname": "HighErrorRate", "namespace": "shop", "deployment": "login", "severity": "critical"}
NAME: Final = condition_key(LABELS)
HOUR_MS: Final = 3_600_000


def policy(*match: str) -> Policy:
    """Return a policy for the Deployment that the alert is about."""
    return policies.policy(signals={"match": list(match)})


def alert(state: str = "active", **labels: str) -> KnownAlert:
    """Return an alert as Alertmanager knows it."""
    return KnownAlert({**LABELS, **labels}, BEGAN, AlertStatus(state))


@dataclass
class World:
    """A breaker, one or more Alertmanagers, and the time."""

    held: AlertReconciler = field(default_factory=lambda: AlertReconciler(PACE))
    moment: float = 0.0
    seen: int = NOW
    state: State = State.OPEN
    holds: bool = True
    name: str = NAME
    policy: Policy = field(default_factory=policy)

    def record(self) -> Row:
        """Return the breaker's record as it is now."""
        conditions = {self.name: Condition("HighErrorRate Deployment/login", 10, NOW, self.seen, NOW - 600_000)}
        breaker = BreakerState(state=self.state, conditions=conditions if self.holds else {})
        return Row(self.policy, breaker, Placement(), self.now)

    @property
    def now(self) -> int:
        """The store's time."""
        return NOW + round(self.moment * 1000)

    def ask(self, *alerts: KnownAlert, since: str = "a", after: float = 30.0, **more: MemberAnswer) -> ConditionChanges:
        """Let time pass, and ask."""
        self.moment += after
        holders = [self.record()] if self.holds else []
        return self.held.reconcile(holders, {"one": MemberAnswer(since, alerts), **more}, self.moment, self.now)

    def ask_for(self, minutes: float, *alerts: KnownAlert, **options: Any) -> list[ConditionChanges]:  # noqa: ANN401  - of ``ask``
        """Ask every half minute."""
        return [self.ask(*alerts, **options) for _ in range(round(minutes * 2))]


def seen_for_long(**options: Any) -> World:  # noqa: ANN401  - of ``World``
    """Return a world whose Alertmanager has been up and has known the alert for long."""
    world = World(**options)
    assert not any(each.resolved for each in world.ask_for(6, alert()))
    return world


def gone(told: list[ConditionChanges]) -> bool:
    """Say whether anything was taken to be gone."""
    return any(each.resolved for each in told)


class TestGone:
    """A lost resolve."""

    def test_what_no_answer_has_for_long_enough_is_gone(self) -> None:
        """After group_interval, not before, and with the condition's own start: an earlier one is not meant."""
        world = seen_for_long()
        assert not gone(world.ask_for(5))
        (failure,) = world.ask().resolved["shop/login"]
        assert (failure.condition, failure.started_at) == (NAME, NOW - 600_000)

    def test_it_is_told_again_until_the_breaker_knows(self) -> None:
        """Under the same key, so that two replicas tell the same."""
        world = seen_for_long()
        world.ask_for(5)
        assert world.ask().resolved == world.ask().resolved != {}

    def test_what_was_never_in_an_answer_is_left_alone(self) -> None:
        """Another source's condition, or one that was gone before this process asked: its lease ends it."""
        assert not gone(World().ask_for(60))
        assert not gone(World(name="0" * 32).ask_for(60, alert()))
        assert not gone(World(name="OOMKilling Pod/login-0").ask_for(60, alert()))

    def test_an_alert_that_comes_back_in_between_begins_anew(self) -> None:
        """It flaps: Alertmanager says nothing to that within group_interval, and would not say that it fires again."""
        world = seen_for_long()
        for _ in range(5):
            assert not gone(world.ask_for(4))
            assert not gone([world.ask(alert())])

    def test_a_notification_in_between_begins_anew(self) -> None:
        """Whatever the answers say, somebody has just told the breaker that it holds."""
        world = seen_for_long()
        world.ask_for(4.5)
        world.seen = world.now
        assert not gone(world.ask_for(4.5))
        assert gone(world.ask_for(1))

    def test_a_restarted_alertmanager_knows_nothing(self) -> None:
        """Empty, it says nothing for resolve_timeout, and then has to be without the alert for as long as any other."""
        world = seen_for_long()
        assert not gone(world.ask_for(9.5, since="b"))
        assert gone(world.ask_for(2, since="b"))

    def test_a_restarted_one_that_is_told_again_resolves_nothing(self) -> None:
        """As it is: Prometheus posts its alerts every minute."""
        world = seen_for_long()
        assert not gone(world.ask_for(2, since="b"))
        assert not gone(world.ask_for(20, alert(), since="b"))

    def test_one_that_restarts_all_the_time_resolves_nothing(self) -> None:
        """Every four minutes a new process."""
        world = seen_for_long()
        for number in range(10):
            assert not gone(world.ask_for(4, since=f"life {number}"))

    def test_an_alertmanager_that_was_just_met_is_not_trusted(self) -> None:
        """Only by our own clock is it known how long it has been there."""
        world = World()
        world.ask(alert())
        assert not gone(world.ask_for(9))
        assert gone(world.ask_for(2))

    @pytest.mark.parametrize("state", ["suppressed", "unprocessed", "something new"])
    def test_what_is_silenced_is_neither_gone_nor_seen(self, state: str) -> None:
        """For hours."""
        world = seen_for_long()
        told = world.ask_for(300, alert(state))
        assert not any(each.resolved or each.detected for each in told)

    def test_one_of_a_pair_that_knows_it_is_enough(self) -> None:
        """The other one may be cut off from Prometheus."""
        world = World()
        other = MemberAnswer("b", (alert(),))
        world.ask_for(10, alert(), two=other)
        assert not gone(world.ask_for(60, two=other))
        assert gone(world.ask_for(6, two=MemberAnswer("b", ())))

    def test_a_young_one_of_a_pair_holds_the_judgement(self) -> None:
        """Nobody says that it would not know it, were it not just started."""
        world = seen_for_long()
        assert not gone(world.ask_for(9.5, two=MemberAnswer("b", ())))
        assert gone(world.ask_for(2, two=MemberAnswer("b", ())))

    def test_twins_of_a_prometheus_pair_are_one_condition(self) -> None:
        """It is gone when neither of them is there."""
        world = World()
        world.ask_for(6, alert(prometheus_replica="0"), alert(prometheus_replica="1"))
        assert not gone(world.ask_for(20, alert(prometheus_replica="1")))
        assert gone(world.ask_for(6))

    def test_another_alert_is_not_this_one(self) -> None:
        """One label more or less is another condition."""
        world = seen_for_long()
        assert gone(world.ask_for(6, alert(pod="login-1"), alert(severity="warning")))


class TestAgain:
    """A lost repeat."""

    def test_what_still_fires_is_told_when_its_lease_is_running_out(self) -> None:
        """Half a repeatInterval after it was last seen, and not before."""
        world = World()
        world.ask(alert())
        world.moment = 2 * 3_600 - 60
        assert world.ask(alert(), after=0.0).detected == {}
        (failure,) = world.ask(alert(), after=60.0).detected["shop/login"]
        assert (failure.condition, failure.severity, failure.name) == (NAME, "critical", "HighErrorRate")

    def test_what_was_seen_is_not_told_again(self) -> None:
        """The webhook or another replica has told of it."""
        world = World(seen=NOW + 5 * HOUR_MS)
        world.moment = 5 * 3_600
        assert world.ask(alert()).detected == {}

    def test_on_trial_it_is_told_at_every_ask(self) -> None:
        """What was not seen again since the trial began does not count against it."""
        world = World(state=State.HALF_OPEN)
        assert all(each.detected for each in world.ask_for(2, alert()))
        assert not any(each.detected for each in world.ask_for(2, alert("suppressed")))

    def test_the_earliest_of_twins_is_told(self) -> None:
        """As the webhook does."""
        world = World(state=State.HALF_OPEN)
        later = KnownAlert({**LABELS, "prometheus_replica": "1"}, BEGAN + timedelta(minutes=1), AlertStatus("active"))
        (failure,) = world.ask(later, alert(prometheus_replica="0")).detected["shop/login"]
        assert failure.started_at == NOW - 600_000

    def test_what_no_longer_counts_for_the_breaker_is_not_told(self) -> None:
        """The policy was edited: its lease ends it."""
        world = World(state=State.HALF_OPEN, policy=policy('severity="page"'))
        assert world.ask(alert()).detected == {}

    def test_what_was_taken_to_be_gone_and_is_not_is_told(self) -> None:
        """Nobody else would: Alertmanager has never said that it was resolved."""
        world = seen_for_long()
        assert gone(world.ask_for(6))
        world.holds = False
        assert world.held.awaits_return
        assert world.ask().detected == {}
        assert world.ask(alert()).detected["shop/login"]

        world.holds = True
        world.seen = world.now
        assert world.ask(alert()).detected == {}
        assert not world.held.awaits_return

    def test_it_is_looked_out_for_an_hour(self) -> None:
        """Then nobody expects it any more."""
        world = seen_for_long()
        assert gone(world.ask_for(6))
        world.holds = False
        world.ask_for(62)
        assert not world.held.awaits_return
        assert world.ask(alert()).detected == {}
