"""The policy: what the user wrote about one breaker.

A policy is a ``CircuitBreaker`` document (``fuseboard.dev/v1alpha1``). The structs below are its schema; everything
but ``target`` has a default. Durations are written as Kubernetes writes them (``100s``, ``1m30s``, ``1h``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from fuseboard import matchers
from fuseboard.errors import InvalidPolicy

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

_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_MAX_DURATION_MS: Final = 30 * 24 * 3_600_000

Duration = Annotated[
    str,
    Meta(pattern=r"^(\d{1,9}(ms|s|m|h))+$", description="A duration such as 100s, 1m30s or 1h, of at most 30 days."),
]
Name = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63, description="A DNS-1123 label."),
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
    weights: dict[str, Annotated[int, Meta(ge=0, le=1_000_000)]] = {}
    repeat_interval: Duration = "4h"

    def weigh(self, severity: str, *, condition: bool) -> int:
        """Return the weight of a failure by its severity; a missing or unknown one is a warning or an occurrence."""
        weights = {**DEFAULT_WEIGHTS, **self.weights}
        fallback = "warning" if condition else OCCURRENCE
        return weights.get(severity or fallback, weights[fallback])

    @property
    def lease_ms(self) -> int:
        """How long a condition holds without being seen again, in milliseconds."""
        return LEASE_REPEATS * millis(self.repeat_interval)


class Trip(_Document, frozen=True):
    """When the target should no longer serve alone, or at all."""

    window: Duration = "60s"
    limit_at: Annotated[int, Meta(ge=1)] = 3
    open_at: Annotated[int, Meta(ge=2)] = 10
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
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise InvalidPolicy(f"{where}: {_explain(error, document)}") from error
    for path, value, expected in _problems(policy):
        message = f"{where}: {path} is {value!r}: expected {expected}"
        raise InvalidPolicy(message)
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
            if claim in taken:
                what, which = claim
                message = (
                    f"{policy.key}: the {what} {which} already belongs to the breaker {taken[claim]}: "
                    f"a {what} has one breaker; merge the two or remove one"
                )
                raise InvalidPolicy(message)
            taken[claim] = policy.key
    return tuple(policies)


def _problems(policy: Policy) -> Iterator[tuple[str, object, str]]:
    """Yield (path, value, expected) for what spans fields or needs more than a type."""
    spec = policy.spec
    if policy.api_version != API_VERSION:
        yield "apiVersion", policy.api_version, API_VERSION
    if policy.kind != KIND:
        yield "kind", policy.kind, KIND
    if spec.trip.limit_at >= spec.trip.open_at:
        yield "spec.trip.limitAt", spec.trip.limit_at, f"less than spec.trip.openAt ({spec.trip.open_at})"
    for path, duration in _durations(spec):
        if not 1_000 <= millis(duration) <= _MAX_DURATION_MS:
            yield path, duration, "a duration from 1s to 30 days"
    if millis(spec.recover.cool_down) > millis(spec.recover.max_cool_down):
        yield "spec.recover.coolDown", spec.recover.cool_down, f"at most maxCoolDown ({spec.recover.max_cool_down})"
    if millis(spec.recover.healthy_for) >= millis(spec.recover.max_trial):
        yield "spec.recover.healthyFor", spec.recover.healthy_for, f"less than maxTrial ({spec.recover.max_trial})"
    if spec.standby == spec.target:
        yield "spec.standby", f"{spec.target.kind}/{spec.target.name}", "another workload than the target"
    if spec.standby is not None and spec.route is None:
        yield "spec.route", None, "the Service that serves target and standby, for example {kind: Service, name: login}"
    if spec.route is not None and spec.route.selectors is not None:
        selectors = spec.route.selectors
        if selectors.target == selectors.standby:
            yield "spec.route.selectors.standby", selectors.standby, "another selector than the target's"
    for index, matcher in enumerate(spec.signals.match):
        problem = matchers.problem(matcher)
        if problem:
            yield f"spec.signals.match[{index}]", matcher, problem


def _durations(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "spec.trip.window", spec.trip.window
    if spec.trip.limit_for is not None:
        yield "spec.trip.limitFor", spec.trip.limit_for
    yield "spec.recover.coolDown", spec.recover.cool_down
    yield "spec.recover.maxCoolDown", spec.recover.max_cool_down
    yield "spec.recover.healthyFor", spec.recover.healthy_for
    yield "spec.recover.maxTrial", spec.recover.max_trial
    yield "spec.signals.repeatInterval", spec.signals.repeat_interval


def _named(document: object, where: str) -> str:
    """Add the breaker's own name to the place where it was found."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{where} ({name})" if name else where


def _explain(error: msgspec.ValidationError, document: object) -> str:
    """Say field, value and expectation: msgspec's message has all but the value."""
    expected, _, place = str(error).partition(" - at `$")
    path = place.rstrip("`").lstrip(".")
    if "unknown field" in expected:
        field = expected.rpartition("unknown field ")[2].strip("`")
        full = f"{path}.{field}" if path else field
        return f"{full} is not a field of a CircuitBreaker: remove it, or check its spelling"
    if "missing required field" in expected:
        field = expected.rpartition("required field ")[2].strip("`")
        return f"{f'{path}.{field}' if path else field} is missing"
    if "matching regex" in expected:
        expected = "Expected a duration such as 100s, 1m30s or 1h" if r"(ms|s|m|h)" in expected else (
            "Expected a DNS-1123 label: lower case letters, digits and '-'"
        )
    if "enum value" in expected:
        expected = f"Expected one of {', '.join(_choices(path))}"
    value = _value_at(document, path)
    return f"{path or 'the document'} is {value!r}: {expected[0].lower()}{expected[1:]}"


def _choices(path: str) -> tuple[str, ...]:
    """Return the values of the enumeration at a path of the document."""
    info: Any = msgspec.inspect.type_info(Policy)
    for step in path.split("."):
        info = next(field.type for field in info.fields if field.encode_name == step)
        if isinstance(info, msgspec.inspect.UnionType):  # optional: a struct or null
            info = info.types[0] if isinstance(info.types[1], msgspec.inspect.NoneType) else info.types[1]
    return tuple(member.value for member in info.cls)


def _value_at(document: object, path: str) -> object:
    value = document
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)]
    return value
