"""Compare the conditions that breakers hold with the alerts that Alertmanager knows.

A condition is identified by the digest of its alert's labels, and the labels cannot be derived from the digest. A
condition has ended when Alertmanager has no alert with its digest. There are many innocent reasons for a missing alert.
A condition is therefore taken as ended only if

- an earlier answer in this process had its alert. The condition is then known to be an alert of these Alertmanagers. A
  condition from another source, or an alert that was missing from the first answer, ends with its lease;
- all members that answer have run for ``known_for`` without a restart. An Alertmanager that has just started is empty,
  and an Alertmanager that is cut off from Prometheus lets its alerts expire;
- no member has had the alert for ``absent_for``, in at least two answers, and no notification has arrived meanwhile.
  Alertmanager itself sends a resolve only after ``group_interval``. If the alert fires again before that, Alertmanager
  sends no notification, and a breaker that had resolved the condition would not learn of the alert. To cover a longer
  ``group_interval``, an alert that fires within an hour after the condition was taken as ended is sent again.

A silenced, inhibited or unprocessed alert neither renews a condition nor ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from fuseboard.breaker.state import State
from fuseboard.events.types import Failure
from fuseboard.signals.alerts import FIRING, RESOLVED, Alert, AlertTime, alert_failure, by_start, condition_key
from fuseboard.signals.targets import TargetIndex, involved_object
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fuseboard.breaker.evidence import Condition
    from fuseboard.breaker.row import Row
    from fuseboard.policy.spec import Policy

RESOLVE_TIMEOUT_S: Final = 300.0
"""Alertmanager's default ``resolve_timeout``: an alert that Prometheus has not sent for this time is resolved."""
GROUP_INTERVAL_S: Final = 300.0
"""Alertmanager's default ``group_interval`` (docs, configuration, <route>)."""
WATCH_ENDED_FOR_S: Final = 3_600.0
MEMBERS: Final = 64
ACTIVE: Final = "active"


class _Held(NamedTuple):
    """A condition that a breaker holds: the key of the breaker, and the digest of the condition."""

    breaker: str
    condition: str


class PollPace(Struct, frozen=True):
    """Times of polling, in seconds."""

    every: float = 30.0
    known_for: float = RESOLVE_TIMEOUT_S
    absent_for: float = GROUP_INTERVAL_S


class AlertStatus(Struct, frozen=True):
    """Whether Alertmanager notifies of an alert: ``active``, ``suppressed`` or ``unprocessed``."""

    state: str


class KnownAlert(Struct, frozen=True, rename="camel"):
    """An alert in an answer of Alertmanager."""

    labels: dict[str, str]
    starts_at: AlertTime
    status: AlertStatus


class MemberAnswer(Struct, frozen=True):
    """The answer of an Alertmanager, which may be a member of a cluster."""

    up_since: str
    """The start time as the member writes it: a different text means a restart."""
    alerts: tuple[KnownAlert, ...]


class _Absence(Struct, frozen=True):
    since: float
    seen: int


@dataclass(frozen=True, slots=True)
class _Ended:
    policy: Policy
    at: float


@dataclass(slots=True)
class ConditionChanges:
    """Conditions that fire or have ended, by breaker."""

    detected: dict[str, list[Failure]] = field(default_factory=dict)
    resolved: dict[str, list[Failure]] = field(default_factory=dict)

    def renew(self, held: _Held, failure: Failure | None) -> None:
        """Add a condition that still fires; None stands for an alert that does not concern the breaker any longer."""
        if failure is not None:
            self.detected.setdefault(held.breaker, []).append(failure)

    def end(self, held: _Held, condition: Condition) -> None:
        """Add a condition that has ended."""
        key = f"{held.condition}:{condition.started_at}:{RESOLVED}"
        failure = Failure(key, condition.cause, held.condition, started_at=condition.started_at)
        self.resolved.setdefault(held.breaker, []).append(failure)


