"""What kind of failure it is, whether it is critical, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fuseboard.breaker.criticality import MAX_PAST, Past, class_of, judge, remember, table
from fuseboard.events.types import Failure
from fuseboard.policy.enums import FailureClass
from fuseboard.testing.panel import HOUR, START, Panel
from fuseboard.testing.policies import policy
from fuseboard.workloads.events import HARMLESS, NORMAL_FAILURES

if TYPE_CHECKING:
    from fuseboard.policy.spec import Policy

DAY = 24 * HOUR * 1_000


def failure(reason: str, *chain: str, severity: str = "", condition: str = "") -> Failure:
    """Return a failure of a pod."""
    cause = f"{reason} Pod/login-0"
    return Failure(key=reason, cause=cause, condition=condition, severity=severity, reason=reason, chain=chain)


def critical(told: Failure, past: dict[str, Past] | None = None, **rules: Any) -> str:  # noqa: ANN401  - parts of a spec
    """Return by which rule a failure is critical."""
    return judge(told, policy(criticality=rules), past or {}, START).critical


# -- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    """Every row has a class, no reason is there twice, and what the watcher counts is in it."""
    rows = table()
    assert len(rows) > 100
    assert {row.class_ for row in rows.values()} == set(FailureClass)
    assert set(NORMAL_FAILURES) <= rows.keys()
    assert not [reason for reason, row in rows.items() if row.severity and row.worth > 1]


def test_what_does_no_harm_is_not_worth_more() -> None:
    """A reason that is never counted needs no worth."""
    assert all(table()[reason].worth == 1 for reason in HARMLESS & table().keys())


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("OOMKilled", "runtime"),
        ("Unhealthy", "runtime"),
        ("BackOff", "runtime"),
        ("KubePodCrashLooping", "runtime"),
        ("FailedMount", "configuration"),
        ("ImagePullBackOff", "configuration"),
        ("CreateContainerConfigError", "configuration"),
        ("KubeContainerWaiting", "configuration"),
        ("FailedCreatePodSandBox", "network"),
        ("NodeNetworkReceiveErrs", "network"),
        ("NodeNotReady", "node"),
        ("KubeNodeUnreachable", "node"),
        ("HighErrorRate", "runtime"),
        ("", "runtime"),
    ],
)
def test_classes(reason: str, kind: str) -> None:
    """Runtime, configuration, network and node are told apart; what nobody knows is a service's fault: runtime."""
    assert class_of(reason, (), policy()) == kind


def test_the_root_cause_decides_the_class() -> None:
    """Behind a BackOff is an image that cannot be pulled: not the program is broken, but what was rolled out."""
    assert class_of("BackOff", ("ImagePullBackOff",), policy()) is FailureClass.CONFIGURATION
    assert class_of("Unhealthy", ("BackOff", "OOMKilled"), policy()) is FailureClass.RUNTIME
    assert class_of("BackOff", ("nobody knows it",), policy()) is FailureClass.RUNTIME


def test_a_policy_overrides_the_table() -> None:
    """Class, severity and weight, each by itself; of its own reason before that of any cause."""
    own = policy(
        signals={
            "failures": {
                "BackOff": {"class": "network"},
                "OOMKilled": {"weight": 7},
                "KubePodNotReady": {"severity": "critical"},
                "Mine": {"class": "node"},
            }
        }
    )
    assert class_of("BackOff", ("ImagePullBackOff",), own) is FailureClass.NETWORK
    assert class_of("Unhealthy", ("Mine",), own) is FailureClass.NODE
    assert judge(failure("OOMKilled"), own, {}, START).weight == 7
    told = judge(failure("KubePodNotReady", severity="warning", condition="c"), own, {}, START)
    assert (told.weight, told.critical) == (10, "severity critical")


