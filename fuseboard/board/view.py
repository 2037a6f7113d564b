"""One breaker as people want it: as JSON, for the API and for the command line."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.outlook import outlook
from fuseboard.breaker.state import Dependency, State
from fuseboard.errors import NotEnrolled, RecordCorrupt
from fuseboard.stores.records import dues
from fuseboard.times import duration_ms, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fuseboard.breaker.evidence import Occurrence
    from fuseboard.breaker.outlook import Outlook
    from fuseboard.breaker.row import Row
    from fuseboard.breaker.state import BreakerState
    from fuseboard.policy.spec import Policy
    from fuseboard.stores import Store
    from fuseboard.stores.records import Entry

HOLD: Final = "Hold"
"""The mode that is shown while an operator lets nothing move a breaker."""


def views(store: Store) -> list[dict[str, Any]]:
    """Return all breakers, in order of their names."""
    records = {key: store.read(key) for key in sorted(store.table())}
    return [_view(record, _stand(record, records)) for record in records.values()]


def whole_view(store: Store, key: str) -> dict[str, Any]:
    """Return one breaker, with what weighs, what was critical before, and what comes next.

    Raises:
        NotEnrolled, RecordCorrupt, StoreUnavailable: as ``Store.read``.

    """
    record = store.read(key)
    dependencies = _stand(record, _read(store, record))
    seen = outlook(record, dependencies)
    return {
        **_view(record, dependencies),
        "weight": seen.row.state.weight,
        "causes": seen.row.state.causes,
        "now": rfc3339(record.now),
        "outlook": _outlook(seen),
        "weighing": _weighing(seen.row),
        "past": _past(seen.row),
    }


def told(entry: Entry) -> dict[str, Any]:
    """Return an entry of the journal."""
    content: dict[str, Any] = msgspec.to_builtins(entry)
    return {"at": rfc3339(entry.now), **content}


def _view(record: Row, dependencies: tuple[Dependency, ...]) -> dict[str, Any]:
    breaker, placement, policy = record.state, record.placement, record.policy
    return {
        "namespace": policy.namespace,
        "name": policy.metadata.name,
        "state": breaker.state,
        "epoch": breaker.epoch,
        "mode": HOLD if breaker.is_held else record.mode,
        "acts": policy.spec.mode.acts,
        "override": _override(breaker),
        "latched": breaker.latched,
        "since": rfc3339(breaker.since),
        "reason": breaker.reason,
        "weight": breaker.weight,
        "causes": breaker.causes,
        "trial": _trial(record),
        "capacity": _capacity(record),
        "load": breaker.load and {"value": breaker.load.value, "seen": rfc3339(breaker.load.seen)},
        "dependsOn": [
            {"name": each.name, "state": each.state, "verifiedAt": rfc3339(each.verified)} for each in dependencies
        ],
        "attributed": [
            {"cause": each.cause, "to": each.attributed} for each in breaker.conditions.values() if each.attributed
        ],
        "placement": {
            "epoch": placement.epoch,
            "step": placement.step,
            "shares": placement.shares,
            "result": placement.result,
            "reason": placement.reason,
            "rehearsed": placement.rehearsed,
            "verifiedAt": rfc3339(record.verified_since),
            "owed": record.owed,
        },
        "due": {kind: rfc3339(moment) for kind, moment in dues(record).items()},
        "policy": policy.spec,
    }


def _override(breaker: BreakerState) -> dict[str, Any] | None:
    if breaker.override is None:
        return None
    set_by = breaker.override
    times = {"since": rfc3339(set_by.since), "until": rfc3339(set_by.until)}
    return {"action": set_by.action, "operator": set_by.operator, "reason": set_by.reason, **times}


def _trial(record: Row) -> dict[str, Any] | None:
    breaker = record.state
    if breaker.state is not State.HALF_OPEN:
        return None
    shares = record.policy.spec.recover.shares
    since = rfc3339(breaker.trial_since or breaker.since)
    return {"share": record.wanted.target, "number": breaker.trial + 1, "of": len(shares), "since": since}


def _capacity(record: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for role, known in record.state.capacity.items():
        workload = getattr(record.policy.spec, role)
        found[role] = {
            "ready": f"{known.ready}/{known.desired}",
            "minReady": workload.min_ready if workload is not None else 0,
            "phase": known.phase,
            "probe": known.probe,
            "seen": rfc3339(known.seen),
            "shortSince": rfc3339(known.short_since),
        }
    return found


def _outlook(seen: Outlook) -> dict[str, Any]:
    ahead = seen.ahead
    return {
        "blocked": [{"text": each.text, "until": rfc3339(each.until)} for each in seen.blocked],
        "ahead": ahead and {"at": rfc3339(ahead.at), "state": ahead.state, "text": ahead.text},
        "evidence": seen.evidence,
    }


def _weighing(record: Row) -> list[dict[str, Any]]:
    """Return what weighs now by cause, the heaviest first; what is put down to a dependency weighs nothing."""
    rows: dict[tuple[str, bool], list[Occurrence | Condition]] = {}
    for each in (*record.state.weighing, *(each for each in record.state.conditions.values() if each.attributed)):
        rows.setdefault((each.cause, isinstance(each, Condition)), []).append(each)
    found = [_weighs(cause, each, record.policy) for (cause, _), each in rows.items()]
    return sorted(found, key=lambda row: -row["weight"])


def _weighs(cause: str, found: list[Occurrence | Condition], policy: Policy) -> dict[str, Any]:
    first, seen = found[0], max(each.seen for each in found)
    is_condition = isinstance(first, Condition)
    lasts = policy.spec.signals.lease_ms if is_condition else duration_ms(policy.spec.trip.window)
    attributed = first.attributed if isinstance(first, Condition) else ""
    since = min(each.since if isinstance(each, Condition) else each.seen for each in found)
    return {
        "cause": cause,
        "kind": "condition" if is_condition else "occurrence",
        "count": len(found),
        "weight": 0 if attributed else sum(each.weight for each in found),
        "critical": any(each.critical for each in found),
        "limitsOnly": all(each.limits_only for each in found),
        "attributed": attributed,
        "since": rfc3339(since),
        "seen": rfc3339(seen),
        "until": rfc3339(seen + lasts),
    }


def _past(record: Row) -> list[dict[str, Any]]:
    rules = record.policy.spec.criticality
    scores = {
        reason: round(each.faded(record.now, duration_ms(rules.half_life)), 2)
        for reason, each in record.state.past.items()
    }
    ordered = sorted(scores.items(), key=lambda each: -each[1])
    return [{"reason": reason, "score": score, "pastAt": rules.past_at} for reason, score in ordered]


def _stand(record: Row, others: Mapping[str, Row]) -> tuple[Dependency, ...]:
    """Return the breakers that one depends on, as they stand; what is not in the table is left out."""
    keys = ((name, f"{record.policy.namespace}/{name}") for name in record.policy.spec.depends_on)
    known = ((name, others[key]) for name, key in keys if key in others)
    return tuple(Dependency(name, each.state.state, each.verified_since) for name, each in known)


def _read(store: Store, record: Row) -> dict[str, Row]:
    found = {}
    for name in record.policy.spec.depends_on:
        key = f"{record.policy.namespace}/{name}"
        with suppress(NotEnrolled, RecordCorrupt):
            found[key] = store.read(key)
    return found
