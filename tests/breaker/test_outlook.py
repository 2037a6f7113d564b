"""The outlook says what the table of edges does: what blocks, and what time alone brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker.outlook import Outlook, outlook
from fuseboard.breaker.state import State
from fuseboard.breaker.step import next_due
from fuseboard.breaker.transitions import edge
from fuseboard.events.types import Action, CapacityChanged, FailureDetected, LoadChanged, OperatorRequested
from fuseboard.policy.enums import Mode
from fuseboard.roles import Role
from fuseboard.testing.panel import HOUR, MINUTE, START, Panel, alert, limited, on_trial, opened, row_of
from fuseboard.testing.policies import policy
from tests.proofs.moments import Moment, delays, told, waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.policy.spec import Policy

signals = st.one_of(
    st.builds(FailureDetected, failures=told),
    st.builds(CapacityChanged, st.just(Role.TARGET), st.integers(0, 2), st.just(2), probe=st.sampled_from(["", "503"])),
    st.builds(LoadChanged, st.sampled_from([1.0, 99.0])),
    st.builds(
        OperatorRequested,
        st.sampled_from([Action.TRIP, Action.RESET, Action.HOLD, Action.RELEASE]),
        st.just("anna"),
        st.just("because"),
        st.sampled_from([0, 30_000, 3_600_000]),
    ),
)
sequences = st.lists(st.builds(Moment, waits, delays, st.booleans(), signals), max_size=20)
policies = st.sampled_from(
    [
        policy(),
        policy(mode="ForcedOpen"),
        policy(mode="Disabled"),
        policy(recover={"mode": "Manual"}),
        policy(
            target={"name": "login", "minReady": 2, "capacity": 10},
            trip={"minimumSources": 2, "limitFor": "5m"},
            recover={"coolDown": "1s", "maxCoolDown": "4s", "probe": {"http": "/"}, "trialShares": [50, 100]},
        ),
    ]
)


def seen(panel: Panel) -> Outlook:
    """Return the outlook of a panel as it is now."""
    return outlook(panel.row)


def played(chosen: Policy, sequence: list[Moment]) -> Panel:
    """Return a panel after a sequence."""
    panel = Panel(chosen)
    for each in sequence:
        panel.wait(each.wait / 1000)
        if each.verify:
            panel.verify()
        panel.tell(each.data, ago=each.delay / 1000)
    return panel


@given(policies, sequences, waits)
def test_what_is_blocked_has_no_edge(chosen: Policy, sequence: list[Moment], wait: int) -> None:
    """Where something blocks, the table has no edge; an open breaker without an edge is told what blocks it."""
    panel = played(chosen, sequence)
    panel.now += wait
    found = seen(panel)
    taken = edge(row_of(policy=panel.policy, state=found.row.state, placement=panel.placement))
    is_due = found.ahead is not None and found.ahead.at <= panel.now
    assert not found.blocked or taken is None
    assert found.blocked or is_due or found.row.state.state is State.CLOSED or taken is not None


@given(policies, sequences)
def test_what_is_next_comes_then(chosen: Policy, sequence: list[Moment]) -> None:
    """Told only what is due, the breaker stays until the time that the outlook names, and then does what it says."""
    panel = played(chosen, sequence)
    ahead = seen(panel).ahead
    before = (panel.breaker.epoch, panel.breaker.trial)
    while (due := next_due(panel.row)) is not None:
        if ahead is not None and due > ahead.at:
            break
        panel.now = due
        panel.tick()
        if (panel.breaker.epoch, panel.breaker.trial) != before:
            break
    if ahead is None:
        assert (panel.breaker.epoch, panel.breaker.trial) == before
    else:
        assert (panel.now, panel.state) == (ahead.at, ahead.state)
        assert panel.breaker.trial or panel.breaker.reason == ahead.text


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
