"""Advice about valid policies: likely mistakes, such as a threshold out of reach or a rule that never decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fuseboard.errors import Problem
from fuseboard.policy import matchers
from fuseboard.policy.enums import FailureClass, LeadsTo
from fuseboard.policy.spec import DEFAULT_WEIGHTS, OCCURRENCE
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fuseboard.policy.spec import Policy, Rule, Spec

MIN_HEALTHY_FOR: Final = "30s"
"""Alertmanager's default ``group_wait``: how long the first notification of a new alert waits.

The source is ``DefaultRouteOpts`` in Alertmanager's ``dispatch/route.go``.
"""

MIN_COOL_DOWN: Final = "100s"
"""After a shorter cool-down, a trial begins before most workloads have started again (fault 48)."""

FAILURE_LABELS: Final = ("reason", "class", "severity", "kind", "name", "container")
_KNOWN_VALUES: Final[Mapping[str, tuple[str, ...]]] = {"class": tuple(FailureClass)}

MAX_DELTA: Final = 25
"""How many occurrences a single report of an Event object can bring: a client-go recorder sends 25 in a burst."""
_THROTTLED_MS: Final = 5 * 60_000


class Advice(NamedTuple):
    """A likely mistake in a policy: a code for programs and a sentence for people."""

    code: str
    text: str


def advise(policy: Policy) -> Iterator[Advice]:
    """Yield the likely mistakes in a valid policy."""
    yield from _on_thresholds(policy)
    yield from _on_times(policy.spec)
    yield from _on_capacity(policy.spec)
    yield from _on_matchers(policy.spec)
    yield from _on_rules(policy.spec.criticality.rules)


def _on_thresholds(policy: Policy) -> Iterator[Advice]:
    spec = policy.spec
    unreachable = out_of_reach(policy)
    if unreachable is not None:
        yield Advice("out-of-reach", str(unreachable).removeprefix(f"{policy.key}: "))
    weights = {**DEFAULT_WEIGHTS, **spec.signals.weights}
    if not any((*weights.values(), *(each.weight for each in spec.signals.failures.values()))):
        yield Advice("weightless", "every weight is 0, so no failure reaches limitAt: give a severity a weight")
    consequences = {spec.trip.classes.leads_to(kind) for kind in FailureClass}
    if consequences == {LeadsTo.JOURNAL}:
        yield Advice(
            "never-limits", "every class leads to Journal, so no failure counts: let a class lead to Limit or Open"
        )
    elif LeadsTo.OPEN not in consequences:
        yield Advice(
            "never-opens",
            "no class leads to Open, so no failure opens the breaker, only a lack of ready pods or too much load: "
            "let a class lead to Open",
        )


def _on_times(spec: Spec) -> Iterator[Advice]:
    if duration_ms(spec.recover.healthy_for) < duration_ms(MIN_HEALTHY_FOR):
        yield Advice(
            "short-healthy-for",
            f"recover.healthyFor is {spec.recover.healthy_for}, but Alertmanager sends a new alert only after its "
            f"group_wait, {MIN_HEALTHY_FOR} by default: a trial would succeed before the alert arrives; "
            f"write {MIN_HEALTHY_FOR} or more",
        )
    shares, longest = len(spec.recover.shares), duration_ms(spec.recover.max_trial)
    if shares * duration_ms(spec.recover.healthy_for) >= longest:
        yield Advice(
            "trial-too-long",
            f"recover.maxTrial is {spec.recover.max_trial}, but {shares} trialShares with healthyFor "
            f"{spec.recover.healthy_for} take at least as long: no trial would succeed; write a longer maxTrial",
        )
    if duration_ms(spec.recover.cool_down) < duration_ms(MIN_COOL_DOWN):
        yield Advice(
            "short-cool-down",
            f"recover.coolDown is {spec.recover.cool_down}: few workloads recover in less than {MIN_COOL_DOWN}, "
            f"and the traffic may move back and forth; write {MIN_COOL_DOWN} or more",
        )


def _on_capacity(spec: Spec) -> Iterator[Advice]:
    if spec.standby is None:
        yield Advice("no-standby", "there is no standby, so the breaker only reports and moves no traffic: name one")
    if spec.route is None:
        yield Advice("no-route", "there is no route, so no traffic moves: name the Service in front of the target")
    if spec.target.capacity is not None and spec.signals.load is None:
        yield Advice(
            "no-load",
            "target.capacity is set, but no load is measured to compare with it: "
            "give signals.load a query or an annotation",
        )
    if spec.target.min_ready < 1:
        yield Advice(
            "no-min-ready",
            "target.minReady is 0, so the target may lose all its pods: write 1 or more, or remove the field",
        )


def _on_matchers(spec: Spec) -> Iterator[Advice]:
    label = matchers.contradiction(spec.signals.match, {})
    if label is not None:
        yield Advice("matches-nothing", f"signals.match matches no alert: no value of {label} satisfies all matchers")


def _on_rules(rules: Sequence[Rule]) -> Iterator[Advice]:
    """Yield the likely mistakes in the rule table, in which the first matching rule decides."""
    for number, rule in enumerate(rules):
        where = f"criticality.rules[{number}]"
        unknown = [label for label in map(matchers.label_of, rule.match) if label not in FAILURE_LABELS]
        if unknown:
            yield Advice(
                "unknown-label",
                f"{where} uses the label {unknown[0]}, which no failure has: use {', '.join(FAILURE_LABELS)}",
            )
        contradictory = matchers.contradiction(rule.match, _KNOWN_VALUES)
        if contradictory is not None:
            yield Advice(
                "matches-nothing", f"{where} matches no failure: no value of {contradictory} satisfies all matchers"
            )
        earlier = _shadowed_by(rule, rules[:number])
        if earlier is not None:
            yield Advice(
                "never-reached",
                f"{where} is never reached: criticality.rules[{earlier}] matches the same failures first; "
                f"put {where} before criticality.rules[{earlier}], or remove it",
            )


def _shadowed_by(rule: Rule, earlier: Sequence[Rule]) -> int | None:
    """Return the number of an earlier rule that matches all failures of this rule."""
    mine = matchers.restrictions(rule.match, _KNOWN_VALUES)
    return next(
        (number for number, each in enumerate(earlier) if matchers.restrictions(each.match, _KNOWN_VALUES) <= mine),
        None,
    )


def out_of_reach(policy: Policy) -> Problem | None:
    """Return why the Events of a single pod can never open a breaker.

    A client-go recorder sends 25 Events about an object, then one every five minutes (``events_cache.go``), and a
    report of an Event object counts for at most 25 occurrences.
    """
    spec, weight = policy.spec, policy.spec.signals.weigh("", condition=False)
    most = weight * MAX_DELTA * (1 + duration_ms(spec.trip.window) // _THROTTLED_MS)
    if not weight or most >= spec.trip.open_at:
        return None
    return Problem(
        f"{policy.key}: spec.trip.openAt is {spec.trip.open_at}, but the Events of an object weigh at most {most} "
        f"in {spec.trip.window}, because Kubernetes throttles Events. Only alerts, or Events of several pods, can open "
        f"this breaker: lower openAt, or raise spec.signals.weights.{OCCURRENCE}"
    )
