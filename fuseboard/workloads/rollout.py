"""The phase of a workload: whether planned work explains a lack of ready pods.

The phase follows from the status of the Deployment or StatefulSet and from its pods. The rules stand in one table, and
the first rule that holds decides. The breaker decides which consequence a phase has.

A rollout is complete by the rule of ``kubectl rollout status`` (``polymorphichelpers/rollout_status.go``), with one
addition: after the controller has reported ``NewReplicaSetAvailable``, a Deployment stays complete until the next
change of its template. Pods that fail later, or that a quota holds back, are therefore no rollout. A Deployment past
its progress deadline, or paused, is steady.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuseboard.events.types import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fuseboard.workloads.pods import Pod
    from fuseboard.workloads.status import WorkloadStatus


MAX_EXCUSE_MS: Final = 10 * 60_000
"""How long a disruption or a recent creation explains missing pods: the default progress deadline of a Deployment."""


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """The input of the phase rules."""

    status: WorkloadStatus
    pods: Sequence[Pod]
    now: int
    template: str = ""
    """The template when the controller last caught up with the spec; empty if unknown."""
    was_available: bool = False
    disrupted_at: int = 0
    """When the latest pod was disrupted, unless all pods were ready afterwards; 0 for none."""

    @property
    def ready(self) -> int:
        """How many pods are ready."""
        return sum(pod.is_ready for pod in self.pods)

    @property
    def starting(self) -> int:
        """How many pods are new and have had no failure."""
        return sum(pod.is_starting for pod in self.pods)


def phase(view: WorkloadView) -> Phase:
    """Return the phase of a workload."""
    return next((each for each, holds in RULES if holds(view)), Phase.STEADY)


def _is_fresh(view: WorkloadView) -> bool:
    status = view.status
    young = view.now < status.created_at + MAX_EXCUSE_MS or (status.is_rolling and status.has_deadline)
    return young and not (status.is_late or status.is_available or status.was_available or view.was_available)


def _is_rolled_out(view: WorkloadView) -> bool:
    status = view.status
    # Scaling also changes the spec, which the controller has to observe, but scaling is no rollout.
    changed = status.is_behind and status.template != view.template
    return (status.is_rolling or changed) and not status.is_late


def _is_disrupted(view: WorkloadView) -> bool:
    return view.ready < view.status.desired and view.now < view.disrupted_at + MAX_EXCUSE_MS


def _grows(view: WorkloadView) -> bool:
    """Say whether all missing pods were just created, as after scaling up."""
    missing = view.status.desired - view.ready
    return 0 < missing <= view.starting and not view.status.is_late


RULES: Final[tuple[tuple[Phase, Callable[[WorkloadView], bool]], ...]] = (
    (Phase.FRESH, _is_fresh),
    (Phase.ROLLOUT, _is_rolled_out),
    (Phase.DISRUPTION, _is_disrupted),
    (Phase.ROLLOUT, _grows),
)