def test_the_table_gives_an_alert_without_severity_its_own() -> None:
    """An info alert that lost its label weighs nothing; one that is not in the table is a warning."""
    assert judge(failure("CPUThrottlingHigh", condition="c"), policy(), {}, START).weight == 0
    assert judge(failure("KubeletDown", condition="c"), policy(), {}, START).weight == 10
    assert judge(failure("Nobody", condition="c"), policy(), {}, START).weight == 3


def test_worth_multiplies_what_an_occurrence_weighs() -> None:
    """An OOM kill counts for two; where occurrences weigh nothing, neither does it."""
    assert judge(failure("OOMKilled"), policy(), {}, START).weight == 2
    assert judge(failure("OOMKilled"), policy(signals={"weights": {"occurrence": 3}}), {}, START).weight == 6
    assert judge(failure("OOMKilled"), policy(signals={"weights": {"occurrence": 0}}), {}, START).weight == 0


# -- by itself -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "is_critical"), [("critical", True), ("page", True), ("warning", False)])
def test_a_severity_is_critical_by_itself(severity: str, *, is_critical: bool) -> None:
    """The verdict names the severity."""
    told = critical(failure("HighErrorRate", severity=severity, condition="c"))
    assert told == (f"severity {severity}" if is_critical else "")


def test_a_rule_makes_critical_and_is_named() -> None:
    """By its name, or by its matchers where it has none."""
    rule = {"match": ['reason="OOMKilled"', 'kind="Pod"']}
    assert critical(failure("OOMKilled"), rules=[rule]) == 'rule reason="OOMKilled", kind="Pod"'
    assert critical(failure("OOMKilled"), rules=[{**rule, "name": "oom"}]) == "rule oom"
    assert not critical(failure("Error"), rules=[rule])


@pytest.mark.parametrize(
    "matcher",
    ['class="runtime"', 'severity=""', 'name=~"login-.*"', 'container=""', 'reason!="BackOff"'],
)
def test_what_rules_can_match(matcher: str) -> None:
    """All that is known of a failure."""
    assert critical(failure("OOMKilled"), rules=[{"match": [matcher]}])


def test_the_first_rule_that_matches_decides() -> None:
    """One that says no is final: neither severity, nor cause, nor past make it critical."""
    rules = [
        {"match": ['reason="Batch"'], "critical": False},
        {"match": ['class="runtime"']},
    ]
    told = failure("Batch", "OOMKilled", severity="critical", condition="c")
    assert not critical(told, {"Batch": Past(9, START)}, rules=rules)
    assert critical(failure("Other"), rules=rules)


# -- by its causes ---------------------------------------------------------------------------------------------------


def test_a_critical_cause_makes_critical() -> None:
    """A BackOff is not critical; one behind which is an OOM kill is, where OOM kills are."""
    rules = [{"match": ['reason="OOMKilled"'], "name": "oom"}]
    assert critical(failure("BackOff", "Error", "OOMKilled"), rules=rules) == "caused by OOMKilled: rule oom"
    assert not critical(failure("BackOff", "Error"), rules=rules)


def test_a_causes_own_class_and_severity_are_looked_at() -> None:
    """Not those of the failure that it led to."""
    rules = [{"match": ['class="configuration"', 'severity=""'], "name": "config"}]
    told = failure("KubePodNotReady", "ErrImagePull", "Error", severity="warning", condition="c")
    assert critical(told, rules=rules) == "caused by ErrImagePull: rule config"


# -- by the past -----------------------------------------------------------------------------------------------------


def test_a_reason_that_was_critical_often_is_critical() -> None:
    """Three times of late, by default; the verdict says how often."""
    past = {"HighErrorRate": Past(3, START)}
    told = failure("HighErrorRate", severity="warning", condition="c")
    assert critical(told, past) == "HighErrorRate was critical 3.0 times of late, pastAt is 3"
    assert not critical(told, {"HighErrorRate": Past(2.4, START)})
    assert not critical(failure("Other", severity="warning", condition="c"), past)


