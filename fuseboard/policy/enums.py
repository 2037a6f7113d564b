"""The words that a policy may use."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What a breaker may do. Changing a mode alone never moves traffic."""

    OBSERVE = "Observe"
    """Decide, journal and tell; never act."""
    ENFORCE = "Enforce"
    """Act as well."""
    FORCED_OPEN = "ForcedOpen"
    """As Enforce, but an open breaker stays open until the mode is another."""
    DISABLED = "Disabled"
    """Nothing moves the breaker but an operator, and nothing is done to the cluster."""

    @property
    def acts(self) -> bool:
        """Whether what the breaker asks for is done to the cluster."""
        return self in (Mode.ENFORCE, Mode.FORCED_OPEN)


class WorkloadKind(StrEnum):
    """Kinds of workload that a breaker can protect."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"


class RouteKind(StrEnum):
    """Kinds of object whose shares decide who serves."""

    SERVICE = "Service"


class FailureClass(StrEnum):
    """What kind of thing went wrong; told from its reason by a table (``failures.json``)."""

    RUNTIME = "runtime"
    """A crash, an OOM kill, a probe that fails, a service fault."""
    CONFIGURATION = "configuration"
    """A bad image, a bad mount, an invalid configuration: what was rolled out cannot work."""
    NETWORK = "network"
    """No name, no connection, no route to others."""
    NODE = "node"
    """What the pods run on."""


class LeadsTo(StrEnum):
    """How far failures of a class may bring a breaker."""

    OPEN = "Open"
    """They count towards ``limitAt`` and ``openAt``."""
    LIMIT = "Limit"
    """They count towards ``limitAt`` only."""
    JOURNAL = "Journal"
    """They are told and journaled, and weigh nothing."""


class RecoverMode(StrEnum):
    """Who lets an open breaker try its target again."""

    AUTO = "Auto"
    """The breaker, after its cool-down."""
    MANUAL = "Manual"
    """An operator, by ``fuseboard reset``."""


class OnDelete(StrEnum):
    """What becomes of traffic that is moved when its CircuitBreaker is deleted."""

    REVERT = "Revert"
    """It goes back to the target first."""
    LEAVE = "Leave"
    """It stays where it is."""