class AlertReconciler:
    """Compares each round of answers with the answers before; used by one thread."""

    def __init__(self, pace: PollPace) -> None:
        """Start without answers."""
        self._pace = pace
        self._members: dict[tuple[str, str], float] = {}
        self._seen: dict[_Held, _Absence | None] = {}
        self._ended: dict[_Held, _Ended] = {}

    @property
    def awaits_return(self) -> bool:
        """Whether a condition was taken as ended so recently that its alert may still return."""
        return bool(self._ended)

    def reconcile(
        self, holders: Sequence[Row], answers: Mapping[str, MemberAnswer], moment: float, now: int
    ) -> ConditionChanges:
        """Return the conditions to renew and to end.

        ``answers`` has the answers of this round by URL, ``moment`` is the monotonic time in seconds, and ``now`` the
        time in milliseconds since 1970.
        """
        # A list, because every answer has to be noted.
        trusted = [self._is_trusted(url, answer, moment) for url, answer in answers.items()]
        alerts = _by_condition(answers)
        policies = [each.policy for each in self._ended.values()] + [each.policy for each in holders]
        table = TargetIndex({each.key: each for each in policies}.values())
        changes, held = ConditionChanges(), set[_Held]()
        for holder, name, condition in _conditions(holders):
            key = _Held(holder.policy.key, name)
            held.add(key)
            if name in alerts:
                self._seen[key] = None
                if _is_due(holder, condition):
                    changes.renew(key, _firing(key.breaker, alerts[name], table, now))
            elif key in self._seen and self._has_ended(key, condition, moment, is_trusted=all(trusted)):
                changes.end(key, condition)
                self._ended[key] = _Ended(holder.policy, moment)
        self._seen = {key: absence for key, absence in self._seen.items() if key in held}
        for key in self._returned(alerts, held, moment):
            changes.renew(key, _firing(key.breaker, alerts[key.condition], table, now))
        return changes

    def _is_trusted(self, url: str, answer: MemberAnswer, moment: float) -> bool:
        """Note a member's answer; say whether the member has run for long enough without a restart.

        The time counts from the first answer after the start, by the clock of this process.
        """
        first = self._members.setdefault((url, answer.up_since), moment)
        if len(self._members) > MEMBERS:
            del self._members[next(iter(self._members))]
        return moment - first >= self._pace.known_for

    def _has_ended(self, key: _Held, condition: Condition, moment: float, *, is_trusted: bool) -> bool:
        absence = self._seen[key]
        if not is_trusted:
            self._seen[key] = None
        elif absence is None or absence.seen != condition.seen:
            self._seen[key] = _Absence(moment, condition.seen)
        else:
            return moment - absence.since >= self._pace.absent_for
        return False

    def _returned(self, alerts: Mapping[str, list[KnownAlert]], held: set[_Held], moment: float) -> list[_Held]:
        """Return the conditions that were taken as ended, whose alerts fire again without a notification."""
        back = [key for key in self._ended if key.condition in alerts]
        over = {key for key in back if key in held}
        over |= {key for key, each in self._ended.items() if moment - each.at > WATCH_ENDED_FOR_S}
        self._ended = {key: each for key, each in self._ended.items() if key not in over}
        return [key for key in back if key in self._ended]


def _conditions(holders: Sequence[Row]) -> Iterator[tuple[Row, str, Condition]]:
    for holder in holders:
        for name, condition in holder.state.conditions.items():
            yield holder, name, condition


def _by_condition(answers: Mapping[str, MemberAnswer]) -> dict[str, list[KnownAlert]]:
    by_condition: dict[str, list[KnownAlert]] = {}
    for answer in answers.values():
        for alert in answer.alerts:
            by_condition.setdefault(condition_key(alert.labels), []).append(alert)
    return by_condition


def _is_due(holder: Row, condition: Condition) -> bool:
    """Say whether a breaker needs a renewal of a condition."""
    if holder.state.state is State.HALF_OPEN:
        return True  # a trial only counts conditions that were seen during the trial
    return holder.now - condition.seen >= duration_ms(holder.policy.spec.signals.repeat_interval) / 2


def _firing(breaker: str, alerts: Sequence[KnownAlert], table: TargetIndex, now: int) -> Failure | None:
    """Return the failure that the webhook would send to a breaker for these alerts, which share their digest."""
    failures = []
    for each in alerts:
        about = involved_object(each.labels) if each.status.state == ACTIVE else None
        if about is not None and breaker in table.matching(about, each.labels):
            failures.append(alert_failure(Alert(each.labels, FIRING, each.starts_at), about, now))
    return min(failures, key=by_start, default=None)