def test_a_cause_that_was_critical_often_is_critical() -> None:
    """The past of what led to it counts as well."""
    assert critical(failure("BackOff", "OOMKilled"), {"OOMKilled": Past(3, START)})


def test_the_past_fades_by_half_in_each_half_life() -> None:
    """Six times, a day ago, are three; two days ago they are one and a half."""
    told = failure("HighErrorRate", severity="warning", condition="c")
    past = {"HighErrorRate": Past(6, START)}
    assert judge(told, policy(), past, START + DAY).critical
    assert not judge(told, policy(), past, START + 2 * DAY).critical
    assert judge(told, policy(criticality={"halfLife": "48h"}), past, START + 2 * DAY).critical


def test_the_past_is_remembered_once_per_cool_down() -> None:
    """A burst is one time; the next one, after the cool-down, is another."""
    past = remember({}, "x", policy(), START)
    assert past == {"x": Past(1, START)}
    assert remember(past, "x", policy(), START + 99_999) == past
    later = remember(past, "x", policy(), START + 100_000)["x"]
    assert (round(later.score, 2), later.at) == (2.0, START + 100_000)


def test_what_has_faded_is_forgotten() -> None:
    """Two half-lives and a little later, one time is nothing."""
    past = remember({"old": Past(1, START), "new": Past(1, START + DAY)}, "x", policy(), START + 2 * DAY + 1)
    assert set(past) == {"new", "x"}


def test_the_past_is_capped() -> None:
    """The reason that was not critical for the longest time goes."""
    past = {f"r{number}": Past(1, START + number) for number in range(MAX_PAST)}
    kept = remember(past, "x", policy(), START + HOUR)
    assert len(kept) == MAX_PAST
    assert "r0" not in kept


def test_the_past_outlives_its_episode_and_escalates() -> None:
    """Critical three times, with its episodes: then a mere warning of the same name opens at once."""
    panel = Panel(policy(recover={"coolDown": "1s", "maxCoolDown": "10s", "healthyFor": "1s"}))
    for _ in range(3):
        panel.fire("down", severity="critical")
        panel.wait(1).resolve("down")
        panel.wait(1).tick()
        panel.verify().wait(1).tick()
        panel.wait(1900)
    told = panel.fire("down").weighed[0]
    assert panel.at(panel.state.OPEN)
    assert told.critical.startswith("down was critical 2.9 times of late")


def test_the_past_alone_does_not_feed_itself() -> None:
    """What is critical only by the past is no new time."""
    panel = Panel(policy())
    panel.breaker = replace(panel.breaker, past={"down": Past(3, START)})
    panel.fire("down")
    assert panel.breaker.past["down"].score == 3


# -- always ----------------------------------------------------------------------------------------------------------

reasons = st.sampled_from([*sorted(table()), "", "Nobody", "HighErrorRate"])
failures = st.builds(
    failure,
    reasons,
    st.lists(reasons, max_size=3).map(lambda found: found[0] if found else "Error"),
    severity=st.sampled_from(["", "none", "info", "warning", "critical", "page", "odd"]),
    condition=st.sampled_from(["", "c"]),
)
pasts = st.dictionaries(reasons, st.builds(Past, st.floats(0, 20), st.integers(START - DAY, START)), max_size=4)
leads = st.sampled_from(["Open", "Limit", "Journal"])
policies = st.builds(
    lambda kind: policy(trip={"classes": dict.fromkeys([each.value for each in FailureClass], kind)}), leads
)


@given(failures.filter(lambda each: each.cause), policies, pasts)
def test_only_what_weighs_and_may_open_is_critical(told: Failure, chosen: Policy, past: dict[str, Past]) -> None:
    """A verdict is critical only with a weight, never where its class only limits, and always says why."""
    verdict = judge(told, chosen, past, START)
    assert not verdict.critical or (verdict.weight and not verdict.limits_only)
    assert not verdict.critical_by or verdict.critical
    assert verdict.critical_by in ("", told.name, *told.chain)
