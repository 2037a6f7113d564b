"""Count the failures of a signal against the evidence that a breaker has already.

Order of arrival is not order of events: brokers deliver late, twice and in any order, and the Alertmanagers of a
cluster repeat alerts that another member has already resolved. Failures from before the watermark are not added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from fuseboard.breaker.criticality import judge, remember
from fuseboard.breaker.evidence import LAG_MS, Condition, Occurrence, Outcome, Resolved, Weighed
from fuseboard.events.types import FailureDetected, FailureResolved
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from fuseboard.breaker.criticality import Judgement
    from fuseboard.breaker.row import Row
    from fuseboard.events.event import Foreign
    from fuseboard.events.types import Data, Failure

MAX_OCCURRENCES: Final = 256
MAX_CONDITIONS: Final = 256
"""Caps that keep a row small under any load; the oldest goes first."""

RESOLVED_MS: Final = 10 * 60_000
"""How long a resolve outweighs a firing of the same episode that is taken in after the resolve.

Twice Alertmanager's default group_interval: the other member repeats a firing that late. Not for ever: a Prometheus
that was cut off resolves an alert by its silence, and then fires the alert again with the same start.
"""

RESOLVES_KEPT_MS: Final = 3_600_000
"""How long a resolve is remembered: longer than a broker retries events from before the resolve."""

Value = TypeVar("Value")


class Evidence:
    """A working copy of a breaker's evidence at one moment, without the evidence that time has ended."""

    __slots__ = ("_blamed", "_clock", "_keys", "_policy", "_watermark", "conditions", "occurrences", "past", "resolved")

    def __init__(self, row: Row, *, blamed: str = "") -> None:
        """Copy the evidence of a row; ``blamed`` is the open dependency that failures are attributed to, if any."""
        known, clock, policy = row.state, row.state.clock, row.policy
        oldest, lease = clock - duration_ms(policy.spec.trip.window), clock - policy.spec.signals.lease_ms
        kept = clock - RESOLVES_KEPT_MS
        self.occurrences = [each for each in known.occurrences if each.seen > oldest]
        self.conditions = {name: each for name, each in known.conditions.items() if each.seen > lease}
        self.resolved = {name: each for name, each in known.resolved.items() if each.seen > kept}
        self.past = known.past
        self._keys = {each.key for each in self.occurrences}
        self._policy = policy
        self._watermark = known.watermark
        self._clock = clock
        self._blamed = blamed

    def take_in(self, data: Data | Foreign, seen: int) -> tuple[Weighed, ...]:
        """Count the failures of a signal that was seen at a time; return the outcome of each."""
        if isinstance(data, FailureResolved):
            return tuple(Weighed(each.key, self._resolve(each, seen)) for each in data.failures)
        if isinstance(data, FailureDetected):
            return tuple(self._detect(each, seen) for each in data.failures)
        return ()

    def _detect(self, failure: Failure, seen: int) -> Weighed:
        judged = judge(failure, self._policy, self.past, self._clock)
        verdict = self._hold(failure, seen, judged) if failure.condition else self._count(failure, seen, judged)
        if verdict is Outcome.COUNTED and judged.critical_by:
            self.past = remember(self.past, judged.critical_by, self._policy, self._clock)
        counts = verdict in (Outcome.COUNTED, Outcome.RENEWED)
        return Weighed(
            failure.key,
            verdict,
            judged.weight if counts else 0,
            judged.kind.value,
            judged.critical if counts else "",
            self._blamed if verdict is Outcome.ATTRIBUTED else "",
        )

    def _hold(self, failure: Failure, seen: int, judged: Judgement) -> Outcome:
        """Take in a condition that holds, again or for the first time."""
        known = self.conditions.get(failure.condition)
        if self._is_stale(failure, seen, known):
            return Outcome.STALE
        if known is not None and seen <= known.seen:
            return Outcome.DUPLICATE
        self.conditions.pop(failure.condition, None)
        if not judged.weight:
            return Outcome.WEIGHTLESS
        condition = Condition(
            cause=failure.cause,
            weight=judged.weight,
            since=known.since if known else seen,
            seen=seen,
            started_at=failure.started_at or (known.started_at if known else 0),
            critical=bool(judged.critical),
            limits_only=judged.limits_only,
            # A condition that counted before the dependency opened goes on counting.
            attributed=self._blamed if known is None or known.attributed else "",
        )
        _put(self.conditions, failure.condition, condition)
        if condition.attributed:
            return Outcome.ATTRIBUTED
        return Outcome.RENEWED if known and not known.attributed else Outcome.COUNTED

    def _is_stale(self, failure: Failure, seen: int, known: Condition | None) -> bool:
        """Say whether a firing is old: from before the watermark, or of an episode that ended or came earlier."""
        # A firing at the very moment of the watermark came in beside the failure that moved the breaker (a notification
        # too large for an event), and counts as well.
        if seen < self._watermark or seen <= self._clock - self._policy.spec.signals.lease_ms:
            return True
        ended = self.resolved.get(failure.condition)
        if ended is not None and _is_outweighed(failure.started_at, seen, ended):
            return True
        return known is not None and 0 < failure.started_at < known.started_at

    def _resolve(self, failure: Failure, seen: int) -> Outcome:
        """End a condition; healthy evidence is never blocked, unless it is of an earlier episode."""
        if not failure.condition:
            return Outcome.UNKNOWN
        known, ended = self.conditions.get(failure.condition), Resolved(failure.started_at, seen)
        earlier = self.resolved.pop(failure.condition, ended)
        _put(self.resolved, failure.condition, max(earlier, ended, key=lambda each: (each.started_at, each.seen)))
        if known is None:
            return Outcome.UNKNOWN
        if not _is_outweighed(known.started_at, known.seen, ended):
            return Outcome.STALE
        del self.conditions[failure.condition]
        return Outcome.RESOLVED

    def _count(self, failure: Failure, seen: int, judged: Judgement) -> Outcome:
        """Count an occurrence once, while it is in the window."""
        if failure.key in self._keys:
            return Outcome.DUPLICATE
        oldest = max(self._watermark, self._clock - duration_ms(self._policy.spec.trip.window))
        if seen <= oldest or 0 < failure.started_at <= oldest - LAG_MS:
            return Outcome.STALE
        if not judged.weight:
            return Outcome.WEIGHTLESS
        if self._blamed:
            return Outcome.ATTRIBUTED
        self._keys.add(failure.key)
        critical, limits_only = bool(judged.critical), judged.limits_only
        self.occurrences.append(
            Occurrence(failure.key, failure.cause, judged.weight, seen, critical=critical, limits_only=limits_only)
        )
        if len(self.occurrences) > MAX_OCCURRENCES:
            self._shrink()
        return Outcome.COUNTED

    def _shrink(self) -> None:
        """Make room: drop an occurrence from before the watermark, or merge the two oldest without losing weight."""
        passed = next((each for each in self.occurrences if each.seen <= self._watermark), None)
        if passed is not None:
            self.occurrences.remove(passed)
            return
        first, second = _two_alike(self.occurrences)
        weight, seen = first.weight + second.weight, max(first.seen, second.seen)
        both = replace(second, weight=weight, seen=seen, critical=first.critical or second.critical)
        self.occurrences.remove(first)
        self.occurrences[self.occurrences.index(second)] = both


def _two_alike(occurrences: list[Occurrence]) -> tuple[Occurrence, Occurrence]:
    """Return the two oldest occurrences of the same effect (limits only, or opens): of any three, two are alike."""
    first, second, third, *_ = occurrences
    if first.limits_only == second.limits_only:
        return first, second
    return (first if first.limits_only == third.limits_only else second), third


def _is_outweighed(started_at: int, seen: int, ended: Resolved) -> bool:
    """Say whether a resolve outweighs a firing, in either order of arrival."""
    if not started_at or not ended.started_at:
        return seen <= ended.seen
    return started_at <= ended.started_at and seen < ended.seen + RESOLVED_MS


def _put(found: dict[str, Value], name: str, value: Value) -> None:
    """Add a value as the newest; over the cap, the oldest goes."""
    found[name] = value
    if len(found) > MAX_CONDITIONS:
        del found[next(iter(found))]
