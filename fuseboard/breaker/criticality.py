"""The judgement of a failure: its class, its weight, and whether and why the failure is critical.

The table of failures (``failures.json``: data, not code) gives each Kubernetes reason, container exit reason and alert
name its class, and where it matters a severity and a worth; ``signals.failures`` of a policy overrides it. The class of
a failure is that of the root of its chain of causes: a ``BackOff`` behind which is an ``ImagePullBackOff`` is one of
configuration.

A failure is critical *by itself* (the policy's rules, the first that matches; without one, its severity), *by its
causes* (one of its chain is critical by itself), or *by the past*: its reason, or one of its chain, was critical
``pastAt`` times, of which half is forgotten in every ``halfLife``. The verdict names the rule and the inputs.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from fuseboard.policy import matchers
from fuseboard.policy.enums import FailureClass, LeadsTo
from fuseboard.policy.spec import OCCURRENCE
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fuseboard.events.types import Failure
    from fuseboard.policy.spec import Policy, Rating, Rule

CRITICAL_SEVERITIES: Final = frozenset({"critical", "page"})
"""Severities that are critical by themselves, unless a rule decides (prometheus-operator's runbooks; ``page`` is
Google's SRE workbook's)."""

MAX_PAST: Final = 32
"""Reasons whose past is remembered; the reason that was not critical for the longest time goes first."""

_FORGOTTEN: Final = 0.25
_SHOWN: Final = 128


class KnownReason(Struct, frozen=True):
    """The entry of one reason in the table of failures."""

    reason: str
    class_: FailureClass = field(name="class", default=FailureClass.RUNTIME)
    severity: str = ""
    """The severity of an alert without a severity of its own."""
    worth: Annotated[int, Meta(ge=1)] = 1
    """How many occurrences a failure of this reason counts for."""


class Past(Struct, frozen=True, array_like=True):
    """How often a reason was critical, as a score that fades."""

    score: float
    at: int

    def faded(self, now: int, half_life_ms: int) -> float:
        """Return the rest of the score."""
        return float(self.score * 0.5 ** (max(0, now - self.at) / half_life_ms))


class Judgement(Struct, frozen=True):
    """The judgement of a failure for one breaker."""

    kind: FailureClass
    weight: int
    limits_only: bool = False
    """Counts towards ``limitAt`` and never opens."""
    critical: str = ""
    """The rule by which the failure is critical, and its inputs; empty where it is not."""
    critical_by: str = ""
    """The reason that is critical by itself, of the failure or of its chain; empty where only the past decides."""


@lru_cache(maxsize=1)
def table() -> Mapping[str, KnownReason]:
    """Return the table of failures by reason."""
    raw = (files("fuseboard.breaker") / "failures.json").read_bytes()
    groups = msgspec.json.decode(raw, type=dict[str, tuple[KnownReason, ...]])
    return {row.reason: row for rows in groups.values() for row in rows}


def judge(failure: Failure, policy: Policy, past: Mapping[str, Past], now: int) -> Judgement:
    """Return the judgement of a failure by a policy and a past."""
    reason, condition = failure.name, bool(failure.condition)
    rating, row = policy.spec.signals.failures.get(reason), table().get(reason)
    kind = class_of(reason, failure.chain, policy)
    severity = _severity(rating, row, failure.severity)
    leads_to = policy.spec.trip.classes.leads_to(kind)
    weight = 0 if leads_to is LeadsTo.JOURNAL else _weight(rating, row, severity, policy, condition=condition)
    if not weight or leads_to is LeadsTo.LIMIT:
        return Judgement(kind, weight, limits_only=leads_to is LeadsTo.LIMIT)
    critical, by = _critical(failure, kind, severity, policy)
    if critical is None:
        critical, by = _by_the_past(failure, policy, past, now) if past else "", ""
    return Judgement(kind, weight, critical=critical[:_SHOWN], critical_by=by if critical else "")


def class_of(reason: str, chain: tuple[str, ...], policy: Policy) -> FailureClass:
    """Return the class of a failure: of its root cause, as far as the table or the policy knows one."""
    own = policy.spec.signals.failures.get(reason)
    if own is not None and own.class_ is not None:
        return own.class_
    for each in (*reversed(chain), reason):
        rating, row = policy.spec.signals.failures.get(each), table().get(each)
        if rating is not None and rating.class_ is not None:
            return rating.class_
        if row is not None:
            return row.class_
    return FailureClass.RUNTIME


def remember(past: Mapping[str, Past], reason: str, policy: Policy, now: int) -> dict[str, Past]:
    """Return the past with a reason critical once more; a burst within a cool-down counts as a single time."""
    half_life = duration_ms(policy.spec.criticality.half_life)
    kept = {name: each for name, each in past.items() if each.faded(now, half_life) >= _FORGOTTEN}
    known = kept.pop(reason, None)
    if known is not None and now - known.at < duration_ms(policy.spec.recover.cool_down):
        kept[reason] = known
        return kept
    kept[reason] = Past(1 + (known.faded(now, half_life) if known else 0.0), now)
    if len(kept) > MAX_PAST:
        del kept[min(kept, key=lambda name: kept[name].at)]
    return kept


def _severity(rating: Rating | None, row: KnownReason | None, told: str) -> str:
    if rating is not None and rating.severity is not None:
        return rating.severity
    return told or (row.severity if row is not None else "")


def _weight(rating: Rating | None, row: KnownReason | None, severity: str, policy: Policy, *, condition: bool) -> int:
    signals = policy.spec.signals
    if rating is not None and rating.weight is not None:
        return rating.weight
    if condition or severity:
        return signals.weigh(severity, condition=condition)
    return signals.weigh(OCCURRENCE, condition=False) * (row.worth if row is not None else 1)


def _critical(failure: Failure, kind: FailureClass, severity: str, policy: Policy) -> tuple[str | None, str]:
    """Return why a failure is critical by itself or by its causes, and by which reason.

    The text is empty where a rule decides against, and None where no rule decides.
    """
    own = _by_itself(failure, failure.name, kind, severity, policy)
    if own is not None:
        return own, failure.name
    for cause in failure.chain:
        severity = _severity(policy.spec.signals.failures.get(cause), table().get(cause), "")
        found = _by_itself(failure, cause, class_of(cause, (), policy), severity, policy)
        if found:
            return f"caused by {cause}: {found}", cause
    return None, ""


def _by_itself(failure: Failure, reason: str, kind: FailureClass, severity: str, policy: Policy) -> str | None:
    rules = policy.spec.criticality.rules
    facts = _facts(failure, reason, kind, severity) if rules else {}
    for rule, applies in _rules(rules) if rules else ():
        if applies(facts):
            return f"rule {rule.name or ', '.join(rule.match)}" if rule.critical else ""
    return f"severity {severity}" if severity in CRITICAL_SEVERITIES else None


@lru_cache(maxsize=1024)
def _rules(rules: tuple[Rule, ...]) -> tuple[tuple[Rule, Callable[[Mapping[str, str]], bool]], ...]:
    return tuple((rule, matchers.compile_matchers(rule.match)) for rule in rules)


def _facts(failure: Failure, reason: str, kind: FailureClass, severity: str) -> dict[str, str]:
    of, _, name = failure.cause.rpartition(" ")[2].partition("/")
    found = {"reason": reason, "class": kind.value, "severity": severity}
    return {**found, "kind": of, "name": name, "container": failure.container}


def _by_the_past(failure: Failure, policy: Policy, past: Mapping[str, Past], now: int) -> str:
    rules = policy.spec.criticality
    for reason in (failure.name, *failure.chain):
        known = past.get(reason)
        score = known.faded(now, duration_ms(rules.half_life)) if known is not None else 0.0
        if round(score) >= rules.past_at:
            return f"{reason} was critical {score:.1f} times of late, pastAt is {rules.past_at}"
    return ""
