"""Breakers as the API, the command line and the page show them.

The API encodes these structs and the command line decodes them, perhaps in another version of Fuseboard: every field
has a default, unknown fields are ignored, and enumerations are plain text. Times are RFC 3339, or None if unknown.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct, field

from fuseboard.breaker.placement import Shares

HOLD = "Hold"
"""The mode shown while an operator holds a breaker."""


class _View(Struct, frozen=True, rename="camel"):
    """A part of the API's JSON, in camelCase."""


class OverrideView(_View, frozen=True):
    """An operator's request in force over the policy."""

    action: str = ""
    """``trip`` (ForcedOpen) or ``hold``."""
    operator: str = ""
    reason: str = ""
    since: str | None = None
    until: str | None = None
    """None: until another request ends the override."""


class TrialView(_View, frozen=True):
    """The running trial of the target."""

    share: int = 0
    """Percent of the traffic that the target gets."""
    number: int = 1
    """The position of the share among the policy's trial shares, from 1."""
    of: int = 1
    """The number of the policy's trial shares."""
    since: str | None = None


class ReadyPodsView(_View, frozen=True):
    """The pods of a target or a standby."""

    ready: str = ""
    """Ready and desired pods, such as ``2/3``."""
    min_ready: int = 0
    phase: str = "steady"
    """Why pods may be unready on purpose: ``rollout``, ``disruption``, ``fresh``; else ``steady``."""
    probe: str = ""
    """``ok``, or why the policy's probe fails; empty without a probe."""
    seen: str | None = None
    short_since: str | None = None
    """The beginning of a lack of ready pods."""


class LoadView(_View, frozen=True):
    """The load of the target, in the unit of its capacity."""

    value: float = 0
    seen: str | None = None


class DependencyView(_View, frozen=True):
    """Another breaker, named in the policy's ``dependsOn``."""

    name: str = ""
    state: str = ""
    verified_at: str | None = None
    """The time from which its standby serves; None while its placement is not in place."""


class AttributedView(_View, frozen=True):
    """A condition that is attributed to a dependency, and weighs 0."""

    cause: str = ""
    to: str = ""


class PlacementView(_View, frozen=True):
    """The shares of the traffic, by the last step."""

    epoch: int = 0
    step: int = 0
    shares: Shares = Shares()
    result: str = "verified"
    reason: str = ""
    rehearsed: bool = False
    verified_at: str | None = None
    owed: bool = False
    """The breaker asks for other shares, or the last step failed."""


class BlockedView(_View, frozen=True):
    """A reason for which the breaker stays in its state."""

    text: str = ""
    until: str | None = None
    """When the reason ends by itself; None if time does not end the reason."""


class AheadView(_View, frozen=True):
    """The next transition, if no signal comes before."""

    at: str | None = None
    state: str = ""
    text: str = ""


class OutlookView(_View, frozen=True):
    """Why the breaker stays in its state, and the next transition."""

    blocked: tuple[BlockedView, ...] = ()
    ahead: AheadView | None = None
    evidence: str = ""
    """The effect of further failures; empty if there is none."""


class WeighingView(_View, frozen=True):
    """The occurrences, or the conditions, of a cause, added up."""

    cause: str = ""
    kind: str = "occurrence"
    """``occurrence`` or ``condition``."""
    count: int = 1
    weight: int = 0
    critical: bool = False
    limits_only: bool = False
    attributed: str = ""
    """The dependency that the conditions are attributed to."""
    since: str | None = None
    seen: str | None = None
    until: str | None = None
    """The end of the window, or of the lease."""


class PriorView(_View, frozen=True):
    """How often a reason was critical lately."""

    reason: str = ""
    score: float = 0
    """The number of times, halved every ``criticality.halfLife``."""
    past_at: int = 0
    """The score from which the next failure with this reason is critical."""


class TargetExcerpt(_View, frozen=True):
    """The load limit of the policy's target."""

    capacity: float | None = None


class PolicyExcerpt(_View, frozen=True):
    """The parts of a policy's spec that the commands show."""

    mode: str = ""
    target: TargetExcerpt = TargetExcerpt()


class BreakerView(_View, frozen=True):
    """A row of ``GET /api/breakers``."""

    namespace: str = ""
    name: str = ""
    state: str = ""
    epoch: int = 0
    mode: str = ""
    """The mode in force: ``Hold`` and ``ForcedOpen`` of an operator before the policy's."""
    acts: bool = False
    """The policy's mode moves traffic."""
    override: OverrideView | None = None
    latched: bool = False
    since: str | None = None
    reason: str = ""
    weight: int = 0
    causes: tuple[str, ...] = ()
    trial: TrialView | None = None
    capacity: dict[str, ReadyPodsView] = {}
    """By role: ``target``, ``standby``."""
    load: LoadView | None = None
    depends_on: tuple[DependencyView, ...] = ()
    attributed: tuple[AttributedView, ...] = ()
    placement: PlacementView = PlacementView()
    due: dict[str, str | None] = {}
    """The times at which the clock wakes the breaker (``timer``) and its failover (``debt``)."""
    spec: Raw = field(name="policy", default=Raw(b"{}"))
    """The policy's spec as JSON, unparsed: a newer server may know fields and values that this version refuses."""

    @property
    def key(self) -> str:
        """Return ``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def policy(self) -> PolicyExcerpt:
        """Return the parts of the spec that the commands show."""
        return msgspec.json.decode(self.spec, type=PolicyExcerpt)


class BreakerDetail(BreakerView, frozen=True):
    """The answer of ``GET /api/breakers/NAMESPACE/NAME``: the row, its evidence and its outlook."""

    now: str | None = None
    """The store's time, at which ``weight`` and everything below were computed."""
    outlook: OutlookView = OutlookView()
    weighing: tuple[WeighingView, ...] = ()
    """The evidence, heaviest first."""
    past: tuple[PriorView, ...] = ()
