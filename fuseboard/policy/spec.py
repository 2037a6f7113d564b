"""The policy: what the user wrote about one breaker.

A policy is a ``CircuitBreaker`` document (``fuseboard.dev/v1alpha1``). The structs below are its schema; everything
but ``target`` has a default. Durations are written as Kubernetes writes them (``100s``, ``1m30s``, ``1h``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from msgspec import NODEFAULT, Meta, Struct, field
from msgspec.structs import fields

from fuseboard.policy.enums import FailureClass, LeadsTo, Mode, OnDelete, RecoverMode, RouteKind, WorkloadKind
from fuseboard.roles import Role
from fuseboard.times import duration_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec.structs import FieldInfo

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

Duration = Annotated[
    str,
    Meta(
        # No more digits than 30 days need: what is longer than 292 years is no duration to the API server's rules.
        pattern=r"^([0-9]{1,5}h|[0-9]{1,5}m|[0-9]{1,7}s|[0-9]{1,10}ms)+$",
        max_length=32,
        description="A duration such as 100s, 1m30s or 1h, of at most 30 days.",
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=63,
        description="A DNS-1123 label: at most 63 lower case letters, digits and '-', with no '-' at either end.",
    ),
]
Labels = Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(min_length=1, max_length=64)]
Matcher = Annotated[str, Meta(max_length=1024, description='An Alertmanager matcher such as severity="critical".')]
Weight = Annotated[int, Meta(ge=0, le=MAX_WEIGHT)]
Share = Annotated[int, Meta(ge=1, le=100)]


class _Document(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of the document: immutable, camelCase on the wire, unknown fields refused."""

    def brief(self) -> dict[str, object]:
        """Return the document without what is as it would be anyway: as it is kept, ten thousand times over."""
        values = ((told, getattr(self, told.name)) for told in fields(self))
        return {told.encode_name: _brief(value) for told, value in values if value != _default(told)}


def _default(told: FieldInfo) -> object:
    return told.default if told.default_factory is NODEFAULT else told.default_factory()


def _brief(value: object) -> object:
    if isinstance(value, _Document):
        return value.brief()
    if isinstance(value, tuple):
        return [_brief(each) for each in value]
    if isinstance(value, dict):
        return {name: _brief(each) for name, each in value.items()}
    return value


class Workload(_Document, frozen=True):
    """A target or a standby, and the least capacity that it must have."""

    name: Name
    """Its name, in the breaker's namespace."""
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT
    min_ready: Annotated[int, Meta(ge=0, le=100_000, description="Ready pods that it must keep.")] = 1
    """The least, unless fewer are desired: a workload that is scaled to zero lacks nothing."""
    capacity: Annotated[float, Meta(gt=0, description="Load that it can carry, in the unit of the query.")] | None = (
        None
    )
    """More opens the breaker of a target; a standby is never given more than it has left."""

    @property
    def id(self) -> tuple[WorkloadKind, str]:
        """Kind and name: what makes it this workload in its namespace."""
        return self.kind, self.name


class Selectors(_Document, frozen=True):
    """Pod selectors of target and standby, where they do not follow from the workloads."""

    target: Labels
    """Labels of the target's pods, and of no others."""
    standby: Labels
    """Labels of the standby's pods, and of no others."""

    def of(self, role: Role) -> Labels:
        """Return the labels of a role's pods."""
        return self.standby if role is Role.STANDBY else self.target


class Route(_Document, frozen=True):
    """The one object whose shares decide who serves."""

    name: Name
    """Its name, in the breaker's namespace."""
    kind: RouteKind = RouteKind.SERVICE
    selectors: Selectors | None = None


class LoadSource(_Document, frozen=True):
    """Where the target's load comes from; it is held against ``target.capacity``."""

    query: Annotated[str, Meta(max_length=2048, description="PromQL with one number as its answer.")] = ""
    every: Duration = "15s"
    """How often Prometheus is asked."""
    annotation: Annotated[str, Meta(max_length=128, description="Annotation of an alert that holds the load.")] = ""


class Rating(_Document, frozen=True):
    """What failures of one reason are; what is left out is as in the table."""

    class_: FailureClass | None = field(name="class", default=None)
    severity: Annotated[str, Meta(max_length=64)] | None = None
    """A severity that ``signals.weights`` knows."""
    weight: Weight | None = None
    """How much it counts, instead of what its severity weighs."""


class Signals(_Document, frozen=True):
    """Which signals count for this breaker, and how much."""

    match: Annotated[tuple[Matcher, ...], Meta(max_length=32)] = ()
    """What the labels of an alert must satisfy; without any, every alert about the target counts."""
    weights: Annotated[dict[str, Weight], Meta(max_length=32)] = {}
    """What a failure weighs, by severity; unless set, info 0, warning 3, critical and page 10, and occurrence 1."""
    failures: Annotated[dict[str, Rating], Meta(max_length=256)] = {}
    """What failures are, by alert name, Kubernetes reason or container exit reason, where it is not as in the table."""
    repeat_interval: Duration = "4h"
    """Alertmanager's: an alert that is not sent again for three times as long is over."""
    load: LoadSource | None = None

    def weigh(self, severity: str, *, condition: bool) -> int:
        """Return the weight of a failure by its severity; a missing or unknown one is a warning or an occurrence."""
        fallback = "warning" if condition else OCCURRENCE
        name = severity or fallback
        weight = self.weights.get(name, DEFAULT_WEIGHTS.get(name))
        return self.weights.get(fallback, DEFAULT_WEIGHTS[fallback]) if weight is None else weight

    @property
    def lease_ms(self) -> int:
        """How long a condition holds without being seen again, in milliseconds."""
        return LEASE_REPEATS * duration_ms(self.repeat_interval)


