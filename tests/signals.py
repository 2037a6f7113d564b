"""What a breaker may be told, for tests that say what holds whatever it is told: a new kind of signal goes in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from fuseboard.events import Failure, FailureDetected, FailureResolved, TimerElapsed
from fuseboard.validation import parse

if TYPE_CHECKING:
    from fuseboard.events import Data
    from fuseboard.policy import Policy

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
occurrences = st.builds(lambda number, cause: Failure(key=f"{number}", cause=cause), st.integers(0, 9), names)
failures = st.lists(conditions | occurrences, min_size=1, max_size=3).map(tuple)

signals: Final[st.SearchStrategy[Data]] = st.one_of(
    st.builds(FailureDetected, failures=failures),
    st.builds(FailureDetected, failures=failures),
    st.builds(FailureResolved, failures=failures),
    st.just(TimerElapsed(due_at=0)),
)


def policy_of(namespace: str, name: str = "login", **parts: Any) -> Policy:  # noqa: ANN401  - parts of a document
    """Return a policy with these parts of its spec, by which a Service can be moved."""
    spec = {
        "mode": "Enforce",
        "target": {"name": name},
        "standby": {"name": f"{name}-standby"},
        "route": {"name": name, "selectors": {role: {"app": name, "track": role} for role in ("target", "standby")}},
        **parts,
    }
    metadata = {"name": name, "namespace": namespace}
    return parse(
        {"apiVersion": "fuseboard.dev/v1alpha1", "kind": "CircuitBreaker", "metadata": metadata, "spec": spec}, ""
    )


SPECS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"trip": {"limitFor": "5m", "minimumSources": 2}, "signals": {"repeatInterval": "10m"}},
    {"trip": {"limitAt": 1, "openAt": 2, "window": "10m"}, "recover": {"coolDown": "1s", "maxCoolDown": "4s"}},
    {"mode": "Observe"},
)
"""Parts of policies that differ in what they make of the same signals."""
