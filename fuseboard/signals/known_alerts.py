"""What Alertmanager's answers say of the conditions that breakers hold: seen again, gone, or nothing.

A condition is known by the digest of its alert's labels, which cannot be turned back: it is gone when no alert that
Alertmanager knows has that digest. Nothing is easier than not to know an alert, so a condition is taken to be gone only

- if an answer had it before, in this process: then it is an alert, and of these Alertmanagers. What another source has
  told, or what was gone before it was asked for, is left to its lease;
- if all members that answer do so for ``known_for`` without a restart: an Alertmanager that has just started is empty,
  and one that is cut off from Prometheus lets its alerts end by themselves;
- if none of them has had it for ``absent_for``, in two answers at least, and no notification told of it meanwhile.
  Alertmanager itself says that an alert is resolved only after ``group_interval``; if it fires again before that, it
  says nothing at all, and who had resolved it by then would never learn of it. Against longer intervals, what was
  taken to be gone is told once more if it fires within an hour.

A silenced, inhibited or not yet processed alert is neither seen again nor gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

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
"""Alertmanager's default ``resolve_timeout``: an alert that nobody has posted for so long is over."""
GROUP_INTERVAL_S: Final = 300.0
"""Alertmanager's default ``group_interval`` (docs, configuration, <route>)."""
WATCH_ENDED_FOR_S: Final = 3_600.0
MEMBERS: Final = 64
ACTIVE: Final = "active"

_Slot = tuple[str, str]


class PollPace(Struct, frozen=True):
    """How long things take, in seconds."""

    every: float = 30.0
    known_for: float = RESOLVE_TIMEOUT_S
    absent_for: float = GROUP_INTERVAL_S


class AlertStatus(Struct, frozen=True):
    """Whether Alertmanager notifies of an alert: ``active``, ``suppressed`` or ``unprocessed``."""

    state: str


class KnownAlert(Struct, frozen=True, rename="camel"):
    """An alert that Alertmanager knows."""

    labels: dict[str, str]
    starts_at: AlertTime
    status: AlertStatus


class MemberAnswer(Struct, frozen=True):
    """What one member says."""

    up_since: str
    """When it was started, in its own words: another word is another process."""
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
    """What is to be told, by breaker."""

    detected: dict[str, list[Failure]] = field(default_factory=dict)
    resolved: dict[str, list[Failure]] = field(default_factory=dict)

    def again(self, slot: _Slot, failure: Failure | None) -> None:
        """Tell that a condition is seen, if it is."""
        if failure is not None:
            self.detected.setdefault(slot[0], []).append(failure)

    def gone(self, slot: _Slot, condition: Condition) -> None:
        """Tell that a condition holds no longer."""
        breaker, name = slot
        key, began_at = f"{name}:{condition.started_at}:{RESOLVED}", condition.started_at
        self.resolved.setdefault(breaker, []).append(Failure(key, condition.cause, name, started_at=began_at))


class AlertReconciler:
    """Judges by all answers that this process has had; each is judged once."""

    def __init__(self, pace: PollPace) -> None:
        """Know nothing yet."""
        self._pace = pace
        self._members: dict[tuple[str, str], float] = {}
        self._known: dict[_Slot, _Absence | None] = {}
        self._ended: dict[_Slot, _Ended] = {}

    @property
    def awaits_return(self) -> bool:
        """Whether something was taken to be gone that could still prove not to be."""
        return bool(self._ended)

    def reconcile(
        self, holders: Sequence[Row], answers: Mapping[str, MemberAnswer], moment: float, now: int
    ) -> ConditionChanges:
        """Return what the answers of all members that answered say; ``moment`` is monotonic, in seconds."""
        up = [self._has_been_up(url, answer, moment) for url, answer in answers.items()]  # each of them is noted
        found = _by_condition(answers)
        policies = [each.policy for each in self._ended.values()] + [each.policy for each in holders]
        table = TargetIndex({each.key: each for each in policies}.values())
        told, held = ConditionChanges(), set[_Slot]()
        for holder, name, condition in _conditions(holders):
            slot = holder.policy.key, name
            held.add(slot)
            if name in found:
                self._known[slot] = None
                if _is_due(holder, condition):
                    told.again(slot, _firing(slot[0], found[name], table, now))
            elif slot in self._known and self._is_gone(slot, condition, moment, is_trusted=all(up)):
                told.gone(slot, condition)
                self._ended[slot] = _Ended(holder.policy, moment)
        self._known = {slot: absence for slot, absence in self._known.items() if slot in held}
        for slot in self._returned(found, held, moment):
            told.again(slot, _firing(slot[0], found[slot[1]], table, now))
        return told

    def _has_been_up(self, url: str, answer: MemberAnswer, moment: float) -> bool:
        """Say whether this process is known for long enough, by our own clock: no other's is needed."""
        first = self._members.setdefault((url, answer.up_since), moment)
        if len(self._members) > MEMBERS:
            del self._members[next(iter(self._members))]
        return moment - first >= self._pace.known_for

    def _is_gone(self, slot: _Slot, condition: Condition, moment: float, *, is_trusted: bool) -> bool:
        absence = self._known[slot]
        if not is_trusted:
            self._known[slot] = None
        elif absence is None or absence.seen != condition.seen:
            self._known[slot] = _Absence(moment, condition.seen)
        else:
            return moment - absence.since >= self._pace.absent_for
        return False

    def _returned(self, found: Mapping[str, list[KnownAlert]], held: set[_Slot], moment: float) -> list[_Slot]:
        """Return what was taken to be gone and is there again, though its breaker has not been told."""
        back = [slot for slot in self._ended if slot[1] in found]
        over = {slot for slot in back if slot in held}
        over |= {slot for slot, each in self._ended.items() if moment - each.at > WATCH_ENDED_FOR_S}
        self._ended = {slot: each for slot, each in self._ended.items() if slot not in over}
        return [slot for slot in back if slot in self._ended]


def _conditions(holders: Sequence[Row]) -> Iterator[tuple[Row, str, Condition]]:
    for holder in holders:
        for name, condition in holder.state.conditions.items():
            yield holder, name, condition


def _by_condition(answers: Mapping[str, MemberAnswer]) -> dict[str, list[KnownAlert]]:
    found: dict[str, list[KnownAlert]] = {}
    for answer in answers.values():
        for alert in answer.alerts:
            found.setdefault(condition_key(alert.labels), []).append(alert)
    return found


def _is_due(holder: Row, condition: Condition) -> bool:
    """Say whether a breaker needs to hear again of a condition that it holds."""
    if holder.state.state is State.HALF_OPEN:
        return True  # on trial, what was not seen again does not count
    return holder.now - condition.seen >= duration_ms(holder.policy.spec.signals.repeat_interval) / 2


def _firing(breaker: str, alerts: Sequence[KnownAlert], table: TargetIndex, now: int) -> Failure | None:
    """Return what the webhook would tell a breaker of these twins; None where it would tell nothing."""
    failures = []
    for each in alerts:
        about = involved_object(each.labels) if each.status.state == ACTIVE else None
        if about is not None and breaker in table.matching(about, each.labels):
            failures.append(alert_failure(Alert(each.labels, FIRING, each.starts_at), about, now))
    return min(failures, key=by_start, default=None)
