"""The conditions in a CircuitBreaker's status that describe its breaker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard.breaker.state import State
from fuseboard.times import kubernetes_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState
    from fuseboard.cluster import Manifest

MESSAGE_LENGTH: Final = 1024
"""The most characters of a text in a status or an Event."""

READY: Final = "Ready"
TRIPPED: Final = "Tripped"
DEPENDENCY_OPEN: Final = "DependencyOpen"
BREAKER_CONDITIONS: Final = (READY, TRIPPED, DEPENDENCY_OPEN)
"""Types of the conditions below, in their order."""

_TITLES: Final = {State.CLOSED: "Closed", State.LIMITED: "Limited", State.OPEN: "Open", State.HALF_OPEN: "HalfOpen"}


def condition(before: Manifest, kind: str, *, holds: bool, reason: str, message: str, now: int) -> Manifest:
    """Return a condition as Kubernetes writes it.

    Args:
        before: the present status; if it has the condition with the same status, its time stays.
        kind: the type of the condition.
        holds: whether the condition is true.
        reason: why, in one word for programs.
        message: why, for people; cut to ``MESSAGE_LENGTH``.
        now: the time of a change, in milliseconds since 1970.

    """
    status = "True" if holds else "False"
    known: Manifest = next((each for each in before.get("conditions") or () if each.get("type") == kind), {})
    since = known.get("lastTransitionTime") if known.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message[:MESSAGE_LENGTH],
        "lastTransitionTime": since or kubernetes_timestamp(now),
    }


def breaker_conditions(row: Row, before: Manifest, dependencies: Mapping[str, State | None]) -> list[Manifest]:
    """Return the conditions of a breaker; ``before`` is the present status, ``dependencies`` are states by name."""
    return [_ready(row, before), _tripped(row.state, before, row.now), *_dependency_open(before, dependencies, row.now)]


def _ready(row: Row, before: Manifest) -> Manifest:
    """Return whether the traffic is where the breaker wants it."""
    placement = row.placement
    if row.is_behind:
        reason, message = "Owed", f"asked for {row.wanted}; as yet {placement.shares}"
    else:
        reason, message = placement.result.value.capitalize(), placement.reason or str(placement.shares)
    return condition(before, READY, holds=not row.owed, reason=reason, message=message, now=row.now)


def _tripped(state: BreakerState, before: Manifest, now: int) -> Manifest:
    """Return whether the breaker limits, moves or tries the traffic of its target."""
    is_tripped, reason = state.state is not State.CLOSED, _TITLES[state.state]
    return condition(before, TRIPPED, holds=is_tripped, reason=reason, message=state.reason, now=now)


def _dependency_open(before: Manifest, dependencies: Mapping[str, State | None], now: int) -> list[Manifest]:
    """Return whether a dependency is open; without dependencies, no condition."""
    if not dependencies:
        return []
    names = sorted(name for name, state in dependencies.items() if state is State.OPEN)
    reason = "DependencyOpen" if names else "DependenciesServe"
    message = f"open: {', '.join(names)}" if names else "no breaker of spec.dependsOn is open"
    return [condition(before, DEPENDENCY_OPEN, holds=bool(names), reason=reason, message=message, now=now)]
