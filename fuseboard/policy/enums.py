"""The enumerations of a policy; their descriptions become part of the CRD."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How much a breaker may do. A change of the mode alone never moves traffic."""

    OBSERVE = "Observe"
    """Decide, write the journal and send events, but do not change the cluster."""
    ENFORCE = "Enforce"
    """Change the cluster as well."""
    FORCED_OPEN = "ForcedOpen"
    """As Enforce, but an open breaker stays open until the mode changes."""
    DISABLED = "Disabled"
    """Only an operator moves the breaker, and the cluster is not changed."""

    @property
    def acts(self) -> bool:
        """Whether the breaker may change the cluster."""
        return self in (Mode.ENFORCE, Mode.FORCED_OPEN)


class WorkloadKind(StrEnum):
    """Kinds of workload that a breaker can protect."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"


class RouteKind(StrEnum):
    """Kinds of object that divide the traffic between target and standby."""

    SERVICE = "Service"


class FailureClass(StrEnum):
    """Class of a failure; a table (``failures.json``) gives the class of each reason."""

    RUNTIME = "runtime"
    """A crash, an OOM kill, a failing probe, a fault of the service."""
    CONFIGURATION = "configuration"
    """A bad image, a bad mount, an invalid configuration: the new version cannot work."""
    NETWORK = "network"
    """A failing name lookup, connection or route."""
    NODE = "node"
    """A failure of a node."""


class LeadsTo(StrEnum):
    """How far failures of a class may bring a breaker."""

    OPEN = "Open"
    """The failures count towards ``limitAt`` and ``openAt``."""
    LIMIT = "Limit"
    """The failures count towards ``limitAt`` only."""
    JOURNAL = "Journal"
    """The failures are sent and journaled, with weight 0."""


class RecoverMode(StrEnum):
    """Who starts the trial of an open breaker."""

    AUTO = "Auto"
    """The breaker itself, after the cool-down."""
    MANUAL = "Manual"
    """An operator, with ``fuseboard reset``."""


class OnDelete(StrEnum):
    """Where the traffic goes when the CircuitBreaker is deleted while the standby serves."""

    REVERT = "Revert"
    """The traffic returns to the target before the deletion completes."""
    LEAVE = "Leave"
    """The traffic stays on the standby."""
