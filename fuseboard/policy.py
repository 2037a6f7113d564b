"""The policy: what the user wrote about one breaker.

A policy is a ``CircuitBreaker`` document (``fuseboard.dev/v1alpha1``). The structs below are its schema; everything
but ``target`` has a default. Durations are written as Kubernetes writes them (``100s``, ``1m30s``, ``1h``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from fuseboard import matchers
from fuseboard.errors import InvalidPolicy
from fuseboard.explain import explain, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

API_VERSION: Final = "fuseboard.dev/v1alpha1"
KIND: Final = "CircuitBreaker"

OCCURRENCE: Final = "occurrence"
"""Key in ``signals.weights`` for what merely happened: a Kubernetes event of type Warning."""

DEFAULT_WEIGHTS: Final[Mapping[str, int]] = {
    "none": 0,
    "info": 0,
    "warning": 3,
    "critical": 10,
    "page": 10,
    OCCURRENCE: 1,
}
"""Weights by severity, so that one warning limits, a growing number opens and one critical opens at once."""

LEASE_REPEATS: Final = 3
"""A condition's lease is that many times ``signals.repeatInterval``: two lost repeats do not end it."""

MAX_WEIGHT: Final = 1_000_000

_DURATION = re.compile(r"([0-9]+)(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_MIN_DURATION_MS: Final = 1_000
_MAX_DURATION_MS: Final = 30 * 24 * 3_600_000

Duration = Annotated[
    str,
    Meta(pattern=r"^([0-9]{1,9}(ms|s|m|h))+$", description="A duration such as 100s, 1m30s or 1h, of at most 30 days."),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=63,
        description="A DNS-1123 label: at most 63 lower case letters, digits and '-', with no '-' at either end.",
    ),
]
Labels = Annotated[dict[str, str], Meta(min_length=1)]


@lru_cache(maxsize=1024)
def millis(duration: str) -> int:
    """Return a duration such as ``1m30s`` in milliseconds."""
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _DURATION.findall(duration))


class Mode(StrEnum):
    """What a breaker may do: only decide and tell, or act as well."""

    OBSERVE = "Observe"
    ENFORCE = "Enforce"


class WorkloadKind(StrEnum):
    """Kinds of workload that a breaker can protect."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"


class RouteKind(StrEnum):
    """Kinds of object whose shares decide who serves."""

    SERVICE = "Service"


class _Document(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of the document: immutable, camelCase on the wire, unknown fields refused."""


class Workload(_Document, frozen=True):
    """A target or a standby."""

    name: Name
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT


class Selectors(_Document, frozen=True):
    """Pod selectors of target and standby, where they do not follow from the workloads."""

    target: Labels
    standby: Labels


class Route(_Document, frozen=True):
    """The one object whose shares decide who serves."""

    name: Name
    kind: RouteKind = RouteKind.SERVICE
    selectors: Selectors | None = None


class Signals(_Document, frozen=True):
    """Which signals count for this breaker, and how much."""

    match: tuple[str, ...] = ()
    weights: dict[str, Annotated[int, Meta(ge=0, le=MAX_WEIGHT)]] = {}
    repeat_interval: Duration = "4h"

    def weigh(self, severity: str, *, condition: bool) -> int:
        """Return the weight of a failure by its severity; a missing or unknown one is a warning or an occurrence."""
        fallback = "warning" if condition else OCCURRENCE
        name = severity or fallback
        weight = self.weights.get(name, DEFAULT_WEIGHTS.get(name))
        return self.weights.get(fallback, DEFAULT_WEIGHTS[fallback]) if weight is None else weight

    @property
    def lease_ms(self) -> int:
        """How long a condition holds without being seen again, in milliseconds."""
        return LEASE_REPEATS * millis(self.repeat_interval)


class Trip(_Document, frozen=True):
    """When the target should no longer serve alone, or at all."""

    window: Duration = "60s"
    limit_at: Annotated[int, Meta(ge=1, le=MAX_WEIGHT)] = 3
    open_at: Annotated[int, Meta(ge=2, le=MAX_WEIGHT)] = 10
    minimum_sources: Annotated[int, Meta(ge=1, le=100)] = 1
    limit_for: Duration | None = None


class Recover(_Document, frozen=True):
    """How the traffic comes back."""

    cool_down: Duration = "100s"
    max_cool_down: Duration = "1h"
    healthy_for: Duration = "30s"
    max_trial: Duration = "10m"


class Spec(_Document, frozen=True):
    """One row of the breaker table, as its user wrote it."""

    target: Workload
    mode: Mode = Mode.OBSERVE
    standby: Workload | None = None
    route: Route | None = None
    signals: Signals = Signals()
    trip: Trip = Trip()
    recover: Recover = Recover()


class Metadata(Struct, frozen=True, rename="camel"):
    """The part of Kubernetes' object metadata that is used here; the rest is left alone."""

    name: Name
    namespace: Name = "default"


class Policy(_Document, frozen=True):
    """A ``CircuitBreaker`` document."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: Spec

    @property
    def key(self) -> str:
        """``namespace/name`` of the breaker: the subject of all its events."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def namespace(self) -> str:
        """The namespace of the breaker; it acts in no other."""
        return self.metadata.namespace