class Classes(_Document, frozen=True):
    """What failures of each class lead to."""

    runtime: LeadsTo = LeadsTo.OPEN
    configuration: LeadsTo = LeadsTo.OPEN
    network: LeadsTo = LeadsTo.OPEN
    node: LeadsTo = LeadsTo.OPEN

    def leads_to(self, kind: FailureClass) -> LeadsTo:
        """Return what failures of a class lead to."""
        found: LeadsTo = getattr(self, kind.value)
        return found


class Trip(_Document, frozen=True):
    """When the target should no longer serve alone, or at all."""

    window: Duration = "60s"
    """How long an occurrence counts; an alert weighs for as long as it fires."""
    limit_at: Annotated[int, Meta(ge=1, le=MAX_WEIGHT)] = 3
    """The weight from which the traffic is limited."""
    open_at: Annotated[int, Meta(ge=2, le=MAX_WEIGHT)] = 10
    """The weight from which the traffic is moved; more than ``limitAt``."""
    minimum_sources: Annotated[int, Meta(ge=1, le=100)] = 1
    """Distinct causes that must agree before the traffic is limited."""
    limit_for: Duration | None = None
    """Open when an alert holds that long while limited."""
    ready_for: Duration = "15s"
    """How long the target may have too few ready pods."""
    rollout_for: Duration = "60s"
    """The same during a rollout, a drain or an eviction."""
    trip_on_critical: bool = True
    """Open at once on a critical failure, whatever it weighs."""
    classes: Classes = Classes()


class Rule(_Document, frozen=True):
    """A row of the rule table: whether failures that match are critical."""

    match: Annotated[tuple[Matcher, ...], Meta(min_length=1, max_length=10)]
    """Over ``reason``, ``class``, ``severity``, ``kind``, ``name`` and ``container`` of a failure."""
    critical: bool = True
    """Whether what matches is critical."""
    name: Annotated[str, Meta(max_length=64)] = ""
    """What the verdict calls this rule."""


class Criticality(_Document, frozen=True):
    """Which failures are critical: by themselves, by their causes, or by what was critical before."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=64)] = ()
    """The first that matches decides; then the table of failures, then ``critical`` and ``page`` are critical."""
    past_at: Annotated[int, Meta(ge=1, le=100)] = 3
    """A reason that was critical so many times makes the next failure of that reason critical."""
    half_life: Duration = "24h"
    """In which half of what was critical is forgotten."""


class Probe(_Document, frozen=True):
    """What is asked of the target's own pods before it is tried again; a 2xx or 3xx is a pass, as to a kubelet."""

    http: Annotated[str, Meta(pattern=r"^/[!-~]*$", max_length=1024, description="A path such as /healthz.")]
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Without one, the first port that the target's containers name."""


class Recover(_Document, frozen=True):
    """How the traffic comes back."""

    mode: RecoverMode = RecoverMode.AUTO
    cool_down: Duration = "100s"
    """From opening to the trial; it doubles each time that a trial fails."""
    max_cool_down: Duration = "1h"
    """The longest cool-down; after it, alerts that still fire no longer block a trial."""
    healthy_for: Duration = "30s"
    """How long the target must stay healthy, on each share of a trial or while limited."""
    max_trial: Duration = "10m"
    """A trial that takes longer opens again; more than ``healthyFor``."""
    trial_shares: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=10)] | None = None
    """What the target is given on trial, one after the other, in percent; a Service can express 50 and 100 only."""
    probe: Probe | None = None

    @property
    def shares(self) -> tuple[int, ...]:
        """The shares of a trial; without any, all at once: the only route that there is has no weights."""
        return self.trial_shares or (100,)


class Spec(_Document, frozen=True):
    """One row of the breaker table, as its user wrote it."""

    target: Workload
    mode: Mode = Mode.OBSERVE
    standby: Workload | None = None
    route: Route | None = None
    signals: Signals = Signals()
    trip: Trip = Trip()
    criticality: Criticality = Criticality()
    recover: Recover = Recover()
    depends_on: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Breakers of this namespace without whose targets this one cannot do well."""
    on_delete: OnDelete = OnDelete.REVERT

    @property
    def workloads(self) -> dict[Role, Workload]:
        """The workloads by role; without a standby, the target alone."""
        target = {Role.TARGET: self.target}
        return target if self.standby is None else {**target, Role.STANDBY: self.standby}

    def workload(self, role: Role) -> Workload | None:
        """Return the workload of a role; None where the policy names no standby."""
        return self.standby if role is Role.STANDBY else self.target


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
