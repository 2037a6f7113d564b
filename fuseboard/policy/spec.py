"""The policy of a breaker, as its author writes it.

A policy is a ``CircuitBreaker`` document (``fuseboard.dev/v1alpha1``). The structs below are its schema, and their
descriptions become part of the CRD. All fields but ``target`` have a default. Durations use the notation of Kubernetes
(``100s``, ``1m30s``, ``1h``).
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
"""Key in ``signals.weights`` for occurrences: Kubernetes Events of type Warning, and failed containers."""

DEFAULT_WEIGHTS: Final[Mapping[str, int]] = {
    "none": 0,
    "info": 0,
    "warning": 3,
    "critical": 10,
    "page": 10,
    OCCURRENCE: 1,
}
"""Weights by severity: a warning limits, several warnings open, and a critical alert opens at once."""

LEASE_REPEATS: Final = 3
"""A condition's lease in multiples of ``signals.repeatInterval``: two lost notifications do not end the condition."""

MAX_WEIGHT: Final = 1_000_000

Duration = Annotated[
    str,
    Meta(
        # Only as many digits as 30 days need: the API server's rules cannot parse a duration above 292 years.
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
    """A part of the document: immutable, camelCase on the wire, without unknown fields."""

    def brief(self) -> dict[str, object]:
        """Return the document without fields that have their default: the form in which the store keeps it."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        return {each.encode_name: _brief(value) for each, value in values if value != _default(each)}


def _default(declared: FieldInfo) -> object:
    return declared.default if declared.default_factory is NODEFAULT else declared.default_factory()


def _brief(value: object) -> object:
    if isinstance(value, _Document):
        return value.brief()
    if isinstance(value, tuple):
        return [_brief(each) for each in value]
    if isinstance(value, dict):
        return {name: _brief(each) for name, each in value.items()}
    return value


class Workload(_Document, frozen=True):
    """A target or a standby, and the capacity that the workload must have."""

    name: Name
    """Name of the workload, in the breaker's namespace."""
    kind: WorkloadKind = WorkloadKind.DEPLOYMENT
    min_ready: Annotated[int, Meta(ge=0, le=100_000, description="A number of ready pods, from 0 to 100000.")] = 1
    """With fewer ready pods the workload lacks capacity, unless it desires fewer, as when scaled to zero."""
    capacity: Annotated[float, Meta(gt=0, description="A load above 0, in the unit of the query.")] | None = None
    """The load that the workload can carry. A target with more load opens the breaker; a standby gets no more."""

    @property
    def id(self) -> tuple[WorkloadKind, str]:
        """Kind and name, which identify the workload in its namespace."""
        return self.kind, self.name


class Selectors(_Document, frozen=True):
    """Pod selectors of target and standby, if they cannot be derived from the workloads."""

    target: Labels
    """Labels that only the target's pods have."""
    standby: Labels
    """Labels that only the standby's pods have."""

    def of(self, role: Role) -> Labels:
        """Return the labels of a role's pods."""
        return self.standby if role is Role.STANDBY else self.target


class Route(_Document, frozen=True):
    """The object that divides the traffic between target and standby."""

    name: Name
    """Name of the object, in the breaker's namespace."""
    kind: RouteKind = RouteKind.SERVICE
    selectors: Selectors | None = None


class LoadSource(_Document, frozen=True):
    """The source of the target's load, which is compared with ``target.capacity``."""

    query: Annotated[str, Meta(max_length=2048, description="PromQL that returns a single number.")] = ""
    every: Duration = "15s"
    """How often to query Prometheus."""
    annotation: Annotated[str, Meta(max_length=128, description="Annotation of an alert that contains the load.")] = ""


class Rating(_Document, frozen=True):
    """Class, severity and weight of the failures with a reason; a field left out keeps the value of the table."""

    class_: FailureClass | None = field(name="class", default=None)
    severity: Annotated[str, Meta(max_length=64)] | None = None
    """A severity from ``signals.weights``."""
    weight: Weight | None = None
    """Weight of a failure, instead of the weight of its severity."""


class Signals(_Document, frozen=True):
    """The signals that count for this breaker, and their weights."""

    match: Annotated[tuple[Matcher, ...], Meta(max_length=32)] = ()
    """An alert counts if its labels satisfy all of these; without matchers, every alert about the target counts."""
    weights: Annotated[dict[str, Weight], Meta(max_length=32)] = {}
    """Weight of a failure by severity; the defaults are info 0, warning 3, critical and page 10, occurrence 1."""
    failures: Annotated[dict[str, Rating], Meta(max_length=256)] = {}
    """Changes to the table of failures, by alert name, Kubernetes reason or container exit reason."""
    repeat_interval: Duration = "4h"
    """The ``repeat_interval`` of Alertmanager: an alert without a notification for three times as long is over."""
    load: LoadSource | None = None

    def weigh(self, severity: str, *, condition: bool) -> int:
        """Return the weight of a severity; a missing or unknown severity weighs as a warning or an occurrence."""
        fallback = "warning" if condition else OCCURRENCE
        name = severity or fallback
        weight = self.weights.get(name, DEFAULT_WEIGHTS.get(name))
        return self.weights.get(fallback, DEFAULT_WEIGHTS[fallback]) if weight is None else weight

    @property
    def lease_ms(self) -> int:
        """How long a condition holds after the last notification, in milliseconds."""
        return LEASE_REPEATS * duration_ms(self.repeat_interval)


class Classes(_Document, frozen=True):
    """The consequence of failures, by class."""

    runtime: LeadsTo = LeadsTo.OPEN
    configuration: LeadsTo = LeadsTo.OPEN
    network: LeadsTo = LeadsTo.OPEN
    node: LeadsTo = LeadsTo.OPEN

    def leads_to(self, kind: FailureClass) -> LeadsTo:
        """Return the consequence of failures of a class."""
        consequences = {
            FailureClass.RUNTIME: self.runtime,
            FailureClass.CONFIGURATION: self.configuration,
            FailureClass.NETWORK: self.network,
            FailureClass.NODE: self.node,
        }
        return consequences[kind]


class Trip(_Document, frozen=True):
    """When to limit the target's traffic, and when to move all traffic to the standby."""

    window: Duration = "60s"
    """How long an occurrence counts. An alert counts for as long as it fires."""
    limit_at: Annotated[int, Meta(ge=1, le=MAX_WEIGHT)] = 3
    """The weight from which the target's traffic is limited."""
    open_at: Annotated[int, Meta(ge=2, le=MAX_WEIGHT)] = 10
    """The weight from which the traffic moves to the standby; more than ``limitAt``."""
    minimum_sources: Annotated[int, Meta(ge=1, le=100)] = 1
    """Number of distinct causes that is needed to limit the traffic."""
    limit_for: Duration | None = None
    """Open the breaker when an alert fires for this time while the traffic is limited."""
    ready_for: Duration = "15s"
    """How long the target may have too few ready pods."""
    rollout_for: Duration = "60s"
    """How long the target may have too few ready pods during a rollout, a drain or an eviction."""
    trip_on_critical: bool = True
    """Open at once on a critical failure, regardless of its weight."""
    classes: Classes = Classes()


class Rule(_Document, frozen=True):
    """A rule that decides whether the matching failures are critical."""

    match: Annotated[tuple[Matcher, ...], Meta(min_length=1, max_length=10)]
    """Matchers over ``reason``, ``class``, ``severity``, ``kind``, ``name`` and ``container`` of a failure."""
    critical: bool = True
    """Whether the matching failures are critical."""
    name: Annotated[str, Meta(max_length=64)] = ""
    """Name of the rule in events and in the journal."""


class Criticality(_Document, frozen=True):
    """Which failures are critical: by a rule, by their cause, or by earlier critical failures."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=64)] = ()
    """The first matching rule decides, then the table of failures, then the severities critical and page."""
    past_at: Annotated[int, Meta(ge=1, le=100)] = 3
    """After this many critical failures with a reason, the next failure with the reason is critical too."""
    half_life: Duration = "24h"
    """The time after which an earlier critical failure counts half."""


class Probe(_Document, frozen=True):
    """An HTTP request to the target's pods before a trial. A status of 2xx or 3xx passes, as for a kubelet."""

    http: Annotated[str, Meta(pattern=r"^/[!-~]*$", max_length=1024, description="A path such as /healthz.")]
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Without a port, the first port that the target's containers name."""


class Recover(_Document, frozen=True):
    """How the traffic returns to the target."""

    mode: RecoverMode = RecoverMode.AUTO
    cool_down: Duration = "100s"
    """Time from opening to the trial. The time doubles with each failed trial."""
    max_cool_down: Duration = "1h"
    """The longest cool-down. After this time, firing alerts no longer block a trial."""
    healthy_for: Duration = "30s"
    """How long the target must stay healthy, with each share of a trial and while its traffic is limited."""
    max_trial: Duration = "10m"
    """A trial that takes longer fails; more than ``healthyFor``."""
    trial_shares: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=10)] | None = None
    """The target's shares of the traffic during a trial, in percent; a Service supports only 50 and 100."""
    probe: Probe | None = None

    @property
    def shares(self) -> tuple[int, ...]:
        """The shares of a trial; by default all traffic at once, because a Service has no weights."""
        return self.trial_shares or (100,)


class Spec(_Document, frozen=True):
    """The specification of a breaker."""

    target: Workload
    mode: Mode = Mode.OBSERVE
    standby: Workload | None = None
    route: Route | None = None
    signals: Signals = Signals()
    trip: Trip = Trip()
    criticality: Criticality = Criticality()
    recover: Recover = Recover()
    depends_on: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """Breakers of this namespace whose targets this target needs."""
    on_delete: OnDelete = OnDelete.REVERT

    @property
    def workloads(self) -> dict[Role, Workload]:
        """The workloads by role; without a standby, only the target."""
        target = {Role.TARGET: self.target}
        return target if self.standby is None else {**target, Role.STANDBY: self.standby}

    def workload(self, role: Role) -> Workload | None:
        """Return the workload of a role; None for a standby that the policy does not name."""
        return self.standby if role is Role.STANDBY else self.target


class Metadata(Struct, frozen=True, rename="camel"):
    """The part of Kubernetes' object metadata that Fuseboard reads; unknown fields are ignored."""

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
        """The namespace of the breaker, and of all objects that the breaker uses."""
        return self.metadata.namespace