def parse(document: object, where: str) -> Policy:
    """Turn one document into a policy; ``where`` begins every message.

    Raises:
        InvalidPolicy: with the field's path, its value and what was expected there.

    """
    where = _named(document, where)
    _check_kind(document, where)
    try:
        policy = msgspec.convert(document, Policy)
    except (msgspec.ValidationError, RecursionError) as error:
        told = explain(error, document, Policy) if isinstance(error, msgspec.ValidationError) else "is nested too deep"
        raise InvalidPolicy(f"{where}: {told}") from error
    for path, value, expected in _problems(policy):
        raise InvalidPolicy(f"{where}: {path} is {shown(value)}: expected {expected}")
    return policy


def check_table(policies: Sequence[Policy]) -> tuple[Policy, ...]:
    """Check what no single policy can know: names are unique, and so are targets.

    Raises:
        InvalidPolicy: two breakers have one name, protect one target or turn one route.

    """
    taken: dict[tuple[str, str], str] = {}
    for policy in policies:
        target, route = policy.spec.target, policy.spec.route
        claims = [("breaker", policy.key), ("target", f"{policy.namespace}/{target.kind}/{target.name}")]
        if route is not None:
            claims.append(("route", f"{policy.namespace}/{route.kind}/{route.name}"))
        for claim in claims:
            what, which = claim
            if claim in taken and what == "breaker":
                raise InvalidPolicy(f"{policy.key}: two documents have this name: remove one, or give it another")
            if claim in taken:
                raise InvalidPolicy(
                    f"{policy.key}: the {what} {which} already belongs to the breaker {taken[claim]}: "
                    f"a {what} has one breaker; merge the two or remove one"
                )
            taken[claim] = policy.key
    return tuple(policies)


def _check_kind(document: object, where: str) -> None:
    """Refuse what is another kind of document, before its fields are looked at."""
    for field, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if isinstance(document, dict) and document.get(field, expected) != expected:
            raise InvalidPolicy(f"{where}: {field} is {shown(document[field])}: expected {expected}")


def _problems(policy: Policy) -> Iterator[tuple[str, object, str]]:
    """Yield (path, value, expected) for what spans fields or needs more than a type."""
    for path, name in _names(policy):
        if name.endswith("\n"):  # a pattern's $ lets one through
            yield path, name, "a name without a line break"
    for path, duration in _durations(policy.spec):
        if duration.endswith("\n") or not _MIN_DURATION_MS <= millis(duration) <= _MAX_DURATION_MS:
            yield path, duration, "a duration from 1s to 30 days"
    yield from _problems_of_numbers(policy.spec.trip, policy.spec.recover)
    yield from _problems_of_route(policy.spec)
    for index, matcher in enumerate(policy.spec.signals.match):
        problem = matchers.problem(matcher)
        if problem:
            yield f"spec.signals.match[{index}]", matcher, problem


def _problems_of_numbers(trip: Trip, recover: Recover) -> Iterator[tuple[str, object, str]]:
    if trip.limit_at >= trip.open_at:
        yield "spec.trip.limitAt", trip.limit_at, f"less than spec.trip.openAt ({trip.open_at})"
    if millis(recover.cool_down) > millis(recover.max_cool_down):
        yield "spec.recover.coolDown", recover.cool_down, f"at most maxCoolDown ({recover.max_cool_down})"
    if millis(recover.healthy_for) >= millis(recover.max_trial):
        yield "spec.recover.healthyFor", recover.healthy_for, f"less than maxTrial ({recover.max_trial})"


def _problems_of_route(spec: Spec) -> Iterator[tuple[str, object, str]]:
    if spec.standby == spec.target:
        yield "spec.standby", f"{spec.target.kind}/{spec.target.name}", "another workload than the target"
    if spec.standby is not None and spec.route is None:
        yield "spec.route", None, "the Service that serves target and standby, for example {kind: Service, name: login}"
    selectors = spec.route.selectors if spec.route is not None else None
    if selectors is not None and selectors.target == selectors.standby:
        yield "spec.route.selectors.standby", selectors.standby, "another selector than the target's"


def _durations(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "spec.trip.window", spec.trip.window
    if spec.trip.limit_for is not None:
        yield "spec.trip.limitFor", spec.trip.limit_for
    yield "spec.recover.coolDown", spec.recover.cool_down
    yield "spec.recover.maxCoolDown", spec.recover.max_cool_down
    yield "spec.recover.healthyFor", spec.recover.healthy_for
    yield "spec.recover.maxTrial", spec.recover.max_trial
    yield "spec.signals.repeatInterval", spec.signals.repeat_interval


def _names(policy: Policy) -> Iterator[tuple[str, str]]:
    yield "metadata.name", policy.metadata.name
    yield "metadata.namespace", policy.metadata.namespace
    for field in ("target", "standby", "route"):
        found = getattr(policy.spec, field)
        if found is not None:
            yield f"spec.{field}.name", found.name


def _named(document: object, where: str) -> str:
    """Add the breaker's own name to the place where it was found."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{where} ({shown(name).strip(chr(39))})" if isinstance(name, str) and name else where
