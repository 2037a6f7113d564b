"""Guards: the conditions under which a breaker may leave its state.

``transitions`` lists the guards of each transition. The step asks whether they are met, the clock asks when time alone
meets them, and ``explain`` shows the text of each guard that is not met.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from fuseboard.breaker.evidence import Condition
from fuseboard.breaker.row import Row
from fuseboard.breaker.state import FLAPS, State
from fuseboard.breaker.thresholds import (
    is_overloaded,
    is_probe_failing,
    lack,
    lacking_at,
    load_lease,
    overload,
    unknown_at,
)
from fuseboard.breaker.trial import at_stake_since, failing_cause, floor, is_last, on_trial_since, placed_since
from fuseboard.policy.enums import Mode, RecoverMode
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuseboard.breaker.evidence import Occurrence


def _never(_: Row) -> None:
    return None


def _silent(_: Row) -> str:
    return ""


class Guard(Struct, frozen=True):
    """A condition of a transition.

    Each part is a pure function of the row; times are milliseconds since 1970 by the breaker's clock.
    """

    is_met: Callable[[Row], bool]
    until: Callable[[Row], int | None] = _never
    """When time alone meets the guard; None when only a signal can. Only asked while the guard is not met."""
    text: Callable[[Row], str] = _silent
    """A sentence for people about an unmet guard; empty where the guard only waits for failures."""


def at(until: Callable[[Row], int | None], text: Callable[[Row], str] = _silent) -> Guard:
    """Return a guard that a moment meets."""

    def is_met(row: Row) -> bool:
        moment = until(row)
        return moment is not None and moment <= row.state.clock

    return Guard(is_met, until, text)


# -- of every transition ---------------------------------------------------------------------------------------------


def _hold_until(row: Row) -> int | None:
    return row.state.override.until or None if row.state.override is not None else None


def _who(row: Row) -> str:
    override = row.state.override
    return f"{override.operator}: {override.reason}" if override is not None else ""


SETTLED: Final = at(
    lambda row: row.state.held_until,
    lambda _: "nothing moves it: memory was lost, or the clock was set back",
)
NOT_HELD: Final = Guard(lambda row: not row.state.is_held, _hold_until, lambda row: f"held by {_who(row)}")
ENABLED: Final = Guard(
    lambda row: row.mode is not Mode.DISABLED,
    text=lambda _: "the mode is Disabled: nothing moves it but an operator",
)
ALWAYS: Final = (SETTLED, NOT_HELD, ENABLED)
"""Guards of every transition but an operator's."""


# -- of CLOSED and LIMITED: what trips -------------------------------------------------------------------------------


def _too_few_sources(row: Row) -> str:
    tally, trip = row.tally, row.policy.spec.trip
    if row.state.state is not State.CLOSED or tally.weight < trip.limit_at:
        return ""
    return f"failures weigh {tally.weight}, of {len(tally.causes)} causes: minimumSources is {trip.minimum_sources}"


ENOUGH_SOURCES: Final = Guard(
    lambda row: len(row.tally.causes) >= row.policy.spec.trip.minimum_sources, text=_too_few_sources
)
OPENS: Final = Guard(lambda row: row.tally.opening >= row.policy.spec.trip.open_at)
CRITICAL: Final = Guard(lambda row: row.policy.spec.trip.trip_on_critical and bool(row.tally.critical))
LIMITS: Final = Guard(lambda row: row.tally.weight >= row.policy.spec.trip.limit_at)
LACKING: Final = at(lacking_at)
OVERLOADED: Final = Guard(lambda row: is_overloaded(row, row.state.watermark))


# -- of LIMITED ------------------------------------------------------------------------------------------------------


def _limited_too_long_at(row: Row) -> int | None:
    """Return when a condition that opens will have held for ``limitFor`` while limited."""
    limit_for = row.policy.spec.trip.limit_for
    if limit_for is None:
        return None
    began = (each.since for each in row.state.holding if not each.limits_only)
    first = min(began, default=None)
    return None if first is None else max(first, row.state.since) + duration_ms(limit_for)


def _lapse(each: Occurrence | Condition, row: Row) -> int:
    """Return when evidence weighs no more if it is not heard again."""
    lasts = (
        row.policy.spec.signals.lease_ms if isinstance(each, Condition) else duration_ms(row.policy.spec.trip.window)
    )
    return each.seen + lasts


def _below(weighing: Iterable[Occurrence | Condition], limit: int, row: Row) -> int | None:
    """Return when evidence that is not heard again will weigh less than a limit."""
    lapses = sorted((_lapse(each, row), each.weight) for each in weighing)
    left = sum(weight for _, weight in lapses)
    for moment, weight in lapses:
        left -= weight
        if left < limit:
            return moment
    return None


def _healthy_at(row: Row) -> int:
    """Return when LIMITED will have been healthy for long enough; the clock where it is not healthy yet.

    A lower bound is enough then: the other guards of the transition tell when to look again, and the step that looks
    notes since when it is healthy.
    """
    since = row.state.healthy_since
    return since + duration_ms(row.policy.spec.recover.healthy_for) if since else row.state.clock


def _conditions(row: Row) -> str:
    count, weight = len(row.state.holding), sum(each.weight for each in row.state.holding)
    return f"{count} condition{'s weigh' if count > 1 else ' weighs'} {weight}"


