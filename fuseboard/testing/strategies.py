"""What a breaker may be told, for tests that say what holds whatever it is told: a new kind of signal goes in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from fuseboard.events.types import (
    Action,
    CapacityChanged,
    Failure,
    FailureDetected,
    FailureResolved,
    LoadChanged,
    OperatorRequested,
    Phase,
    TimerElapsed,
)
from fuseboard.roles import Role

if TYPE_CHECKING:
    from fuseboard.events.types import Data

NAMES: Final = "abc"
SEVERITIES: Final = ("", "info", "warning", "critical")

names = st.sampled_from(NAMES)
conditions = st.builds(
    lambda name, severity, start: Failure(
        key=f"{name}{start}", cause=name, condition=name, severity=severity, started_at=start
    ),
    names,
    st.sampled_from(SEVERITIES),
    st.sampled_from([0, 1_000]),
)
reasons = st.sampled_from(["", "", "OOMKilled", "ImagePullBackOff", "NodeNotReady", "BackOff"])
occurrences = st.builds(
    lambda number, cause, reason: Failure(key=f"{number}", cause=cause, reason=reason),
    st.integers(0, 9),
    names,
    reasons,
)
failures = st.lists(conditions | occurrences, min_size=1, max_size=3).map(tuple)

capacities = st.builds(
    CapacityChanged,
    role=st.sampled_from(Role),
    ready=st.integers(0, 2),
    desired=st.integers(0, 2),
    phase=st.sampled_from(Phase),
    probe=st.sampled_from(["", "", "ok", "503"]),
)
requests = st.builds(
    OperatorRequested,
    action=st.sampled_from(Action),
    operator=st.just("kim"),
    reason=st.just("a drill"),
    duration_ms=st.sampled_from([0, 0, 30_000, 700_000]),
)

signals: Final[st.SearchStrategy[Data]] = st.one_of(
    st.builds(FailureDetected, failures=failures),
    st.builds(FailureDetected, failures=failures),
    st.builds(FailureResolved, failures=failures),
    st.just(TimerElapsed(due_at=0)),
    capacities,
    st.builds(LoadChanged, load=st.sampled_from([0.0, 99.0, 101.0])),
    requests,
)


SPECS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"trip": {"limitFor": "5m", "minimumSources": 2}, "signals": {"repeatInterval": "10m"}},
    {"trip": {"limitAt": 1, "openAt": 2, "window": "10m"}, "recover": {"coolDown": "1s", "maxCoolDown": "4s"}},
    {"mode": "Observe"},
    {"mode": "ForcedOpen", "target": {"name": "login", "capacity": 100}},
    {"mode": "Disabled"},
    {
        "target": {"name": "login", "minReady": 2, "capacity": 100},
        "standby": {"name": "login-standby", "capacity": 50},
        "trip": {"classes": {"configuration": "Limit", "node": "Journal"}, "tripOnCritical": False},
        "recover": {"trialShares": [50, 100], "maxTrial": "2m"},
    },
    {"dependsOn": ["db"]},
    {"recover": {"mode": "Manual", "probe": {"http": "/healthz"}}},
)
"""Parts of policies that differ in what they make of the same signals."""
