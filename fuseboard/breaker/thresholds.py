"""Thresholds of capacity: too few ready pods, too much load, a probe that fails.

Pure. A threshold is not exceeded by numbers that are unknown or too old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuseboard.breaker.state import CAPACITY_LEASE_MS, LOAD_LEASES
from fuseboard.events.types import Phase
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from fuseboard.breaker.row import Row

PROBE_OK: Final = "ok"


def lacking_at(row: Row, since: int = 0) -> int | None:
    """Return when the target will have had too few ready pods for too long; None where it has enough."""
    known = row.state.capacity.get(Role.TARGET)
    if known is None or not known.short_since or known.phase is Phase.FRESH:
        return None
    trip = row.policy.spec.trip
    patience = trip.ready_for if known.phase is Phase.STEADY else trip.rollout_for
    return max(known.short_since, since) + duration_ms(patience)


def unknown_at(row: Row) -> int:
    """Return when the last report of the target's ready pods becomes too old; 0 without a report."""
    known = row.state.capacity.get(Role.TARGET)
    return known.seen + CAPACITY_LEASE_MS if known is not None else 0


def lack(row: Row) -> str:
    """Describe how many pods are ready, and how many must be."""
    known = row.state.capacity[Role.TARGET]
    least = min(row.policy.spec.target.min_ready, known.desired)
    during = "" if known.phase is Phase.STEADY else f" (during a {known.phase})"
    pods = "1 pod is" if known.ready == 1 else f"{known.ready or 'no'} pods are"
    return f"{pods} ready, minReady is {least}{during}"


def is_overloaded(row: Row, after: int) -> bool:
    """Say whether a load above the target's capacity was reported after a time, and is not too old."""
    capacity, load = row.policy.spec.target.capacity, row.state.load
    if capacity is None or load is None:
        return False
    return load.value > capacity and load.seen > max(after, row.state.clock - load_lease(row))


def overload(row: Row) -> str:
    """Describe the load and the target's capacity."""
    value = row.state.load.value if row.state.load is not None else 0.0
    return f"the load is {value:g}, the target's capacity is {row.policy.spec.target.capacity:g}"


def load_lease(row: Row) -> int:
    """Return for how long a load is valid, in milliseconds."""
    asked = row.policy.spec.signals.load
    return LOAD_LEASES * duration_ms(asked.every if asked is not None else "15s")


def is_probe_failing(row: Row) -> bool:
    """Say whether the policy's probe of the target's pods is known to fail."""
    known = row.state.capacity.get(Role.TARGET)
    if row.policy.spec.recover.probe is None or known is None or known.seen <= row.state.clock - CAPACITY_LEASE_MS:
        return False
    return known.probe not in ("", PROBE_OK)
