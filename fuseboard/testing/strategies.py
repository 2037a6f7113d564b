"""Hypothesis strategies for property tests: every kind of signal, and values for a structural schema.

A new kind of signal is added to ``signals``.
"""

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
    from collections.abc import Callable

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
"""Parts of policies with different decisions on the same signals."""
DURATIONS: Final = (
    "100s",
    "1m30s",
    "1h",
    "999ms",
    "1s",
    "720h",
    "43200m",
    "2592000001ms",
    "99999h99999h",
    "0s",
    "1d",
    "",
)
_OBJECT_NAMES: Final = (*["login", "login-standby", "a", "b", "c"] * 3, "9", "-a", "a.b", "A", "", "a" * 63, "a" * 64)
MATCHERS: Final = (
    'a="b"', "a=b", "a=", 'a=~"b|c"', 'a!~"x.*"', ' a = "b" ', 'a="\\""', 'a=~"\\\\d+"', 'a=~"\\\\\\""', 'a="\n"',
    "a=~é+", 'a=~"(?i)x"', 'a=~"(?<n>x)"', 'a=~"\\pL"', 'a=~"\\\\\\\\"', 'a="=~("', 'a=~"b\\"c"', "a=b\n",
    # Invalid matchers, or an invalid regular expression.
    "a==b", 'a=~"("', "", "a", 'a="b', 'a=~"\\d{2,1}"', "a=~[", 'a!~"[[:foo:]]"', "a=b c", 'a=~"\\\\"', "ä=b",
    'a=~"(?!x)"', "1a=b",
    # Spaces to some parsers.
    "a\u2003=b", "a=b\u2003", "a=\x1cb", "a=\xa0",
)  # fmt: skip
PATHS: Final = ("/", "/healthz", "healthz", "/a b", "/ä", "/\n")
_TEXTS: Final = {"duration": DURATIONS, "lower case letters": _OBJECT_NAMES, "matcher": MATCHERS, "path": PATHS}


def values_like(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values for a structural schema; a few violate the schema."""
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "other"])
    return _KINDS[schema["type"]](schema)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    members = schema.get("properties")
    if members is None:
        return st.dictionaries(
            st.sampled_from(["a", "warning", "B c"]),
            values_like(schema["additionalProperties"]) | st.none(),
            max_size=2,
        )
    needed = {name: values_like(member) for name, member in members.items() if name in schema.get("required", ())}
    free = {name: values_like(member) | st.none() for name, member in members.items() if name not in needed}
    # Few fields at a time: an error in the first must not hide an error in its neighbour.
    return st.sampled_from([(), *((name,) for name in free), *zip(free, list(free)[1:], strict=False)]).flatmap(
        lambda chosen: st.fixed_dictionaries({**needed, **{name: free[name] for name in chosen}})
    )


def _arrays(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.lists(values_like(schema["items"]) | st.none(), max_size=3)


def _strings(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    text = str(schema)
    known = next((values for word, values in _TEXTS.items() if word in text), ("", "up", "x" * 3000))
    return st.sampled_from(known)


def _numbers(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", 0), schema.get("maximum", 10**12)
    edges = {low - 1, low, low + 1, 3, 50, 100, high, high + 1}
    return st.sampled_from([*sorted(edges), 1.0, 2.5])


def _booleans(_: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.booleans()


_KINDS: Final[dict[str, Callable[[dict[str, Any]], st.SearchStrategy[Any]]]] = {
    "object": _objects,
    "array": _arrays,
    "string": _strings,
    "integer": _numbers,
    "number": _numbers,
    "boolean": _booleans,
}
