"""What explain says of a breaker: the guards that keep it in its state, and what time alone brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from fuseboard.breaker.outlook import Outlook, outlook
from fuseboard.breaker.state import State
from fuseboard.events.types import Action, CapacityChanged, FailureDetected, LoadChanged, OperatorRequested
from fuseboard.policy.enums import Mode
from fuseboard.roles import Role
from fuseboard.testing.panel import HOUR, MINUTE, START, Panel, alert, limited, on_trial, opened
from fuseboard.testing.policies import policy

if TYPE_CHECKING:
    from collections.abc import Callable


def seen(panel: Panel) -> Outlook:
    """Return the outlook of a panel as it is now."""
    return outlook(panel.row)


def test_a_new_breaker_waits_for_failures() -> None:
    """Nothing blocks it and time brings nothing: it says what failures would."""
    found = seen(Panel())
    assert (found.blocked, found.ahead) == ((), None)
    assert found.evidence == "failures weigh 0: it limits from 3 on, and opens from 10 on"


def test_an_open_breaker_tries_after_the_cool_down() -> None:
    """The cool-down blocks until its end, and then the trial comes."""
    panel = opened()
    panel.resolve("down")
    found = seen(panel)
    assert [(each.text, each.until) for each in found.blocked] == [
        ("the cool-down of 100s is not over", START + 100_000)
    ]
    assert found.ahead is not None
    assert (found.ahead.at, found.ahead.state) == (START + 100_000, State.HALF_OPEN)


def texts(panel: Panel) -> list[str]:
    """Return what blocks."""
    return [each.text for each in seen(panel).blocked]


def asked(panel: Panel, action: Action) -> Panel:
    """Return the panel after an operator has asked for something."""
    panel.tell(OperatorRequested(action, "anna", "INC-42"))
    return panel.wait(1)


def capacity(panel: Panel, ready: int, probe: str = "") -> Panel:
    """Return the panel after its target's pods were told."""
    panel.tell(CapacityChanged(Role.TARGET, ready, 2, probe=probe))
    return panel.wait(1)


def cooled(**parts: dict[str, Any]) -> Panel:
    """Return an open breaker whose alert still fires and whose cool-down is over."""
    panel = opened(**parts).wait(99)
    panel.tick()
    assert panel.at(State.OPEN)
    return panel


def well(**parts: dict[str, Any]) -> Panel:
    """Return an open breaker with nothing against it a moment before its cool-down is over, which then is."""
    panel = opened(**parts)
    panel.resolve("down")
    return panel.wait(98)


@pytest.mark.parametrize(
    ("panel", "lift", "says"),
    [
        (cooled, lambda panel: panel.resolve("down"), "1 condition weighs 10, limitAt is 3"),
        (
            lambda: capacity(well(target={"name": "login", "minReady": 2}), 1).wait(1),
            lambda panel: capacity(panel, 2),
            "1 pod is ready, minReady is 2",
        ),
        (
            lambda: capacity(well(recover={"probe": {"http": "/"}}), 2, "answers 503").wait(1),
            lambda panel: capacity(panel, 2, "ok"),
            "the probe fails: answers 503",
        ),
        (
            lambda: asked(well(), Action.TRIP).wait(1),
            lambda panel: asked(panel, Action.RELEASE),
            "ForcedOpen by anna: INC-42",
        ),
        (
            lambda: asked(well(), Action.HOLD).wait(1),
            lambda panel: asked(panel, Action.RELEASE),
            "held by anna: INC-42",
        ),
    ],
)
def test_what_blocks_alone_is_what_keeps_it(
    panel: Callable[[], Panel], lift: Callable[[Panel], object], says: str
) -> None:
    """After the cool-down one thing blocks; without it the target is tried."""
    found = panel()
    assert texts(found) == [says]
    assert found.at(State.OPEN)
    lift(found)
    found.tick()
    assert found.at(State.HALF_OPEN)


