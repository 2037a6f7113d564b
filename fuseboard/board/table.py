"""Read the breaker table from the store, as views."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Raw, structs

from fuseboard.board.view import (
    HOLD,
    AheadView,
    AttributedView,
    BlockedView,
    BreakerDetail,
    BreakerView,
    DependencyView,
    LoadView,
    OutlookView,
    OverrideView,
    PlacementView,
    PriorView,
    ReadyPodsView,
    TrialView,
    WeighingView,
)
from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.outlook import outlook
from fuseboard.breaker.state import Dependency, State
from fuseboard.errors import NotEnrolled, RecordCorrupt
from fuseboard.events.json import encode_data
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


def all_breakers(store: Store) -> list[BreakerView]:
    """Return all breakers, sorted by key."""
    rows = {key: store.read(key) for key in sorted(store.table())}
    return [_view(row, _dependencies(row, rows)) for row in rows.values()]


def breaker_detail(store: Store, key: str) -> BreakerDetail:
    """Return a breaker with its evidence, its critical past and its outlook.

    Raises:
        NotEnrolled, RecordCorrupt, StoreUnavailable: as ``Store.read``.

    """
    row = store.read(key)
    dependencies = _dependencies(row, _read_dependencies(store, row))
    ahead = outlook(row, dependencies)
    current = ahead.row
    view = structs.replace(_view(row, dependencies), weight=current.state.weight, causes=current.state.causes)
    return BreakerDetail(
        **structs.asdict(view),
        now=rfc3339(row.now),
        outlook=_outlook(ahead),
        weighing=_weighing(current),
        past=_past(current, row.now),
    )


def _view(row: Row, dependencies: tuple[Dependency, ...]) -> BreakerView:
    policy, state = row.policy, row.state
    return BreakerView(
        namespace=policy.namespace,
        name=policy.metadata.name,
        state=state.state,
        epoch=state.epoch,
        mode=HOLD if state.is_held else row.mode,
        acts=policy.spec.mode.acts,
        override=_override(state),
        latched=state.latched,
        since=rfc3339(state.since),
        reason=state.reason,
        weight=state.weight,
        causes=state.causes,
        trial=_trial(row),
        capacity=_capacity(row),
        load=LoadView(state.load.value, rfc3339(state.load.seen)) if state.load else None,
        depends_on=tuple(DependencyView(each.name, each.state, rfc3339(each.verified)) for each in dependencies),
        attributed=_attributed(state),
        placement=_placement(row),
        due={kind: rfc3339(timestamp) for kind, timestamp in dues(row).items()},
        spec=Raw(encode_data(policy.spec)),
    )


# -- parts of a row --------------------------------------------------------------------------------------------------


def _override(state: BreakerState) -> OverrideView | None:
    override = state.override
    if override is None:
        return None
    since, until = rfc3339(override.since), rfc3339(override.until)
    return OverrideView(override.action, override.operator, override.reason, since, until)


def _trial(row: Row) -> TrialView | None:
    state = row.state
    if state.state is not State.HALF_OPEN:
        return None
    since = rfc3339(state.trial_since or state.since)
    return TrialView(row.wanted.target, state.trial + 1, len(row.policy.spec.recover.shares), since)


def _capacity(row: Row) -> dict[str, ReadyPodsView]:
    views: dict[str, ReadyPodsView] = {}
    for role, pods in row.state.capacity.items():
        workload = row.policy.spec.workload(role)  # None: a later edit of the policy removed the standby
        views[role] = ReadyPodsView(
            ready=f"{pods.ready}/{pods.desired}",
            min_ready=workload.min_ready if workload is not None else 0,
            phase=pods.phase,
            probe=pods.probe,
            seen=rfc3339(pods.seen),
            short_since=rfc3339(pods.short_since),
        )
    return views


def _attributed(state: BreakerState) -> tuple[AttributedView, ...]:
    conditions = state.conditions.values()
    return tuple(AttributedView(each.cause, each.attributed) for each in conditions if each.attributed)


def _placement(row: Row) -> PlacementView:
    placement = row.placement
    return PlacementView(
        epoch=placement.epoch,
        step=placement.step,
        shares=placement.shares,
        result=placement.result,
        reason=placement.reason,
        rehearsed=placement.rehearsed,
        verified_at=rfc3339(row.verified_since),
        owed=row.owed,
    )


# -- parts of the detail ---------------------------------------------------------------------------------------------


def _outlook(outlook: Outlook) -> OutlookView:
    ahead = outlook.ahead
    return OutlookView(
        tuple(BlockedView(each.text, rfc3339(each.until)) for each in outlook.blocked),
        AheadView(rfc3339(ahead.at), ahead.state, ahead.text) if ahead else None,
        outlook.evidence,
    )


def _weighing(row: Row) -> tuple[WeighingView, ...]:
    """Return the evidence by cause, heaviest first; conditions that are attributed to a dependency weigh 0."""
    attributed = (each for each in row.state.conditions.values() if each.attributed)
    groups: dict[tuple[str, bool], list[Occurrence | Condition]] = {}
    for each in (*row.state.weighing, *attributed):
        groups.setdefault((each.cause, isinstance(each, Condition)), []).append(each)
    views = (_added_up(cause, group, row.policy) for (cause, _), group in groups.items())
    return tuple(sorted(views, key=lambda view: -view.weight))


def _added_up(cause: str, group: list[Occurrence | Condition], policy: Policy) -> WeighingView:
    first, seen = group[0], max(each.seen for each in group)
    is_condition = isinstance(first, Condition)
    attributed = first.attributed if isinstance(first, Condition) else ""
    lasts = policy.spec.signals.lease_ms if is_condition else duration_ms(policy.spec.trip.window)
    return WeighingView(
        cause=cause,
        kind="condition" if is_condition else "occurrence",
        count=len(group),
        weight=0 if attributed else sum(each.weight for each in group),
        critical=any(each.critical for each in group),
        limits_only=all(each.limits_only for each in group),
        attributed=attributed,
        since=rfc3339(min(each.since if isinstance(each, Condition) else each.seen for each in group)),
        seen=rfc3339(seen),
        until=rfc3339(seen + lasts),
    )


def _past(row: Row, now: int) -> tuple[PriorView, ...]:
    rules = row.policy.spec.criticality
    half_life = duration_ms(rules.half_life)
    scores = {reason: round(past.faded(now, half_life), 2) for reason, past in row.state.past.items()}
    ordered = sorted(scores.items(), key=lambda each: -each[1])
    return tuple(PriorView(reason, score, rules.past_at) for reason, score in ordered)


# -- dependencies ----------------------------------------------------------------------------------------------------


def _dependencies(row: Row, others: Mapping[str, Row]) -> tuple[Dependency, ...]:
    """Return the breakers of ``dependsOn``; breakers that are not in the table are left out."""
    keys = (f"{row.policy.namespace}/{name}" for name in row.policy.spec.depends_on)
    return tuple(others[key].as_dependency for key in keys if key in others)


def _read_dependencies(store: Store, row: Row) -> dict[str, Row]:
    rows = {}
    for name in row.policy.spec.depends_on:
        key = f"{row.policy.namespace}/{name}"
        with suppress(NotEnrolled, RecordCorrupt):
            rows[key] = store.read(key)
    return rows
