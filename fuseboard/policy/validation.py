"""Validation of policies: each policy by itself, and all policies of a table together.

In a cluster, the rules of the CRD (``fuseboard.crd``) enforce most of this at the API server. Policies in files are
only checked here.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from fuseboard.errors import InvalidPolicy
from fuseboard.policy import matchers
from fuseboard.policy.messages import brief_repr, validation_message
from fuseboard.policy.spec import API_VERSION, KIND, Policy
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fuseboard.policy.spec import Recover, Spec, Trip

_MIN_DURATION_MS: Final = 1_000
_MAX_DURATION_MS: Final = 30 * 24 * 3_600_000

ALL: Final = 100
SERVICE_SHARES: Final = frozenset({50, ALL})
"""Shares of a serving target that the selector of a Service can express, in percent."""


class Clash(NamedTuple):
    """A policy whose name, target or route already belongs to an earlier policy of the table."""

    policy: Policy
    owner: Policy
    problem: str


def parse_document(document: object, where: str) -> Policy:
    """Read and validate a document; ``where`` begins the error message.

    Raises:
        InvalidPolicy: the message gives the path of a field, its value, and the expected value.

    """
    where = _named(document, where)
    try:
        policy = decode_document(document)
    except InvalidPolicy as error:
        raise InvalidPolicy(f"{where}: {error}") from error
    for problem in problems(policy):
        raise InvalidPolicy(f"{where}: {problem}")
    return policy


def decode_document(document: object) -> Policy:
    """Read a document whose fields must have the right types; ``problems`` finds the remaining errors.

    Raises:
        InvalidPolicy: the message gives the path of a field, its value, and the expected value.

    """
    _check_kind(document)
    try:
        return msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise InvalidPolicy(validation_message(error, document, Policy)) from error
    except RecursionError as error:
        raise InvalidPolicy("is nested too deep") from error


def problems(policy: Policy) -> Iterator[str]:
    """Yield the errors of a policy by itself: the path of the field, its value, and the expected value."""
    for path, value, expected in _problems(policy):
        yield f"{path} is {brief_repr(value)}: expected {expected}"


def check_table(policies: Sequence[Policy]) -> tuple[Policy, ...]:
    """Check that names, targets and routes of a table are unique, and that no dependency is circular.

    Raises:
        InvalidPolicy: two breakers share a name, a target or a route, or depend on each other.

    """
    for cycle in cycles(policies):
        raise InvalidPolicy(f"{cycle[0]}: {cycle_message(cycle)}")
    for policy, _, problem in conflicts(policies):
        raise InvalidPolicy(f"{policy.key}: {problem}")
    return tuple(policies)


def conflicts(policies: Iterable[Policy]) -> Iterator[Clash]:
    """Yield each policy that claims the name, target or route of an earlier policy."""
    taken: dict[tuple[str, str], Policy] = {}
    for policy in policies:
        for claim in (("breaker", policy.key), *claims(policy)):
            owner = taken.setdefault(claim, policy)
            if owner is policy:
                continue
            if claim[0] == "breaker":
                yield Clash(policy, owner, "two documents have this name: remove or rename one")
                break
            yield Clash(policy, owner, clash_message(claim, owner.key))


def claims(policy: Policy) -> tuple[tuple[str, str], ...]:
    """Return the objects that only this breaker may use: its target and its route, each with its role."""
    target, route = policy.spec.target, policy.spec.route
    claim = "target", f"{policy.namespace}/{target.kind}/{target.name}"
    return (claim,) if route is None else (claim, ("route", f"{policy.namespace}/{route.kind}/{route.name}"))


def clash_message(claim: tuple[str, str], owner: str) -> str:
    """Return the message for a claim that another breaker holds."""
    role, name = claim
    return (
        f"the {role} {name} already belongs to the breaker {owner}: "
        f"a {role} can have only one breaker; merge the two breakers or remove one"
    )


def cycles(policies: Iterable[Policy]) -> Iterator[tuple[str, ...]]:
    """Yield each circular chain of dependencies: every breaker depends on the next, and the last on the first.

    After each chain, its last dependency is removed to find the next chain.
    """
    depends = {
        policy.key: [f"{policy.namespace}/{name}" for name in dict.fromkeys(policy.spec.depends_on)]
        for policy in policies
        if policy.spec.depends_on
    }
    while cycle := _first_cycle(depends):
        yield cycle
        depends[cycle[-1]].remove(cycle[0])


def cycle_message(cycle: tuple[str, ...]) -> str:
    """Return the message for a circular chain of dependencies."""
    chain = " → ".join((*cycle, cycle[0]))
    return f"spec.dependsOn is circular ({chain}): remove one of these dependencies"


def _first_cycle(depends: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    try:
        tuple(TopologicalSorter(depends).static_order())
    except CycleError as error:
        chain: list[str] = error.args[1]
        return tuple(reversed(chain[1:]))
    return ()


def _check_kind(document: object) -> None:
    """Refuse a document of another kind before its fields are checked."""
    for field, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if isinstance(document, dict) and document.get(field, expected) != expected:
            raise InvalidPolicy(f"{field} is {brief_repr(document[field])}: expected {expected}")


def _problems(policy: Policy) -> Iterator[tuple[str, object, str]]:
    """Yield path, value and expected value for each error that spans fields or needs more than a type."""
    for path, name in _names(policy):
        if name.endswith("\n"):  # the $ of a pattern also matches before a final line break
            yield path, name, "a name without a line break"
    for path, duration in _durations(policy.spec):
        if duration.endswith("\n") or not _MIN_DURATION_MS <= duration_ms(duration) <= _MAX_DURATION_MS:
            yield path, duration, "a duration from 1s to 30 days"
    yield from _problems_of_numbers(policy.spec.trip, policy.spec.recover)
    yield from _problems_of_route(policy.spec)
    yield from _problems_of_load(policy.spec)
    for path, matcher in _matchers(policy.spec):
        problem = matchers.matcher_problem(matcher)
        if problem is not None:
            yield path, matcher, str(problem)
    if policy.metadata.name in policy.spec.depends_on:
        yield "spec.dependsOn", policy.metadata.name, "the names of other breakers"


def _problems_of_numbers(trip: Trip, recover: Recover) -> Iterator[tuple[str, object, str]]:
    if trip.limit_at >= trip.open_at:
        yield "spec.trip.limitAt", trip.limit_at, f"less than spec.trip.openAt ({trip.open_at})"
    if duration_ms(recover.cool_down) > duration_ms(recover.max_cool_down):
        yield "spec.recover.coolDown", recover.cool_down, f"at most maxCoolDown ({recover.max_cool_down})"
    if duration_ms(recover.healthy_for) >= duration_ms(recover.max_trial):
        yield "spec.recover.healthyFor", recover.healthy_for, f"less than maxTrial ({recover.max_trial})"
    if recover.probe is not None and recover.probe.http.endswith("\n"):
        yield "spec.recover.probe.http", recover.probe.http, "a path without a line break"
    shares = list(recover.shares)
    if shares[-1] != ALL or sorted(set(shares)) != shares:
        yield "spec.recover.trialShares", shares, f"shares that rise to {ALL}, such as [10, 50, {ALL}]"


def _problems_of_route(spec: Spec) -> Iterator[tuple[str, object, str]]:
    if spec.standby is not None and spec.standby.id == spec.target.id:
        yield "spec.standby", f"{spec.target.kind}/{spec.target.name}", "another workload than the target"
    if spec.standby is not None and spec.route is None:
        yield "spec.route", None, "the Service that serves target and standby, for example {kind: Service, name: login}"
    if not SERVICE_SHARES.issuperset(spec.recover.shares):  # a Service is the only kind of route so far
        yield (
            "spec.recover.trialShares", list(spec.recover.shares),
            "only 50 and 100: a Service sends traffic to the target, to the standby, or to both",
        )  # fmt: skip
    selectors = spec.route.selectors if spec.route is not None else None
    if selectors is not None and selectors.target == selectors.standby:
        yield "spec.route.selectors.standby", selectors.standby, "another selector than the target's"


def _problems_of_load(spec: Spec) -> Iterator[tuple[str, object, str]]:
    load = spec.signals.load
    if load is None:
        return
    if not load.query and not load.annotation:
        yield "spec.signals.load", {}, "a query, or the annotation of alerts that contains the load"
    if spec.target.capacity is None:
        yield "spec.target.capacity", None, "the load that the target can carry, because spec.signals.load is set"


def _matchers(spec: Spec) -> Iterator[tuple[str, str]]:
    for index, matcher in enumerate(spec.signals.match):
        yield f"spec.signals.match[{index}]", matcher
    for number, rule in enumerate(spec.criticality.rules):
        for index, matcher in enumerate(rule.match):
            yield f"spec.criticality.rules[{number}].match[{index}]", matcher


def _durations(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "spec.trip.window", spec.trip.window
    if spec.trip.limit_for is not None:
        yield "spec.trip.limitFor", spec.trip.limit_for
    yield "spec.trip.readyFor", spec.trip.ready_for
    yield "spec.trip.rolloutFor", spec.trip.rollout_for
    if spec.signals.load is not None:
        yield "spec.signals.load.every", spec.signals.load.every
    yield "spec.criticality.halfLife", spec.criticality.half_life
    yield "spec.recover.coolDown", spec.recover.cool_down
    yield "spec.recover.maxCoolDown", spec.recover.max_cool_down
    yield "spec.recover.healthyFor", spec.recover.healthy_for
    yield "spec.recover.maxTrial", spec.recover.max_trial
    yield "spec.signals.repeatInterval", spec.signals.repeat_interval


def _names(policy: Policy) -> Iterator[tuple[str, str]]:
    yield "metadata.name", policy.metadata.name
    yield "metadata.namespace", policy.metadata.namespace
    for role, workload in policy.spec.workloads.items():
        yield f"spec.{role}.name", workload.name
    if policy.spec.route is not None:
        yield "spec.route.name", policy.spec.route.name
    for index, name in enumerate(policy.spec.depends_on):
        yield f"spec.dependsOn[{index}]", name


def _named(document: object, where: str) -> str:
    """Add the name of the breaker to the place of its document."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{where} ({brief_repr(name).strip(chr(39))})" if isinstance(name, str) and name else where