def test_load_blocks_while_it_is_known() -> None:
    """A load above the capacity blocks the trial, and is forgotten when nobody repeats it."""
    panel = well(target={"name": "login", "capacity": 10})
    panel.tell(LoadChanged(12.0))
    panel.wait(1)
    assert "the load is 12, the target's capacity is 10" in texts(panel)
    ahead = seen(panel).ahead
    assert ahead is not None
    assert ahead.at == panel.now - 1_000 + 45_000


def test_a_latched_breaker_names_its_remedy() -> None:
    """The sentence has the command that ends it."""
    panel = well()
    panel.breaker = replace(panel.breaker, latched=True)
    panel.wait(HOUR)
    assert texts(panel) == ["latched: opened 3 times within an hour: fuseboard reset shop/login --reason …"]
    assert seen(panel).ahead is None


def test_manual_recovery_names_its_remedy() -> None:
    """Where a policy waits for an operator, the sentence has the command."""
    panel = opened(recover={"mode": "Manual"}).wait(HOUR)
    panel.resolve("down")
    assert texts(panel) == ["recover.mode is Manual: fuseboard reset shop/login --reason …"]


@pytest.mark.parametrize("mode", [Mode.FORCED_OPEN, Mode.DISABLED])
def test_a_mode_of_the_policy_blocks(mode: Mode) -> None:
    """It is the policy's, not an operator's."""
    panel = well()
    panel.policy = policy(mode=mode.value)
    panel.wait(HOUR)
    assert [str(mode) in each for each in texts(panel)] == [True]


def test_a_limited_breaker_waits_for_its_condition() -> None:
    """What holds keeps it limited until the lease ends; it says what would open it."""
    found = seen(limited())
    assert [each.text for each in found.blocked] == ["1 condition weighs 3"]
    assert found.evidence == "failures weigh 3: it opens from 10 on"
    assert found.ahead is not None
    assert found.ahead.at == START + 12 * HOUR * 1000 + 30_000


def test_a_limited_breaker_closes_when_it_was_healthy() -> None:
    """After the resolve it waits for healthyFor."""
    panel = limited()
    panel.resolve("slow")
    assert texts(panel) == ["not yet healthy for 30s"]


def test_one_cause_says_that_more_are_needed() -> None:
    """With minimumSources, weight alone is not enough, and it says so."""
    panel = Panel(policy(trip={"minimumSources": 2}))
    panel.happen(*"abc")
    assert texts(panel) == ["failures weigh 3, of 1 causes: minimumSources is 2"]


def test_a_trial_waits_for_its_placement_then_for_health() -> None:
    """What is not verified does not count; then healthyFor does."""
    panel = on_trial(placed=False)
    assert texts(panel) == ["the placement of its trial with 100 % is not verified yet"]
    panel.verify().wait(1)
    assert texts(panel) == ["not yet healthy for 30s with 100 %"]
    ahead = seen(panel).ahead
    assert ahead is not None
    assert (ahead.state, ahead.at) == (State.CLOSED, panel.now + 29_000)


def test_a_trial_that_goes_on_says_with_what() -> None:
    """The next share is what comes next."""
    ahead = seen(on_trial(recover={"trialShares": [50, 100]})).ahead
    assert ahead is not None
    assert (ahead.state, ahead.text) == (State.HALF_OPEN, "the trial goes on with 100 %")


def test_what_is_due_now_is_next() -> None:
    """When the clock is late, the edge that is to be taken is what comes next, and nothing blocks it."""
    panel = well().wait(10 * MINUTE)
    found = seen(panel)
    assert found.blocked == ()
    assert found.ahead is not None
    assert (found.ahead.at, found.ahead.state) == (panel.now, State.HALF_OPEN)


def test_many_leases_are_looked_through() -> None:
    """As many conditions as a record can have, each with a lease of its own, hide nothing."""
    panel = limited(trip={"openAt": 100_000})
    for number in range(300):
        panel.wait(1).tell(FailureDetected((alert(f"n{number}"),)))
    ahead = seen(panel).ahead
    assert ahead is not None
    assert (ahead.state, ahead.at) == (State.CLOSED, panel.now + 12 * HOUR * 1000 + 30_000)
