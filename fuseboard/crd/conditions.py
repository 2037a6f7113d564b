"""What a CircuitBreaker's status says of its breaker, and the Kubernetes Event that tells of a transition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from fuseboard.breaker.state import State
from fuseboard.cluster.names import NORMAL, OWN, WARNING
from fuseboard.crd.resource import MESSAGE_LENGTH, condition
from fuseboard.events.event import digest
from fuseboard.events.types import BreakerLimited, BreakerOpened
from fuseboard.roles import Role
from fuseboard.times import kubernetes_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.placement import Placement
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState
    from fuseboard.crd.resource import Manifest
    from fuseboard.events.types import BreakerMoved
    from fuseboard.policy.spec import Policy


_MOVED_BY_US: Final = frozenset({
    "state", "epoch", "since", "reason", "serving", "ready", "standby", "mode", "placement", "dependencies",
})  # fmt: skip
_OURS: Final = ("Ready", "Tripped", "DependencyOpen")
_TITLES: Final = {State.CLOSED: "Closed", State.LIMITED: "Limited", State.OPEN: "Open", State.HALF_OPEN: "HalfOpen"}


def status_of(
    row: Row,
    before: Manifest,
    dependencies: Mapping[str, State | None],
) -> Manifest:
    """Return the status of a breaker; ``before`` is what it said until now, for the times of its conditions."""
    breaker, placement, now = row.state, row.placement, row.now
    said: dict[str, Any] = {
        "state": breaker.state.value,
        "epoch": breaker.epoch,
        "since": kubernetes_timestamp(breaker.since) if breaker.since else None,
        "reason": breaker.reason[:MESSAGE_LENGTH],
        "serving": str(placement.shares),
        "ready": _pods(breaker, Role.TARGET),
        "standby": _pods(breaker, Role.STANDBY),
        "mode": row.mode.value,
        "placement": _placement(placement),
        "dependencies": [_dependency(name, state) for name, state in sorted(dependencies.items())],
        "conditions": [
            _ready(row, before),
            _tripped(breaker, before, now),
            *_dependency_open(before, dependencies, now),
        ],
    }
    return {name: value for name, value in said.items() if value not in ("", None, [])}


def renews(status: Manifest, before: Manifest) -> bool:
    """Say whether a status tells anything new, and nothing older than what was said until now."""
    if _fence(status) < _fence(before):
        return False
    known = {name: value for name, value in before.items() if name in _MOVED_BY_US}
    conditions = [each for each in before.get("conditions") or () if each.get("type") in _OURS]
    return status != {**known, "conditions": sorted(conditions, key=lambda each: _OURS.index(each["type"]))}


def event_of(policy: Policy, moved: BreakerMoved, uid: str) -> Manifest:
    """Return the Event that tells of a transition, on the target; its name follows from the transition."""
    target, namespace = policy.spec.target, policy.namespace
    name = digest(policy.key, str(moved.epoch), str(moved.since))[:16]
    is_bad = isinstance(moved, BreakerLimited | BreakerOpened)
    about = {"apiVersion": "apps/v1", "kind": target.kind.value, "namespace": namespace, "name": target.name}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{policy.metadata.name}.{name}", "namespace": namespace},
        "involvedObject": about | ({"uid": uid} if uid else {}),
        "type": WARNING if is_bad else NORMAL,
        "reason": type(moved).__name__,
        "message": f"breaker {policy.metadata.name}: {moved.previous} → {moved.state}: {moved.reason}"[:MESSAGE_LENGTH],
        "source": {"component": OWN},
        "reportingComponent": OWN,
        "reportingInstance": OWN,
        "firstTimestamp": kubernetes_timestamp(moved.since),
        "lastTimestamp": kubernetes_timestamp(moved.since),
        "count": 1,
    }


def _fence(status: Manifest) -> tuple[int, int, int]:
    placement = status.get("placement") or {}
    return status.get("epoch") or 0, placement.get("epoch") or 0, placement.get("step") or 0


def _placement(placement: Placement) -> Manifest:
    said = {
        "epoch": placement.epoch,
        "step": placement.step,
        "shares": msgspec.to_builtins(placement.shares),
        "result": placement.result.value,
        "reason": placement.reason[:MESSAGE_LENGTH],
        "verifiedAt": kubernetes_timestamp(placement.verified_at) if placement.verified_at else None,
    }
    return {name: value for name, value in said.items() if value not in ("", None)}


def _pods(breaker: BreakerState, role: Role) -> str:
    known = breaker.capacity.get(role)
    return f"{known.ready}/{known.desired}" if known is not None else ""


def _dependency(name: str, state: State | None) -> Manifest:
    return {"name": name} | ({"state": state.value} if state is not None else {})


def _ready(row: Row, before: Manifest) -> Manifest:
    """Return whether the traffic is where the breaker wants it."""
    placement = row.placement
    if row.is_behind:
        reason, message = "Owed", f"asked for {row.wanted}; as yet {placement.shares}"
    else:
        reason, message = placement.result.value.capitalize(), placement.reason or str(placement.shares)
    so = not row.owed
    return condition(before, "Ready", so=so, reason=reason, message=message, now=row.now)


def _tripped(breaker: BreakerState, before: Manifest, now: int) -> Manifest:
    so, reason = breaker.state is not State.CLOSED, _TITLES[breaker.state]
    return condition(before, "Tripped", so=so, reason=reason, message=breaker.reason, now=now)


def _dependency_open(before: Manifest, dependencies: Mapping[str, State | None], now: int) -> list[Manifest]:
    if not dependencies:
        return []
    names = sorted(name for name, state in dependencies.items() if state is State.OPEN)
    reason = "DependencyOpen" if names else "DependenciesServe"
    message = f"open: {', '.join(names)}" if names else "no breaker of spec.dependsOn is open"
    return [condition(before, "DependencyOpen", so=bool(names), reason=reason, message=message, now=now)]
