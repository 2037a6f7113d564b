"""Evidence: what speaks against a target, and what of it counts.

*Occurrences* count while they are in the window. *Conditions* hold until they are resolved or their lease ends. What
was taken in before the watermark is not added. Order of arrival is not order of events: brokers deliver late, twice and
in any order, and Alertmanagers of a cluster repeat what another one has already resolved.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from fuseboard.breaker.criticality import judge, remember
from fuseboard.events.types import FailureDetected, FailureResolved
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from fuseboard.breaker.criticality import Judgement as Judged
    from fuseboard.breaker.criticality import Past
    from fuseboard.events.event import Foreign
    from fuseboard.events.types import Data, Failure
    from fuseboard.policy.spec import Policy

MAX_OCCURRENCES: Final = 256
MAX_CONDITIONS: Final = 256
"""Caps that keep a record small whatever comes in; the oldest goes first."""

RESOLVED_MS: Final = 10 * 60_000
"""How long a resolve outweighs a firing of the same episode that is taken in after it.

Twice Alertmanager's default group_interval: its twin repeats a firing that late. But not for ever: a Prometheus that
was cut off resolves an alert by its silence, and then fires it again with the same start.
"""

LAG_MS: Final = 5_000
"""How long an occurrence may take from its emitter to here: of two that happen together, the second must not be stale
because the first was taken in, and moved the breaker, only afterwards."""

RESOLVES_KEPT_MS: Final = 3_600_000
"""How long a resolve is remembered: longer than a broker retries what was taken in before it."""

Value = TypeVar("Value")


class Outcome(StrEnum):
    """What became of one failure."""

    COUNTED = "counted"
    RENEWED = "renewed"
    RESOLVED = "resolved"
    STALE = "stale"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    WEIGHTLESS = "weightless"
    ATTRIBUTED = "attributed"
    """It is put down to a dependency that is open, and does not count."""


class _EvidencePart(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A part of the record in the store."""


class Occurrence(_EvidencePart, frozen=True):
    """Something that happened, while it is in the window."""

    key: str
    cause: str
    weight: int
    seen: int
    critical: bool = False
    limits_only: bool = False
    """It counts towards ``limitAt`` and never opens."""


class Condition(_EvidencePart, frozen=True):
    """Something that is so, until it is resolved or its lease ends."""

    cause: str
    weight: int
    since: int
    seen: int
    started_at: int = 0
    critical: bool = False
    limits_only: bool = False
    attributed: str = ""
    """The dependency that it is put down to; while it is, it weighs nothing."""


class Resolved(_EvidencePart, frozen=True):
    """That a condition ended: an older firing that comes late does not begin it again."""

    started_at: int
    seen: int


class Weighed(_EvidencePart, frozen=True):
    """One failure and what became of it."""

    key: str
    verdict: str
    """An ``Outcome``; as text, since the journal of a newer version may have others."""
    weight: int = 0
    kind: str = field(name="class", default="")
    critical: str = ""
    """The rule by which it is critical, and its inputs."""
    attributed: str = ""
    """The dependency that it is put down to."""


class PriorEvidence(Protocol):
    """What a breaker knows already."""

    @property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """What happened, while it is in the window."""

    @property
    def conditions(self) -> dict[str, Condition]:
        """What is so, by the name of the condition."""

    @property
    def resolved(self) -> dict[str, Resolved]:
        """What ended of late, by the name of the condition."""

    @property
    def past(self) -> dict[str, Past]:
        """What was critical of late, by reason."""


class Evidence:
    """A working copy of a breaker's evidence as it is at one moment; what time has ended is left behind."""

    __slots__ = ("_blamed", "_clock", "_keys", "_policy", "_watermark", "conditions", "occurrences", "past", "resolved")

    def __init__(
        self,
        known: PriorEvidence,
        policy: Policy,
        *,
        watermark: int,
        clock: int,
        blamed: str = "",
    ) -> None:
        """``blamed`` is the dependency that failures are put down to now, if one is open."""
        oldest, lease = clock - duration_ms(policy.spec.trip.window), clock - policy.spec.signals.lease_ms
        kept = clock - RESOLVES_KEPT_MS
        self.occurrences = [each for each in known.occurrences if each.seen > oldest]
        self.conditions = {name: each for name, each in known.conditions.items() if each.seen > lease}
        self.resolved = {name: each for name, each in known.resolved.items() if each.seen > kept}
        self.past = known.past
        self._keys = {each.key for each in self.occurrences}
        self._policy = policy
        self._watermark = watermark
        self._clock = clock
        self._blamed = blamed

    def take_in(self, data: Data | Foreign, seen: int) -> tuple[Weighed, ...]:
        """Take in what a signal says that was seen then; return what became of each failure."""
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

    def _hold(self, failure: Failure, seen: int, judged: Judged) -> Outcome:
        """A condition holds, again or for the first time."""
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
            # One that counted before the dependency opened goes on counting.
            attributed=self._blamed if known is None or known.attributed else "",
        )
        _put(self.conditions, failure.condition, condition)
        if condition.attributed:
            return Outcome.ATTRIBUTED
        return Outcome.RENEWED if known and not known.attributed else Outcome.COUNTED

    def _is_stale(self, failure: Failure, seen: int, known: Condition | None) -> bool:
        """Say whether a firing is of the past: before the watermark, of an episode that ended, or of an earlier one."""
        # What was taken in at the very moment of the watermark came in beside what moved the breaker (a notification
        # too large for one event), and holds as much.
        if seen < self._watermark or seen <= self._clock - self._policy.spec.signals.lease_ms:
            return True
        ended = self.resolved.get(failure.condition)
        if ended is not None and _is_outweighed(failure.started_at, seen, ended):
            return True
        return known is not None and 0 < failure.started_at < known.started_at

    def _resolve(self, failure: Failure, seen: int) -> Outcome:
        """A condition holds no longer; healthy evidence is never blocked, unless it is of an earlier episode."""
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

    def _count(self, failure: Failure, seen: int, judged: Judged) -> Outcome:
        """Something happened: it counts once, while it is in the window."""
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
        """Make room for one: drop what no longer counts, else make one of the two oldest, so that no weight is lost."""
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
    """Return the two oldest that count towards the same: of any three, two do."""
    first, second, third, *_ = occurrences
    if first.limits_only == second.limits_only:
        return first, second
    return (first if first.limits_only == third.limits_only else second), third


def _is_outweighed(started_at: int, seen: int, ended: Resolved) -> bool:
    """Say whether a resolve outweighs a firing, whichever of the two came first."""
    if not started_at or not ended.started_at:
        return seen <= ended.seen
    return started_at <= ended.started_at and seen < ended.seen + RESOLVED_MS


def _put(found: dict[str, Value], name: str, value: Value) -> None:
    """Put a value in as the newest; over the cap, the oldest goes."""
    found[name] = value
    if len(found) > MAX_CONDITIONS:
        del found[next(iter(found))]
