"""The status of a CircuitBreaker, from the row of its breaker; the schema is in ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from fuseboard.crd.conditions import BREAKER_CONDITIONS, MESSAGE_LENGTH, breaker_conditions
from fuseboard.roles import Role
from fuseboard.times import kubernetes_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState, State
    from fuseboard.cluster import Manifest

_FIELDS: Final = frozenset({
    "state", "epoch", "since", "reason", "serving", "ready", "standby", "mode", "placement", "dependencies",
})  # fmt: skip
"""Fields of the status that describe the breaker; all others describe the acceptance of the policy."""


def status_of(row: Row, before: Manifest, dependencies: Mapping[str, State | None]) -> Manifest:
    """Return the status of a breaker.

    Args:
        row: the breaker.
        before: the present status; unchanged conditions keep their times from there.
        dependencies: the states of the breakers in ``dependsOn``, by name; None for an unknown breaker.

    """
    state, placement = row.state, row.placement
    status: dict[str, Any] = {
        "state": state.state.value,
        "epoch": state.epoch,
        "since": kubernetes_timestamp(state.since) if state.since else None,
        "reason": state.reason[:MESSAGE_LENGTH],
        "serving": str(placement.shares),
        "ready": _ready_pods(state, Role.TARGET),
        "standby": _ready_pods(state, Role.STANDBY),
        "mode": row.mode.value,
        "placement": _placement(placement),
        "dependencies": [_dependency(name, their) for name, their in sorted(dependencies.items())],
        "conditions": breaker_conditions(row, before, dependencies),
    }
    return {name: value for name, value in status.items() if value not in ("", None, [])}


def renews(status: Manifest, before: Manifest) -> bool:
    """Say whether a status differs from the present status and is not older."""
    if _fence(status) < _fence(before):
        return False
    known = {name: value for name, value in before.items() if name in _FIELDS}
    conditions = [each for each in before.get("conditions") or () if each.get("type") in BREAKER_CONDITIONS]
    ordered = sorted(conditions, key=lambda each: BREAKER_CONDITIONS.index(each["type"]))
    return status != {**known, "conditions": ordered}


def _fence(status: Manifest) -> tuple[int, int, int]:
    placement = status.get("placement") or {}
    return status.get("epoch") or 0, placement.get("epoch") or 0, placement.get("step") or 0


def _placement(placement: Placement) -> Manifest:
    status = {
        "epoch": placement.epoch,
        "step": placement.step,
        "shares": msgspec.to_builtins(placement.shares),
        "result": placement.result.value,
        "reason": placement.reason[:MESSAGE_LENGTH],
        "verifiedAt": kubernetes_timestamp(placement.verified_at) if placement.verified_at else None,
    }
    return {name: value for name, value in status.items() if value not in ("", None)}


def _ready_pods(state: BreakerState, role: Role) -> str:
    known = state.capacity.get(role)
    return f"{known.ready}/{known.desired}" if known is not None else ""


def _dependency(name: str, state: State | None) -> Manifest:
    return {"name": name} | ({"state": state.value} if state is not None else {})
