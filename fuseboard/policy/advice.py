"""What is allowed in a policy and hardly meant: a threshold that nothing reaches, a rule that nothing comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from fuseboard.policy import matchers
from fuseboard.policy.enums import FailureClass, LeadsTo
from fuseboard.policy.spec import DEFAULT_WEIGHTS, OCCURRENCE
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fuseboard.policy.spec import Policy, Rule, Spec

MIN_HEALTHY_FOR: Final = "30s"
"""Alertmanager's default: how long a new group of alerts waits before anybody is told.

It is ``DefaultRouteOpts`` in its ``dispatch/route.go``.
"""

MIN_COOL_DOWN: Final = "100s"
"""Below that a trial begins before most workloads have started again (fault 48)."""

FAILURE_LABELS: Final = ("reason", "class", "severity", "kind", "name", "container")
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {"class": tuple(FailureClass)}

MAX_DELTA: Final = 25
"""Occurrences that one look at an Event object brings: as many as a client-go recorder sends in one go."""
_THROTTLED_MS: Final = 5 * 60_000


class Advice(NamedTuple):
    """One thing to think about: a word for programs, a sentence for people."""

    code: str
    text: str


def advise(policy: Policy) -> Iterator[Advice]:
    """Yield what is hardly meant in a policy that is valid."""
    yield from _on_thresholds(policy)
    yield from _on_times(policy.spec)
    yield from _on_capacity(policy.spec)
    yield from _on_matchers(policy.spec)
    yield from _on_rules(policy.spec.criticality.rules)


def _on_thresholds(policy: Policy) -> Iterator[Advice]:
    spec = policy.spec
    text = out_of_reach(policy)
    if text:
        yield Advice("out-of-reach", text.removeprefix(f"{policy.key}: "))
    weights = {**DEFAULT_WEIGHTS, **spec.signals.weights}
    if not any((*weights.values(), *(each.weight for each in spec.signals.failures.values()))):
        yield Advice("weightless", "no failure weighs anything, so none reaches limitAt: give a severity a weight")
    lead = {spec.trip.classes.leads_to(kind) for kind in FailureClass}
    if lead == {LeadsTo.JOURNAL}:
        yield Advice(
            "never-limits", "every class leads to Journal, so no failure counts: let one lead to Limit or Open"
        )
    elif LeadsTo.OPEN not in lead:
        yield Advice(
            "never-opens",
            "no class leads to Open, so no failure opens it, but too few ready pods or too much load: "
            "let one lead to Open",
        )


def _on_times(spec: Spec) -> Iterator[Advice]:
    if duration_ms(spec.recover.healthy_for) < duration_ms(MIN_HEALTHY_FOR):
        yield Advice(
            "short-healthy-for",
            f"recover.healthyFor is {spec.recover.healthy_for}, but Alertmanager tells of a new alert after its "
            f"group_wait, {MIN_HEALTHY_FOR} unless set: a trial would end well before anybody hears that it does not; "
            f"write {MIN_HEALTHY_FOR} or more",
        )
    shares, longest = len(spec.recover.shares), duration_ms(spec.recover.max_trial)
    if shares * duration_ms(spec.recover.healthy_for) >= longest:
        yield Advice(
            "trial-too-long",
            f"recover.maxTrial is {spec.recover.max_trial}, but {shares} trialShares of healthyFor "
            f"{spec.recover.healthy_for} each take as long: no trial would end well; write a longer maxTrial",
        )
    if duration_ms(spec.recover.cool_down) < duration_ms(MIN_COOL_DOWN):
        yield Advice(
            "short-cool-down",
            f"recover.coolDown is {spec.recover.cool_down}: in less than {MIN_COOL_DOWN} few workloads are well "
            f"again, and the traffic may go to and fro; write {MIN_COOL_DOWN} or more",
        )


def _on_capacity(spec: Spec) -> Iterator[Advice]:
    if spec.standby is None:
        yield Advice("no-standby", "there is no standby, so people are told and no traffic moves: name one")
    if spec.route is None:
        yield Advice("no-route", "there is no route, so no traffic moves: name the Service that serves the target")
    if spec.target.capacity is not None and spec.signals.load is None:
        yield Advice(
            "no-load",
            "target.capacity is given, but nothing reports the load that is held against it: "
            "give signals.load a query or an annotation",
        )
    if spec.target.min_ready < 1:
        yield Advice(
            "no-min-ready",
            "target.minReady is 0, so the target may lose all its pods: write 1 or more, or leave it out",
        )


def _on_matchers(spec: Spec) -> Iterator[Advice]:
    label = matchers.contradiction(spec.signals.match, {})
    if label:
        yield Advice("matches-nothing", f"signals.match matches no alert: no value of {label} satisfies all of it")


def _on_rules(rules: Sequence[Rule]) -> Iterator[Advice]:
    """Yield what is hardly meant in the rule table, of which the first that matches decides."""
    for number, rule in enumerate(rules):
        where = f"criticality.rules[{number}]"
        unknown = [found for found in map(matchers.label_of, rule.match) if found not in FAILURE_LABELS]
        if unknown:
            yield Advice(
                "unknown-label",
                f"{where} asks for {unknown[0]}, which no failure has: ask for {', '.join(FAILURE_LABELS)}",
            )
        label = matchers.contradiction(rule.match, _KNOWN)
        if label:
            yield Advice("matches-nothing", f"{where} matches no failure: no value of {label} satisfies all of it")
        earlier = _decided_by(rule, rules[:number])
        if earlier is not None:
            yield Advice(
                "never-reached",
                f"{where} is never reached: criticality.rules[{earlier}] decides all that it matches; "
                "put it before that one, or remove it",
            )


def _decided_by(rule: Rule, earlier: Sequence[Rule]) -> int | None:
    """Return the number of an earlier rule that asks for no more than this one does."""
    mine = matchers.restrictions(rule.match, _KNOWN)
    return next((at for at, each in enumerate(earlier) if matchers.restrictions(each.match, _KNOWN) <= mine), None)


def out_of_reach(policy: Policy) -> str:
    """Say why Events of one pod alone can never open a breaker, where that is so; else nothing.

    A client-go recorder sends 25 Events about one object, then one in five minutes (``events_cache.go``), and one look
    at an Event object counts for 25 at most.
    """
    spec, weight = policy.spec, policy.spec.signals.weigh("", condition=False)
    most = weight * MAX_DELTA * (1 + duration_ms(spec.trip.window) // _THROTTLED_MS)
    if weight and most < spec.trip.open_at:
        return (
            f"{policy.key}: spec.trip.openAt is {spec.trip.open_at}, but the Events of one object weigh at most {most} "
            f"in {spec.trip.window}: Kubernetes throttles them. Only alerts, or several pods at once, can open this "
            f"breaker: lower openAt, or raise spec.signals.weights.{OCCURRENCE}"
        )
    return ""