def _weighs_enough(row: Row) -> str:
    limit_at = row.policy.spec.trip.limit_at
    return "" if row.state.holding else f"failures weigh {row.tally.weight}, limitAt is {limit_at}"


LIMITED_TOO_LONG: Final = at(_limited_too_long_at)
NO_CONDITION: Final = Guard(
    lambda row: not row.state.holding,
    lambda row: max((_lapse(each, row) for each in row.state.holding), default=None),
    _conditions,
)
BELOW_LIMIT: Final = Guard(
    lambda row: row.tally.weight < row.policy.spec.trip.limit_at,
    lambda row: _below(row.state.weighing, row.policy.spec.trip.limit_at, row),
    _weighs_enough,
)
PODS_READY: Final = Guard(
    lambda row: not row.lacks,
    unknown_at,
    lack,
)
HEALTHY: Final = Guard(
    lambda row: bool(row.state.healthy_since) and row.state.clock >= _healthy_at(row),
    _healthy_at,
    lambda row: f"not yet healthy for {row.policy.spec.recover.healthy_for}" if row.state.healthy_since else "",
)


# -- of OPEN ---------------------------------------------------------------------------------------------------------


def _gives_in_at(row: Row) -> int:
    return row.state.since + duration_ms(row.policy.spec.recover.max_cool_down)


def _gave_in(row: Row) -> bool:
    return row.state.clock >= _gives_in_at(row)


def _forced_by(row: Row) -> str:
    if row.policy.spec.mode is Mode.FORCED_OPEN:
        return "the policy's mode is ForcedOpen"
    return f"ForcedOpen by {_who(row)}"


def _forced_until(row: Row) -> int | None:
    return None if row.policy.spec.mode is Mode.FORCED_OPEN else _hold_until(row)


def is_quiet(row: Row) -> bool:
    """Say whether neither conditions nor the load keep an open breaker open."""
    return not _weighs_open(row) and not is_overloaded(row, 0)


def _weighs_open(row: Row) -> bool:
    return sum(each.weight for each in row.state.holding) >= row.policy.spec.trip.limit_at


def _quiet_at(row: Row) -> int:
    lapses = _below(row.state.holding, row.policy.spec.trip.limit_at, row)
    return _gives_in_at(row) if lapses is None else min(lapses, _gives_in_at(row))


def _load_unknown_at(row: Row) -> int:
    load = row.state.load
    known_until = load.seen + load_lease(row) if load is not None else 0
    return min(known_until, _gives_in_at(row))


NOT_FORCED: Final = Guard(lambda row: row.mode is not Mode.FORCED_OPEN, _forced_until, _forced_by)
NOT_LATCHED: Final = Guard(
    lambda row: not row.state.latched,
    text=lambda row: f"latched: opened {FLAPS} times within an hour: fuseboard reset {row.key} --reason …",
)
AUTOMATIC: Final = Guard(
    lambda row: row.policy.spec.recover.mode is not RecoverMode.MANUAL,
    text=lambda row: f"recover.mode is Manual: fuseboard reset {row.key} --reason …",
)
COOLED_DOWN: Final = at(
    lambda row: row.state.since + row.state.cool_down,
    lambda row: f"the cool-down of {row.state.cool_down / 1000:g}s is not over",
)
PROBE_PASSES: Final = Guard(
    lambda row: not is_probe_failing(row),
    unknown_at,
    lambda row: f"the probe fails: {row.state.capacity[Role.TARGET].probe}",
)
QUIET: Final = Guard(
    lambda row: _gave_in(row) or not _weighs_open(row),
    _quiet_at,
    lambda row: f"{_conditions(row)}, limitAt is {row.policy.spec.trip.limit_at}",
)
CARRIES_LOAD: Final = Guard(lambda row: _gave_in(row) or not is_overloaded(row, 0), _load_unknown_at, overload)


# -- of HALF_OPEN ----------------------------------------------------------------------------------------------------


def _share(row: Row) -> str:
    return f"{row.wanted.target} %"


def _stayed_healthy_at(row: Row) -> int | None:
    since = on_trial_since(row)
    return since + duration_ms(row.policy.spec.recover.healthy_for) if since else None


def _unhealthy(row: Row) -> str:
    healthy_for = row.policy.spec.recover.healthy_for
    return f"not yet healthy for {healthy_for} with {_share(row)}" if on_trial_since(row) else ""


def _lacking_on_trial_at(row: Row) -> int | None:
    since = at_stake_since(row)
    return lacking_at(row, since) if since else None


FAILS: Final = Guard(lambda row: bool(failing_cause(row)))
LACKING_ON_TRIAL: Final = at(_lacking_on_trial_at)
OVERLOADED_ON_TRIAL: Final = Guard(lambda row: bool(at_stake_since(row)) and is_overloaded(row, floor(row)))
LAST_SHARE: Final = Guard(is_last)
MORE_SHARES: Final = Guard(lambda row: not is_last(row))
PASSED_OVER: Final = at(lambda row: placed_since(row) or None if row.placement.inexpressible else None)
"""The route cannot express the trial's share."""
PLACED: Final = Guard(
    lambda row: bool(on_trial_since(row)),
    text=lambda row: f"the placement of its trial with {_share(row)} is not verified yet",
)
STAYED_HEALTHY: Final = at(_stayed_healthy_at, _unhealthy)
TRIAL_OVER: Final = at(lambda row: row.state.since + duration_ms(row.policy.spec.recover.max_trial))
